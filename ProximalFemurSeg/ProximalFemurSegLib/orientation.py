"""Bring an array's axes into a wanted anatomical order without touching a voxel's value.

Anatomical axes are written as three letters for the array axes (0, 1, 2) = (D, H, W), each the direction in which the
index grows: R/L right/left, A/P anterior/posterior, S/I superior/inferior. ``"SPL"`` is an axial stack that starts at
the feet, shown as radiologists show it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np

from .volume import Grid, Volume

_DIRECTIONS = {
    "R": (1, 0, 0),
    "L": (-1, 0, 0),
    "A": (0, 1, 0),
    "P": (0, -1, 0),
    "S": (0, 0, 1),
    "I": (0, 0, -1),
}


def axis_directions(axes: str) -> np.ndarray:
    """Unit vectors in RAS of the array axes named by three letters.

    Parameters
    ----------
    axes : str
        For example ``"SPL"``; one letter of each pair R/L, A/P, S/I.

    Returns
    -------
    numpy.ndarray
        (3, 3); row a is the direction of array axis a.

    Raises
    ------
    ValueError
        If the letters do not name three different anatomical axes.

    Examples
    --------
    >>> axis_directions("SPL").tolist()
    [[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]]
    """
    vectors = np.array([_DIRECTIONS.get(letter, (0, 0, 0)) for letter in axes.upper()], dtype=np.float64)
    if vectors.shape != (3, 3) or abs(np.linalg.det(vectors)) != 1:
        raise ValueError(f"'{axes}' does not name three anatomical axes; write one letter each of R/L, A/P and S/I.")
    return vectors


@dataclass(frozen=True)
class Reorientation:
    """A permutation of array axes followed by flips; exact, and exactly undone.

    Parameters
    ----------
    order : tuple of int
        Axis a of the result is axis ``order[a]`` of the original.
    flipped : tuple of bool
        Which axes of the result run against the original.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def apply(self, array: np.ndarray) -> np.ndarray:
        """The (K, J, I) array seen along the new axes; a view, no copy."""
        return array.transpose(self.order)[self._slices]

    def undo(self, array: np.ndarray) -> np.ndarray:
        """The array seen along the original axes; a view, no copy."""
        return array[self._slices].transpose(np.argsort(self.order))

    def grid(self, grid: Grid) -> Grid:
        """The grid of ``apply(array)``, for an array on ``grid``."""
        start = np.zeros(3)
        columns = np.empty((3, 3))
        for axis, (source, flip) in enumerate(zip(self.order, self.flipped)):
            column = grid.affine[:3, 2 - source]
            columns[:, 2 - axis] = -column if flip else column
            if flip:
                start[2 - source] = grid.shape[source] - 1
        affine = np.eye(4)
        affine[:3, :3] = columns
        affine[:3, 3] = grid.ijk_to_ras(start)
        return Grid(tuple(grid.shape[source] for source in self.order), affine)

    @property
    def _slices(self):
        return tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flipped)


def closest_reorientation(grid: Grid, axes: str) -> Reorientation:
    """The permutation and flips that bring a grid's axes nearest to the wanted anatomical ones.

    Two grids that show the same voxels in different array orders give the same voxels in the same order: ties, as at
    45 degrees, are broken by the axes' directions in the patient and never by their place in the array.

    Parameters
    ----------
    grid : Grid
        Any grid, oblique ones included.
    axes : str
        Wanted anatomical axes of the array, for example ``"SPL"``.
    """
    wanted = axis_directions(axes)
    vectors = grid.direction.T[::-1]  # row a: direction of array axis a
    best = None
    for order in permutations(range(3)):
        for flipped in product((False, True), repeat=3):
            new = vectors[list(order)] * np.where(flipped, -1.0, 1.0)[:, None]
            rank = (round(float((new * wanted).sum()), 6), *np.round(new, 6).ravel().tolist())
            if best is None or rank > best[0]:
                best = (rank, Reorientation(order, flipped))
    return best[1]


def reorient(volume: Volume, axes: str) -> Volume:
    """The same voxels at the same places, with array axes nearest to the wanted anatomical ones.

    Parameters
    ----------
    volume : Volume
        Any volume; its array is not copied.
    axes : str
        Wanted anatomical axes of the array, for example ``"SPL"``.

    Examples
    --------
    >>> volume = Volume(np.arange(6).reshape(1, 2, 3), Grid.from_parts((1, 2, 3)))
    >>> reorient(volume, "SAL").array.tolist()
    [[[2, 1, 0], [5, 4, 3]]]
    """
    change = closest_reorientation(volume.grid, axes)
    return replace(volume, array=change.apply(volume.array), grid=change.grid(volume.grid))


def tilt_degrees(grid: Grid, axes: str) -> float:
    """Largest angle in degrees between a grid's axes and the anatomical axes nearest to them."""
    direction = closest_reorientation(grid, axes).grid(grid).direction.T[::-1]
    cosines = (direction * axis_directions(axes)).sum(axis=1)
    return float(np.degrees(np.arccos(np.clip(cosines.min(), -1.0, 1.0))))
