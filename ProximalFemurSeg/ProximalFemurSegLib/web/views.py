"""Scene and views of trame-slicer: three slices and a 3D view."""

from __future__ import annotations

import contextlib

import slicer
from trame_slicer.core import SlicerApp
from trame_slicer.views import DirectViewFactory, Layout, LayoutDirection, ViewLayoutDefinition
from vtkmodules.vtkCommonCore import vtkObject

LAYOUT_ID = "four-up"


def four_up() -> Layout:
    """Axial and 3D above, coronal and sagittal below, as Slicer's own layout of that name."""
    rows = [
        [ViewLayoutDefinition.axial_view(), ViewLayoutDefinition.threed_view()],
        [ViewLayoutDefinition.coronal_view(), ViewLayoutDefinition.sagittal_view()],
    ]
    return Layout(LayoutDirection.Vertical, [Layout(LayoutDirection.Horizontal, row) for row in rows])


def create_app() -> SlicerApp:
    """A scene without views, with all that the nodes of `mrml` ask for."""
    app = SlicerApp()
    # The class is registered by a Slicer module that has no counterpart here.
    app.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    return app


@contextlib.contextmanager
def unwarned():
    """While views are made: VTK warns of what trame-slicer listens to, many lines of which the user can do nothing."""
    vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtkObject.GlobalWarningDisplayOn()


def add_offscreen_views(app: SlicerApp) -> None:
    """The four views, drawn by this process alone: for tests and scripts."""
    app.view_manager.register_factory(DirectViewFactory(do_render_offscreen=True))
    for view in four_up().get_views(is_recursive=True):
        # Nothing is drawn before somebody asks for a picture.
        app.view_manager.create_view(view).set_render_blocked(True)
    tune_views(app)


def tune_views(app: SlicerApp) -> None:
    """Make the views fast enough for a processor that draws by itself."""
    for view in app.view_manager.get_views():
        # Smoothing every edge eightfold takes ten times as long without a graphics card.
        view.render_window().SetMultiSamples(0)
