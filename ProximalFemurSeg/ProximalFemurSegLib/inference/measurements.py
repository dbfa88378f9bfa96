"""Volumes of what was segmented, and whether they are whole."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..resampling import coverage_mask
from ..volume import Grid
from .result import FemurRegion


def volume_row(side, structure: str, label, mask: np.ndarray, grid: Grid, incomplete: bool) -> dict:
    """One line of the table of volumes.

    Parameters
    ----------
    side : str or None
        'left' or 'right'.
    structure : str
        Name for the user.
    label : int or None
        Value in the label map; None for a union of several.
    mask : numpy.ndarray
        bool.
    grid : Grid
        For the size of its voxels.
    incomplete : bool
        True if the structure goes on beyond what was scanned or looked at.

    Returns
    -------
    dict
        side, structure, label, voxels, volume_mm3, volume_cm3, incomplete.
    """
    voxels = int(np.count_nonzero(mask))
    volume = voxels * grid.voxel_volume_mm3
    return {
        "side": side,
        "structure": structure,
        "label": label,
        "voxels": voxels,
        "volume_mm3": round(volume, 3),
        "volume_cm3": round(volume / 1000, 6),
        "incomplete": bool(incomplete),
    }


# A slider asks for the same two borders again and again.
@lru_cache(maxsize=2)
def border_of(region: FemurRegion, grid: Grid) -> np.ndarray:
    """Voxels at which a structure is cut off.

    Parameters
    ----------
    region : FemurRegion
        Where a femur was looked for.
    grid : Grid
        The image's.

    Returns
    -------
    numpy.ndarray
        bool, of the region's shape: voxels on the border of the scan, or not well within the network's view. Not to be
        written to.
    """
    crop = grid.crop(region.start, region.stop)
    # A voxel well within the view has its neighbours in it, too: leave out one voxel of the image on every side.
    view = region.network_grid
    step = max(grid.spacing)
    shrink = [min(int(np.ceil(step / s)), (n - 1) // 2) for s, n in zip(view.spacing[::-1], view.shape)]
    border = ~coverage_mask(view.crop(shrink, np.subtract(view.shape, shrink)), crop)
    for axis, (first, last, size) in enumerate(zip(region.start, region.stop, grid.shape)):
        face = border.swapaxes(0, axis)
        if first == 0:
            face[0] = True
        if last == size:
            face[-1] = True
    border.setflags(write=False)
    return border
