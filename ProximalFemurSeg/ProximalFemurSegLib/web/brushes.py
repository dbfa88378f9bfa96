"""Paint and erase in the slices, and the way back."""

from __future__ import annotations

from trame_slicer.core import SlicerApp
from trame_slicer.segmentation import (
    BrushDiameterMode,
    SegmentationEffectErase,
    SegmentationEffectNoTool,
    SegmentationEffectPaint,
)
from trame_slicer.segmentation.segmentation_state_stack import SegmentationStateStack
from undo_stack import UndoCommand, UndoStack

TOOLS = {"look": SegmentationEffectNoTool, "paint": SegmentationEffectPaint, "erase": SegmentationEffectErase}
_MOST_STEPS = 20


class Brushes:
    """trame-slicer's segment editor on the result.

    Parameters
    ----------
    app : SlicerApp
        Whose editor and views it is.
    """

    def __init__(self, app: SlicerApp):
        self._editor = app.segmentation_editor
        self._stack = UndoStack(undo_limit=_MOST_STEPS)
        self._editor.set_undo_stack(self._stack)
        # The editor would take surfaces away that it did not make itself.
        self._editor.segmentation_modified.disconnect(self._editor._on_segmentation_modified)

    @property
    def segmentation(self):
        """The node that is drawn in, or None."""
        return self._editor.active_segmentation_node

    @property
    def can_undo(self) -> bool:
        return self._stack.can_undo()

    @property
    def can_redo(self) -> bool:
        return self._stack.can_redo()

    def attach(self, segmentation, volume) -> None:
        """Draw in a segmentation from now on; what was done to another one cannot be undone any more."""
        if segmentation is not self.segmentation:
            self._editor.set_active_segmentation(segmentation, volume)

    def take(self, tool: str) -> None:
        """Take a tool into the hand, one of :data:`TOOLS`."""
        self._editor.set_active_effect_type(TOOLS[tool])

    def choose_segment(self, segment_id: str) -> None:
        """Which segment is drawn in."""
        self._editor.set_active_segment_id(segment_id)

    def set_size(self, diameter_mm: float, sphere: bool) -> None:
        """How large the brushes are, and whether they reach into the neighbouring slices."""
        for effect in (SegmentationEffectPaint, SegmentationEffectErase):
            brush = self._editor.get_effect(effect)
            brush.set_brush_diameter(diameter_mm, BrushDiameterMode.Absolute)
            brush.set_use_sphere_brush(sphere)

    def save_state(self, segmentation) -> None:
        """Remember the segmentation as it is before something else than a brush changes it."""
        if segmentation is not None and segmentation is self.segmentation:
            self._stack.push(_Change(self._editor.active_segmentation))

    def undo(self) -> None:
        self._stack.undo()

    def redo(self) -> None:
        self._stack.redo()


class _Change(UndoCommand):
    """A change that begins now; what came of it is known when somebody wants to go back."""

    def __init__(self, segmentation):
        super().__init__()
        self._segmentation = segmentation
        self._states = SegmentationStateStack(segmentation.segmentation, max_size=2)
        self._states.save_state()

    def undo(self) -> None:
        if not self._states.has_previous():
            self._states.save_state()
        self._states.restore_previous()
        self._segmentation.trigger_modified()

    def redo(self) -> None:
        self._states.restore_next()
        self._segmentation.trigger_modified()
