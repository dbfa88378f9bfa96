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


@dataclass(frozen=True)
class VolumeAgreement:
    """Volumes of a cohort beside those that they should be, as in QCT-2021, Table 2.

    Parameters
    ----------
    result_mm3, reference_mm3 : numpy.ndarray
        (n,) mm3 of every subject; at least one.

    Raises
    ------
    ValueError
        Lengths that differ, or no subjects.
    """

    result_mm3: np.ndarray
    reference_mm3: np.ndarray

    def __post_init__(self):
        for name in ("result_mm3", "reference_mm3"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if self.result_mm3.shape != self.reference_mm3.shape or self.result_mm3.ndim != 1 or not len(self.result_mm3):
            raise ValueError("Volumes of a cohort are two lists of equal length, and not empty.")

    @property
    def differences_mm3(self) -> np.ndarray:
        """(n,) result minus reference."""
        return self.result_mm3 - self.reference_mm3

    @property
    def mae_mm3(self) -> float:
        """Mean absolute error (QCT-2021, eq. 6)."""
        return float(np.abs(self.differences_mm3).mean())

    @property
    def rmse_mm3(self) -> float:
        """Root mean square error (QCT-2021, eq. 7)."""
        return float(np.sqrt((self.differences_mm3**2).mean()))

    @property
    def relative_percent(self) -> np.ndarray:
        """(n,) relative errors in percent (QCT-2021, eq. 8); NaN where only the reference is empty."""
        return np.array([VolumeErrors(*pair).relative_percent for pair in zip(self.result_mm3, self.reference_mm3)])

    @property
    def correlation(self) -> float:
        """Pearson's coefficient of the two volumes; NaN where either does not vary."""
        if not np.ptp(self.result_mm3) or not np.ptp(self.reference_mm3):
            return float("nan")
        return float(np.corrcoef(self.result_mm3, self.reference_mm3)[0, 1])

    @property
    def bias_mm3(self) -> float:
        """Mean difference, the middle line of a Bland-Altman plot."""
        return float(self.differences_mm3.mean())

    @property
    def limits_of_agreement_mm3(self) -> tuple[float, float]:
        """Bias minus and plus 1.96 standard deviations of the differences (Bland and Altman, Lancet 1986); NaN for
        one subject."""
        if len(self.result_mm3) < 2:
            return float("nan"), float("nan")
        reach = 1.96 * self.differences_mm3.std(ddof=1)
        return float(self.bias_mm3 - reach), float(self.bias_mm3 + reach)
