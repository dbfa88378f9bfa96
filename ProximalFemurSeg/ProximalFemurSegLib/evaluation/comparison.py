"""A result against its reference in full: every metric, and the surface coloured by distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import BadInputError
from ..volume import Volume
from .cases import evaluate_masks
from .distance_map import DistanceMap, distance_map
from .surface import VOXELS


@dataclass(frozen=True)
class ComparisonOptions:
    """How two masks are compared.

    Parameters
    ----------
    surface : {'voxels', 'mesh'}
        What surface distances are measured between.
    tolerance_mm : float
        Of the surface Dice.
    models : bool
        Make surfaces coloured by distance.
    signed : bool
        Their distances are negative where the result lies within the reference.
    smooth : bool
        Measure and draw them between smooth surfaces; the metrics stay those of the masks.
    limit_mm : float or None
        Where their colours end; None for a round number that fits all of them.
    interpolate : bool
        Bring a result on other voxels onto those of the reference; else it is refused.
    """

    surface: str = VOXELS
    tolerance_mm: float = 1.0
    models: bool = True
    signed: bool = False
    smooth: bool = True
    limit_mm: float | None = None
    interpolate: bool = True


def compare_pair(
    result: Volume, reference: Volume, options: ComparisonOptions
) -> tuple[dict[str, Any], DistanceMap | None]:
    """Metrics and surface of one structure.

    Parameters
    ----------
    result, reference : Volume
        bool masks; ``metadata["resampled"]`` of the result says whether it was drawn on other voxels.
    options : ComparisonOptions
        How.

    Returns
    -------
    values : dict
        As of `cases.evaluate_masks`.
    surface : DistanceMap or None
        None where a mask is empty, or surfaces are not asked for.

    Raises
    ------
    BadInputError
        Other voxels, unless they may be interpolated.
    """
    resampled = result.metadata.get("resampled", False)
    if resampled and not options.interpolate:
        raise BadInputError(
            f"'{result.name}' was drawn on other voxels than '{reference.name}': resample one onto the other first."
        )
    values = evaluate_masks(
        result,
        reference,
        interpolate=options.interpolate,
        surface=options.surface,
        tolerance_mm=options.tolerance_mm,
    )
    values["interpolated"] |= resampled
    if not (options.models and result.array.any() and reference.array.any()):
        return values, None
    return values, distance_map(result, reference, options.signed, options.smooth, options.interpolate)
