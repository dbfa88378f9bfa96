"""The surface of a result with its distance to the reference at every point, as in QCT-2021, Fig. 6.

Drawn as the steps of voxels, every point shows the distance, of `surface.surface_distances`, of the surface voxel of
the result next to it. Those distances are sums of whole voxels, which paint rings on a round bone. Drawn smooth, both
surfaces are smooth, and every point shows its own distance to the other one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import BadInputError
from ..volume import Volume
from .cases import align, as_mask
from .mask_surface import BorderField, smooth_border, stepped_border
from .mesh_distance import distances_to_mesh
from .surface import SurfaceDistances, surface_distances

ARRAY_NAME = "SurfaceDistance"
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
        (n,) float32 mm to the reference's surface; if signed, positive where the result lies outside the reference.
    signed : bool
        Whether distances have a sign.
    voxel_distances : numpy.ndarray
        (v,) float64 the unsigned distances of the result's surface voxels, from which figures are made.
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
        Smooth surfaces and their distances, instead of the steps of voxels.
    interpolate : bool
        Bring a result on another grid onto the reference's; else it is refused.

    Raises
    ------
    BadInputError
        Grids that differ, or an empty mask.
    """
    result, reference = align(as_mask(result), as_mask(reference), interpolate)
    for mask in (result, reference):
        if not mask.array.any():
            raise BadInputError(
                f"'{mask.source or mask.name}' holds no bone, so that there are no distances; choose another mask."
            )
    measured = surface_distances(result.array, reference.array, reference.grid)
    if smooth:
        drawn, other = (smooth_border(mask.array, mask.grid) for mask in (result, reference))
        return _between_smooth(drawn, other, signed, measured)
    return _between_voxels(result, reference, signed, measured)


def _between_smooth(drawn: BorderField, other: BorderField, signed, measured: SurfaceDistances) -> DistanceMap:
    points, triangles = drawn.surface()
    values = distances_to_mesh(points, *other.surface())
    if signed:
        values = np.where(other.is_inside(points), -values, values)
    return DistanceMap(points, triangles, values.astype(np.float32), signed, measured.result_to_reference)


def _between_voxels(result: Volume, reference: Volume, signed, measured: SurfaceDistances) -> DistanceMap:
    from scipy.spatial import cKDTree

    values = measured.result_to_reference
    if signed:
        k, j, i = measured.result_points.T
        values = np.where(reference.array[k, j, i], -values, values)
    grid = reference.grid
    points, triangles = stepped_border(result.array, grid).surface()
    nearest = cKDTree(grid.ijk_to_ras(measured.result_points[:, ::-1])).query(points)[1]
    return DistanceMap(points, triangles, values[nearest].astype(np.float32), signed, measured.result_to_reference)
