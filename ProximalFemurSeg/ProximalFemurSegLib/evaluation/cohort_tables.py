"""The papers' tables of a cohort: for reading, with rounded numbers, and as CSV, with all of them."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field

import numpy as np

from .cohort import POSTPROCESSED, Cohort
from .cohort_volumes import WHOLE
from .statistics import Summary, bootstrap_interval, compare_models, stars, summarise
from .volumes import VolumeAgreement


@dataclass(frozen=True)
class Metric:
    """A column of the tables.

    Parameters
    ----------
    key : str
        In a case's values.
    title : str
        With its unit.
    digits : int
        Behind the point.
    better : int
        1 if larger is better, -1 if smaller is.
    median : bool
        Shown as median (IQR), as the papers do for AP, else as mean and standard deviation.
    """

    key: str
    title: str
    digits: int
    better: int
    median: bool = False


METRICS = (
    Metric("average_precision", "AP", 3, 1, median=True),
    Metric("roc_auc", "AUC", 4, 1),
    Metric("dice", "DSC", 3, 1),
    Metric("precision", "Precision", 3, 1),
    Metric("recall", "Recall", 3, 1),
    Metric("specificity", "Specificity", 4, 1),
    Metric("asd_mm", "ASD (mm)", 2, -1),
    Metric("msd_mm", "MSD (mm)", 2, -1),
    Metric("hd95_mm", "HD95 (mm)", 2, -1),
    Metric("surface_dice", "Surface DSC", 3, 1),
)
STAR_NOTE = (
    "Paired Wilcoxon signed-rank tests with Holm's correction over all pairs of a table: ns p ≥ 0.05, * p < 0.05, "
    "** p < 0.01, *** p < 0.001. Differences, their intervals and p-values are in tests.csv."
)
TESTED = ("average_precision", "dice", "asd_mm")
_BY_KEY = {metric.key: metric for metric in METRICS}


@dataclass
class Table:
    """A table to read.

    Parameters
    ----------
    title, note : str
        Above and below it.
    heading : list of str
        One a column.
    rows : list of list of str
        The first cell names the row.
    best : set of tuple of int
        (row, column) of what to stress.
    narrow : bool
        May stand beside others.
    """

    title: str
    note: str
    heading: list[str]
    rows: list[list[str]]
    best: set[tuple[int, int]] = field(default_factory=set)
    narrow: bool = False


def metric_title(key: str) -> str:
    """Name and unit of a metric."""
    return _BY_KEY[key].title


def mean_sd(summary: Summary, digits: int) -> str:
    """Mean and standard deviation; one value stands alone.

    Examples
    --------
    >>> mean_sd(summarise([0.95, 0.97]), 3)
    '0.960 ± 0.014'
    """
    if not summary.count:
        return "–"
    text = f"{summary.mean:.{digits}f}"
    return text if math.isnan(summary.sd) else f"{text} ± {summary.sd:.{digits}f}"


def median_iqr(summary: Summary, digits: int) -> str:
    """Median and, in brackets, the interquartile range."""
    return f"{summary.median:.{digits}f} ({summary.iqr:.{digits}f})" if summary.count else "–"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _shown(cohort: Cohort) -> list[Metric]:
    return [metric for metric in METRICS if any(case.get(metric.key) is not None for case in cohort.cases)]


def named(structure: str) -> str:
    """A structure at the end of a title."""
    return f": {structure}" if structure else ""


def segmentation_tables(cohort: Cohort) -> list[Table]:
    """One table a structure, one line a model (SciRep-2018, Tables 1 to 3)."""
    tables = []
    metrics = _shown(cohort)
    for structure in cohort.structures:
        rows, summaries = [], []
        models = [model for model in cohort.models if cohort.of(structure, model)]
        for model in models:
            cases = cohort.of(structure, model)
            found = [summarise([case.get(metric.key) for case in cases]) for metric in metrics]
            texts = [(median_iqr if m.median else mean_sd)(s, m.digits) for m, s in zip(metrics, found)]
            texts = [f"{t} [{s.undefined} undefined]" if s.undefined and s.count else t for t, s in zip(texts, found)]
            rows.append([model, str(len(cases)), *texts])
            summaries.append(found)
        arrows = [f"{metric.title}\u00a0{'↑' if metric.better > 0 else '↓'}" for metric in metrics]
        note = "Mean ± standard deviation over subjects" + (
            "; AP as median (interquartile range)." if any(metric.median for metric in metrics) else "."
        )
        if any(POSTPROCESSED in model for model in models):
            note += " PP: after post-processing."
        if len(models) > 1:
            note += " The best of each column is bold."
        best = _best(metrics, summaries) if len(models) > 1 else set()
        tables.append(Table(f"Segmentation{named(structure)}", note, ["Model", "n", *arrows], rows, best))
    return tables


def _best(metrics, summaries) -> set[tuple[int, int]]:
    best = set()
    for column, metric in enumerate(metrics):
        values = [
            (found[column].median if metric.median else found[column].mean) * metric.better for found in summaries
        ]
        if not all(map(math.isnan, values)):
            top = round(float(np.nanmax(values)), metric.digits)
            best |= {(row, column + 2) for row, value in enumerate(values) if round(value, metric.digits) == top}
    return best


def structure_table(cohort: Cohort) -> Table | None:
    """All structures of each model in one table (QCT-2021, Table 1); None with fewer than two structures."""
    if len(cohort.structures) < 2:
        return None
    rows = []
    for model in cohort.models:
        for structure in cohort.structures:
            cases = cohort.of(structure, model)
            if cases:
                means = [
                    summarise([case[key] for case in cases]).mean for key in ("dice", "asd_mm", "specificity", "recall")
                ]
                shown = [f"{100 * means[0]:.2f}", f"{means[1]:.4f}", *(f"{100 * mean:.2f}" for mean in means[2:])]
                rows.append([model, structure, *("–" if text == "nan" else text for text in shown)])
    heading = ["Model", "Structure", "DSC (%)", "ASD (mm)", "Specificity (%)", "Sensitivity (%)"]
    return Table("Structures side by side", "Means over subjects.", heading, rows)


def paired_tests(cohort: Cohort, baseline: str | None = None) -> dict[tuple[str, str], list]:
    """(structure, metric) to the paired tests of all pairs of models, or of each model with a baseline."""
    found = {}
    for structure in cohort.structures:
        for key in TESTED:
            values = {
                model: {case["subject"]: case.get(key) for case in cohort.of(structure, model)}
                for model in cohort.models
            }
            values = {model: cases for model, cases in values.items() if any(v is not None for v in cases.values())}
            if len(values) < 2 or baseline not in (None, *values):
                continue
            pairs = None if baseline is None else [(baseline, model) for model in values if model != baseline]
            found[structure, key] = compare_models(values, pairs)
    return found


def star_tables(tests) -> list[Table]:
    """Triangles of stars (SciRep-2018, Table 4)."""
    tables = []
    for (structure, key), pairs in tests.items():
        models = list(dict.fromkeys(name for test in pairs for name in (test.first, test.second)))
        cells = {(test.first, test.second): test.stars or "–" for test in pairs}
        rows = [[first, *(cells.get((first, second), "") for second in models[1:])] for first in models[:-1]]
        fewest, most = (end(test.count for test in pairs) for end in (min, max))
        note = f"{fewest} subjects a pair." if fewest == most else f"{fewest} to {most} subjects a pair."
        title = f"Differences in {metric_title(key)}{named(structure)}"
        tables.append(Table(title, note, ["", *models[1:]], rows, narrow=True))
    return tables


def baseline_tables(tests) -> list[Table]:
    """How much each model gains over a baseline, with its interval."""
    tables = []
    for (structure, key), pairs in tests.items():
        digits = _BY_KEY[key].digits + 1
        rows = []
        for test in pairs:
            interval = "–" if math.isnan(test.interval[0]) else " to ".join(_signed(v, digits) for v in test.interval)
            mean = "–" if math.isnan(test.mean_difference) else _signed(test.mean_difference, digits)
            p = "–" if math.isnan(test.corrected) else f"{test.corrected:.2g} {test.stars}"
            rows.append([test.second, str(test.count), mean, interval, p])
        if rows:
            note = (
                "Mean of the paired differences with its 95 % bootstrap interval; p of the Wilcoxon signed-rank test."
            )
            heading = ["Model", "n", "Difference", "95 % interval", "p (Holm)"]
            title = f"{metric_title(key)} against {pairs[0].first}{named(structure)}"
            tables.append(Table(title, note, heading, rows))
    return tables


def volume_groups(cohort: Cohort) -> dict[tuple[str, str, str], VolumeAgreement]:
    """(structure, region, model) to the volumes of all subjects."""
    groups: dict[tuple[str, str, str], list] = {}
    for entry in cohort.volumes:
        groups.setdefault((entry["structure"], entry["region"], entry["model"]), []).append(entry)
    return {
        key: VolumeAgreement([e["result_mm3"] for e in entries], [e["reference_mm3"] for e in entries])
        for key, entries in groups.items()
    }


def region_title(structure: str, region: str) -> str:
    """What a volume is of."""
    return (structure or "whole mask") if region == WHOLE else region


def volume_table(cohort: Cohort) -> Table:
    """Volumes and their errors (QCT-2021, Table 2)."""
    rows = []
    groups = volume_groups(cohort)
    regions = list(dict.fromkeys((structure, region) for structure, region, _ in groups))
    # Whole structures first, then their regions; in each all models, one below the other.
    regions.sort(key=lambda names: names[1] != WHOLE)
    for (structure, region, model), found in sorted(groups.items(), key=lambda entry: regions.index(entry[0][:2])):
        relative = found.relative_percent[np.isfinite(found.relative_percent)]
        errors = "–" if not len(relative) else f"{relative.mean():.2f} ({relative.min():.2f}, {relative.max():.2f})"
        low, high = (limit / 1000 for limit in found.limits_of_agreement_mm3)
        rows.append(
            [
                region_title(structure, region),
                model,
                str(len(found.result_mm3)),
                mean_sd(summarise(found.reference_mm3 / 1000), 2),
                f"{found.mae_mm3 / 1000:.3f}",
                f"{found.rmse_mm3 / 1000:.3f}",
                errors,
                _signed(found.bias_mm3 / 1000, 2)
                + ("" if math.isnan(low) else f" ({_signed(low, 2)}, {_signed(high, 2)})"),
                "–" if math.isnan(found.correlation) else f"{found.correlation:.4f}",
            ]
        )
    heading = [
        "Region",
        "Model",
        "n",
        "Reference (cm³)",
        "MAE (cm³)",
        "RMSE (cm³)",
        "RE (%): mean (min, max)",
        "Bias (limits of agreement, cm³)",
        "r",
    ]
    note = (
        "MAE: mean absolute error; RMSE: root mean square error; RE: |result − reference| / reference. Bias: mean of "
        "result − reference, with the 95 % limits of agreement of Bland and Altman. r: Pearson's correlation."
    )
    return Table("Volumes", note, heading, rows)


def reader_table(cohort: Cohort) -> Table | None:
    """Readers and models against each other and against the consensus; None with one reader."""
    if not cohort.readers:
        return None
    rows = []
    for structure in dict.fromkeys(entry["structure"] for entry in cohort.readers):
        entries = [entry for entry in cohort.readers if entry["structure"] == structure]
        most = max(len(entry["dice"]) for entry in entries)
        for number in range(most):
            having = [entry for entry in entries if len(entry["dice"]) > number]
            cells = [
                "1"
                if other == number
                else mean_sd(summarise([e["dice"][number, other] for e in having if len(e["dice"]) > other]), 3)
                for other in range(most)
            ]
            shares = [
                mean_sd(summarise([e[name][number] for e in having]), 3) for name in ("sensitivity", "specificity")
            ]
            rows.append([f"Reader {number + 1}{named(structure)}", *cells, "–", *shares])
        for model in dict.fromkeys(name for entry in entries for name in entry["models"]):
            found = [entry["models"][model] for entry in entries if model in entry["models"]]
            cells = [
                mean_sd(summarise([f["reader_dice"][n] for f in found if len(f["reader_dice"]) > n]), 3)
                for n in range(most)
            ]
            consensus = mean_sd(summarise([f["consensus_dice"] for f in found]), 3)
            rows.append([f"{model}{named(structure)}", *cells, consensus, "–", "–"])
    most = max(len(entry["dice"]) for entry in cohort.readers)
    rows = [[row[0], *row[1:-3], *["–"] * (most - len(row) + 4), *row[-3:]] for row in rows]
    heading = [
        "",
        *(f"DSC with reader {n + 1}" for n in range(most)),
        "DSC with consensus",
        "Sensitivity",
        "Specificity",
    ]
    note = (
        "Mean ± standard deviation over subjects. The consensus is STAPLE's; sensitivity and specificity are those of "
        "the readers against it. Reader 1 drew the reference of all other tables."
    )
    return Table("Agreement between readers", note, heading, rows)


def point_table(cohort: Cohort) -> Table | None:
    """Operating points chosen on validation cases; None without."""
    if not cohort.points:
        return None
    titles = {"threshold": "nearest to precision = recall = 1", "roc": "nearest ROC corner", "youden": "Youden's index"}
    rows = [
        [
            model + named(structure),
            titles[name],
            f"{point.threshold:.4f}",
            f"{point.precision:.3f}",
            f"{point.recall:.3f}",
            f"{point.specificity:.4f}",
        ]
        for (structure, model), points in cohort.points.items()
        for name, point in points.items()
    ]
    heading = ["Model", "Operating point", "Threshold", "Precision", "Recall", "Specificity"]
    return Table(
        "Thresholds chosen on the validation cases", "On the voxels of all validation cases together.", heading, rows
    )


# --- CSV, with every digit ---


def csv_text(heading, rows) -> str:
    """Lines of values that commas separate; what is not a number is an empty cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows([["" if isinstance(c, float) and math.isnan(c) else c for c in row] for row in rows])
    return stream.getvalue()


