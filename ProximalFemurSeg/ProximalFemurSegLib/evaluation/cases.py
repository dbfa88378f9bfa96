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
from .curves import ScoreCurve, score_curve
from .overlap import count_confusion
from .surface import VOXELS, surface_distances
from .volumes import VolumeErrors, touched_borders, volume_mm3

_TOLERANCE = 0.01  # of a voxel; what rounding in file headers may move a corner by
_ANY_AXES = "SPL"


def align(image: Volume, reference: Volume, interpolate: bool = False) -> tuple[Volume, Volume]:
    """The two with voxels one to one.

    Parameters
    ----------
    image, reference : Volume
        On the same voxels of the patient, whatever the order of their axes.
    interpolate : bool
        Bring an image on another grid onto the reference's, linearly, and a mask so that a voxel is bone where at
        least half of it is; beyond the image's field of view there is no bone. The reference is never interpolated.

    Returns
    -------
    tuple of Volume
        As given, or, where their axes are in different order, both in the same.

    Raises
    ------
    BadInputError
        Grids that differ in size, spacing, or place, unless they may be interpolated; or fields of view that do not
        meet at all.
    """
    tolerance = max(1e-3, _TOLERANCE * min(reference.grid.spacing))
    if image.grid.is_close(reference.grid, tolerance):
        return image, reference
    turned = reorient(image, _ANY_AXES), reorient(reference, _ANY_AXES)
    if turned[0].grid.is_close(turned[1].grid, tolerance):
        return turned
    if interpolate:
        return _interpolated(image, reference), reference
    raise BadInputError(
        f"'{image.source or image.name}' and '{reference.source or reference.name}' lie on different grids "
        f"({_difference(turned[0].grid, turned[1].grid)}): resample one onto the other first."
    )


def _interpolated(image: Volume, reference: Volume) -> Volume:
    from ..resampling import coverage_mask, resample

    if not coverage_mask(image.grid, reference.grid).any():
        raise BadInputError(
            f"'{image.source or image.name}' and '{reference.source or reference.name}' show different places: not a "
            "single voxel lies in both; choose files of one scan."
        )
    array = resample(image.array, image.grid, reference.grid).numpy()
    array = array >= 0.5 if image.array.dtype == bool else np.clip(array, image.array.min(), image.array.max())
    return replace(image, array=array, grid=reference.grid)


def _difference(one: Grid, other: Grid) -> str:
    def listed(values, unit):
        return " x ".join(f"{v:.4g}" for v in values) + unit

    if one.shape != other.shape:
        return f"{listed(one.shape[::-1], '')} and {listed(other.shape[::-1], '')} voxels"
    if not np.allclose(one.spacing, other.spacing, rtol=1e-3):
        return f"voxels of {listed(one.spacing, ' mm')} and {listed(other.spacing, ' mm')}"
    shift = np.linalg.norm(one.corners() - other.corners(), axis=1).max()
    return f"places up to {shift:.3g} mm apart"


def evaluate_masks(
    result: Volume,
    reference: Volume,
    probability: Volume | None = None,
    *,
    interpolate: bool = False,
    surface: str = VOXELS,
    tolerance_mm: float = 1.0,
) -> dict[str, Any]:
    """Every metric of one case.

    Parameters
    ----------
    result, reference : Volume
        bool masks, or any values of which those that are not 0 are bone.
    probability : Volume, optional
        The probability map behind the result.
    interpolate : bool
        Bring a result or a map on another grid onto the reference's, see `align`; else it is refused.
    surface : {'voxels', 'mesh'}
        What surface distances are measured between, see `surface`.
    tolerance_mm : float
        Distance that the surface Dice accepts.

    Returns
    -------
    dict
        Ready for JSON; what is not defined, as a distance to an empty mask, is None. ``dice``, ``precision``,
        ``recall``, ``specificity``; ``asd_mm``, ``asd_mean_of_means_mm``, ``rms_mm``, ``msd_mm``, ``hd95_mm``,
        ``surface_dice`` with ``surface_dice_tolerance_mm`` and the ``surface_definition``; ``volume_mm3``,
        ``reference_volume_mm3``, ``volume_difference_mm3`` (result minus reference), ``volume_error_mm3`` (absolute),
        ``relative_volume_error_percent``; ``result_touches`` and ``reference_touches``, the sides of the grid that the
        bone is cut off by; ``interpolated``, whether the result came from another grid. With a probability map also
        ``roc_auc``, ``average_precision``, the bounds ``roc_auc_error`` and ``average_precision_error`` on how far
        these may be from the exact areas (0 up to 33 million voxels), and ``operating_points``: for ``threshold``
        (nearest to precision = recall = 1), ``roc`` and ``youden`` the threshold and the precision, recall and
        specificity there.

    Raises
    ------
    BadInputError
        Grids that differ.
    """
    values = compare_masks(*align(as_mask(result), as_mask(reference), interpolate), surface, tolerance_mm)
    values["interpolated"] = _differ(result, reference)
    if probability is not None:
        curve = case_curve(probability, reference, interpolate)
        points = find_operating_points(curve) if curve.positives else {}
        values.update(
            roc_auc=curve.roc_auc,
            average_precision=curve.average_precision,
            roc_auc_error=curve.roc_auc_error,
            average_precision_error=curve.average_precision_error,
            operating_points={name: asdict(point) for name, point in points.items()},
        )
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in values.items()}


def as_mask(volume: Volume) -> Volume:
    """bool, true where a volume is not 0."""
    return volume if volume.array.dtype == bool else replace(volume, array=volume.array != 0)


def _differ(result: Volume, reference: Volume) -> bool:
    try:
        align(result, reference)
    except BadInputError:
        return True
    return False


def case_curve(probability: Volume, reference: Volume, interpolate: bool = False) -> ScoreCurve:
    """The curve of a probability map against a reference; see `align` for grids that differ.

    Raises
    ------
    BadInputError
        Grids that differ.
    """
    scores, truth = align(probability, as_mask(reference), interpolate)
    return score_curve(scores.array, truth.array)


def compare_masks(result: Volume, reference: Volume, surface: str, tolerance_mm: float) -> dict[str, Any]:
    """The part of `evaluate_masks` that needs two bool masks on one grid; what is not defined is NaN."""
    found, wanted, grid = result.array, reference.array, reference.grid
    overlap = count_confusion(found, wanted)
    distances = surface_distances(found, wanted, grid, surface)
    volume = VolumeErrors(volume_mm3(found, grid), volume_mm3(wanted, grid))
    return {
        "dice": overlap.dice,
        "precision": overlap.precision,
        "recall": overlap.recall,
        "specificity": overlap.specificity,
        "asd_mm": distances.asd,
        "asd_mean_of_means_mm": distances.asd_mean_of_means,
        "rms_mm": distances.rms,
        "msd_mm": distances.msd,
        "hd95_mm": distances.hd95,
        "surface_dice": distances.surface_dice(tolerance_mm),
        "surface_dice_tolerance_mm": float(tolerance_mm),
        "surface_definition": surface,
        "volume_mm3": volume.result_mm3,
        "reference_volume_mm3": volume.reference_mm3,
        "volume_difference_mm3": volume.difference_mm3,
        "volume_error_mm3": volume.absolute_mm3,
        "relative_volume_error_percent": volume.relative_percent,
        "result_touches": list(touched_borders(found, grid)),
        "reference_touches": list(touched_borders(wanted, grid)),
    }
