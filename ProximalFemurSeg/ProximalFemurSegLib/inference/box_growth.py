"""Widen the box around a femur where the bone runs out of it: the locator sees 4 mm and may miss the head's top."""

from __future__ import annotations

import numpy as np

from ..volume import Grid

STEP_MM = 24.0
# Less bone than this in the outermost voxels is the tip of something, not a femur that goes on.
LEAST_MM2 = 20.0
# The box ends on whole voxels: nearer than this to the scan's border it is at it.
_LEAST_STEP_MM = 3.0


def faces_reached(mask, grid: Grid) -> np.ndarray:
    """Which faces of its grid a bone reaches.

    Parameters
    ----------
    mask : numpy.ndarray
        (D, H, W) bool.
    grid : Grid
        Of (D, H, W).

    Returns
    -------
    numpy.ndarray
        (3, 2) bool: for each array axis its first and its last face.
    """
    spacing = np.asarray(grid.spacing[::-1])
    reached = np.zeros((3, 2), dtype=bool)
    for axis in range(3):
        area = spacing.prod() / spacing[axis]
        for end, index in enumerate((0, -1)):
            reached[axis, end] = np.take(mask, index, axis=axis).sum() * area >= LEAST_MM2
    return reached


def grown_box(low, high, reached, scan_low, scan_high, vertical: int, upwards: bool, longest_mm: float):
    """The box with every reached face moved outwards, within the scan.

    Parameters
    ----------
    low, high : numpy.ndarray
        (3,) mm, the box along the network's axes.
    reached : numpy.ndarray
        (3, 2) bool, of `faces_reached`.
    scan_low, scan_high : numpy.ndarray
        (3,) mm, the scan along the same axes.
    vertical : int
        The axis along the body.
    upwards : bool
        Whether it runs towards the head.
    longest_mm : float
        Downwards the box grows no further than this length: the shaft goes on to the knee.

    Returns
    -------
    tuple of numpy.ndarray or None
        New (low, high); None if no face can move.
    """
    new_low, new_high = np.array(low, dtype=float), np.array(high, dtype=float)
    for axis in range(3):
        room = [low[axis] - scan_low[axis], scan_high[axis] - high[axis]]
        if axis == vertical:
            down = 0 if upwards else 1
            room[down] = min(room[down], longest_mm - (high[axis] - low[axis]))
        step = [min(STEP_MM, r) if r >= _LEAST_STEP_MM else 0.0 for r in room]
        new_low[axis] -= step[0] * reached[axis, 0]
        new_high[axis] += step[1] * reached[axis, 1]
    if (new_low == low).all() and (new_high == high).all():
        return None
    return new_low, new_high
