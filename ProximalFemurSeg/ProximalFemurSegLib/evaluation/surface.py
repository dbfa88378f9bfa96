"""Distances in mm between the surfaces of two masks, computed once, and every metric that follows from them.

There are two definitions of a surface, `surface_elements`: its ``voxels``, with distances from centre to centre, as in
the papers, or the pieces of the ``mesh`` between them, weighted by area. They give means that differ by several
percent, so that a number is comparable only with others of the same definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..postprocessing import bounding_box
from ..volume import Grid
from .surface_elements import element_areas, neighbourhood_codes, places_of, surface_voxel_map
from .surface_search import nearest_distances

VOXELS, MESH = "voxels", "mesh"
DEFINITIONS = (VOXELS, MESH)
_WORKERS = 2
# Rounding must not push a distance over the tolerance, nor an area over the share, that it equals.
_SLACK_MM, _SLACK_SHARE = 1e-9, 1e-12


def surface_voxels(mask: np.ndarray) -> np.ndarray:
    """(n, 3) int32 indices (k, j, i) of the mask's voxels that have a face on its outside.

    Examples
    --------
    >>> len(surface_voxels(np.ones((4, 4, 4), bool)))
    56
    """
    box = bounding_box(mask)
    if box is None:
        return np.empty((0, 3), np.int32)
    found = places_of(surface_voxel_map(np.asarray(mask[box], bool)))
    return found + np.array([s.start for s in box], np.int32)


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """How far apart two surfaces are, element by element.

    Where one of the masks is empty there are no distances, and what is computed from them is NaN.

    Parameters
    ----------
    result_points, reference_points : numpy.ndarray
        (n, 3) and (m, 3) indices (k, j, i) of the surfaces' elements: int32 for voxels, halves for the mesh.
    result_to_reference : numpy.ndarray
        (n,) mm from each element of the result to the nearest of the reference.
    reference_to_result : numpy.ndarray
        (m,) mm the other way.
    result_areas, reference_areas : numpy.ndarray or None
        (n,) and (m,) mm2 of the mesh's elements; None if each counts as much as the next.
    definition : {'voxels', 'mesh'}
        What the elements are.
    """

    result_points: np.ndarray
    reference_points: np.ndarray
    result_to_reference: np.ndarray
    reference_to_result: np.ndarray
    result_areas: np.ndarray | None = None
    reference_areas: np.ndarray | None = None
    definition: str = VOXELS

    @property
    def _defined(self) -> bool:
        return len(self.result_points) > 0 and len(self.reference_points) > 0

    @property
    def _both(self):
        return (
            (self.result_to_reference, self.result_areas),
            (self.reference_to_result, self.reference_areas),
        )

    def _pooled(self, power: int) -> float:
        if not self._defined:
            return float("nan")
        total = sum(float((d**power).sum() if a is None else (d**power * a).sum()) for d, a in self._both)
        return total / sum(float(len(d) if a is None else a.sum()) for d, a in self._both)

    @property
    def asd(self) -> float:
        """Average symmetric surface distance in mm, pooled: one mean over both surfaces' elements (QCT-2021, eq. 5)."""
        return self._pooled(1)

    @property
    def rms(self) -> float:
        """Root mean square symmetric surface distance in mm, pooled."""
        return self._pooled(2) ** 0.5

    @property
    def directed_means(self) -> tuple[float, float]:
        """Mean distances in mm from the result to the reference and from the reference to the result."""
        if not self._defined:
            return float("nan"), float("nan")
        return tuple(float(np.average(d, weights=a)) for d, a in self._both)

    @property
    def asd_mean_of_means(self) -> float:
        """Mean in mm of the two directed means: another average surface distance, for comparison with other work.

        The surface with fewer elements has as much say as the other, where the pooled `asd` goes by their number.
        """
        return sum(self.directed_means) / 2

    @property
    def msd(self) -> float:
        """Maximum symmetric surface distance in mm, the Hausdorff distance of the surfaces (SciRep-2018)."""
        return self.percentile(100)

    @property
    def hd95(self) -> float:
        """95th percentile Hausdorff distance in mm."""
        return self.percentile(95)

    def percentile(self, percent: float) -> float:
        """Percentile Hausdorff distance in mm: the larger of the two directed percentiles.

        Parameters
        ----------
        percent : float
            0 to 100. Of voxels the percentile is interpolated linearly; of the mesh it is the smallest distance within
            which that share of the area lies.

        Raises
        ------
        ValueError
            A percentage that is none.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"A percentile is from 0 to 100, not {percent}.")
        if not self._defined:
            return float("nan")
        return max(_percentile(d, a, percent) for d, a in self._both)

    def surface_dice(self, tolerance_mm: float) -> float:
        """Share of both surfaces that lies within a tolerance of the other; 1 if both masks are empty, 0 if one is.

        Parameters
        ----------
        tolerance_mm : float
            Distances up to and including it are accepted.
        """
        if not self._defined:
            return float(len(self.result_points) + len(self.reference_points) == 0)
        accepted = total = 0.0
        for distances, areas in self._both:
            near = distances <= tolerance_mm + _SLACK_MM
            accepted += float(np.count_nonzero(near) if areas is None else areas[near].sum())
            total += float(len(near) if areas is None else areas.sum())
        return min(1.0, accepted / total)


def _percentile(distances, areas, percent) -> float:
    if areas is None:
        return float(np.percentile(distances, percent))
    if percent == 100:
        return float(distances.max())
    # Most of two surfaces that are alike is at no distance at all, and need not be sorted.
    apart = np.flatnonzero(distances)
    order = apart[np.argsort(distances[apart], kind="stable")]
    values, weights = distances[order], areas[order]
    if len(order) < len(distances):
        values = np.concatenate([[0.0], values])
        weights = np.concatenate([[areas.sum() - weights.sum()], weights])
    share = np.cumsum(weights)
    index = np.searchsorted(share / share[-1], percent / 100 - _SLACK_SHARE)
    return float(values[min(index, len(values) - 1)])


def surface_distances(
    result: np.ndarray, reference: np.ndarray, grid: Grid, definition: str = VOXELS, workers: int = _WORKERS
) -> SurfaceDistances:
    """Distances between the surfaces of two masks on one grid.

    Parameters
    ----------
    result, reference : numpy.ndarray
        (K, J, I) bool. A mask that touches the border of the grid has a surface there.
    grid : Grid
        Of both, in any orientation.
    definition : {'voxels', 'mesh'}
        What the surface is made of.
    workers : int
        Threads for the search.

    Raises
    ------
    ValueError
        Masks that are not of the grid's shape, or an unknown definition.

    Notes
    -----
    Only the box around both masks is looked at, and elements that both surfaces share need no search, so that time and
    memory go with the surfaces and not with the scan.
    """
    if not tuple(result.shape) == tuple(reference.shape) == grid.shape:
        raise ValueError(f"Masks of shape {result.shape} and {reference.shape} do not lie on a grid of {grid.shape}.")
    if definition not in DEFINITIONS:
        raise ValueError(f"A surface is made of {' or '.join(DEFINITIONS)}, not of '{definition}'.")
    box = _union(bounding_box(result), bounding_box(reference))
    if box is None:
        none = np.empty((0, 3)), np.empty(0), None if definition == VOXELS else np.empty(0)
        return SurfaceDistances(none[0], none[0], none[1], none[1], none[2], none[2], definition)
    masks = [np.ascontiguousarray(mask[box], dtype=bool) for mask in (result, reference)]
    if definition == VOXELS:
        maps, areas, offset = [surface_voxel_map(mask) for mask in masks], [None, None], 0.0
    else:
        codes = [neighbourhood_codes(mask) for mask in masks]
        maps, offset = [(code != 0) & (code != 255) for code in codes], -0.5
        table = element_areas(grid.affine)
        areas = [table[code[at]] for code, at in zip(codes, maps)]
    shift = np.array([s.start for s in box]) + offset
    indices = [places_of(at) for at in maps]
    distances = _search(maps, indices, grid, workers)
    points = [index + (shift if offset else shift.astype(np.int32)) for index in indices]
    return SurfaceDistances(*points, *distances, *areas, definition)


def _union(one, other):
    if one is None or other is None:
        return one or other
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other))


def _search(maps, indices, grid: Grid, workers: int) -> list[np.ndarray]:
    """mm from the elements of either surface to the nearest of the other."""
    if not len(indices[0]) or not len(indices[1]):
        return [np.empty(0), np.empty(0)]
    found = []
    for n in (0, 1):
        distances = np.zeros(len(indices[n]))
        alone = ~maps[1 - n][maps[n]]
        distances[alone] = nearest_distances(indices[n][alone], maps[1 - n], indices[1 - n], grid, workers)
        found.append(distances)
    return found
