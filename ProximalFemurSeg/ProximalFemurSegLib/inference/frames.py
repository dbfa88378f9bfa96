"""The grids on which networks see a patient.

An image is first seen in one canonical array order, so that the order in which a file happens to store its voxels can
have no influence on any later step, not even in the last bit. Positions are then in millimetres along R, A and S from
the first voxel of that view: where in the scanner the patient lay does not matter either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..orientation import Reorientation, axis_directions, closest_reorientation, tilt_degrees
from ..resampling import index_map
from ..volume import Grid, Volume

# Oblique scans up to this angle are segmented on their own axes: coronal slices are commonly tilted along the femoral
# neck, and radiologists and the papers' networks saw them so. Beyond it a hip looks unlike anything a network was
# trained on, and the image is turned to the patient's axes, at the cost of a trilinear interpolation.
LARGEST_TILT_DEGREES = 20.0

_CANONICAL = "SPL"
_AFFINE_DECIMALS = 6  # mm; file formats that store float32 must not decide the last bit


@dataclass(frozen=True, eq=False)
class CanonicalImage:
    """An image in canonical array order.

    Attributes
    ----------
    array : numpy.ndarray
        A view of the voxels with axes nearest to superior, posterior, left.
    grid : Grid
        Their grid, with its origin moved to zero.
    change : Reorientation
        From the original array to this one.
    """

    array: np.ndarray
    grid: Grid
    change: Reorientation


def canonical_image(volume: Volume) -> CanonicalImage:
    """See an image in canonical array order, without copying it."""
    change = closest_reorientation(volume.grid, _CANONICAL)
    affine = np.round(change.grid(volume.grid).affine, _AFFINE_DECIMALS)
    affine[:3, 3] = 0
    array = change.apply(volume.array)
    return CanonicalImage(array, Grid(array.shape, affine), change)


def network_directions(grid: Grid, axes: str) -> np.ndarray:
    """Directions of a network's (D, H, W) axes for an image.

    Parameters
    ----------
    grid : Grid
        The image's.
    axes : str
        Anatomical axes that the network was trained with, for example ``"SPL"``.

    Returns
    -------
    numpy.ndarray
        (3, 3), row a is the unit vector of axis a in RAS: the image's own axis nearest to the wanted one, or, if any
        of these is off by more than 20 degrees, the patient's.
    """
    if tilt_degrees(grid, axes) > LARGEST_TILT_DEGREES:
        return axis_directions(axes)
    return closest_reorientation(grid, axes).grid(grid).direction.T[::-1]


def extent(points, directions) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest coordinates in mm of (n, 3) points along three directions."""
    along = np.asarray(points) @ directions.T
    return along.min(axis=0), along.max(axis=0)


def network_grid(image: Grid, directions, spacing, low, high, least=(1, 1, 1)) -> Grid:
    """A network's grid over a box.

    Parameters
    ----------
    image : Grid
        The image's grid; where both have parallel axes and the same spacing along one, voxels are made to coincide,
        so that nothing is interpolated along it.
    directions : numpy.ndarray
        (3, 3), from `network_directions`.
    spacing : tuple of float
        mm along (D, H, W).
    low, high : array_like
        (3,) mm along the directions; the box from voxel edge to voxel edge.
    least : tuple of int
        Smallest number of voxels; the box grows evenly on both sides.

    Returns
    -------
    Grid
        Centred on the box, just large enough.
    """
    spacing = np.asarray(spacing, dtype=np.float64)
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    shape = np.maximum(np.ceil((high - low) / spacing - 1e-6).astype(int), least)
    affine = np.eye(4)
    affine[:3, :3] = (directions * spacing[:, None])[::-1].T
    affine[:3, 3] = ((low + high) / 2 - (shape - 1) / 2 * spacing) @ directions
    grid = Grid(tuple(shape), affine)
    return _aligned(grid, image)


def _aligned(grid: Grid, image: Grid) -> Grid:
    """Shift a grid by less than a voxel so that equal and parallel axes share voxel centres."""
    matrix, offset = index_map(image, grid)
    affine = grid.affine.copy()
    for axis in range(3):
        other = int(np.abs(matrix[:, axis]).argmax())
        stray = np.abs(np.delete(matrix[other], axis)).max() + np.abs(np.delete(matrix[:, axis], other)).max()
        drift = abs(abs(matrix[other, axis]) - 1) + stray
        if drift * max(grid.shape) < 0.01:
            affine[:3, 3] += (np.round(offset[other]) - offset[other]) * image.affine[:3, 2 - other]
    return Grid(grid.shape, affine)
