"""Keeps other web pages out: a page from anywhere could else talk to this computer's own servers."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web


def is_from_here(host: str, origin: str | None, bound_to: str) -> bool:
    """Whether a request comes from the application's own page.

    Parameters
    ----------
    host : str
        The request's Host header.
    origin : str or None
        Its Origin header: the page that asks, where a page asks.
    bound_to : str
        What the server listens on.

    Notes
    -----
    A name in place of an address is taken only if it is the one that the server was given: another site's name can be
    made to mean this computer (DNS rebinding).
    """
    name = urlsplit(f"//{host}").hostname or ""
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return False
    return name in ("localhost", bound_to.lower()) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def guard(bound_to: str):
    """A middleware that refuses requests of other pages; see :func:`is_from_here`."""

    @web.middleware
    async def refuse_others(request, handler):
        if not is_from_here(request.headers.get("Host", ""), request.headers.get("Origin"), bound_to):
            raise web.HTTPForbidden(text="This page is not the application's own.")
        return await handler(request)

    return refuse_others
