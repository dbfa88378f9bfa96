"""The scene of desktop Slicer, with its views and the undo of its Segment Editor."""

from __future__ import annotations

import slicer

from ..mrml.adapter import Adapter
from ..running.child import Child
from .surface_maker import SurfaceMaker


class DesktopAdapter(Adapter):
    """Shows results in the layout's views; saves undo states in the Segment Editor where that holds the segmentation.

    Parameters
    ----------
    scene : vtkMRMLScene
    child : Child, optional
        Makes the surfaces, while the window goes on; they are made here if left out.

    Attributes
    ----------
    overlay_opacity : float
        Opacity of the probability map over the slices, 0 to 1.
    """

    def __init__(self, scene, child: Child | None = None):
        super().__init__(scene)
        self.overlay_opacity = 0.0
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

    def save_undo(self, segmentation_node) -> None:
        widget = getattr(slicer.modules, "SegmentEditorWidget", None)
        editor = getattr(widget, "editor", None)
        if editor is not None and editor.segmentationNode() is segmentation_node:
            editor.saveStateForUndo()

    def show_result(self, nodes) -> None:
        layout = slicer.app.layoutManager()
        if layout is None:
            return
        slicer.util.setSliceViewerLayers(background=nodes.input)
        self.show_probability(nodes.probability, self.overlay_opacity)
        self._centre(nodes.segmentation)

    def show_probability(self, probability_node, opacity: float) -> None:
        self.overlay_opacity = opacity
        if slicer.app.layoutManager() is None or probability_node is None:
            return
        if opacity > 0:
            slicer.util.setSliceViewerLayers(foreground=probability_node, foregroundOpacity=opacity)
            return
        # A layer that cannot be seen would still be named in the corner of every view; another's layer is left alone.
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if composite.GetForegroundVolumeID() == probability_node.GetID():
                composite.SetForegroundVolumeID(None)

    def process_events(self) -> None:
        slicer.app.processEvents()

    def _centre(self, segmentation_node):
        """Slices through the middle of a bone, not between two of them; the bones in the middle of the 3D view."""
        bounds = [0.0] * 6
        segmentation_node.GetRASBounds(bounds)
        if bounds[0] > bounds[1]:
            return
        first = segmentation_node.GetSegmentation().GetNthSegmentID(0)
        middle = segmentation_node.GetSegmentCenterRAS(first)
        if middle is None:
            middle = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
        layout = slicer.app.layoutManager()
        for name in layout.sliceViewNames():
            layout.sliceWidget(name).mrmlSliceNode().JumpSliceByCentering(*middle)
        for index in range(layout.threeDViewCount):
            view = layout.threeDWidget(index).threeDView()
            view.resetFocalPoint()
            view.resetCamera()
