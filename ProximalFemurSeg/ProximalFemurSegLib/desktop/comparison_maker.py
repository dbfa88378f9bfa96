"""Comparisons with a reference, measured by the child process while the window goes on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ProximalFemurSegError
from ..evaluation.comparison import ComparisonOptions
from ..mrml.compared_parts import pair_masks
from ..mrml.comparison import MASKS_ATTRIBUTE, Comparison, compare_nodes, comparison_steps
from ..mrml.segmentation_node import fingerprint
from ..running.child import Child
from .comparison_task import read_measured, write_masks


@dataclass(eq=False)
class _Open:
    """A comparison that is on its way to the child, that the child works on, or whose answer goes into the scene."""

    nodes: tuple[Any, Any]
    folder: Path
    steps: Iterator[None]


class ComparisonMaker:
    """Has the child compare, and brings the scene up to what it found.

    Parameters
    ----------
    adapter : Adapter
        The scene.
    child : Child or None
        With the task ``compare``; without one it is compared here, and the caller waits.
    on_done : callable
        Called with result node, reference node and the ``Comparison``, None in its place if it could not be made.

    Attributes
    ----------
    problem : str
        Why the last comparison could not be made; empty if it could.
    """

    def __init__(self, adapter, child: Child | None, on_done):
        self.problem = ""
        self._adapter, self._child, self._on_done = adapter, child, on_done
        self._open: _Open | None = None

    @property
    def busy(self) -> bool:
        """True while a comparison is on its way."""
        return self._open is not None

    def compare(self, result_node, reference_node, pairs, options: ComparisonOptions) -> None:
        """Compare two nodes; one that is on its way is dropped.

        Raises
        ------
        BadInputError
            Where that is known at once: if they cannot be compared.
        """
        self.drop()
        self.problem = ""
        masks = fingerprint(result_node)
        if self._child is None:
            comparison = compare_nodes(self._adapter, result_node, reference_node, pairs, options)
            self._finish(result_node, reference_node, comparison, masks)
            return
        folder = Path(tempfile.mkdtemp(prefix="proximal-femur-seg-", dir=self._child.folder))
        steps = self._carry_out(result_node, reference_node, pairs, options, folder, masks)
        self._open = _Open((result_node, reference_node), folder, steps)

    def poll(self) -> None:
        """Do a little more of it, if there is something to do."""
        if self._open is None:
            return
        if any(node.GetScene() is None for node in self._open.nodes):
            self.drop()
            return
        try:
            next(self._open.steps, None)
        except ProximalFemurSegError as error:
            nodes, self.problem = self._open.nodes, str(error)
            self.drop()
            self._on_done(*nodes, None)

    def drop(self) -> None:
        """Forget what was ordered."""
        if self._open is not None:
            shutil.rmtree(self._open.folder, ignore_errors=True)
            self._open = None

    def _carry_out(self, result_node, reference_node, pairs, options, folder, masks):
        for number, pair in enumerate(pairs):
            # One by one: of a large scan each takes a moment.
            ((result, reference),) = pair_masks(result_node, reference_node, [pair])
            yield
            write_masks((result, reference), folder, number)
            yield
        request = self._child.ask("compare", folder=str(folder), count=len(pairs), options=asdict(options))
        while not request.over:
            yield
        if request.failure:
            raise ProximalFemurSegError(request.failure)
        measured = []
        for number in range(len(pairs)):
            measured.append(read_measured(folder, number))
            yield
        steps = comparison_steps(self._adapter, result_node, reference_node, pairs, measured, options)
        for comparison in steps:  # noqa: B007 - the last one counts
            yield
        self._finish(result_node, reference_node, comparison, masks)

    def _finish(self, result_node, reference_node, comparison: Comparison, masks):
        comparison.table.SetAttribute(MASKS_ATTRIBUTE, masks)
        self.drop()
        self._on_done(result_node, reference_node, comparison)
