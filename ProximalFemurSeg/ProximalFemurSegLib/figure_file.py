"""A figure of matplotlib as a picture on disk: whole or not at all."""

from __future__ import annotations

from .whole_file import whole_file

_DOTS_PER_INCH = 130


def save_figure(figure, path) -> None:
    """Write a figure to a file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path-like
        Picture to write; its suffix is the format.
    """
    with whole_file(path) as unfinished:
        figure.savefig(unfinished, dpi=_DOTS_PER_INCH)
