"""Pictures of the worst cases of a cohort, from their files."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from ..orientation import reorient
from ..postprocessing import postprocess
from .cases import align, as_mask
from .cohort import POSTPROCESSED, Cohort, CohortOptions
from .worst_slice import WorstSlice, worst_slice

_ANY_AXES = "SPL"


def worst_pictures(cohort: Cohort, options: CohortOptions, count: int) -> list[tuple[dict, WorstSlice]]:
    """The worst cases, each with its worst slice.

    Parameters
    ----------
    cohort : Cohort
        What was measured.
    options : CohortOptions
        How.
    count : int
        At most so many.

    Raises
    ------
    BadInputError
        An image that does not lie on its reference's grid.
    """
    return [(case, _picture(case, options)) for case in islice(_distinct(cohort.worst_first()), count)]


def _distinct(cases):
    """Cases with and without post-processing look alike: the worse of the two stands for both."""
    seen = set()
    for case in cases:
        key = case["subject"], case["model"].removesuffix(POSTPROCESSED), case["structure"]
        if key not in seen:
            seen.add(key)
            yield case


def _picture(case: dict, options: CohortOptions) -> WorstSlice:
    from ..volume_io import read_mask, read_probability, read_volume

    row = case["row"]
    labels = list(row.labels) if row.labels else None
    reference = read_mask(row.reference, labels)
    if row.result is not None:
        result = read_mask(row.result, labels)
    else:
        probability = read_probability(row.probability)
        result = probability.with_array(probability.array > case["threshold"])
    result, reference = align(as_mask(result), reference, options.interpolate)
    if case["steps"]:
        result = replace(result, array=postprocess(result.array, result.grid, case["steps"]))
    image = None
    if row.image is not None:
        image = reorient(align(read_volume(row.image), reference, interpolate=True)[0], _ANY_AXES)
    return worst_slice(reorient(result, _ANY_AXES), reorient(reference, _ANY_AXES), image)
