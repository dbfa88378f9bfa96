"""The masks follow the threshold: only the femora's part of the image is worked on, and no node is made anew."""

from __future__ import annotations

import json

from ..errors import BadInputError
from .adapter import Adapter
from .edited_volumes import measure_segmentation
from .probability_node import show_above
from .result_nodes import (
    ResultNodes,
    hide,
    masked_part,
    overall_threshold,
    threshold_note,
    write_measurements,
    write_segmentation,
)
from .segmentation_node import automatic_note, content_time, mark_automatic, restore_segments, write_labels
from .segments import describe_segments


class LiveMask:
    """Moves the threshold of a result in the scene.

    Parameters
    ----------
    adapter : Adapter
    nodes : ResultNodes
        The result.
    probabilities : Probabilities
        Its maps.
    postprocess : str
        As of ``inference.apply_threshold``.
    apply : callable, optional
        Used instead of ``inference.apply_threshold``.

    Attributes
    ----------
    result : SegmentationResult or None
        As it is now; None before the first threshold.
    postprocess : str
        What is done to the masks from the next threshold on.
    moving : bool
        True between the first :meth:`move_to` and :meth:`settle`.
    """

    def __init__(self, adapter: Adapter, nodes: ResultNodes, probabilities, postprocess="auto", apply=None):
        if apply is None:
            from ..inference import apply_threshold as apply
        self.nodes, self.probabilities = nodes, probabilities
        self.result = None
        self.postprocess = postprocess
        self._adapter, self._apply = adapter, apply
        self.moving = False
        self._looked = (None, None)
        self._counted = (None, [])

    @property
    def edited(self) -> bool:
        """True if the segmentation holds what somebody drew; then the threshold must leave it alone."""
        # While the slider moves, the masks run ahead of what is remembered; nobody can draw at the same time.
        return not self.moving and self._note() is None

    def follow(self) -> float | None:
        """After an undo or redo to masks that the program made: go back to their threshold, too.

        Returns
        -------
        float or None
            The threshold of the outermost mask, if it is another than before.
        """
        note = None if self.moving else self._note()
        if not note or (self.result is not None and note == threshold_note(self.result)):
            return None
        self.result = self.compute(json.loads(note))
        value = overall_threshold(self.result)
        show_above(self.nodes.probability, value)
        return value

    def _note(self):
        when = content_time(self.nodes.segmentation)
        if when != self._looked[0]:
            self._looked = (when, automatic_note(self.nodes.segmentation))
        return self._looked[1]

    def move_to(self, threshold) -> float:
        """Make the masks for a threshold; the surface and the table wait for :meth:`settle`.

        Parameters
        ----------
        threshold : float or str
            Probability 0 to 1, or ``model``, ``otsu``, ``roc``, ``youden``.

        Returns
        -------
        float
            The threshold of the outermost mask.

        Raises
        ------
        BadInputError
            If the segmentation was edited, or there is no such threshold.
        """
        if self.edited:
            raise BadInputError(
                f"The segmentation '{self.nodes.segmentation.GetName()}' was edited by hand and is left as it is; "
                "make a new segmentation from the map."
            )
        result = self.compute(threshold)
        if not self.moving:
            self._adapter.save_undo(self.nodes.segmentation)
            self.moving = True
        self.result = result
        start, labels = masked_part(result)
        write_labels(self.nodes.segmentation, labels, describe_segments(result.sides), start)
        value = overall_threshold(result)
        show_above(self.nodes.probability, value)
        return value

    def compute(self, threshold):
        """The result for a threshold, as numbers only: the scene is left as it is."""
        return self._apply(self.probabilities, threshold, self.postprocess)

    def measurements(self) -> dict:
        """Of the masks as they are now: the program's own, or, once edited, counted anew (``edited`` is then True)."""
        if self.edited:
            when = content_time(self.nodes.segmentation)
            if when != self._counted[0]:
                self._counted = (when, measure_segmentation(self.nodes))
            about = {name: getattr(self.probabilities, name) for name in ("network", "modality", "device")}
            return {**about, "volumes": self._counted[1], "edited": True}
        return self.result.measurements if self.result is not None else {}

    def settle(self) -> None:
        """Bring surface and table up to the masks: the program's own from now on, or as somebody edited them."""
        if self.edited:
            write_measurements(self._adapter, self.nodes, self.measurements())
        if not self.moving:
            return
        self._adapter.update_surface(self.nodes.segmentation)
        mark_automatic(self.nodes.segmentation, threshold_note(self.result))
        write_measurements(self._adapter, self.nodes, self.result.measurements)
        self.moving = False

    def revert(self, threshold) -> None:
        """Bring the masks of the maps back into the edited segmentation; segments that the user added stay.

        The state before is saved for an undo.
        """
        self._adapter.save_undo(self.nodes.segmentation)
        self.result = self.compute(threshold)
        self.moving = True
        restore_segments(self.nodes.segmentation, describe_segments(self.result.sides))
        start, labels = masked_part(self.result)
        write_labels(self.nodes.segmentation, labels, describe_segments(self.result.sides), start)
        show_above(self.nodes.probability, overall_threshold(self.result))
        self.settle()

    def renew(self, threshold) -> ResultNodes:
        """Make another segmentation from the maps, beside the present one, which is left as it is.

        The nodes of this object are from now on the new segmentation, a new table, and the same maps.
        """
        self.result = self.compute(threshold)
        self.moving = False
        old = self.nodes
        self.nodes = ResultNodes(input=old.input, probability=old.probability, endosteal=old.endosteal)
        write_segmentation(self._adapter, self.nodes, self.result)
        write_measurements(self._adapter, self.nodes, self.result.measurements)
        hide(old.segmentation)
        return self.nodes
