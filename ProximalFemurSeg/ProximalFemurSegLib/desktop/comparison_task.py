"""Comparing masks, between the window's process and the child: what is asked for, and what comes back."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.comparison import ComparisonOptions, compare_pair
from ..postprocessing import bounding_box
from ..volume import Grid, Volume


@dataclass(frozen=True, eq=False)
class CutMask:
    """A mask without the empty space around it.

    Attributes
    ----------
    array : numpy.ndarray
        (K, J, I) bool.
    start : tuple of int
        Voxel (k, j, i) at which it begins.
    grid : Grid
        Of the whole mask.
    name : str
    metadata : dict
    """

    array: np.ndarray
    start: tuple[int, int, int]
    grid: Grid
    name: str
    metadata: dict[str, Any]

    @classmethod
    def of(cls, mask: Volume) -> CutMask:
        """Of a mask."""
        box = bounding_box(mask.array) or (slice(0, 1),) * 3
        start = tuple(axis.start for axis in box)
        return cls(np.ascontiguousarray(mask.array[box]), start, mask.grid, mask.name, mask.metadata)

    def whole(self) -> Volume:
        """On its whole grid again."""
        array = np.zeros(self.grid.shape, bool)
        array[tuple(slice(first, first + count) for first, count in zip(self.start, self.array.shape))] = self.array
        return Volume(array, self.grid, self.name, metadata=self.metadata)


def write_masks(masks: tuple[Volume, Volume], folder: Path, number: int) -> None:
    """Leave result and reference of a pair in a folder for the child."""
    _masks_file(folder, number).write_bytes(pickle.dumps([CutMask.of(mask) for mask in masks], protocol=5))


def compare(number: int, folder: str, count: int, options: dict) -> dict:
    """The child's side: compare the pairs in a folder, and leave there what was measured.

    Parameters
    ----------
    number : int
        Of the request.
    folder : str
    count : int
        How many pairs there are.
    options : dict
        Of ``ComparisonOptions``.
    """
    place = Path(folder)
    for pair in range(count):
        masks = [cut.whole() for cut in pickle.loads(_masks_file(place, pair).read_bytes())]
        measured = compare_pair(*masks, ComparisonOptions(**options))
        _measured_file(place, pair).write_bytes(pickle.dumps(measured, protocol=5))
    return {}


def read_measured(folder: Path, number: int):
    """What was measured of a pair, as of ``compare_pair``."""
    return pickle.loads(_measured_file(folder, number).read_bytes())


def _masks_file(folder, number):
    return folder / f"masks-{number}.pickle"


def _measured_file(folder, number):
    return folder / f"measured-{number}.pickle"
