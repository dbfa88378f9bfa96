"""The server: scene, views, page and case put together, until somebody ends it."""

from __future__ import annotations

import asyncio
import os
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from trame.app import get_server
from trame_slicer.app.ui import create_vertical_slice_view_gutter_ui
from trame_slicer.core import LayoutManager
from trame_slicer.rca_view import register_rca_factories

from ..mrml.matrices import numpy_from_matrix
from ..volume import Volume
from .adapter import BrowserAdapter
from .case import Case, create_child
from .compass import edge_letters, place_text
from .controller import Controller
from .guard import guard
from .page import TITLE, Page, draw_letters, letters_key
from .views import LAYOUT_ID, create_app, four_up, tune_views, unwarned

_UNTIL_IT_LISTENS = (0.3, 1.0, 3.0)
_ICON = Path(__file__).resolve().parents[2] / "Resources" / "Icons" / "ProximalFemurSeg.png"


class Application:
    """One case in one scene, and the page that shows it; to be made while an event loop runs.

    Parameters
    ----------
    choices : dict of str to str
        What is chosen to begin with: network, modality, side, device.
    """

    def __init__(self, choices: dict[str, str]):
        if sys.platform == "linux" and not os.environ.get("DISPLAY"):
            # Else VTK looks for a screen first, and complains that there is none.
            os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
        self.server = get_server("ProximalFemurSeg", client_type="vue3")
        self.server.state.update({"trame__title": TITLE, "trame__favicon": _icon()})
        self._app = create_app()
        register_rca_factories(
            self._app.view_manager, self.server, slice_view_ui_f=self._draw_over_slice, rca_encoder="jpeg"
        )
        layouts = LayoutManager(self._app.scene, self._app.view_manager, self.server)
        child = create_child()
        with unwarned():
            layouts.register_layout(LAYOUT_ID, four_up())
            layouts.set_layout(LAYOUT_ID)
            adapter = BrowserAdapter(self._app, child)
        tune_views(self._app)
        self.controller = Controller(self.server, lambda **calls: Case(adapter, child, **calls), choices)
        self.server.controller.on_client_connected.add(self._draw_for_newcomer)
        Page(self.controller, layouts)

    async def run(self, host: str, port: int, on_ready: Callable[[int], None]) -> None:
        """Serve until the task is cancelled.

        Parameters
        ----------
        host : str
            Where to listen.
        port : int
            0 takes a free one.
        on_ready : callable
            Called with the port when the page can be opened.
        """

        def ready(**state):
            self.controller.ask_devices()
            on_ready(self.server.port)

        self.server.controller.on_server_bind.add(lambda wslink: wslink.app.middlewares.append(guard(host)))
        self.server.controller.on_server_ready.add(ready)
        # wslink would write a line of its own to standard output.
        os.environ["WSLINK_READY_MSG"] = ""
        try:
            # In a "thread" the signals are left to whoever started this; without a timeout it waits for visitors.
            await self.server.start(
                host=host,
                port=port,
                exec_mode="coroutine",
                thread=True,
                timeout=0,
                open_browser=False,
                show_connection_info=False,
            )
        finally:
            self.controller.case.end()

    def _draw_for_newcomer(self, **state) -> None:
        """Another tab is sent pictures only when something is drawn, and it takes a moment until it listens."""
        for view in self._app.view_manager.get_views():
            for seconds in _UNTIL_IT_LISTENS:
                asyncio.get_running_loop().call_later(seconds, view.schedule_render)

    def _draw_over_slice(self, server, view_id, view) -> None:
        server.state.setdefault(letters_key(view_id), {})
        create_vertical_slice_view_gutter_ui(server, view_id, view)
        draw_letters(server, view_id)

        def follow(*_):
            matrix = numpy_from_matrix(view.get_view_node().GetSliceToRAS())
            server.state[letters_key(view_id)] = {**edge_letters(matrix), "place": place_text(matrix)}

        view.modified.connect(follow)
        follow()


def serve(volume: Volume | None, choices: dict[str, str], host: str, port: int, on_ready) -> None:
    """Serve until an interrupt.

    Parameters
    ----------
    volume : Volume or None
        The image to begin with.
    choices, host, port, on_ready
        As for `Application`.

    Raises
    ------
    OSError
        If nothing can listen there.
    """

    async def main():
        application = Application(choices)
        if volume is not None:
            application.controller.open(volume)
        await application.run(host, port, on_ready)

    asyncio.run(main())


def _icon() -> str:
    """The program's icon as text; a page must not ask another server for one."""
    content = _ICON.read_bytes() if _ICON.is_file() else b""
    return "data:image/png;base64," + b64encode(content).decode("ascii")
