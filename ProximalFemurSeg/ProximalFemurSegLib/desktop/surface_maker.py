"""Surfaces of a segmentation, made by the child process while the window goes on."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..mrml.segmentation_node import mask_times, set_surface, shared_labels, update_surface
from ..mrml.surfaces import polydata
from ..running.child import Child, Request
from .worker import LABELS, surface_file

_MOST_SECONDS = 0.03


@dataclass(eq=False)
class _Order:
    node: Any
    segments: dict
    when: tuple
    request: Request
    folder: Path
    todo: list
    surfaces: dict = field(default_factory=dict)


class SurfaceMaker:
    """Has the child make surfaces, and puts them into the segmentation if its masks are still the same then.

    Parameters
    ----------
    child : Child
        With the task ``surfaces``.
    """

    def __init__(self, child: Child):
        self._child = child
        self._orders: dict[str, _Order] = {}

    @property
    def busy(self) -> bool:
        """True while surfaces are being made."""
        return bool(self._orders)

    def make(self, node) -> None:
        """Order the surfaces of all segments; an order for the same node that is still open is dropped."""
        self._drop(node.GetID())
        # What is no longer true is not shown any more.
        node.RemoveClosedSurfaceRepresentation()
        found = shared_labels(node)
        if found is None:
            update_surface(node)
            return
        labels, affine, segments = found
        folder = Path(tempfile.mkdtemp(prefix="proximal-femur-seg-", dir=self._child.folder))
        np.save(folder / LABELS, labels)
        values = list(segments.values())
        request = self._child.ask("surfaces", folder=str(folder), labels=values, affine=affine.tolist())
        self._orders[node.GetID()] = _Order(node, segments, mask_times(node), request, folder, list(segments))

    def poll(self) -> None:
        """Take up surfaces that are there, a few at every call, and put them into the segmentation."""
        for number, order in list(self._orders.items()):
            if not order.request.over:
                continue
            wanted = order.node.GetScene() is not None
            if wanted and order.request.failure:
                update_surface(order.node)
            elif wanted and mask_times(order.node) == order.when:
                self._take(order)
                if order.todo:
                    continue
                set_surface(order.node, order.surfaces)
            self._drop(number)

    def drop(self) -> None:
        """Forget what was ordered."""
        for number in list(self._orders):
            self._drop(number)

    def _drop(self, number):
        order = self._orders.pop(number, None)
        if order is not None:
            shutil.rmtree(order.folder, ignore_errors=True)

    @staticmethod
    def _take(order):
        end = time.monotonic() + _MOST_SECONDS
        while order.todo and time.monotonic() < end:
            segment_id = order.todo.pop(0)
            with np.load(surface_file(order.folder, order.segments[segment_id])) as arrays:
                surface = polydata(arrays["points"], arrays["triangles"], arrays["normals"])
            order.surfaces[segment_id] = surface
