"""Between the page and the case: what is chosen in the page is done, and what came of it is shown."""

from __future__ import annotations

import asyncio
import sys
import traceback
from dataclasses import asdict

from trame.app.file_upload import ClientFile

from .. import presenter
from ..errors import ProximalFemurSegError
from ..mrml import parameters as p
from ..mrml.shown_result import shown_result
from ..mrml.volume_node import array_from_node, volume_from_node
from ..running.runner import State
from ..volume_io import read_labels, read_volume
from .case import Case
from .files import read_sample, read_sample_truth, read_upload, sample_cases, zip_of_result

_POLL_SECONDS, _REST_SECONDS, _MARKS_REST_SECONDS = 0.1, 0.25, 0.4
THRESHOLD_DECIMALS = 2
METHODS = ("model", "otsu", "youden", "roc")
_CHOICES = ("network", "modality", "side", "device")


class Controller:
    """Listens to trame's state and calls the case.

    Parameters
    ----------
    server : trame_server.Server
    create_case : callable
        Called with ``on_edited`` and ``on_moved``; gives the `Case`.
    choices : dict of str to str
        What is chosen to begin with: network, modality, side, device.
    """

    def __init__(self, server, create_case, choices: dict[str, str]):
        self.server, self.state = server, server.state
        self.case: Case = create_case(
            on_edited=lambda: self._later("edited", _REST_SECONDS, self.settle),
            on_moved=lambda: self._later("moved", _MARKS_REST_SECONDS, self.settle_regions),
        )
        self.networks = presenter.network_entries()
        self._watching, self._timers = None, {}
        self.case.choose(**choices)
        self._begin()
        self._listen()

    def _begin(self) -> None:
        entries = [{"title": entry.title, "value": entry.name} for entry in self.networks]
        self.state.update(
            {
                "problem": "",
                "reading": False,
                "samples": list(sample_cases()),
                "sample": "",
                "networks": entries,
                "necks": [{"title": presenter.neck_title(n), "value": n} for n in presenter.NECK_CHOICES],
                "distals": [{"title": presenter.distal_title(d), "value": d} for d in presenter.DISTAL_CHOICES],
                "neck": presenter.NECK_CHOICES[0],
                "distal": presenter.DISTAL_CHOICES[0],
                "threshold": 0.5,
                "tool": "look",
                "segment": "",
                "brush_mm": 6.0,
                "sphere": False,
                "show_map": False,
                "overlay": 0.5,
                "window": [0.0, 1.0],
                "window_range": [0.0, 1.0],
                "packing": False,
                **self.case.shows,
            }
        )
        self.refresh()

    def _listen(self) -> None:
        change = self.state.change
        for name in _CHOICES:
            change(name)(self._on_choice)
        change("threshold")(self._on_threshold)
        change("tool", "segment", "brush_mm", "sphere")(self._on_brush)
        change("show_map", "overlay")(self._on_map)
        change("window")(self._on_window)
        change(*self.case.shows)(self._on_shows)

    # The image

    def open(self, volume) -> None:
        """Take up an image."""
        self.case.open(volume)
        values = array_from_node(self.case.image)
        display = self.case.image.GetDisplayNode()
        self.state.update(
            {
                "tool": "look",
                "sample": "",
                "reference_name": "",
                "window_range": [float(values.min()), float(values.max())],
                "window": [display.GetWindowLevelMin(), display.GetWindowLevelMax()],
            }
        )
        self.refresh()

    async def open_sample(self, name: str) -> None:
        """Take up a sample case."""
        if await self._read(self.open, read_sample, name):
            self.state.sample = name

    async def upload_image(self, files: list[dict]) -> None:
        """An image from the browser, as trame gives it: a name and its content."""
        await self._receive(files, self.open, read_volume)

    async def upload_reference(self, files: list[dict]) -> None:
        """A label map from the browser, as :meth:`upload_image`."""
        await self._receive(files, self.set_reference, read_labels)

    async def _receive(self, files, take, read) -> None:
        if not files:
            # The file dialog was closed; the page itself says that it is reading.
            self.state.reading = False
        for file in map(ClientFile, files[:1]):
            await self._read(take, read_upload, file.name, file.content, read)

    async def _read(self, take, read, *arguments) -> bool:
        """Read something beside the page and take it up; True if that went well."""
        with self.state:
            self.state.reading = True
        try:
            volume = await asyncio.to_thread(read, *arguments)
        except ProximalFemurSegError as error:
            with self.state:
                self.state.update({"problem": str(error), "reading": False})
            return False
        with self.state:
            self.state.reading = False
            return self.attempt(take, volume)

    # The run

    def start(self) -> None:
        """Segment the image."""
        self.case.adapter.overlay_opacity = self._opacity()
        self.attempt(self.case.session.start)
        self.watch()
        self.refresh()

    def cancel(self) -> None:
        """End the run."""
        self.case.session.cancel()
        self.refresh()

    def ask_devices(self) -> None:
        """Have the menu of devices filled."""
        self.case.ask_devices()
        self.watch()

    def watch(self) -> None:
        """Look at what is going on until it is over."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while self.case.busy:
            await asyncio.sleep(_POLL_SECONDS)
            with self.state:
                self._guarded(self._look)

    def _look(self) -> None:
        running = self.case.running
        self.case.poll()
        status = self.case.session.status
        if running and status.state is State.FAILED:
            self.state.problem = status.message
            print(status.log, file=sys.stderr)
        if running and status.state is State.DONE:
            self.state.open_panels = ["Threshold", "Correction", "Volumes"]
        if self.case.running:
            self._show_run()
        else:
            self.refresh()

    # The masks

    def move_threshold(self, threshold) -> None:
        """To a probability, or to a named threshold."""
        if self.attempt(self.case.move_threshold, threshold):
            self._later("edited", _REST_SECONDS, self.settle)
            self._show_masks()

    def settle(self) -> None:
        """The masks have come to rest."""
        self.attempt(self.case.settle)
        self.watch()
        self.refresh()

    def renew(self) -> None:
        """A new segmentation beside the edited one."""
        self.attempt(self.case.renew)
        self.watch()
        self.refresh()

    def undo(self) -> None:
        self.attempt(self.case.undo)
        self.refresh()

    def redo(self) -> None:
        self.attempt(self.case.redo)
        self.refresh()

    # Regions and comparison

    def divide(self) -> None:
        """Divide the bone into its regions."""
        if self.attempt(self.case.divide, self.state.neck, self.state.distal):
            self.state.regions = True
        self.watch()
        self.refresh()

    def settle_regions(self) -> None:
        """The landmarks have come to rest."""
        self.attempt(self.case.settle_regions)
        self.watch()
        self.refresh()

    def set_reference(self, volume) -> None:
        """Take up another reader's masks."""
        self.case.set_reference(volume)
        self.state.reference_name = volume.name
        self.refresh()

    async def take_sample_truth(self) -> None:
        """Compare with the exact truth of the sample case."""
        await self._read(self.set_reference, read_sample_truth, self.state.sample)

    def compare(self) -> None:
        """Compare the result with the reference."""
        if self.attempt(self.case.compare):
            self.state.update({"regions": False, "distances": True})
        self.watch()
        self.refresh()

    # Files

    async def download(self):
        """The files of the result, in an archive."""
        with self.state:
            self.state.packing = True
        try:
            self.case.settle()
            result, image = shown_result(self.case.session.live), volume_from_node(self.case.image)
            content = await asyncio.to_thread(zip_of_result, result, image)
            return self.server.protocol.addAttachment(content)
        finally:
            with self.state:
                self.state.packing = False

    # The state

    def attempt(self, function, *arguments) -> bool:
        """Do what the user asks for; tell if it fails, and forget what failed before."""
        self.state.problem = ""
        return self._guarded(function, *arguments)

    def _guarded(self, function, *arguments) -> bool:
        try:
            function(*arguments)
        except ProximalFemurSegError as error:
            self.state.problem = str(error)
            return False
        except Exception as error:  # the page must live on, whatever went wrong
            traceback.print_exc()
            self.state.problem = f"Something went wrong that should not ({type(error).__name__}: {error})."
            return False
        return True

    def refresh(self) -> None:
        """Show the present state of things."""
        case = self.case
        parameters = p.read_parameters(case.session.parameter_node)
        devices = presenter.device_entries(case.devices, parameters.device)
        self.state.update(
            {
                "image_name": "" if case.image is None else case.image.GetName(),
                "messages": case.messages,
                "devices": [{"title": entry.title, "value": entry.name} for entry in devices],
                "device_note": presenter.device_note(case.devices, False),
                "network_note": self._network(parameters.network).note,
                **{name: getattr(parameters, name) for name in _CHOICES},
                "region_tables": [asdict(table) for table in case.region_tables()],
                "regions_note": case.regions_note(),
                "comparison": asdict(case.comparison_table()),
                "comparing": case.comparison.busy,
                "comparison_note": case.comparison.problem,
                "reference_name": self.state.reference_name or "",
            }
        )
        self._show_run()
        self._show_masks()

    def _show_run(self) -> None:
        view = presenter.present(self.case.session.panel_state(self._network(self.state.network)))
        self.state.view = asdict(view)

    def _show_masks(self) -> None:
        """What follows the slider and the brush at once."""
        session, brushes = self.case.session, self.case.adapter.brushes
        measurements = session.measurements()
        table = presenter.result_table(measurements)
        live, threshold = session.live, session.threshold
        points = {} if live is None else live.probabilities.operating_points
        known = [m for m in METHODS if m in ("model", "otsu") or all(m in point for point in points.values())]
        segments = [] if self.case.segmentation is None or live is None else self._segments()
        chosen = [entry["value"] for entry in segments]
        self.state.update(
            {
                "has_result": live is not None,
                "methods": known,
                "volumes": asdict(table),
                "summary": presenter.result_summary(measurements),
                "said": list(presenter.result_messages(measurements, advanced=False)),
                "segments": segments,
                "segment": self.state.segment if self.state.segment in chosen else (chosen or [""])[0],
                "can_undo": brushes.can_undo,
                "can_redo": brushes.can_redo,
            }
        )
        if threshold is not None and not self._is_shown(threshold):
            self.state.threshold = round(threshold, THRESHOLD_DECIMALS)

    def _segments(self) -> list[dict]:
        segmentation = self.case.segmentation.GetSegmentation()
        return [
            {"title": segmentation.GetSegment(name).GetName(), "value": name} for name in segmentation.GetSegmentIDs()
        ]

    def _network(self, name):
        return next((entry for entry in self.networks if entry.name == name), self.networks[0])

    def _is_shown(self, threshold) -> bool:
        return round(threshold, THRESHOLD_DECIMALS) == round(float(self.state.threshold), THRESHOLD_DECIMALS)

    def _opacity(self) -> float:
        return float(self.state.overlay) if self.state.show_map else 0.0

    # What the user does in the page

    def _on_choice(self, **state) -> None:
        self.case.choose(**{name: state[name] for name in _CHOICES})
        self.state.network_note = self._network(state["network"]).note
        self._show_run()

    def _on_threshold(self, threshold, **state) -> None:
        # The slider shows two decimals: that it rounds the threshold of a result is no wish for another one.
        present = self.case.session.threshold
        if self.state.view["threshold_enabled"] and (present is None or not self._is_shown(present)):
            self.move_threshold(float(threshold))

    def _on_brush(self, tool, segment, brush_mm, sphere, **state) -> None:
        if self.case.segmentation is None:
            return
        brushes = self.case.adapter.brushes
        brushes.choose_segment(segment)
        brushes.set_size(float(brush_mm), bool(sphere))
        brushes.take(tool or "look")

    def _on_map(self, **state) -> None:
        node = p.get_reference(self.case.session.parameter_node, p.PROBABILITY)
        self.case.adapter.show_probability(node, self._opacity())

    def _on_window(self, window, **state) -> None:
        if self.case.image is not None:
            self.case.set_window(*map(float, window))

    def _on_shows(self, **state) -> None:
        self.case.show(**{name: bool(state[name]) for name in self.case.shows})

    def _later(self, name: str, seconds: float, function) -> None:
        """Call a function when nothing more has happened for a while."""
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, self._now, function)

    def _now(self, function) -> None:
        with self.state:
            function()
