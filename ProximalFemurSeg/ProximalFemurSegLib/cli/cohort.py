"""``cohort``: the papers' tables and figures from a table of cases."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, overwrite_option, print_json, print_table
from .progress import Progress, progress_option

_PATH = click.Path(path_type=Path)
REPORT = "report.html"
CSV = ("cases.csv", "summary.csv", "tests.csv", "volumes.csv")
CORRECTIONS = "corrections.csv"


@click.command(short_help="Tables, figures and a report from many cases.")
@click.argument("table", type=_PATH)
@click.option("--output", "-o", required=True, type=_PATH, help="Folder for the files.")
@click.option("--threshold", default="model", show_default=True, metavar="model|roc|youden|VALUE",
              help="For rows without a mask: the operating point on the rows whose split is validation (model: nearest "
              "to precision = recall = 1), or a probability.")
@click.option("--postprocess", "steps", default="", metavar="STEPS",
              help="Evaluate every model a second time after these steps, for example largest or largest,fill.")
@click.option("--baseline", metavar="MODEL", help="Compare each model with this one alone, and not all pairs.")
@click.option("--surface", type=click.Choice(["voxels", "mesh"]), default="voxels", show_default=True,
              help="What distances are measured between: surface voxels, as in the papers, or pieces of the mesh "
              "between them, weighted by area.")
@click.option("--tolerance", type=click.FloatRange(min=0), default=1.0, show_default=True, metavar="MM",
              help="Distance in mm that the surface Dice accepts.")
@click.option("--corrections", type=_PATH, metavar="DIR",
              help="Folder with records of correction time, to compare with segmentation from nothing.")
@click.option("--worst", type=click.IntRange(min=0), default=12, show_default=True, metavar="N",
              help="How many of the worst cases are shown with a picture.")
@click.option("--title", default="Evaluation of a cohort", show_default=True, help="Of the report.")
@click.option("--resample", is_flag=True,
              help="Bring results on other grids onto their reference's; without it, they are refused.")
@overwrite_option
@progress_option
@json_option
def cohort(table, output, threshold, steps, baseline, surface, tolerance, corrections, worst, title, resample,
           overwrite, progress_style, as_json):
    """Evaluate all cases of TABLE, a CSV file with one line a case, and write a report.

    \b
    Columns; paths are relative to the folder of the table:
      subject             who; results of one subject are compared in pairs
      reference           the mask that is right
      result              the mask to judge; or leave it empty and give
      probability         the probability map; also for ROC and PR curves
      model               what made the result
      structure           for example periosteal or endosteal
      label               label values that are bone, separated by blanks; else any but 0
      image               what was segmented, for the pictures
      split               validation for cases that only choose thresholds; else test
      fold                of a cross-validation; curves are then averaged over folds
      result_regions, reference_regions
                          maps of 1 head, 2 neck, 3 trochanter, 4 intertrochanter
      reference_2, reference_3, ...
                          masks of further readers

    \b
    Written to the output folder:
      report.html         everything on one page that needs no network
      cases.csv           every metric of every case
      summary.csv         means, medians, intervals; tests.csv the paired tests
      volumes.csv         every volume beside its reference, in mm3
      corrections.csv     every record of correction time, where there are any
      *.png, *.svg        the figures
    """
    from ..errors import BadInputError
    from ..evaluation.cohort import CohortOptions, evaluate_cohort
    from ..evaluation.cohort_rows import read_cohort_table
    from ..evaluation.correction_time import read_records
    from ..output_folder import staged_output
    from ..postprocessing import postprocess_steps
    from ..thresholds import resolve_threshold

    rows, unused = read_cohort_table(table)
    if threshold == "otsu":
        raise BadInputError("A cohort has one threshold for all cases: choose model, roc, youden or a probability.")
    if threshold not in ("model", "roc", "youden"):
        threshold = resolve_threshold(threshold)
    postprocess_steps(steps)
    records = read_records(corrections) if corrections is not None else []
    options = CohortOptions(threshold, steps, surface, tolerance, resample)
    models = list(dict.fromkeys(row.model for row in rows))
    if baseline is not None and baseline not in models:
        raise BadInputError(f"'{table}' has no model '{baseline}'; choose one of {', '.join(models)}.")
    announced = report_files(rows)
    with staged_output(output, announced, overwrite) as staging, Progress(progress_style) as progress:
        measured = evaluate_cohort(rows, options, progress)
        groups = write_cohort(measured, options, staging, output, title, baseline, records, worst, progress)
    if as_json:
        print_json({"output": output, "cases": len(measured.cases), "unused_columns": unused,
                    "models": means_of(measured)})
        return
    for segmentation in groups[0][1]:
        print_table(segmentation.rows, segmentation.heading)
    if unused:
        click.echo(f"Columns that were not used: {', '.join(unused)}.", err=True)
    click.echo(f"The report is in '{output / REPORT}'.")


def report_files(rows) -> list[str]:
    """Names of the files that `write_cohort` writes for the rows of a table."""
    from ..evaluation.cohort_figures import figure_names
    from ..evaluation.cohort_rows import VALIDATION

    figures = figure_names(row.structure for row in rows if row.split != VALIDATION)
    return [REPORT, *CSV, CORRECTIONS, *(f"{name}.{kind}" for name in figures for kind in ("png", "svg"))]


def means_of(measured) -> list[dict]:
    """The mean of every metric, for each structure and model of a cohort."""
    return [_means(measured, s, m) for s in measured.structures for m in measured.models if measured.of(s, m)]


def _means(measured, structure, model) -> dict:
    from ..evaluation.cohort_tables import METRICS
    from ..evaluation.statistics import summarise

    cases = measured.of(structure, model)
    found = {metric.key: summarise([case.get(metric.key) for case in cases]) for metric in METRICS}
    means = {key: summary.mean for key, summary in found.items() if summary.count}
    return {"structure": structure, "model": model, "cases": len(cases), "mean": means}


def write_cohort(measured, options, folder, final_folder, title="", baseline=None, records=(), worst=12,
                 progress=lambda stage, done, total: None):
    """Write report, tables and figures; returns the report's sections."""
    from ..evaluation import cohort_tables as tables
    from ..evaluation.cohort_figures import draw_figures
    from ..evaluation.cohort_pictures import worst_pictures
    from ..evaluation.cohort_report import write_report
    from ..evaluation.correction_tables import corrections_csv, time_table

    tests = tables.paired_tests(measured, baseline)
    groups = [("Segmentation", [*tables.segmentation_tables(measured), tables.structure_table(measured)])]
    groups.append(("Comparison of models",
                   tables.star_tables(tests) if baseline is None else tables.baseline_tables(tests)))
    groups.append(("Volumes", [tables.volume_table(measured)]))
    groups.append(("Readers", [tables.reader_table(measured)]))
    groups.append(("Correction time", [time_table(records)]))
    groups.append(("Thresholds", [tables.point_table(measured)]))
    groups = [(name, [found for found in group if found is not None]) for name, group in groups]
    groups = [(name, group) for name, group in groups if group]
    texts = (tables.cases_csv(measured), tables.summary_csv(measured), tables.tests_csv(tests),
             tables.volumes_csv(measured))
    for name, text in zip(CSV, texts):
        (folder / name).write_bytes(text.encode("utf-8"))
    if records:
        (folder / CORRECTIONS).write_bytes(corrections_csv(records).encode("utf-8"))
    progress("drawing", 0, 2)
    figures = draw_figures(measured)
    for name, (_, _, files) in figures.items():
        for kind, content in files.items():
            (folder / f"{name}.{kind}").write_bytes(content)
    progress("drawing", 1, 2)
    pictures = worst_pictures(measured, options, worst)
    write_report(folder / REPORT, measured, options, groups, figures, pictures, title, Path(final_folder))
    progress("drawing", 2, 2)
    return groups
