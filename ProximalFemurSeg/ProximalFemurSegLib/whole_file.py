"""A file that is on disk whole, or not at all: whoever opens it finds the old one or the new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path) -> Iterator[Path]:
    """Write a file under a temporary name, and move it into place when all of it is there.

    Parameters
    ----------
    path : path-like
        Where the file shall be; its folder exists. A file that is there already is replaced.

    Yields
    ------
    pathlib.Path
        What to write instead: a hidden name in the same folder, with the same ending. If the block raises, it is
        removed, and what was there before stays as it was.

    Raises
    ------
    OSError
        If the file cannot be moved into place.
    """
    path = Path(path)
    # Not from tempfile: made by the program itself, the file gets the rights of its other files.
    unfinished = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole_text(path, text: str) -> None:
    """Write a text as UTF-8, line ends as they are, so that the file is the same on every system.

    Parameters
    ----------
    path : path-like
        As for `whole_file`.
    text : str
        All of it.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with whole_file(path) as unfinished:
        unfinished.write_bytes(text.encode("utf-8"))
