"""``cross-validate``: the papers' tables on one's own cases, every case segmented by networks that never saw it."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, print_json, print_table
from .progress import Progress, progress_option

_PATH = click.Path(path_type=Path)


@click.command(name="cross-validate", short_help="Cross-validate a network and write the papers' table.")
@click.option("--network", required=True, metavar="NAME", help="One of `proximal-femur-seg networks`.")
@click.option("--data", required=True, metavar="phantom|FOLDER|TABLE.csv",
              help="Simulated hips, or pairs of images and masks as for `train`: a table with the columns image and "
              "mask (and endosteal, side, subject), or a folder with a folder per subject.")
@click.option("--output", "-o", required=True, type=_PATH, help="Folder for all that is made.")
@click.option("--folds", type=click.IntRange(min=2), default=4, show_default=True,
              help="Their number: 4 in SciRep-2018, 10 in QCT-2021.")
@click.option("--recipe", default="default", show_default=True, metavar="NAME|FILE",
              help="How to train, as for `train`: the recipe also says whether the best weights are kept or the last.")
@click.option("--epochs", type=click.IntRange(min=1),
              help="Passes over the training images of a fold. Default: the recipe's.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True),
              help="Time for each network of each fold, in minutes; two runs are then equal only if they are equally "
              "fast.")
@click.option("--validation", type=click.Choice(["fold", "inner"]), default="fold", show_default=True,
              help="What early stopping, the best weights and the threshold are chosen on: the fold that is held out, "
              "as in the papers, or some subjects of the others, so that the figures owe nothing to that choice.")
@click.option("--patch", type=click.IntRange(min=8), nargs=3, metavar="D H W",
              help="Voxels of a training sample along the network's slices, rows and columns.")
@click.option("--scenes", type=click.IntRange(min=2), default=12, show_default=True,
              help="Phantoms: how many are simulated.")
@click.option("--simulated", is_flag=True,
              help="Pairs: say on the cards that these images are simulated; phantoms are known without it.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True,
              help="Of the folds, the first weights and the samples.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]|mps",
              help="Processor; auto is a GPU that works, else the CPU.")
@click.option("--workers", type=click.IntRange(0, 64), default=1, show_default=True,
              help="Processes that prepare samples.")
@click.option("--resume", is_flag=True, help="Go on with the cross-validation that is in the output folder.")
@progress_option
@json_option
def cross_validate(network, data, output, folds, recipe, epochs, minutes, validation, patch, scenes, simulated, seed,
                   device, workers, resume, progress_style, as_json):
    """Train the network NAME, or a cascade, once for every fold, and segment the cases that each training did not see.

    The folds have subjects of both sides and of all bone sizes alike. Stopped at any moment, the same command with
    --resume goes on to the same result.

    \b
    Written to the output folder:
      report.html, cases.csv, summary.csv, tests.csv, volumes.csv, *.png, *.svg
                          the tables and figures of `cohort`, over all folds
      trainings.png, .svg loss, accuracy and Dice of every fold
      folds.json          who is in which fold
      table.csv           the cases, for `cohort` with other options
      fold-N/weights/     the weights of each fold, with cards
      fold-N/predictions/ masks, probability maps and references of its cases
    """
    from ..errors import CancelledError
    from ..inference.devices import choose_device
    from ..models import find_preset
    from ..training.cross_validation import CrossValidation, make_phantoms, plan_folds, run_folds, write_case_table
    from ..training.processes import joined_processes

    preset = find_preset(network)
    changes = {"epochs": epochs, "minutes": minutes, "seed": seed}
    changes = {name: value for name, value in changes.items() if value is not None}
    phantoms = data == "phantom"
    request = CrossValidation(preset, output, recipe, changes, folds, validation, patch or None, simulated or phantoms)
    with joined_processes(choose_device(device)) as processes:
        with Progress(progress_style if processes.first else "none") as progress:
            try:
                plan = None
                if processes.first:
                    if phantoms:
                        data = make_phantoms(output / "phantoms", preset.modality, scenes, seed,
                                             lambda done, total: progress("simulating scans", done, total))
                    plan = plan_folds(request, data, resume, seed,
                                      lambda done, total: progress("reading the masks", done, total))
                plan = processes.from_first(plan)
                run_folds(request, plan, workers, processes, progress)
                if not processes.first:
                    return
                measured, groups, trained = _report(request, plan, write_case_table(request, plan), progress)
            except KeyboardInterrupt:
                raise CancelledError(f"Stopped; the same command with --resume goes on from '{output}'.") from None
    if as_json:
        from .cohort import means_of

        print_json({"output": output, "folds": trained, "cases": len(measured.cases), "models": means_of(measured)})
        return
    for segmentation in groups[0][1]:
        print_table(segmentation.rows, segmentation.heading)
    click.echo()
    rows = [[e["fold"], e["role"], f"{e['epochs']:g}", f"{e['kept_epoch']:g}", f"{e['dice']:.4f}"] for e in trained]
    print_table(rows, ["fold", "network", "epochs", "kept", "validation Dice"])
    if validation == "fold":
        click.echo("As in the papers, thresholds and the weights that were kept were chosen on the cases held out; "
                   "--validation inner chooses them on others.", err=True)
    click.echo(f"The report is in '{output / 'report.html'}'.")


def _report(request, plan, table, progress):
    """Tables and figures over all folds; returns what was measured, the report's sections, and what was trained."""
    from ..evaluation.cohort import CohortOptions, evaluate_cohort
    from ..evaluation.cohort_rows import read_cohort_table
    from ..output_folder import staged_output
    from ..training.cross_validation import fold_folder, shows_postprocessing
    from ..training_figure import draw_fold_curves
    from .cohort import report_files, write_cohort

    rows, _ = read_cohort_table(table)
    options = CohortOptions(postprocess="largest" if shows_postprocessing(request, plan) else "", interpolate=True)
    title = f"{len(plan.folds)}-fold cross-validation of {request.preset.name}"
    with staged_output(request.folder, report_files(rows), overwrite=True) as staging:
        measured = evaluate_cohort(rows, options, progress)
        groups = write_cohort(measured, options, staging, request.folder, title, progress=progress)
    numbers = range(1, len(plan.folds) + 1)
    folders = {s.role: [fold_folder(request, n) / s.role for n in numbers] for s in request.preset.stages}
    draw_fold_curves(folders, request.folder / "trainings", f"Trainings of the {title}")
    return measured, groups, [_trained(request, stage, n) for n in numbers for stage in request.preset.stages]


def _trained(request, stage, number) -> dict:
    import json

    from ..training.cross_validation import fold_folder
    from ..training.training_log import read_log

    folder = fold_folder(request, number)
    card = json.loads((folder / "weights" / f"{stage.weights}.json").read_text(encoding="utf-8"))
    done = card["training"]
    steps = max(entry["step"] for entry in read_log(folder / stage.role))
    epochs_a_step = card["recipe"]["batch_size"] / card["data"]["epoch_samples"]
    return {
        "fold": number,
        "role": stage.role,
        "subjects": card["data"]["validation_subjects"],
        "steps": steps,
        "epochs": round(steps * epochs_a_step, 2),
        "kept_epoch": round(done["steps"] * epochs_a_step, 2),
        "minutes": done["minutes"],
        "dice": done["validation"]["dice"],
        "operating_point": card["operating_point"],
    }
