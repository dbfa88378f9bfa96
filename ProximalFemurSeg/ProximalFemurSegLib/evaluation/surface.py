"""Distances in mm between the surfaces of two masks, computed once, and every metric that follows from them.

A surface is the voxels of a mask with a face on its outside or on the border of the grid; distances go from centre to
centre. This is the definition of the papers, of MONAI and of medpy; surface-distance weights by area and gives other
means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..postprocessing import bounding_box
from ..volume import Grid

_WORKERS = 2


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
    padded = np.pad(np.asarray(mask[box], bool), 1)
    core = padded[1:-1, 1:-1, 1:-1]
    inside = core.copy()
    for axis in range(3):
        for shift in (slice(None, -2), slice(2, None)):
            neighbour = [slice(1, -1)] * 3
            neighbour[axis] = shift
            inside &= padded[tuple(neighbour)]
    return (np.argwhere(core & ~inside) + [s.start for s in box]).astype(np.int32)


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """How far apart two surfaces are, voxel by voxel.

    Where one of the masks is empty there are no distances, and what is computed from them is NaN.

    Parameters
    ----------
    result_voxels, reference_voxels : numpy.ndarray
        (n, 3) and (m, 3) int32 indices (k, j, i) of the surfaces.
    result_to_reference : numpy.ndarray
        (n,) mm from each surface voxel of the result to the nearest of the reference.
    reference_to_result : numpy.ndarray
        (m,) mm the other way.
    """

    result_voxels: np.ndarray
    reference_voxels: np.ndarray
    result_to_reference: np.ndarray
    reference_to_result: np.ndarray

    @property
    def _defined(self) -> bool:
        return len(self.result_voxels) > 0 and len(self.reference_voxels) > 0

    @property
    def asd(self) -> float:
        """Average symmetric surface distance in mm, pooled: one mean over both surfaces' voxels (QCT-2021, eq. 5)."""
        if not self._defined:
            return float("nan")
        total = self.result_to_reference.sum() + self.reference_to_result.sum()
        return float(total / (len(self.result_to_reference) + len(self.reference_to_result)))

    @property
    def msd(self) -> float:
        """Maximum symmetric surface distance in mm, the Hausdorff distance of the surfaces (SciRep-2018)."""
        return self.percentile(100)

    @property
    def hd95(self) -> float:
        """95th percentile Hausdorff distance in mm."""
        return self.percentile(95)

    def percentile(self, percent: float) -> float:
        """Percentile Hausdorff distance in mm: the larger of the two directed percentiles, interpolated linearly."""
        if not self._defined:
            return float("nan")
        return float(max(np.percentile(d, percent) for d in (self.result_to_reference, self.reference_to_result)))

    def surface_dice(self, tolerance_mm: float) -> float:
        """Share of both surfaces' voxels that lie within a tolerance of the other; 1 if both masks are empty, 0 if one.

        Parameters
        ----------
        tolerance_mm : float
            Distances up to and including it are accepted.
        """
        total = len(self.result_voxels) + len(self.reference_voxels)
        if not self._defined:
            return float(total == 0)
        accepted = sum(
            int(np.count_nonzero(d <= tolerance_mm + 1e-9))
            for d in (self.result_to_reference, self.reference_to_result)
        )
        return accepted / total


def surface_distances(
    result: np.ndarray, reference: np.ndarray, grid: Grid, workers: int = _WORKERS
) -> SurfaceDistances:
    """Distances between the surfaces of two masks on one grid.

    Parameters
    ----------
    result, reference : numpy.ndarray
        (K, J, I) bool.
    grid : Grid
        Of both, in any orientation.
    workers : int
        Threads for the search.

    Raises
    ------
    ValueError
        Masks that are not of the grid's shape.
    """
    from scipy.spatial import cKDTree

    if not tuple(result.shape) == tuple(reference.shape) == grid.shape:
        raise ValueError(f"Masks of shape {result.shape} and {reference.shape} do not lie on a grid of {grid.shape}.")
    found, wanted = surface_voxels(result), surface_voxels(reference)
    if len(found) == 0 or len(wanted) == 0:
        return SurfaceDistances(found, wanted, np.empty(0), np.empty(0))
    to_mm = grid.affine[:3, 2::-1].T  # from (k, j, i); the origin does not matter
    trees = [cKDTree(voxels @ to_mm, balanced_tree=False, compact_nodes=False) for voxels in (found, wanted)]
    keys = [np.ravel_multi_index(voxels.T, grid.shape) for voxels in (found, wanted)]
    return SurfaceDistances(
        found,
        wanted,
        _nearest(trees[1], trees[0], np.isin(keys[0], keys[1], assume_unique=True), workers),
        _nearest(trees[0], trees[1], np.isin(keys[1], keys[0], assume_unique=True), workers),
    )


def _nearest(there, here, shared, workers) -> np.ndarray:
    """Distances from the points of one tree to the nearest of another; those that both have are at 0."""
    distances = np.zeros(len(shared))
    distances[~shared] = there.query(here.data[~shared], workers=workers)[0]
    return distances
