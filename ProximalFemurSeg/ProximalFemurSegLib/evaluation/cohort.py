"""Every case of a cohort, evaluated one after the other: numbers, curves, volumes, agreement of readers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import BadInputError
from ..orientation import reorient
from ..postprocessing import postprocess, postprocess_steps
from ..thresholds import OPERATING_POINTS, OperatingPoint, find_operating_points
from ..volume import Volume
from .agreement import dice_matrix, staple
from .cases import align, as_mask, case_curve, compare_masks, evaluate_masks
from .cohort_rows import VALIDATION, CaseRow
from .cohort_volumes import WHOLE, region_volumes
from .curves import ScoreHistogram
from .mean_curves import SampledCurve, sample_curve
from .surface import VOXELS, surface_distances

POSTPROCESSED = " + PP"
_BINS = 1 << 16
_ANY_AXES = "SPL"


@dataclass(frozen=True)
class CohortOptions:
    """How a cohort is evaluated.

    Parameters
    ----------
    threshold : str or float
        For rows without a mask: 'model', 'roc' or 'youden', the operating point on the validation rows, or a
        probability.
    postprocess : str
        Steps of `postprocessing`; every model is then also evaluated after them, as in SciRep-2018, Table 2. Empty for
        none.
    surface : {'voxels', 'mesh'}
        What surface distances are measured between.
    tolerance_mm : float
        Of the surface Dice.
    interpolate : bool
        Bring results on other grids onto the reference's; else they are refused.
    """

    threshold: Any = "model"
    postprocess: str = ""
    surface: str = VOXELS
    tolerance_mm: float = 1.0
    interpolate: bool = False


@dataclass
class Cohort:
    """What was measured.

    Parameters
    ----------
    cases : list of dict
        One for each row and model: ``subject``, ``model``, ``structure``, ``fold``, ``seconds``, ``row`` (the
        `CaseRow`), ``steps`` (post-processing) and everything of `cases.evaluate_masks`; what is not defined is None.
    curves : dict
        (structure, model) to the sampled curves of its folds, or of its subjects where there are no folds.
    curve_unit : str
        'folds' or 'subjects'.
    volumes : list of dict
        ``subject``, ``model``, ``structure``, ``region``, ``result_mm3``, ``reference_mm3``.
    readers : list of dict
        For each subject with several readers: ``subject``, ``structure``, ``dice`` (matrix), ``sensitivity`` and
        ``specificity`` of each reader against the STAPLE consensus, and for each model its ``consensus_dice`` and
        ``consensus_asd_mm``.
    points : dict
        (structure, model) to the operating points chosen on its validation rows.
    """

    cases: list[dict] = field(default_factory=list)
    curves: dict[tuple[str, str], list[SampledCurve]] = field(default_factory=dict)
    curve_unit: str = "subjects"
    volumes: list[dict] = field(default_factory=list)
    readers: list[dict] = field(default_factory=list)
    points: dict[tuple[str, str], dict[str, OperatingPoint]] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """Names in the order of the table."""
        return list(dict.fromkeys(case["model"] for case in self.cases))

    @property
    def structures(self) -> list[str]:
        """Names in the order of the table; one empty name where there are none."""
        return list(dict.fromkeys(case["structure"] for case in self.cases))

    def of(self, structure: str, model: str) -> list[dict]:
        """The cases of one model."""
        return [case for case in self.cases if (case["structure"], case["model"]) == (structure, model)]

    def worst_first(self) -> list[dict]:
        """All cases by DSC, of equal ones those with the larger Hausdorff distance first."""
        return sorted(self.cases, key=lambda case: (case["dice"], -(case["msd_mm"] or 0.0)))


def evaluate_cohort(
    rows: list[CaseRow],
    options: CohortOptions = CohortOptions(),  # noqa: B008 - frozen
    progress: Callable[[str, float, float], None] = lambda stage, done, total: None,
) -> Cohort:
    """Evaluate every case.

    Parameters
    ----------
    rows : list of CaseRow
        From `cohort_rows.read_cohort_table`.
    options : CohortOptions
        How.
    progress : callable
        Told the stage, and how many of how many cases are done.

    Raises
    ------
    BadInputError
        A file that cannot be used, with the table's line; or a row without a mask and nothing to choose a threshold on.
    """
    postprocess_steps(options.postprocess)
    cohort = Cohort()
    tested = [row for row in rows if row.split != VALIDATION]
    validation = [row for row in rows if row.split == VALIDATION]
    if not tested:
        raise BadInputError("All rows of the table are for validation; mark those to report as test.")
    cohort.points = _choose_points(validation, options, progress)
    thresholds = {(r.structure, r.model): _threshold(r, cohort.points, options) for r in tested if r.result is None}
    folded = any(row.fold for row in tested)
    cohort.curve_unit = "folds" if folded else "subjects"
    pooled: dict[tuple[str, str, str], ScoreHistogram] = {}
    files = _Files()
    for done, row in enumerate(tested):
        progress("evaluating the cases", done, len(tested))
        try:
            _evaluate_row(cohort, row, options, thresholds, files, pooled if folded else None)
        except BadInputError as error:
            raise BadInputError(f"Line {row.line} of the table (subject {row.subject}): {error}") from None
    for (structure, model, _), histogram in pooled.items():
        _keep_curve(cohort, (structure, model), histogram.curve())
    progress("evaluating the cases", len(tested), len(tested))
    return cohort


class _Files:
    """Reads masks, and keeps the last of each kind: rows of one subject come one after the other."""

    def __init__(self):
        self._kept: dict[str, tuple[Any, Volume]] = {}

    def mask(self, path, labels, kind: str) -> Volume:
        from ..volume_io import read_mask

        key = path, labels
        if self._kept.get(kind, (None,))[0] != key:
            self._kept[kind] = key, read_mask(path, list(labels) if labels else None)
        return self._kept[kind][1]


def _choose_points(rows, options, progress) -> dict[tuple[str, str], dict[str, OperatingPoint]]:
    from ..volume_io import read_probability

    histograms: dict[tuple[str, str], ScoreHistogram] = {}
    files = _Files()
    for done, row in enumerate(rows):
        progress("choosing thresholds", done, len(rows))
        reference = files.mask(row.reference, row.labels, "reference")
        scores, truth = align(read_probability(row.probability), reference, options.interpolate)
        histograms.setdefault((row.structure, row.model), ScoreHistogram(_BINS)).add(scores.array, truth.array)
    points = {}
    for key, histogram in histograms.items():
        curve = histogram.curve()
        if not curve.positives:
            raise BadInputError(f"No validation case of {key[1]} holds bone; a threshold cannot be chosen on them.")
        points[key] = find_operating_points(curve)
    return points


def _threshold(row: CaseRow, points, options) -> float:
    choice = options.threshold
    if choice in OPERATING_POINTS:
        found = points.get((row.structure, row.model))
        if found is None:
            raise BadInputError(
                f"Line {row.line} of the table (subject {row.subject}) has no mask, and {row.model} has no validation "
                "rows to choose a threshold on; add some, name the mask, or give a probability as the threshold."
            )
        return found[OPERATING_POINTS[choice]].threshold
    return float(choice)


def _evaluate_row(cohort, row: CaseRow, options: CohortOptions, thresholds, files: _Files, pooled) -> None:
    from ..volume_io import read_probability

    start = time.perf_counter()
    key = row.structure, row.model
    reference = files.mask(row.reference, row.labels, "reference")
    probability = read_probability(row.probability) if row.probability is not None else None
    if row.result is not None:
        result = files.mask(row.result, row.labels, "result")
    else:
        result = probability.with_array(probability.array > thresholds[key])
    values = evaluate_masks(
        result, reference, interpolate=options.interpolate, surface=options.surface, tolerance_mm=options.tolerance_mm
    )
    if row.result is None:
        values["threshold"] = thresholds[key]
    if probability is not None:
        curve = case_curve(probability, reference, options.interpolate)
        for name in ("roc_auc", "average_precision", "roc_auc_error", "average_precision_error"):
            values[name] = _defined(getattr(curve, name))
        points = find_operating_points(curve) if curve.positives else {}
        values["operating_points"] = {name: asdict(point) for name, point in points.items()}
        if pooled is None:
            _keep_curve(cohort, key, curve)
        else:
            scores, truth = align(probability, as_mask(reference), options.interpolate)
            pooled.setdefault((*key, row.fold), ScoreHistogram(_BINS)).add(scores.array, truth.array)
    _keep_case(cohort, row, row.model, "", values, start)
    volumes = _row_volumes(row, values)
    cohort.volumes += [{**_names(row, row.model), **entry} for entry in volumes]
    if options.postprocess:
        start = time.perf_counter()
        found, wanted = align(result, reference, options.interpolate)
        cleaned = replace(found, array=postprocess(found.array, found.grid, options.postprocess))
        after = compare_masks(cleaned, wanted, options.surface, options.tolerance_mm)
        after.update({name: values[name] for name in ("interpolated", "threshold") if name in values})
        _keep_case(cohort, row, row.model + POSTPROCESSED, options.postprocess, after, start)
        entry = {"region": WHOLE, "result_mm3": after["volume_mm3"], "reference_mm3": after["reference_volume_mm3"]}
        cohort.volumes.append({**_names(row, row.model + POSTPROCESSED), **entry})
    if row.other_references:
        _add_readers(cohort, row, result, reference, files, options)


def _names(row: CaseRow, model: str) -> dict:
    return {"subject": row.subject, "model": model, "structure": row.structure}


def _keep_case(cohort, row, model, steps, values, start) -> None:
    values = {name: _defined(value) for name, value in values.items()}
    seconds = round(time.perf_counter() - start, 3)
    names = {**_names(row, model), "fold": row.fold, "row": row, "steps": steps}
    cohort.cases.append({**names, **values, "seconds": seconds})


def _keep_curve(cohort, key, curve) -> None:
    sampled = sample_curve(curve)
    if sampled is not None:
        cohort.curves.setdefault(key, []).append(sampled)


def _defined(value):
    return None if isinstance(value, float) and np.isnan(value) else value


def _row_volumes(row: CaseRow, values) -> list[dict]:
    found = {WHOLE: (values["volume_mm3"], values["reference_volume_mm3"])}
    if row.result_regions is not None:
        from ..volume_io import read_labels

        regions = read_labels(row.result_regions)
        # A thresholded map tells bone from background, and nothing about its cortex.
        labels = read_labels(row.result) if row.result is not None else regions.with_array(regions.array != 0)
        result = region_volumes(regions, labels)
        reference = region_volumes(read_labels(row.reference_regions), read_labels(row.reference))
        found.update({name: (result[name], reference[name]) for name in result if name in reference})
    return [{"region": name, "result_mm3": a, "reference_mm3": b} for name, (a, b) in found.items()]


def _add_readers(cohort, row: CaseRow, result: Volume, reference: Volume, files, options) -> None:
    others = [files.mask(path, row.labels, f"reader {n}") for n, path in enumerate(row.other_references)]
    readers = [reorient(as_mask(mask), _ANY_AXES) for mask in (reference, *others)]
    for mask in readers[1:]:
        align(mask, readers[0])  # refuses what lies elsewhere
    masks, grid = [mask.array for mask in readers], readers[0].grid
    consensus = staple(masks, grid)
    entry = next((e for e in cohort.readers if (e["subject"], e["structure"]) == (row.subject, row.structure)), None)
    if entry is None:
        entry = {
            "subject": row.subject,
            "structure": row.structure,
            "dice": dice_matrix(masks),
            "sensitivity": consensus.sensitivity,
            "specificity": consensus.specificity,
            "models": {},
        }
        cohort.readers.append(entry)
    found = reorient(align(as_mask(result), as_mask(reference), options.interpolate)[0], _ANY_AXES).array
    distances = surface_distances(found, consensus.mask, grid, options.surface)
    entry["models"][row.model] = {
        "reader_dice": dice_matrix([found, *masks])[0, 1:].tolist(),
        "consensus_dice": float(dice_matrix([found, consensus.mask])[0, 1]),
        "consensus_asd_mm": _defined(distances.asd),
    }
