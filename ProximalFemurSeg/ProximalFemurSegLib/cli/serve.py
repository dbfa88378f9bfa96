"""``serve``: the browser application."""

from __future__ import annotations

import contextlib
import socket
from importlib.util import find_spec
from pathlib import Path

import click


@click.command(short_help="Open the browser application.")
@click.argument("image", type=click.Path(path_type=Path), required=False)
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Where to listen, as a name only if it is the one in the browser's address. There is no login: "
              "whoever reaches another address than this computer's own sees and changes the case.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--network", default="auto", show_default=True, metavar="NAME",
              help="One of `proximal-femur-seg networks`, chosen to begin with.")
@click.option("--modality", type=click.Choice(["auto", "mr", "ct"]), default="auto", show_default=True,
              help="What the image is, to begin with.")
@click.option("--side", type=click.Choice(["auto", "left", "right", "both"]), default="auto", show_default=True,
              help="Which femur to segment, to begin with.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]|mps",
              help="Processor for the networks, to begin with.")
def serve(image, host, port, **choices):
    """Show IMAGE in a web page, segment it there, correct it and measure it.

    IMAGE is what the segment command takes; without it the page asks for a file. The page is drawn on this computer,
    and only this computer can open it unless --host says otherwise. One case is open at a time, and everyone who has
    the page open works on it. Ctrl+C ends it; what was not downloaded is then lost.
    """
    _check_installed()
    if choices["network"] != "auto":
        from ..models import find_preset

        find_preset(choices["network"])
    _check_free(host, port)
    volume = None
    if image is not None:
        from ..volume_io import read_volume

        volume = read_volume(image)
    if not _is_own(host):
        click.echo(f"Warning: there is no login, and whoever reaches {host} can see and change the case.", err=True)
    from ..errors import BadInputError, CancelledError

    try:
        from ..web.application import serve as run
    except ImportError as error:
        raise BadInputError(
            f"The browser application cannot draw here ({error}); install what VTK needs (on Debian: libegl1, libgl1)."
        ) from None
    try:
        run(volume, choices, host, port, lambda used: _announce(host, used))
    except KeyboardInterrupt:
        raise CancelledError("The browser application has ended.") from None
    except OSError as error:
        raise _cannot_listen(host, port, error) from None


def _announce(host: str, port: int) -> None:
    name = f"[{host}]" if ":" in host else host
    click.echo(f"Open http://{name}:{port}/ in a browser; Ctrl+C ends it. Research use only.")


def _check_installed() -> None:
    from ..errors import BadInputError

    if find_spec("trame_slicer") is None:
        raise BadInputError(
            "The browser application needs trame-slicer, which is not installed: run pip install "
            "'proximal-femur-seg[web]', or pip install '.[web]' in a checkout."
        )


def _check_free(host: str, port: int) -> None:
    """Refuse an address at which nothing can listen, before anything long is done."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise _cannot_listen(host, port, error) from None


def _cannot_listen(host: str, port: int, error: OSError):
    from ..errors import BadInputError

    return BadInputError(
        f"Nothing can listen at {host}, port {port} ({error.strerror or error}); choose another --port or --host."
    )


def _is_own(host: str) -> bool:
    """True if only this computer reaches the address."""
    import ipaddress

    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
