"""What desktop Slicer and a headless scene differ in, as one object that is passed in."""

from __future__ import annotations

from .segmentation_node import update_surface


class Adapter:
    """The scene, and what the application around it can do; this base does nothing beyond the scene.

    A face that has views, an undo stack or an event loop derives from it and overrides what it can do better.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where nodes are added.
    """

    def __init__(self, scene):
        self.scene = scene

    def save_undo(self, segmentation_node) -> None:
        """Remember the segmentation as it is now, so that the user can come back to it."""

    def update_surface(self, segmentation_node) -> None:
        """Make the 3D surfaces anew from the masks as they are; they may appear a moment later."""
        update_surface(segmentation_node)

    def show_result(self, nodes) -> None:
        """Bring a result (a ``ResultNodes``) before the user's eyes: slice views, 3D view."""

    def show_probability(self, probability_node, opacity: float) -> None:
        """Lay the probability map over the slice views; an opacity of 0 takes it away."""

    def process_events(self) -> None:
        """Let the application breathe during a long step."""
