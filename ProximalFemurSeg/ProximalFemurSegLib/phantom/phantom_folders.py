"""Simulated scans on disk, a folder for each: a set that was begun goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from .generate import LANDMARKS, Phantom, save_phantom


def make_missing(folder, makers: Mapping[str, Callable[[], Phantom]], announce=None) -> Path:
    """Make those phantoms that a folder does not hold yet, one after the other.

    Parameters
    ----------
    folder : path-like
        Gets a folder for each.
    makers : mapping of str to callable
        By the name of its folder, what makes a phantom; called only if that one is not there.
    announce : callable, optional
        Called before each that is made, with its name, how many are there and how many there shall be.
    """
    folder = Path(folder)
    for done, (name, make) in enumerate(makers.items()):
        # The landmarks are written last.
        if (folder / name / LANDMARKS).is_file():
            continue
        if announce:
            announce(name, done, len(makers))
        save_phantom(make(), folder / name, overwrite=True)
    return folder
