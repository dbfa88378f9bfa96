"""HU along the normals of a bone's surface, as means over small patches of it that beat the noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..volume import Grid

DEPTH_MM = np.arange(-11.0, 3.01, 0.25)  # along the outward normal
_NORMAL_SIGMA_MM = 1.5
_PATCH_MM = 3.5  # radius
_APART_MM = 3.0  # from patch to patch
_LEAST_COSINE = 0.85  # between the normals of a patch
_LEAST_POINTS = 5
_END_MM = 6.0  # near the end of the scan normals lean


@dataclass(frozen=True, eq=False)
class Profiles:
    """Mean profiles of a bone's cortex.

    Attributes
    ----------
    points, normals : numpy.ndarray
        (n, 3) RAS mm on the outer surface, and unit vectors outwards.
    areas : numpy.ndarray
        (n,) mm2 that each stands for.
    hu : numpy.ndarray
        (n, m) HU at `DEPTH_MM`, which is 0 on the outer surface.
    inner : numpy.ndarray
        (n,) mm, where the inner surface lies, negative.
    """

    points: np.ndarray
    normals: np.ndarray
    areas: np.ndarray
    hu: np.ndarray
    inner: np.ndarray


def crossings(values: np.ndarray, level: float) -> np.ndarray:
    """(n, 3) places (k, j, i), as fractions of voxels, where a level lies between two neighbours along an axis.

    Every second pair is taken, as on a chessboard.
    """
    found = []
    for axis in range(3):
        ahead = np.moveaxis(values, axis, 0)
        low, high = ahead[:-1], ahead[1:]
        change = (low > level) != (high > level)
        places = np.argwhere(change).astype(np.float64)
        kept = places.sum(axis=1) % 2 == 0
        places = places[kept]
        low, high = low[change][kept], high[change][kept]
        places[:, 0] += (level - low) / (high - low)
        order = list(range(1, axis + 1)) + [0] + list(range(axis + 1, 3))
        found.append(places[:, order])
    return np.concatenate(found)


class SurfaceNormals:
    """Outward unit normals, RAS, near the surface of a mask.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool.
    grid : Grid
    """

    def __init__(self, mask: np.ndarray, grid: Grid):
        self._sigma = _NORMAL_SIGMA_MM / np.asarray(grid.spacing[::-1])
        self._soft = ndimage.gaussian_filter(mask.astype(np.float32), self._sigma, mode="nearest", truncate=3.0)
        # From steps along i, j and k to steps along R, A and S.
        self._back = np.linalg.inv(grid.affine[:3, :3])

    def at(self, places: np.ndarray) -> np.ndarray:
        """(n, 3) at places (n, 3), k j i in voxels."""
        slopes = []
        for axis in (2, 1, 0):
            step = np.zeros(3)
            step[axis] = 0.5
            ahead, behind = (
                ndimage.map_coordinates(self._soft, (places + s * step).T, order=1, mode="nearest") for s in (1, -1)
            )
            slopes.append(behind - ahead)
        normals = np.stack(slopes, axis=1) @ self._back
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def cortex_profiles(image, grid: Grid, outer, inner, levels: tuple[float, float]) -> Profiles | None:
    """Profiles across the cortex of a bone.

    Parameters
    ----------
    image : numpy.ndarray
        (K, J, I) HU.
    grid : Grid
    outer, inner : numpy.ndarray
        (K, J, I) float32, larger inside: of whole bone and of what lies within the cortex.
    levels : tuple of float
        Of both surfaces.

    Returns
    -------
    Profiles or None
        None if hardly any surface is in view.
    """
    places = crossings(outer, levels[0])
    spacing = np.asarray(grid.spacing[::-1])
    last = np.asarray(grid.shape) - 1
    within = ((places * spacing > _END_MM) & ((last - places) * spacing > _END_MM)).all(axis=1)
    places = places[within]
    if len(places) < _LEAST_POINTS:
        return None
    normals = SurfaceNormals(outer > levels[0], grid).at(places)
    points = grid.ijk_to_ras(places[:, ::-1])
    # Lines along the grid meet a surface as often as it faces them; half of them are looked at.
    across = np.abs(normals @ grid.direction) / (grid.voxel_volume_mm3 / np.asarray(grid.spacing))
    areas = 2.0 / np.maximum(across.sum(axis=1), 1e-12)
    sampled = _sample(points, normals, image, inner, grid, levels[1])
    return _patches(points, normals, areas, *sampled)


def _sample(points, normals, image, inner, grid, level):
    """HU (n, m), and where the inner surface lies (n,)."""
    spline = ndimage.spline_filter(image, 3, output=np.float32)
    inverse = np.linalg.inv(grid.affine[:3, :3])
    start, step = grid.ras_to_ijk(points)[:, ::-1], (normals @ inverse.T)[:, ::-1]
    hu = np.empty((len(points), len(DEPTH_MM)), np.float32)
    within = np.empty(hu.shape, np.float32)
    for n, depth in enumerate(DEPTH_MM):
        where = (start + depth * step).T
        hu[:, n] = ndimage.map_coordinates(spline, where, order=3, mode="nearest", prefilter=False)
        within[:, n] = ndimage.map_coordinates(inner, where, order=1, mode="nearest") - level
    # How much of each step lies within, with the border where a straight line between two values puts it.
    low, high = np.minimum(within[:, :-1], within[:, 1:]), np.maximum(within[:, :-1], within[:, 1:])
    share = np.clip(high, 0.0, None) / np.maximum(np.clip(high, 0.0, None) - np.clip(low, None, 0.0), 1e-12)
    return hu, DEPTH_MM[0] + (DEPTH_MM[1] - DEPTH_MM[0]) * share.sum(axis=1)


def _patches(points, normals, areas, hu, inner) -> Profiles:
    _, first, cell = np.unique(np.floor(points / _APART_MM).astype(int), axis=0, return_index=True, return_inverse=True)
    share = np.bincount(cell.ravel(), areas)
    kept, rows = [], []
    for n, near in enumerate(cKDTree(points).query_ball_point(points[first], _PATCH_MM)):
        near = np.asarray(near)
        near = near[normals[near] @ normals[first[n]] > _LEAST_COSINE]
        if len(near) >= _LEAST_POINTS:
            weights = areas[near] / areas[near].sum()
            kept.append(n)
            rows.append((weights @ hu[near], weights @ inner[near]))
    if not kept:
        return None
    centres = first[kept]
    return Profiles(
        points[centres],
        normals[centres],
        share[kept],
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows]),
    )
