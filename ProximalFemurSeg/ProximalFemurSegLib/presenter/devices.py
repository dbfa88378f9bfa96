"""The menu of devices, from what the child process found."""

from __future__ import annotations

from dataclasses import dataclass

from .wording import tr as _


@dataclass(frozen=True)
class DeviceEntry:
    """A line of the menu.

    Attributes
    ----------
    name : str
        As the command line takes it.
    title : str
        What stands in the menu.
    """

    name: str
    title: str


def device_entries(found: dict | None, chosen: str = "auto") -> tuple[DeviceEntry, ...]:
    """The menu of devices: automatic first.

    Parameters
    ----------
    found : dict or None
        As `inference.devices.list_devices` gives it; None while it is not known.
    chosen : str
        What is chosen now: it stays in the menu, even where it was not found.
    """
    entries = [DeviceEntry("auto", _("Automatic"))]
    if found is None:
        entries.append(DeviceEntry("cpu", _("CPU")))
    else:
        titles = {device["name"]: _title(device) for device in found["devices"]}
        automatic = next((d["title"] for d in found["devices"] if d["name"] == found["auto"]), found["auto"])
        entries = [DeviceEntry("auto", _("Automatic: {device}").format(device=automatic))]
        entries += [DeviceEntry(name, title) for name, title in titles.items()]
    if chosen not in [entry.name for entry in entries]:
        missing = chosen if found is None else _("{device}, not found here").format(device=chosen)
        entries.append(DeviceEntry(chosen, missing))
    return tuple(entries)


def device_note(found: dict | None, torch_missing: bool) -> str:
    """The line below the menu of devices."""
    if torch_missing:
        return _("PyTorch is not installed; Apply offers it. Everything but Apply works without it.")
    return _("PyTorch {version}").format(version=found["torch"]) if found else ""


def _title(device) -> str:
    memory = device["memory_gb"]
    name = device["title"] if device["name"] == "cpu" else f"{device['title']} ({device['name']})"
    return name if memory is None else _("{name}, {memory:g} GB").format(name=name, memory=memory)
