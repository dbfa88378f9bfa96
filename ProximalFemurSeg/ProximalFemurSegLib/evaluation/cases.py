"""One case: a result against its reference."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from ..errors import BadInputError
from ..orientation import reorient
from ..thresholds import find_operating_points
from ..volume import Grid, Volume
from .curves import score_curve
from .overlap import count_confusion
from .surface import surface_distances
from .volumes import VolumeErrors, touched_borders, volume_mm3

_TOLERANCE = 0.01  # of a voxel; what rounding in file headers may move a corner by
_ANY_AXES = "SPL"


def align(image: Volume, reference: Volume) -> tuple[Volume, Volume]:
    """The two with voxels one to one; nothing is interpolated.

    Parameters
    ----------
    image, reference : Volume
        On the same voxels of the patient, whatever the order of their axes.

    Returns
    -------
    tuple of Volume
        As given, or, where their axes are in different order, both in the same.

    Raises
    ------
    BadInputError
        Grids that differ in size, spacing, or place.
    """
    tolerance = max(1e-3, _TOLERANCE * min(reference.grid.spacing))
    if image.grid.is_close(reference.grid, tolerance):
        return image, reference
    turned = reorient(image, _ANY_AXES), reorient(reference, _ANY_AXES)
    if turned[0].grid.is_close(turned[1].grid, tolerance):
        return turned
    raise BadInputError(
        f"'{image.source or image.name}' and '{reference.source or reference.name}' lie on different grids "
        f"({_difference(turned[0].grid, turned[1].grid)}): resample one onto the other first."
    )


def _difference(one: Grid, other: Grid) -> str:
    def listed(values, unit):
        return " x ".join(f"{v:.4g}" for v in values) + unit

    if one.shape != other.shape:
        return f"{listed(one.shape[::-1], '')} and {listed(other.shape[::-1], '')} voxels"
    if not np.allclose(one.spacing, other.spacing, rtol=1e-3):
        return f"voxels of {listed(one.spacing, ' mm')} and {listed(other.spacing, ' mm')}"
    shift = np.linalg.norm(one.corners() - other.corners(), axis=1).max()
    return f"places up to {shift:.3g} mm apart"


def evaluate_masks(result: Volume, reference: Volume, probability: Volume | None = None) -> dict[str, Any]:
    """Every metric of one case.

    Parameters
    ----------
    result, reference : Volume
        bool masks, or any values of which those that are not 0 are bone.
    probability : Volume, optional
        The probability map behind the result.

    Returns
    -------
    dict
        Ready for JSON; what is not defined, as a distance to an empty mask, is None. ``dice``, ``precision``,
        ``recall``, ``specificity``; ``asd_mm``, ``msd_mm``, ``hd95_mm``; ``volume_mm3``, ``reference_volume_mm3``,
        ``volume_difference_mm3`` (result minus reference), ``volume_error_mm3`` (absolute),
        ``relative_volume_error_percent``; ``result_touches`` and ``reference_touches``, the sides of the grid that the
        bone is cut off by. With a probability map also ``roc_auc``, ``average_precision`` and ``operating_points``:
        for ``threshold`` (nearest to precision = recall = 1), ``roc`` and ``youden`` the threshold and the precision,
        recall and specificity there.

    Raises
    ------
    BadInputError
        Grids that differ.
    """
    result, aligned_reference = align(result, reference)
    found, wanted = result.array != 0, aligned_reference.array != 0
    grid = aligned_reference.grid
    overlap = count_confusion(found, wanted)
    surface = surface_distances(found, wanted, grid)
    volume = VolumeErrors(volume_mm3(found, grid), volume_mm3(wanted, grid))
    values: dict[str, Any] = {
        "dice": overlap.dice,
        "precision": overlap.precision,
        "recall": overlap.recall,
        "specificity": overlap.specificity,
        "asd_mm": surface.asd,
        "msd_mm": surface.msd,
        "hd95_mm": surface.hd95,
        "volume_mm3": volume.result_mm3,
        "reference_volume_mm3": volume.reference_mm3,
        "volume_difference_mm3": volume.difference_mm3,
        "volume_error_mm3": volume.absolute_mm3,
        "relative_volume_error_percent": volume.relative_percent,
        "result_touches": list(touched_borders(found, grid)),
        "reference_touches": list(touched_borders(wanted, grid)),
    }
    if probability is not None:
        values.update(_curve_values(probability, reference))
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in values.items()}


def _curve_values(probability: Volume, reference: Volume) -> dict[str, Any]:
    scores, truth = align(probability, replace(reference, array=reference.array != 0))
    curve = score_curve(scores.array, truth.array)
    points = find_operating_points(curve) if curve.positives else {}
    return {
        "roc_auc": curve.roc_auc,
        "average_precision": curve.average_precision,
        "operating_points": {name: asdict(point) for name, point in points.items()},
    }
