"""The surface of a result with its distance to the reference at every point, as in QCT-2021, Fig. 6.

Whatever the surface is drawn like, the distances are those of `surface.surface_distances` between the masks as they
are: every point shows the distance of the surface voxel of the result next to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import BadInputError
from ..postprocessing import bounding_box
from ..volume import Grid, Volume
from .cases import align, as_mask
from .isosurface import isosurface
from .surface import surface_distances

ARRAY_NAME = "SurfaceDistance"
# Of the largest voxel side: enough to take the steps off thick slices, too little to take an edge off a bone.
_SMOOTHING = 0.7


_LIMITS_MM = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)


@dataclass(frozen=True, eq=False)
class DistanceMap:
    """A closed surface of triangles with a distance at each point.

    Parameters
    ----------
    points : numpy.ndarray
        (n, 3) RAS mm.
    triangles : numpy.ndarray
        (m, 3) int64 indices into the points, counter-clockwise as seen from outside.
    distances : numpy.ndarray
        (n,) float32 mm to the nearest surface voxel of the reference; if signed, positive where the result lies
        outside the reference.
    signed : bool
        Whether distances have a sign.
    voxel_distances : numpy.ndarray
        (v,) float64 the unsigned distances of the result's surface voxels, which the points show.
    """

    points: np.ndarray
    triangles: np.ndarray
    distances: np.ndarray
    signed: bool
    voxel_distances: np.ndarray

    @property
    def normals(self) -> np.ndarray:
        """(n, 3) unit vectors outwards, averaged over the triangles at each point."""
        corners = self.points[self.triangles]
        faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        sums = [
            sum(np.bincount(self.triangles[:, c], faces[:, axis], len(self.points)) for c in range(3))
            for axis in range(3)
        ]
        normals = np.stack(sums, axis=1)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def color_limit(*surfaces: DistanceMap) -> float:
    """A round number of mm that all but the farthest percent of each surface lies within, 1 mm at least."""
    reach = max(float(np.percentile(np.abs(surface.distances), 99)) for surface in surfaces)
    return next((limit for limit in _LIMITS_MM if reach <= limit), _LIMITS_MM[-1])


def distance_map(
    result: Volume, reference: Volume, signed: bool = False, smooth: bool = False, interpolate: bool = False
) -> DistanceMap:
    """The result's surface, coloured by how far it is from the reference's.

    Parameters
    ----------
    result, reference : Volume
        bool masks, or any values of which those that are not 0 are bone.
    signed : bool
        Negative distances where the result's surface lies within the reference.
    smooth : bool
        Draw a smooth surface instead of the steps of voxels; the distances stay those of the masks.
    interpolate : bool
        Bring a result on another grid onto the reference's; else it is refused.

    Raises
    ------
    BadInputError
        Grids that differ, or an empty mask.
    """
    from scipy.spatial import cKDTree

    result, reference = align(as_mask(result), as_mask(reference), interpolate)
    for mask in (result, reference):
        if not mask.array.any():
            raise BadInputError(
                f"'{mask.source or mask.name}' holds no bone, so that there are no distances; choose another mask."
            )
    grid = reference.grid
    measured = surface_distances(result.array, reference.array, grid)
    values = measured.result_to_reference
    if signed:
        k, j, i = measured.result_points.T
        values = np.where(reference.array[k, j, i], -values, values)
    points, triangles = mask_surface(result.array, grid, _SMOOTHING * max(grid.spacing) if smooth else 0.0)
    nearest = cKDTree(grid.ijk_to_ras(measured.result_points[:, ::-1])).query(points)[1]
    return DistanceMap(points, triangles, values[nearest].astype(np.float32), signed, measured.result_to_reference)


def mask_surface(mask: np.ndarray, grid: Grid, smoothing_mm: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Marching-cubes surface of a mask.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool, not empty; where it touches the border of the grid it is closed there.
    grid : Grid
        Of the mask.
    smoothing_mm : float
        Standard deviation of a Gaussian over the signed distances to the mask's border; 0 is the mask as it is.

    Returns
    -------
    points : numpy.ndarray
        (n, 3) RAS mm.
    triangles : numpy.ndarray
        (m, 3) int64, counter-clockwise as seen from outside.
    """
    box = bounding_box(mask)
    reach = np.ceil(4 * smoothing_mm / np.array(grid.spacing[::-1])).astype(int) + 1
    field = np.pad(np.asarray(mask[box], bool), [(r, r) for r in reach])
    level = 0.5
    if smoothing_mm > 0:
        field, level = _smoothed(field, grid.spacing[::-1], smoothing_mm), 0.0
    points, triangles = isosurface(field.astype(np.float32, copy=False), level)
    points = grid.ijk_to_ras((points + [s.start for s in box] - reach)[:, ::-1])
    if np.linalg.det(grid.affine[:3, :3]) < 0:
        triangles = triangles[:, ::-1].copy()
    return points, triangles


def _smoothed(mask: np.ndarray, spacing, smoothing_mm: float) -> np.ndarray:
    """Signed distances in mm to the border of a mask, positive inside, blurred."""
    from scipy import ndimage

    inside = ndimage.distance_transform_edt(mask, sampling=spacing).astype(np.float32)
    signed = inside - ndimage.distance_transform_edt(~mask, sampling=spacing).astype(np.float32)
    smooth = ndimage.gaussian_filter(signed, [smoothing_mm / s for s in spacing], mode="nearest", truncate=3)
    # A bone thinner than the blur would be gone.
    return smooth if (smooth > 0).any() else signed
