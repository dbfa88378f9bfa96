"""A scene whose surfaces are made beside it."""

from __future__ import annotations

from ..mrml.adapter import Adapter
from ..running.child import Child
from .surface_maker import SurfaceMaker


class SurfaceAdapter(Adapter):
    """Has the surfaces of segmentations made by another process.

    Parameters
    ----------
    scene : vtkMRMLScene
    child : Child, optional
        Makes the surfaces, while the window or the page goes on; they are made here if left out.
    """

    def __init__(self, scene, child: Child | None = None):
        super().__init__(scene)
        self._surfaces = None if child is None else SurfaceMaker(child)

    @property
    def busy(self) -> bool:
        """True while something is on its way that :meth:`poll` will bring."""
        return self._surfaces is not None and self._surfaces.busy

    def poll(self) -> None:
        """Take what has come."""
        if self._surfaces is not None:
            self._surfaces.poll()

    def forget(self) -> None:
        """The scene is being closed."""
        if self._surfaces is not None:
            self._surfaces.drop()

    def update_surface(self, segmentation_node) -> None:
        if self._surfaces is None:
            super().update_surface(segmentation_node)
        else:
            self._surfaces.make(segmentation_node)
