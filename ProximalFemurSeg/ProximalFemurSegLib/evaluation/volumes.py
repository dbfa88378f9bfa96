"""Volumes of bone, their errors, and whether the scan holds all of the bone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..volume import Grid

_FACES = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))


def volume_mm3(mask: np.ndarray, grid: Grid) -> float:
    """Volume of a mask: its voxels times the volume of one, in mm3."""
    return int(np.count_nonzero(mask)) * grid.voxel_volume_mm3


def touched_borders(mask: np.ndarray, grid: Grid) -> tuple[str, ...]:
    """The sides of the grid that a mask touches, so that it may go on beyond them.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool.
    grid : Grid
        Of the mask; an oblique side is called by the anatomical direction nearest to it.

    Returns
    -------
    tuple of str
        Of left, right, posterior, anterior, inferior, superior; empty where the bone is whole.

    Examples
    --------
    >>> mask = np.zeros((3, 3, 3), bool)
    >>> mask[0, 1, 1] = True
    >>> touched_borders(mask, Grid.from_parts((3, 3, 3)))
    ('inferior',)
    """
    touched = set()
    for axis in range(3):
        direction = grid.direction[:, 2 - axis]
        patient_axis = int(np.abs(direction).argmax())
        low, high = _FACES[patient_axis] if direction[patient_axis] > 0 else _FACES[patient_axis][::-1]
        for end, name in ((0, low), (-1, high)):
            if mask.take(end, axis).any():
                touched.add(name)
    return tuple(name for pair in _FACES for name in pair if name in touched)


@dataclass(frozen=True)
class VolumeErrors:
    """A volume beside the one that it should be.

    Parameters
    ----------
    result_mm3, reference_mm3 : float
        Volumes in mm3.
    """

    result_mm3: float
    reference_mm3: float

    @property
    def difference_mm3(self) -> float:
        """Result minus reference."""
        return self.result_mm3 - self.reference_mm3

    @property
    def absolute_mm3(self) -> float:
        """What the mean absolute error and the root mean square error of a cohort are made of."""
        return abs(self.difference_mm3)

    @property
    def relative_percent(self) -> float:
        """RE = |y' - y| / y' x 100 %, y' the reference (QCT-2021); 0 if both are empty, NaN if only that is."""
        if self.reference_mm3 == 0:
            return 0.0 if self.result_mm3 == 0 else float("nan")
        return 100 * self.absolute_mm3 / self.reference_mm3
