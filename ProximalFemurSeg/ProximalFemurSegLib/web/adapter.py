"""The scene behind the page, with its views and the undo of its brushes."""

from __future__ import annotations

from trame_slicer.core import SlicerApp
from trame_slicer.utils import get_nodes_by_class
from vtkmodules.vtkCommonCore import vtkCommand

from ..desktop.surface_adapter import SurfaceAdapter
from ..mrml.viewpoint import bone_bounds, bone_middle, look_at
from ..running.child import Child
from .brushes import Brushes


class BrowserAdapter(SurfaceAdapter):
    """Shows results in the views of trame-slicer.

    Parameters
    ----------
    app : SlicerApp
    child : Child, optional
        Makes the surfaces, while the page goes on; they are made here if left out.

    Attributes
    ----------
    brushes : Brushes
    overlay_opacity : float
        Of the probability map over the slices, 0 to 1.
    """

    def __init__(self, app: SlicerApp, child: Child | None = None):
        super().__init__(app.scene, child)
        self.brushes = Brushes(app)
        self.overlay_opacity = 0.0
        self._views = app.view_manager
        for view in self._views.get_slice_views():
            view.interactor().AddObserver(vtkCommand.WindowResizeEvent, lambda *_, view=view: self._fit(view))

    def save_undo(self, segmentation_node) -> None:
        self.brushes.save_state(segmentation_node)

    def show_image(self, node) -> None:
        """An image in the slices, all of it in sight."""
        for view in self._views.get_slice_views():
            view.set_background_volume_id(node.GetID())
            view.set_foreground_volume_id(None)
        for view in self._views.get_views():
            view.reset_view()

    def show_result(self, nodes) -> None:
        self.brushes.attach(nodes.segmentation, nodes.input)
        self.show_probability(nodes.probability, self.overlay_opacity)
        self.centre(nodes.segmentation)

    def show_probability(self, probability_node, opacity: float) -> None:
        self.overlay_opacity = opacity
        shown = probability_node is not None and opacity > 0
        for view in self._views.get_slice_views():
            view.set_foreground_volume_id(probability_node.GetID() if shown else None)
            view.set_foreground_opacity(opacity)

    def show_label_map(self, node, visible: bool) -> None:
        """Outline a label map in the slices, or take it away."""
        for composite in get_nodes_by_class("vtkMRMLSliceCompositeNode", self.scene):
            composite.SetLabelVolumeID(node.GetID() if visible else None)
        for view in self._views.get_slice_views():
            view.get_view_node().SetUseLabelOutline(True)

    def centre(self, segmentation_node) -> None:
        """Slices through the middle of a bone; the bones in the middle of the 3D view."""
        middle = bone_middle(segmentation_node)
        if middle is None:
            return
        for view in self._views.get_slice_views():
            view.get_view_node().JumpSlice(*middle)
        for view in self._views.get_threed_views():
            look_at(view.get_camera_node(), bone_bounds(segmentation_node))

    @staticmethod
    def _fit(view) -> None:
        """All of the image in a slice view of another size, of which nothing is known before the page is open."""
        place = view.get_slice_value()
        view.fit_view_to_content()
        view.set_slice_value(place)
