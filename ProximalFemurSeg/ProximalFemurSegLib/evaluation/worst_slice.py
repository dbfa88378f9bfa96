"""A picture of the slice on which a result is most wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..anatomical_planes import Section
from ..orientation import closest_reorientation
from ..preview import blend, intensity_window, outline, to_gray
from ..volume import Volume

# Blue and vermilion are told apart by the colour-blind, and are light and dark enough for grey prints.
REFERENCE_COLOR, RESULT_COLOR = (86, 180, 233), (255, 140, 40)
_MISSED, _INVENTED = REFERENCE_COLOR, RESULT_COLOR
_TINT = 0.45
_ANISOTROPIC = 1.2
_BORDER_MM = 14.0
_SMALLEST_MM = 40.0
_EMPTY_GRAY = 70.0
_VIEW_AXES = {"axial": "SPL", "coronal": "AIL", "sagittal": "RIP"}


@dataclass(frozen=True, eq=False)
class WorstSlice:
    """One slice of a case.

    Parameters
    ----------
    picture : numpy.ndarray
        (H, W, 3) uint8; the reference's outline and what was missed in blue, the result's outline and what is too much
        in orange.
    view : {'axial', 'coronal', 'sagittal'}
        The plane nearest to the slice.
    position_mm : float
        RAS coordinate of the slice's middle along the plane's normal.
    wrong_voxels : int
        On this slice.
    letters : dict
        Anatomical direction at each edge: left, right, top, bottom.
    side_mm : float
        Of the picture.
    """

    picture: np.ndarray
    view: str
    position_mm: float
    wrong_voxels: int
    letters: dict[str, str]
    side_mm: float


def slice_axis(spacing) -> int:
    """The array axis (0 k, 1 j, 2 i) that slices were taken along: the one of the thickest voxels, else k."""
    sides = np.asarray(spacing)[::-1]
    return int(sides.argmax()) if sides.max() > _ANISOTROPIC * np.median(sides) else 0


def worst_slice(result: Volume, reference: Volume, image: Volume | None = None, pixels: int = 420) -> WorstSlice:
    """Draw the slice with the most wrong voxels; where nothing is wrong, the one with the most bone.

    Parameters
    ----------
    result, reference : Volume
        bool masks on one grid.
    image : Volume, optional
        What was segmented, on the same grid; without it the outlines stand on grey.
    pixels : int
        Side of the picture.
    """
    grid = reference.grid
    axis = slice_axis(grid.spacing)
    normal = grid.direction[:, 2 - axis]
    view = ("sagittal", "coronal", "axial")[int(np.abs(normal).argmax())]
    change = closest_reorientation(grid, _VIEW_AXES[view])
    turned = change.grid(grid)
    # The wanted plane comes first, and on oblique grids the slices' own axis is the nearest to it.
    found, wanted = change.apply(result.array), change.apply(reference.array)
    wrong = np.count_nonzero(found != wanted, axis=(1, 2))
    bone = np.count_nonzero(wanted | found, axis=(1, 2))
    index = int(wrong.argmax() if wrong.any() else bone.argmax())
    shown, extent = _around(found[index] | wanted[index], turned)
    gray = None if image is None else _gray(change.apply(image.array)[index], image)
    picture = _draw(found[index], wanted[index], gray, shown, extent, turned, pixels)
    middle = turned.ijk_to_ras([(turned.shape[2] - 1) / 2, (turned.shape[1] - 1) / 2, index])
    letters = Section(view, middle, 1.0).letters
    return WorstSlice(picture, view, float(middle[int(np.abs(normal).argmax())]), int(wrong[index]), letters, extent)


def _around(bone, grid):
    """Middle (row, column) in voxels and side in mm of a square around a bone."""
    rows, columns = np.nonzero(bone)
    if not len(rows):
        rows, columns = (np.array([0, n - 1]) for n in bone.shape)
    steps = np.array(grid.spacing[1::-1])
    low = np.array([rows.min(), columns.min()])
    high = np.array([rows.max(), columns.max()])
    side = max(float(((high - low + 1) * steps).max()) + 2 * _BORDER_MM, _SMALLEST_MM)
    return (low + high) / 2, side


def _gray(values, image: Volume):
    values = values.astype(np.float32)
    modality = "ct" if float(image.array.min()) < -100 else "mr"
    return to_gray(values, intensity_window(values, modality))[..., 0]


def _draw(found, wanted, gray, middle, side, grid, pixels) -> np.ndarray:
    from scipy import ndimage

    steps = np.array(grid.spacing[1::-1])
    offsets = ((np.arange(pixels) + 0.5) / pixels - 0.5) * side
    at = np.stack(np.meshgrid(*(middle[n] + offsets / steps[n] for n in (0, 1)), indexing="ij"))

    def sampled(plane, outside):
        return ndimage.map_coordinates(plane.astype(np.float32), at, order=1, mode="constant", cval=outside)

    picture = np.full((pixels, pixels, 3), _EMPTY_GRAY, np.float32)
    if gray is not None:
        picture = np.repeat(sampled(gray, 0.0)[..., None], 3, axis=2)
    has, should = sampled(found, 0) >= 0.5, sampled(wanted, 0) >= 0.5
    for region, color in ((should & ~has, _MISSED), (has & ~should, _INVENTED)):
        picture = blend(picture, color, region * _TINT)
    for region, color in ((should, REFERENCE_COLOR), (has, RESULT_COLOR)):
        if region.any() and not region.all():
            picture = blend(picture, color, outline(region, width=2) * 0.95)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)
