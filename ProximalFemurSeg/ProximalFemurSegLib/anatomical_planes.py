"""Axial, coronal and sagittal sections of any volume, as radiologists look at them.

Sections are planes in the patient, not in the array: an oblique, flipped or permuted grid gives the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .orientation import axis_directions
from .volume import Grid, Volume

_OPPOSITE = dict(zip("RLAPSI", "LRPAIS"))

# Anatomical directions of (normal, rows downwards, columns to the right): the patient's left is on the right.
_VIEWS = {"axial": "SPL", "coronal": "AIL", "sagittal": "RIP"}


@dataclass(frozen=True)
class Section:
    """A square piece of an anatomical plane.

    Parameters
    ----------
    view : str
        'axial', 'coronal' or 'sagittal'.
    center : numpy.ndarray
        (3,) RAS mm of the middle of the square.
    size_mm : float
        Length of its sides.

    Examples
    --------
    >>> section = Section("coronal", np.zeros(3), 2.0)
    >>> section.letters
    {'left': 'R', 'right': 'L', 'top': 'S', 'bottom': 'I'}
    >>> section.points(2)[0, 1].tolist()
    [-0.5, 0.0, 0.5]
    """

    view: str
    center: np.ndarray
    size_mm: float

    def __post_init__(self):
        if self.view not in _VIEWS:
            raise ValueError(f"'{self.view}' is no view; choose one of {', '.join(_VIEWS)}.")

    @property
    def letters(self) -> dict[str, str]:
        """Anatomical direction at each edge of the picture."""
        _, down, right = _VIEWS[self.view]
        return {"left": _OPPOSITE[right], "right": right, "top": _OPPOSITE[down], "bottom": down}

    @property
    def normal_axis(self) -> int:
        """RAS axis (0, 1, 2) on which all points of the section have the same coordinate."""
        return int(np.abs(axis_directions(_VIEWS[self.view])[0]).argmax())

    def points(self, pixels: int) -> np.ndarray:
        """(pixels, pixels, 3) RAS mm of the pixel centres, row by row from the top."""
        _, down, right = axis_directions(_VIEWS[self.view])
        offsets = ((np.arange(pixels) + 0.5) / pixels - 0.5) * self.size_mm
        return self.center + offsets[None, :, None] * right + offsets[:, None, None] * down


def sample(volume: Volume, points: np.ndarray, outside: float = 0.0) -> np.ndarray:
    """Trilinear values of a volume at points of the patient.

    Parameters
    ----------
    volume : Volume
        Numbers or a mask.
    points : numpy.ndarray
        (..., 3) RAS mm.
    outside : float
        Value beyond the field of view, whose border lies half a voxel outside the outermost voxel centres.

    Returns
    -------
    numpy.ndarray
        (...) float32.
    """
    from scipy import ndimage

    array = volume.array.view(np.uint8) if volume.array.dtype == bool else volume.array
    kji = np.moveaxis(volume.grid.ras_to_ijk(points), -1, 0)[::-1]
    # "nearest" goes on with the outermost voxels, which reach half a voxel beyond their centres.
    values = ndimage.map_coordinates(array, kji, output=np.float32, order=1, mode="nearest")
    last = np.array(volume.grid.shape).reshape((3,) + (1,) * (kji.ndim - 1)) - 0.5
    values[((kji < -0.5) | (kji > last)).any(axis=0)] = outside
    return values


def _mask_points(mask: Volume) -> np.ndarray:
    """(N, 3) RAS mm of the voxel centres inside a mask."""
    return mask.grid.ijk_to_ras(np.argwhere(mask.array)[:, ::-1])


def extent(mask: Volume) -> np.ndarray:
    """(2, 3) RAS mm: the box around the voxel centres of a mask that is not empty."""
    points = _mask_points(mask)
    return np.stack([points.min(axis=0), points.max(axis=0)])


def largest_cut(mask: Volume, blur_mm: float = 5.0) -> np.ndarray:
    """The point whose three planes each cut a mask where it is about widest.

    Parameters
    ----------
    mask : Volume
        Not empty.
    blur_mm : float
        Thickness of the slabs that are compared; evens out the steps that voxels make on oblique grids.

    Returns
    -------
    numpy.ndarray
        (3,) RAS mm.
    """
    points = _mask_points(mask)
    cut = np.empty(3)
    for axis in range(3):
        coordinates = np.sort(points[:, axis])
        candidates = np.arange(coordinates[0], coordinates[-1] + 1.0)
        inside = np.searchsorted(coordinates, candidates + blur_mm / 2, "right") - np.searchsorted(
            coordinates, candidates - blur_mm / 2, "left"
        )
        widest = candidates[inside == inside.max()]
        cut[axis] = widest[len(widest) // 2]
    return cut


def field_of_view(grid: Grid) -> np.ndarray:
    """(2, 3) RAS mm: the box around the field of view of a grid."""
    corners = grid.corners()
    return np.stack([corners.min(axis=0), corners.max(axis=0)])
