"""How much of a scan a network is shown around one femur."""

from __future__ import annotations

import numpy as np

from ..volume import Grid
from .frames import extent, network_directions

# A field of view up to this size shows one hip (the papers' MR: 120 mm); two hips need more than 300 mm.
ONE_HIP_MM = 200.0
# What the networks know of a femur, from the top of the head or trochanter downwards; 244 mm were scanned in QCT-2021.
PROXIMAL_MM = 200.0
MARGIN_ALONG_MM, MARGIN_ACROSS_MM = 20.0, 12.0


def shows_one_hip(grid: Grid) -> bool:
    """True if an image is too small, upwards and sideways, to show two hips."""
    low, high = extent(grid.corners(), network_directions(grid, "AIL"))
    return bool(((high - low)[1:] <= ONE_HIP_MM).all())


def femur_box(points, directions, frame, low, high) -> tuple[np.ndarray, np.ndarray, bool]:
    """The box around a femur, within the scan along the slices; across them it may reach beyond the scan.

    Parameters
    ----------
    points : array_like
        (n, 3) RAS mm, voxels of the femur; a few of them may be wrong.
    directions : numpy.ndarray
        (3, 3), from `network_directions`.
    frame : models.Preprocessing
        Of the network that is to see the box; it is at least as large as that network's window.
    low, high : numpy.ndarray
        (3,) extent of the scan in mm along the directions.

    Returns
    -------
    least, most : numpy.ndarray
        (3,) mm along the directions.
    cut : bool
        True if the femur goes on below the box, because networks do not know more than its upper part.
    """
    # A few voxels that the locator has wrong are not to move the box.
    least, most = np.percentile(np.asarray(points) @ directions.T, (1, 99), axis=0)
    axis = int(np.abs(directions[:, 2]).argmax())
    cut = bool(most[axis] - least[axis] > PROXIMAL_MM)
    if cut and directions[axis, 2] > 0:
        least[axis] = most[axis] - PROXIMAL_MM
    elif cut:
        most[axis] = least[axis] + PROXIMAL_MM
    margin = np.full(3, MARGIN_ACROSS_MM)
    margin[axis] = MARGIN_ALONG_MM
    half = np.maximum((most - least) / 2 + margin, np.asarray(frame.window) * frame.spacing_mm / 2)
    middle = (least + most) / 2
    least, most = middle - half, middle + half
    least[0], most[0] = max(least[0], low[0]), min(most[0], high[0])
    return least, most, cut
