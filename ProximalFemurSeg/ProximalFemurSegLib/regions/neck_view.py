"""The neck seen along its own axis: where the endosteal border shows (QCT-2021, Fig. 10)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..errors import BadInputError
from ..volume import Grid, Volume
from .landmarks import FemurLandmarks


def neck_grid(
    landmarks: FemurLandmarks, spacing_mm: float = 0.5, slice_mm: float = 1.0, half_mm: float | None = None
) -> Grid:
    """A grid whose slices stand at right angles to the neck's axis.

    Slices run down the neck from 5 mm inside the medial face of the head, rows from superior to inferior, columns from
    front to back.

    Parameters
    ----------
    landmarks : FemurLandmarks
    spacing_mm, slice_mm : float
        Pixels, and distance of the slices.
    half_mm : float, optional
        Half the width of a slice; 1.6 times the head's radius if left out.

    Raises
    ------
    BadInputError
        Without a neck's axis.
    """
    neck = landmarks.neck
    if neck is None:
        raise BadInputError(f"There is no view along the neck. {landmarks.reason('neck_center')}")
    radius = landmarks.head_radius
    half = 1.6 * radius if half_mm is None else half_mm
    up, across = neck.sections.up, neck.sections.across
    backward = across if landmarks.frame is None or across @ landmarks.frame.anterior < 0 else -across
    count = 2 * int(np.ceil(half / spacing_mm)) + 1
    first = -radius + 5.0
    last = max(2.3 * radius, (landmarks.base_mm or 0.0) + 10.0)
    slices = int(np.ceil((last - first) / slice_mm)) + 1
    start = landmarks.position("head_center") + first * neck.axis
    start = start + (count // 2) * spacing_mm * (up - backward)
    direction = np.stack([backward, -up, neck.axis], axis=1)
    return Grid.from_parts((slices, count, count), (spacing_mm, spacing_mm, slice_mm), start, direction)


def reformat(volume: Volume, grid: Grid, fill: float = 0.0) -> Volume:
    """A volume on another grid: linear for images, half covered for masks (bool), nearest for labels (uint8).

    Parameters
    ----------
    volume : Volume
    grid : Grid
        Where to, for example from `neck_grid`.
    fill : float
        Value outside the volume.
    """
    inverse = np.linalg.inv(volume.grid.affine)
    full = inverse @ grid.affine
    matrix, offset = full[:3, :3][::-1, ::-1], full[:3, 3][::-1]
    labels = volume.array.dtype == np.uint8
    source = volume.array if labels else volume.array.astype(np.float32)
    result = ndimage.affine_transform(
        source, matrix, offset, output_shape=grid.shape, order=0 if labels else 1, cval=fill, prefilter=False
    )
    if volume.array.dtype == np.bool_:
        result = result >= 0.5
    return Volume(result, grid, volume.name, metadata=dict(volume.metadata))
