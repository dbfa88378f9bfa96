"""Cases of the browser face for its tests: real MRML and real views, no server and no browser."""

from __future__ import annotations

import pytest

pytest.importorskip("trame_slicer", reason="trame-slicer is not installed: the browser face is not tested here")

from trame.app import get_server  # noqa: E402
from trame_slicer.core import LayoutManager  # noqa: E402

from ProximalFemurSegLib.desktop import stand_in  # noqa: E402
from ProximalFemurSegLib.mrml import parameters as p  # noqa: E402
from ProximalFemurSegLib.running.in_process import InProcessRunner  # noqa: E402
from ProximalFemurSegLib.web.adapter import BrowserAdapter  # noqa: E402
from ProximalFemurSegLib.web.case import Case  # noqa: E402
from ProximalFemurSegLib.web.controller import Controller  # noqa: E402
from ProximalFemurSegLib.web.page import Page  # noqa: E402
from ProximalFemurSegLib.web.views import LAYOUT_ID, add_offscreen_views, create_app, four_up  # noqa: E402


def make_case(runner=None, **calls):
    """A case without an image; everything is done in this process, and the image itself is the probability."""
    app = create_app()
    add_offscreen_views(app)
    case = Case(BrowserAdapter(app), None, runner or InProcessRunner(stand_in.segment), **calls)
    # The application must outlive what refers to it.
    case.app = app
    return case


def make_controller(choices):
    """A controller of such a case, with a server that is not started."""
    case = make_case()
    return Controller(get_server("ProximalFemurSeg tests", client_type="vue3"), lambda **calls: case, choices)


def build_page(controller) -> str:
    """The page's template."""
    app = controller.case.app
    layouts = LayoutManager(app.scene, app.view_manager, controller.server)
    layouts.register_layout(LAYOUT_ID, four_up())
    layouts.set_layout(LAYOUT_ID)
    html = Page(controller, layouts).layout.html
    for view in app.view_manager.get_views():
        # The layout has them draw at every change.
        view.set_render_blocked(True)
    return html


def renew(case):
    """A case without an image and with the choices of the beginning, in the views that are there."""
    case.close()
    case.session.use(InProcessRunner(stand_in.segment))
    case.app.scene.Clear(False)
    p.write_parameters(case.session.parameter_node, p.Parameters())
    case.show(fill=True, surface=True, regions=True, distances=False)


def segmented(case, **options):
    """Open a ball, segment it, and wait for the result; gives the volume."""
    volume = stand_in.ball_image(**options)
    case.open(volume)
    run(case)
    return volume


def run(case):
    """Segment what is open."""
    case.session.start()
    while case.busy:
        case.poll()
