"""A figure of matplotlib as a picture on disk: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

_DOTS_PER_INCH = 130


def save_figure(figure, path) -> None:
    """Write a figure under a temporary name and move it into place.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path-like
        Picture to write; its suffix is the format.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        figure.savefig(temporary, dpi=_DOTS_PER_INCH)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
