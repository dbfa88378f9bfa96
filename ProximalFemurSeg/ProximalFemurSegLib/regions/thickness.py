"""Thickness of the cortex, point by point of the periosteal surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..postprocessing import fill_holes
from ..volume import Volume
from .bone_field import BoneField
from .definition import REGIONS, TOTAL_HIP
from .division import Division

_TANGENT = 1.0  # voxels; so near beside a point of the inner surface that surface is flat
_PERCENTILES = (5, 25, 50, 75, 95)
_CUT_SLOPE = 0.7  # cosine to the plane in which the bone was cut


@dataclass(frozen=True, eq=False)
class ThicknessMap:
    """Cortical thickness over the periosteal surface.

    Attributes
    ----------
    points : numpy.ndarray
        (n, 3) RAS mm on the periosteal surface, to a fraction of a voxel.
    thickness_mm : numpy.ndarray
        (n,) mm to the endosteal surface.
    areas : numpy.ndarray
        (n,) mm2 of surface that each point stands for.
    regions : numpy.ndarray
        (n,) uint8 region of each.
    """

    points: np.ndarray
    thickness_mm: np.ndarray
    areas: np.ndarray
    regions: np.ndarray

    def summary(self) -> dict[str, dict]:
        """Mean, standard deviation and percentiles in mm of every region, weighted by surface area.

        The total hip is among them where its three regions are.
        """
        groups = {name: self.regions == label for label, name in REGIONS.items()}
        if set(TOTAL_HIP) <= set(np.unique(self.regions).tolist()):
            groups["total_hip"] = np.isin(self.regions, TOTAL_HIP)
        return {name: _statistics(self.thickness_mm[m], self.areas[m]) for name, m in groups.items() if m.any()}

    def on_grid(self, grid) -> np.ndarray:
        """(K, J, I) float32: mean thickness in mm in the voxels that the surface passes, 0 elsewhere."""
        index = np.rint(grid.ras_to_ijk(self.points)).astype(int)[:, ::-1]
        index = np.clip(index, 0, np.array(grid.shape) - 1)
        flat = np.ravel_multi_index(index.T, grid.shape)
        places, inverse = np.unique(flat, return_inverse=True)
        result = np.zeros(grid.shape, np.float32)
        means = np.bincount(inverse, self.thickness_mm) / np.bincount(inverse)
        result.ravel()[places] = np.maximum(means, 1e-3)
        return result


def _statistics(values, weights) -> dict:
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    share = (np.cumsum(weights) - 0.5 * weights) / weights.sum()
    mean = float(np.average(values, weights=weights))
    return {
        "mean_mm": mean,
        "sd_mm": float(np.sqrt(np.average((values - mean) ** 2, weights=weights))),
        **{f"p{p}_mm": float(np.interp(p / 100, share, values)) for p in _PERCENTILES},
        "surface_mm2": float(weights.sum()),
    }


def cortical_thickness(
    mask: Volume, endosteal: Volume, division: Division, field: BoneField | None = None
) -> ThicknessMap:
    """Distance from the periosteal to the endosteal surface.

    Both surfaces are taken to a fraction of a voxel. From each point of the outer one the nearest point of the inner
    one is looked up, and the distance to the inner surface's tangent plane there is the thickness: not to the point
    itself, which only stands for a stretch of surface. Faces at which the field of view cuts the bone are no surface.

    Parameters
    ----------
    mask, endosteal : Volume
        bool, one femur, on one grid.
    division : Division
        Of the mask.
    field : BoneField, optional
        Of the mask, if it was made before.
    """
    outer = BoneField(mask) if field is None else field
    inner_mask = endosteal.with_array(fill_holes(endosteal.array & mask.array))
    inner = BoneField(inner_mask, fill=False)
    points, normals, areas = outer.surface()
    kept = _uncut(points, normals, mask, division)
    points, normals, areas = points[kept], normals[kept], areas[kept]
    inside, inner_normals, _ = inner.surface()
    distance, index = cKDTree(inside).query(points)
    offset = points - inside[index]
    to_plane = (offset * inner_normals[index]).sum(axis=1)
    beside = np.sqrt(np.maximum(distance**2 - to_plane**2, 0.0))
    flat = beside <= _TANGENT * max(mask.grid.spacing)
    # Where both surfaces touch, blur may put the inner one outside: there is no cortex to be seen there.
    thickness = np.where(flat, np.maximum(to_plane, 0.0), distance)
    return ThicknessMap(points, thickness, areas, _region_at(points, normals, mask, division))


def _uncut(points, normals, mask: Volume, division: Division) -> np.ndarray:
    """False at the flat end of a shaft that was cut, and at the border of the grid."""
    ijk = mask.grid.ras_to_ijk(points)
    last = np.array(mask.grid.shape[::-1]) - 1
    kept = ((ijk > 0.5) & (ijk < last - 0.5)).all(axis=1)
    distal = division.planes.get("distal")
    if distal is not None:
        height = distal.height(points)
        end = height < height.min() + 12.0
        kept &= ~(end & (normals @ distal.normal < -_CUT_SLOPE))
    return kept


def _region_at(points, normals, mask: Volume, division: Division) -> np.ndarray:
    """Region of surface points: that of the voxel just inside."""
    labels = division.labels.array
    result = np.zeros(len(points), np.uint8)
    for depth in (0.5, 1.0, 0.0, 1.5):
        todo = np.flatnonzero(result == 0)
        if len(todo) == 0:
            break
        inside = points[todo] - depth * max(mask.grid.spacing) * normals[todo]
        index = np.rint(mask.grid.ras_to_ijk(inside)).astype(int)[:, ::-1]
        within = ((index >= 0) & (index < labels.shape)).all(axis=1)
        result[todo[within]] = labels[tuple(index[within].T)]
    return result
