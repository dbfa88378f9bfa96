"""The surface of a mask as triangles: the steps of its voxels, or a smooth one through the middle of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..postprocessing import bounding_box
from ..volume import Grid
from .isosurface import isosurface

# Of the largest voxel side: what is left of the steps is a fifteenth of it, in standard deviations.
_WIDTH = 1.5
_TRUNCATE = 3.0


@dataclass(frozen=True, eq=False)
class BorderField:
    """Values in and around a mask, of which its surface is a level.

    Parameters
    ----------
    values : numpy.ndarray
        (K, J, I) float32, above the level inside; its border is outside.
    level : float
        Where the surface is.
    grid : Grid
        Of the values.
    """

    values: np.ndarray
    level: float
    grid: Grid

    def surface(self) -> tuple[np.ndarray, np.ndarray]:
        """The surface by marching cubes.

        Returns
        -------
        points : numpy.ndarray
            (n, 3) RAS mm.
        triangles : numpy.ndarray
            (m, 3) int64, counter-clockwise as seen from outside.
        """
        points, triangles = isosurface(self.values, self.level)
        if np.linalg.det(self.grid.affine[:3, :3]) < 0:
            triangles = triangles[:, ::-1].copy()
        return self.grid.ijk_to_ras(points[:, ::-1]), triangles

    def is_inside(self, points: np.ndarray) -> np.ndarray:
        """(n,) bool: which of some points, (n, 3) RAS mm, the surface encloses."""
        from scipy import ndimage

        places = self.grid.ras_to_ijk(points)[:, ::-1].T
        return ndimage.map_coordinates(self.values, places, order=1, mode="nearest") > self.level


def stepped_border(mask: np.ndarray, grid: Grid) -> BorderField:
    """The mask as it is.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool, not empty; where it touches the border of the grid it is closed there.
    grid : Grid
        Of the mask.
    """
    inside, grid = _cut_out(mask, grid, 0.0)
    return BorderField(inside.astype(np.float32), 0.5, grid)


def smooth_border(mask: np.ndarray, grid: Grid) -> BorderField:
    """Smooth signed distances in mm to the mask's border, positive inside.

    Parameters
    ----------
    mask, grid
        As for `stepped_border`.

    Notes
    -----
    A Gaussian G alone draws a surface of radius r inwards by about its variance over r. Three of them in a row,
    3 G - 3 G^2 + G^3 = 1 - (1 - G)^3, which leaves what is even smoother as it is, do so by a few hundredths of a
    millimetre for bones of ordinary size.
    """
    from scipy import ndimage

    width = _WIDTH * max(grid.spacing)
    inside, grid = _cut_out(mask, grid, _TRUNCATE * width)
    spacing = grid.spacing[::-1]
    signed = ndimage.distance_transform_edt(inside, sampling=spacing).astype(np.float32)
    signed -= ndimage.distance_transform_edt(~inside, sampling=spacing).astype(np.float32)
    sigmas = [width / side for side in spacing]
    smooth, rest = np.zeros_like(signed), signed
    for _ in range(3):
        part = ndimage.gaussian_filter(rest, sigmas, mode="nearest", truncate=_TRUNCATE)
        smooth += part
        rest = rest - part
    # A bone thinner than the blur would be gone.
    return BorderField(smooth if (smooth > 0).any() else signed, 0.0, grid)


def _cut_out(mask, grid: Grid, margin_mm: float) -> tuple[np.ndarray, Grid]:
    """The mask with a margin around it of at least a voxel, beyond the grid, too."""
    box = bounding_box(mask)
    margin = np.ceil(margin_mm / np.array(grid.spacing[::-1])).astype(int) + 1
    inside = np.pad(np.asarray(mask[box], bool), [(m, m) for m in margin])
    start = np.array([axis.start for axis in box]) - margin
    return inside, grid.crop(start, start + inside.shape)
