"""Voxels and the grid they lie on.

Arrays are indexed (k, j, i); the affine maps the voxel centre (i, j, k) to RAS millimetres, as in NIfTI and Slicer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of an array lie in the patient.

    Parameters
    ----------
    shape : tuple of int
        Number of voxels (K, J, I), in array order.
    affine : numpy.ndarray
        (4, 4) float64; maps voxel centre indices (i, j, k, 1) to RAS millimetres.

    Examples
    --------
    >>> grid = Grid.from_parts((4, 3, 2), spacing=(0.5, 1.0, 2.0))
    >>> grid.spacing
    (0.5, 1.0, 2.0)
    >>> grid.voxel_volume_mm3
    1.0
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    def __post_init__(self):
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4):
            raise ValueError(f"The affine of a grid is a 4x4 matrix, not one of shape {affine.shape}.")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @classmethod
    def from_parts(cls, shape, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=None) -> Grid:
        """Build a grid from spacing (i, j, k) in mm, RAS origin in mm, and a 3x3 direction whose columns are the
        unit vectors of the i, j and k axes in RAS (identity if left out)."""
        affine = np.eye(4)
        axes = np.eye(3) if direction is None else np.asarray(direction, dtype=np.float64)
        affine[:3, :3] = axes * np.asarray(spacing, dtype=np.float64)
        affine[:3, 3] = origin
        return cls(tuple(shape), affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along i, j, k in mm."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def origin(self) -> np.ndarray:
        """RAS position in mm of the centre of voxel (0, 0, 0)."""
        return self.affine[:3, 3].copy()

    @property
    def direction(self) -> np.ndarray:
        """(3, 3); columns are the unit vectors of the i, j and k axes in RAS."""
        return self.affine[:3, :3] / np.asarray(self.spacing)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def center(self) -> np.ndarray:
        """RAS position in mm of the middle of the field of view."""
        last = np.array(self.shape[::-1], dtype=np.float64) - 1
        return self.ijk_to_ras(last / 2)

    def ijk_to_ras(self, ijk) -> np.ndarray:
        """Map (..., 3) voxel coordinates (i, j, k) to RAS mm."""
        return np.asarray(ijk, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def ras_to_ijk(self, ras) -> np.ndarray:
        """Map (..., 3) RAS mm to continuous voxel coordinates (i, j, k)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(ras, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3]

    def corners(self) -> np.ndarray:
        """(8, 3) RAS mm of the outer corners of the field of view (voxel edges, not centres)."""
        k, j, i = self.shape
        ijk = np.array([[x, y, z] for x in (-0.5, i - 0.5) for y in (-0.5, j - 0.5) for z in (-0.5, k - 0.5)])
        return self.ijk_to_ras(ijk)

    def crop(self, start, stop) -> Grid:
        """The grid of ``array[start:stop]``; start and stop are (k, j, i) and may lie outside (then it grows)."""
        start, stop = np.asarray(start), np.asarray(stop)
        affine = self.affine.copy()
        affine[:3, 3] = self.ijk_to_ras(start[::-1])
        return Grid(tuple(stop - start), affine)

    def is_close(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """True if both grids have the same shape and no corner differs by more than the tolerance in mm."""
        return self.shape == other.shape and bool(np.all(np.abs(self.corners() - other.corners()) <= tolerance_mm))


@dataclass(frozen=True, eq=False)
class Volume:
    """An image: voxels (k, j, i) on a grid.

    Parameters
    ----------
    array : numpy.ndarray
        (K, J, I) voxel values.
    grid : Grid
        Where they lie.
    name : str
        What to call it in messages and reports.
    source : pathlib.Path or None
        The file or folder it was read from.
    metadata : dict
        What the file said about the image and the program may use, for example ``{"modality": "CT"}``.
    """

    array: np.ndarray
    grid: Grid
    name: str = ""
    source: Path | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if tuple(self.array.shape) != self.grid.shape:
            raise ValueError(f"The array has shape {tuple(self.array.shape)}, its grid {self.grid.shape}.")

    def with_array(self, array: np.ndarray, name: str | None = None) -> Volume:
        """Another image on the same grid."""
        return replace(self, array=array, name=self.name if name is None else name)
