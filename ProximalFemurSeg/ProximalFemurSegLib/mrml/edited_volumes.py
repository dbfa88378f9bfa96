"""Volumes of masks that somebody edited: counted from the segmentation as it is."""

from __future__ import annotations

from functools import reduce

import numpy as np

from ..inference.measurements import volume_row
from .segmentation_node import masks_from_segmentation

_STRUCTURES = {"trabecular": "trabecular bone", "cortical": "cortical bone"}


def measure_segmentation(nodes) -> list[dict]:
    """Volumes of every segment, and of the whole bone of each side, on the input's grid.

    Parameters
    ----------
    nodes : ResultNodes
        The input and the segmentation are read.

    Returns
    -------
    list of dict
        Rows as in ``measurements.json``; a structure is incomplete where it touches the border of the image. Segments
        that the user added go by their names.
    """
    masks = masks_from_segmentation(nodes.segmentation, nodes.input)
    rows, bones = [], {}
    for segment_id, mask in masks.items():
        kind, _, side = segment_id.partition("_")
        known = kind in _STRUCTURES and side in ("", "left", "right")
        if known:
            bones.setdefault(side, []).append(mask)
        structure = _STRUCTURES[kind] if known else mask.name
        rows.append(_row(side if known else "", structure, mask.array, mask.grid))
    for side, parts in bones.items():
        if len(parts) > 1:
            whole = reduce(np.logical_or, [part.array for part in parts])
            rows.append(_row(side, "whole bone", whole, parts[0].grid))
    return rows


def _row(side, structure, mask, grid):
    touches = any(face.any() for axis in range(3) for face in (mask.take(0, axis), mask.take(-1, axis)))
    return volume_row(side or None, structure, None, mask, grid, touches)
