"""The scene of desktop Slicer, with its views and the undo of its Segment Editor."""

from __future__ import annotations

import contextlib

import slicer

from ..mrml.color_legend import renew_legend, show_legend
from ..mrml.viewpoint import bone_bounds, bone_middle, look_at
from ..running.child import Child
from .layout import LEFT, RIGHT, SIDE_BY_SIDE_ID, show_layout, show_side_by_side, slice_node_id
from .surface_adapter import SurfaceAdapter

_BEFORE_DRAWING_MILLISECONDS = 10
"""After a change to the scene, so that the mouse is heard before the views are drawn."""


class DesktopAdapter(SurfaceAdapter):
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
    editors : list of qMRMLSegmentEditorWidget
        Where an undo state is saved besides Slicer's own Segment Editor.
    """

    def __init__(self, scene, child: Child | None = None):
        super().__init__(scene, child)
        self.overlay_opacity = 0.0
        self.editors = []
        self._layout_before = None

    @contextlib.contextmanager
    def drawn_once(self):
        """Whatever is done to the scene within, the views are drawn once, a moment later.

        Slicer's views draw themselves in the midst of a long change, each of them after every part of it.
        """
        import qt

        slicer.app.pauseRender()
        try:
            yield
        finally:
            qt.QTimer.singleShot(_BEFORE_DRAWING_MILLISECONDS, slicer.app.resumeRender)

    def save_undo(self, segmentation_node) -> None:
        module_editor = getattr(getattr(slicer.modules, "SegmentEditorWidget", None), "editor", None)
        for editor in (*self.editors, module_editor):
            if editor is not None and editor.segmentationNode() is segmentation_node:
                editor.saveStateForUndo()
                return

    def shown_volume(self):
        """The volume in the background of the slice views; None if there is none."""
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if composite.GetBackgroundVolumeID():
                return self.scene.GetNodeByID(composite.GetBackgroundVolumeID())
        return None

    def show_result(self, nodes) -> None:
        layout = slicer.app.layoutManager()
        if layout is None:
            return
        slicer.util.setSliceViewerLayers(background=nodes.input)
        self.show_probability(nodes.probability, self.overlay_opacity)
        self.centre(nodes.segmentation)

    def show_probability(self, probability_node, opacity: float) -> None:
        self.overlay_opacity = opacity
        if slicer.app.layoutManager() is None or probability_node is None:
            return
        self._show_layer(probability_node if opacity > 0 else None, probability_node, opacity)

    def show_uncertainty(self, node, visible: bool) -> None:
        """Lay a map of uncertainty over the slice views, with the legend of its colours, or take it away."""
        if node is None:
            return
        if slicer.app.layoutManager() is not None:
            self._show_layer(node if visible else None, node, 0.6)
        # Views look for what a legend belongs to only when the legend changes.
        show_legend(node.GetDisplayNode(), visible)

    def renew_legend(self, node) -> None:
        """Have the views look again for what the legend of a map that they show belongs to."""
        if node is not None:
            renew_legend(node.GetDisplayNode())

    def show_label_map(self, node, visible: bool) -> None:
        """Outline a label map in the slice views, or take it away; to its display node they pay no heed."""
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if visible:
                composite.SetLabelVolumeID(node.GetID())
            elif composite.GetLabelVolumeID() == node.GetID():
                composite.SetLabelVolumeID(None)
        if visible:
            for slice_node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
                slice_node.SetUseLabelOutline(True)

    def show_side_by_side(self, image, result, reference) -> None:
        """The result in the left slices, the reference in the right ones, both over the image."""
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        before = show_side_by_side(manager)
        if before != SIDE_BY_SIDE_ID:
            self._layout_before = before
        slicer.util.setSliceViewerLayers(background=image, fit=True)
        for node, views in ((result, LEFT), (reference, RIGHT)):
            if node.IsA("vtkMRMLSegmentationNode"):
                display = node.GetDisplayNode()
                display.RemoveAllViewNodeIDs()
                for name in views:
                    display.AddViewNodeID(slice_node_id(name))
            else:
                for name in (*LEFT, *RIGHT):
                    composite = manager.sliceWidget(name).mrmlSliceCompositeNode()
                    composite.SetLabelVolumeID(node.GetID() if name in views else None)
        # Views that are new go to 0 mm when they are first drawn, and take those linked to them along.
        self.process_events()
        self.centre(result)

    def show_together(self, *nodes) -> None:
        """Segmentations in all views again, and the views as they were before they stood side by side."""
        for node in nodes:
            if node.IsA("vtkMRMLSegmentationNode") and node.GetDisplayNode() is not None:
                node.GetDisplayNode().RemoveAllViewNodeIDs()
        manager = slicer.app.layoutManager()
        if manager is not None and self._layout_before is not None:
            if manager.layout == SIDE_BY_SIDE_ID:
                manager.setLayout(self._layout_before)
            self._layout_before = None

    def _show_layer(self, node, before, opacity):
        if node is not None:
            slicer.util.setSliceViewerLayers(foreground=node, foregroundOpacity=opacity)
            return
        # A layer that cannot be seen would still be named in the corner of every view; another's layer is left alone.
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if before is not None and composite.GetForegroundVolumeID() == before.GetID():
                composite.SetForegroundVolumeID(None)

    def jump(self, point) -> None:
        """All slice views through a point (RAS mm), in their middle."""
        layout = slicer.app.layoutManager()
        if layout is not None:
            for name in layout.sliceViewNames():
                layout.sliceWidget(name).mrmlSliceNode().JumpSliceByCentering(*point)

    def show_layout(self, table_node) -> None:
        """Three slices, the 3D view and the table."""
        layout = slicer.app.layoutManager()
        if layout is not None:
            show_layout(layout, table_node)

    def can_export_dicom(self) -> bool:
        """True where something is installed that writes DICOM SEG: newer versions of Slicer do, or an extension."""
        return "DICOMSegmentationPlugin" in getattr(slicer.modules, "dicomPlugins", {})

    def export_dicom(self, segmentation_node) -> None:
        """Open Slicer's export dialog for a segmentation."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        dialog = slicer.qSlicerDICOMExportDialog()
        dialog.setMRMLScene(self.scene)
        dialog.execDialog(hierarchy.GetItemByDataNode(segmentation_node))

    def process_events(self) -> None:
        slicer.app.processEvents()

    def centre(self, segmentation_node) -> None:
        """Slices through the middle of a bone, not between two of them; the bones in the middle of the 3D view."""
        layout, middle = slicer.app.layoutManager(), bone_middle(segmentation_node)
        if layout is None or middle is None:
            return
        self.jump(middle)
        for index in range(layout.threeDViewCount):
            view = layout.threeDWidget(index).threeDView()
            view.resetFocalPoint()
            view.resetCamera()
            # That fits a box around the whole image, in which the femora of a large scan are small.
            look_at(view.cameraNode(), bone_bounds(segmentation_node))
