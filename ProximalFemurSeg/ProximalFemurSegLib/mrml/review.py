"""Slices in the order in which they deserve a second look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..evaluation.worst_slice import slice_axis
from ..inference.result import Probabilities
from ..inference.uncertainty import area_per_slice, uncertainty
from .compared_parts import joined, pair_masks, suggest_pairs

_LEAST_MM2 = 0.5
_POSITIVE = ("R", "A", "S")
_NEGATIVE = ("L", "P", "I")


@dataclass(frozen=True)
class RankedSlice:
    """A slice of the image.

    Attributes
    ----------
    index : int
        Its number along the slices, from 0.
    axis : {0, 1, 2}
        The array axis along which the slices follow each other.
    point : tuple of float
        RAS mm in the world: the middle of what puts it here.
    area_mm2 : float
        Entropy, or spread, times area (mm2 of 1 bit), or the area that differs from the reference.
    reason : {'uncertainty', 'spread', 'error'}
    letter : str
        Direction in the patient along which it lies, for example ``S``.
    position_mm : float
        RAS coordinate along that direction.
    """

    index: int
    axis: int
    point: tuple[float, float, float]
    area_mm2: float
    reason: str
    letter: str
    position_mm: float


def slices_by_uncertainty(probabilities: Probabilities) -> list[RankedSlice]:
    """The slices of an image, the least certain first, or those on which several weights disagree most.

    Parameters
    ----------
    probabilities : Probabilities
        On the image's grid in the scene's world.
    """
    start, volume = uncertainty(probabilities)
    reason = "uncertainty" if probabilities.spread is None else "spread"
    return _rank(volume.array, volume.grid, reason, start)


def slices_by_error(result_node, reference_node, chosen: str = "") -> list[RankedSlice]:
    """The slices of the reference's grid, those first on which the bone of the two differs most.

    Raises
    ------
    BadInputError
        If it is not known what is compared with what, see ``suggest_pairs``.
    """
    pair = joined(suggest_pairs(result_node, reference_node, chosen))
    ((result, reference),) = pair_masks(result_node, reference_node, [pair])
    return _rank(result.array != reference.array, reference.grid, "error", (0, 0, 0))


def _rank(values, grid, reason, start) -> list[RankedSlice]:
    axis = slice_axis(grid.spacing)
    areas = area_per_slice(values, grid, axis)
    normal = grid.direction[:, 2 - axis]
    world_axis = int(np.abs(normal).argmax())
    ranked = []
    for index in np.argsort(-areas, kind="stable"):
        if areas[index] < _LEAST_MM2:
            break
        point = _middle(values, grid, axis, int(index))
        letters = _POSITIVE if point[world_axis] >= 0 else _NEGATIVE
        ranked.append(
            RankedSlice(
                int(index) + start[axis],
                axis,
                tuple(point),
                float(areas[index]),
                reason,
                letters[world_axis],
                point[world_axis],
            )
        )
    return ranked


def _middle(values, grid, axis, index) -> list[float]:
    plane = np.take(values, index, axis=axis).astype(np.float64)
    rows, columns = np.indices(plane.shape, sparse=True)
    total = plane.sum()
    place = [float((rows * plane).sum() / total), float((columns * plane).sum() / total)]
    place.insert(axis, float(index))
    return [float(x) for x in grid.ijk_to_ras(place[::-1])]
