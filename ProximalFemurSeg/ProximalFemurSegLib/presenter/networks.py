"""The menu of networks, and what there is to read about each."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BadInputError
from .wording import sentence
from .wording import tr as _


@dataclass(frozen=True)
class NetworkEntry:
    """A line of the network menu.

    Attributes
    ----------
    name : str
        Preset, or ``auto``.
    title : str
        What stands in the menu.
    note : str
        What it was trained on and where it is described, for the line below.
    available : bool
        True if its weights are here.
    """

    name: str
    title: str
    note: str
    available: bool


def network_entries(models=None) -> tuple[NetworkEntry, ...]:
    """The network menu: automatic first, then every preset, those without weights marked so.

    Parameters
    ----------
    models : optional
        Where presets and cards come from; by default the package's `models`.
    """
    if models is None:
        from .. import models
    entries = [
        NetworkEntry(
            "auto",
            _("Automatic"),
            _("MR: {mr}; CT: {ct}. {data}").format(
                mr=models.default_preset("mr").name, ct=models.default_preset("ct").name, data=_default_data(models)
            ),
            any(models.has_weights(models.default_preset(modality)) for modality in ("mr", "ct")),
        )
    ]
    for preset in models.all_presets():
        available = models.has_weights(preset)
        modality = preset.modality.upper() if preset.modality != "any" else _("MR and CT")
        title = f"{preset.name} ({modality})"
        note = _trained_on(models, preset) if available else _("No trained weights of it are here.")
        entries.append(
            NetworkEntry(
                preset.name,
                title if available else _("{title}, no weights").format(title=title),
                f"{preset.title} ({preset.paper}). {note}",
                available,
            )
        )
    return tuple(entries)


def fold_count(name: str, models=None) -> int:
    """Of how many folds of a cross-validation of a preset there are weights here.

    Parameters
    ----------
    name : str
        Of the preset.
    models : optional
        Where presets come from; by default the package's `models`.
    """
    if models is None:
        from .. import models
    try:
        return len(models.fold_presets(models.find_preset(name)))
    except BadInputError:
        return 0


def _default_data(models) -> str:
    trained = {_trained_on(models, models.default_preset(modality)) for modality in ("mr", "ct")}
    return " ".join(sorted(text for text in trained if text))


def _trained_on(models, preset) -> str:
    try:
        sources = {models.card(stage).get("trained_on", "") for stage in preset.stages}
    except BadInputError:
        return ""
    return " ".join(_("Trained on {data}.").format(data=source) for source in sorted(sources) if source)


def network_card(name: str, models=None) -> str:
    """What the cards of a preset's weights say, for people: data, measurements, thresholds, limits.

    Parameters
    ----------
    name : str
        Of a preset, or ``auto`` for the best one of each modality.
    models : optional
        Where presets and cards come from; by default the package's `models`.
    """
    if models is None:
        from .. import models
    if name == "auto":
        presets = [models.default_preset(modality) for modality in ("mr", "ct")]
    else:
        presets = [models.find_preset(name)]
    parts = []
    for preset in presets:
        for stage in preset.stages:
            try:
                parts.append(_stage_card(preset, stage, models.card(stage)))
            except BadInputError as error:
                parts.append(f"{preset.title} ({preset.paper})\n{error}")
    return "\n\n".join(parts)


def _stage_card(preset, stage, card) -> str:
    title = preset.title if len(preset.stages) == 1 else f"{preset.title}, {stage.role}"
    lines = [f"{title} ({preset.paper})", card.get("use", "")]
    lines.append(_("Trained on: {what}").format(what=card.get("data", {}).get("description") or card["trained_on"]))
    for what, measured in card.get("metrics", {}).items():
        values = ", ".join(f"{_METRICS[key]} {_measured(measured[key])}" for key in _METRICS if key in measured)
        if values:
            lines.append(f"{sentence(what.replace('_', ' '))}: {values} ({measured.get('what', '')})")
    points = {key: value for key, value in (card.get("operating_point") or {}).items() if value is not None}
    if points:
        listed = ", ".join(f"{key if key != 'threshold' else _('model')} {value:.2f}" for key, value in points.items())
        lines.append(_("Thresholds: {listed}").format(listed=listed))
    limits = card.get("limits", ())
    lines += [_("Limits:"), *(f"- {limit}" for limit in limits)] if limits else []
    return "\n".join(line for line in lines if line)


_METRICS = {"dice": "Dice", "asd_mm": "ASD mm", "hd95_mm": "HD95 mm", "relative_volume_error_percent": "volume error %"}


def _measured(value) -> str:
    if isinstance(value, dict):
        return f"{value['mean']:.3g} \N{PLUS-MINUS SIGN} {value['sd']:.2g}"
    return f"{value:.3g}"