_CASE_COLUMNS = ("subject", "model", "structure", "fold", "steps", "threshold")


def cases_csv(cohort: Cohort) -> str:
    """Every case with every metric; what is not defined is an empty cell."""
    names = [n for case in cohort.cases for n in case if n not in (*_CASE_COLUMNS, "row", "operating_points")]
    columns = [n for n in _CASE_COLUMNS if any(case.get(n) not in (None, "") for case in cohort.cases)]
    columns += list(dict.fromkeys(names))
    rows = [[_cell(case.get(name)) for name in columns] for case in cohort.cases]
    return csv_text(columns, rows)


def _cell(value):
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return "" if value is None else value


def summary_csv(cohort: Cohort) -> str:
    """Every summary, with the bootstrap interval of the mean."""
    heading = [
        "structure",
        "model",
        "metric",
        "n",
        "undefined",
        "mean",
        "sd",
        "mean_low_95",
        "mean_high_95",
        "median",
        "lower_quartile",
        "upper_quartile",
        "smallest",
        "largest",
    ]
    rows = []
    for structure in cohort.structures:
        for model in cohort.models:
            cases = cohort.of(structure, model)
            for metric in _shown(cohort) if cases else ():
                values = [case.get(metric.key) for case in cases]
                s = summarise(values)
                rows.append(
                    [
                        structure,
                        model,
                        metric.key,
                        s.count,
                        s.undefined,
                        s.mean,
                        s.sd,
                        *bootstrap_interval(values),
                        s.median,
                        s.lower_quartile,
                        s.upper_quartile,
                        s.smallest,
                        s.largest,
                    ]
                )
    return csv_text(heading, rows)


def tests_csv(tests) -> str:
    """Every paired test."""
    heading = [
        "structure",
        "metric",
        "first",
        "second",
        "n",
        "mean_difference",
        "low_95",
        "high_95",
        "p",
        "p_holm",
        "stars",
    ]
    return csv_text(
        heading,
        [
            [
                structure,
                key,
                t.first,
                t.second,
                t.count,
                t.mean_difference,
                *t.interval,
                t.p_value,
                t.corrected,
                stars(t.corrected),
            ]
            for (structure, key), pairs in tests.items()
            for t in pairs
        ],
    )


def volumes_csv(cohort: Cohort) -> str:
    """Every volume beside its reference."""
    columns = ["subject", "model", "structure", "region", "result_mm3", "reference_mm3"]
    return csv_text(columns, [[entry[name] for name in columns] for entry in cohort.volumes])
