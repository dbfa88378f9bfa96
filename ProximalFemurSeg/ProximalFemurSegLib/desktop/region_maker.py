"""Regions of a segmentation, divided by the child process while the window goes on."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInputError, ProximalFemurSegError
from ..mrml.region_session import RegionSession
from ..mrml.region_state import is_outdated, remember_division, spare_edited
from ..mrml.segmentation_node import fingerprint
from ..regions.calibration import calibration_from
from ..running.child import Child, Request
from ..running.exchange import write_image
from ..volume import Volume
from .region_task import Bones, Order, read_division

_MOST_SECONDS = 0.03


@dataclass(eq=False)
class _Bone:
    """What is handed over: the masks, and for density the image with the words that say how to calibrate it."""

    bones: Bones
    image: Volume | None
    calibration: str


@dataclass(eq=False)
class _Open:
    """An order that is on its way to the child, that the child works on, or whose answer goes into the scene."""

    femora: _Bone
    order: Order
    marks: str
    masks: str
    folder: Path
    steps: object
    request: Request | None = None


class RegionMaker(RegionSession):
    """Divides in the child, and brings the scene up to it when the answer is there.

    Calibrations are given to :meth:`divide` as text, as of ``regions.calibration_from``.

    Parameters
    ----------
    adapter : Adapter
        The scene.
    child : Child or None
        With the task ``regions``; without one it is divided here, and the caller waits.
    on_moved, on_done : callable
        Called without arguments when a mark moves, and when a division has come or could not be made.

    Attributes
    ----------
    problem : str
        Why the last division could not be made; empty if it could.
    """

    def __init__(self, adapter, child: Child | None, on_moved, on_done):
        super().__init__(adapter, on_moved)
        self.problem = ""
        self._child, self._on_done = child, on_done
        self._open: _Open | None = None

    @property
    def busy(self) -> bool:
        """True while a division is on its way."""
        return self._open is not None

    @property
    def outdated(self) -> bool:
        """True if the masks are not those that were divided."""
        return self.nodes is not None and self.nodes.segmentation is not None and is_outdated(self.nodes)

    def poll(self) -> None:
        """Hand over a little more, or take a little more of what has come."""
        waiting = self._open
        if waiting is None:
            return
        if waiting.request is None:
            if next(waiting.steps, True):
                waiting.request = self._child.ask("regions", folder=str(waiting.folder))
                waiting.steps = self._receive(waiting)
        elif self.nodes.source.GetScene() is None:
            self._finish("")
        elif waiting.request.failure:
            self._finish(waiting.request.failure)
        elif waiting.request.over and repr(self._placed()) != waiting.marks:
            # The user went on moving marks: they are not put back under the pointer.
            self._measure(waiting.femora, waiting.order.definition)
        elif waiting.request.over:
            try:
                end = time.monotonic() + _MOST_SECONDS
                while self._open is waiting and time.monotonic() < end:
                    next(waiting.steps, None)
                waiting.marks = repr(self._placed())
            except ProximalFemurSegError as error:
                self._finish(str(error))

    def drop(self) -> None:
        """Forget what was ordered."""
        if self._open is not None:
            shutil.rmtree(self._open.folder, ignore_errors=True)
            self._open = None

    def close(self) -> None:
        self.drop()
        super().close()

    def _femora_of(self, mask, endosteal, image, calibration):
        if calibration and image is None:
            raise BadInputError("A calibration needs the CT that belongs to the masks: choose it as the volume.")
        if self._child is None:
            known = calibration_from(calibration, image) if calibration else None
            return super()._femora_of(mask, endosteal, image, known)
        return _Bone(Bones.of(mask, endosteal), image, calibration or "")

    def _measure(self, femora, definition, placed=None):
        self.drop()
        self.problem = ""
        if self._child is None:
            super()._measure(femora, definition, placed)
            self._finish("")
            return
        marks = self._placed()
        order = Order(femora.bones, definition, marks if placed is None else placed, femora.calibration)
        # Known from now on: another definition or a moved mark need not read the masks again.
        self._femora, self._definition = femora, definition
        folder = Path(tempfile.mkdtemp(prefix="proximal-femur-seg-", dir=self._child.folder))
        masks = fingerprint(self.nodes.source)
        self._open = _Open(femora, order, repr(marks), masks, folder, _hand_over(order, femora.image, folder))

    def _take_steps(self, femora, definition, result):
        spare_edited(self.nodes)
        yield from super()._take_steps(femora, definition, result)
        masks = fingerprint(self.nodes.source) if self._open is None else self._open.masks
        remember_division(self.nodes, masks, self._inputs[1])

    def _receive(self, waiting):
        result = read_division(waiting.folder, waiting.order.bones)
        yield
        yield from self._take_steps(waiting.femora, waiting.order.definition, result)
        self._finish("")

    def _finish(self, problem):
        self.problem = problem
        self.drop()
        self._on_done()


def _hand_over(order, image, folder):
    """Write the order, a few megabytes at every step."""
    if order.calibration:
        for _ in write_image(image, folder):
            yield False
    order.write(folder)
