"""``fine-tune``: a shipped network, taught by a few cases that the user corrected."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path

import click

from .output import json_option, overwrite_option, print_json, print_table
from .progress import Progress, progress_option


@click.command("fine-tune", short_help="Teach a network with a few cases that you corrected.")
@click.option("--network", required=True, metavar="NAME", help="One of `proximal-femur-seg networks` with weights.")
@click.option("--data", required=True, type=click.Path(path_type=Path), metavar="FOLDER|TABLE.csv",
              help="Images and corrected masks on the same voxels: a table with the columns image and mask (and "
              "endosteal, side, subject), or a folder with a folder per subject that holds image.nii.gz and "
              "mask.nii.gz. In masks 1 is trabecular and 2 cortical bone, or any label the bone.")
@click.option("--name", "label", default="mine", show_default=True, metavar="LABEL",
              help="The new network is called NAME+LABEL.")
@click.option("--out", type=click.Path(path_type=Path),
              help="Folder for the new weights; by default this user's own, where every command and the Slicer module "
              "find them.")
@click.option("--stage", "roles", multiple=True, metavar="ROLE",
              help="Of a cascade only this network: periosteal or endosteal; may be repeated. Default: all that the "
              "masks teach (the endosteal one, if they tell trabecular from cortical bone).")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=15.0, show_default=True,
              help="Time for all trainings together, in minutes; on a slow processor fewer steps are done. To measure "
              "the cases takes as long as to segment each of them twice.")
@click.option("--steps", type=click.IntRange(min=1), help="Steps of each training, whatever time they take.")
@click.option("--folds", type=click.IntRange(min=2), default=4, show_default=True,
              help="At most so many trainings leave cases out: so many subjects one by one, more of them in groups.")
@click.option("--patch", type=click.IntRange(min=8), nargs=3, metavar="D H W",
              help="Voxels of a training sample along the network's slices, rows and columns.")
@click.option("--modality", type=click.Choice(["auto", "mr", "ct"]), default="auto", show_default=True,
              help="What the images are; auto decides by the header, else by the values.")
@click.option("--phantoms", type=click.Path(path_type=Path, file_okay=False),
              help="Folder that keeps the simulated hips for the next time, such as OUTPUT/phantoms of `train`.")
@click.option("--work", type=click.Path(path_type=Path, file_okay=False),
              help="Folder that keeps prepared cases, checkpoints and logs; by default they are deleted.")
@click.option("--simulated", is_flag=True,
              help="Say on the card that these images are simulated; phantoms are known without it.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of the folds and the samples.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]|mps",
              help="Processor; auto is a GPU that works, else the CPU.")
@overwrite_option
@progress_option
@json_option
def fine_tune(network, data, label, out, modality, phantoms, work, simulated, overwrite, progress_style, as_json,
              **choices):
    """Teach the network NAME with a few cases that you corrected, on your own computer in minutes.

    Training starts from the weights that are here. Each case is first left out of a training on the others and then
    segmented (of more than four subjects groups, of a single case parts of itself), and the new weights are kept only
    if these cases became better: the mean Dice by at least 0.005, and more of them better than worse. Every fourth
    training sample is a simulated one, so that what the network knew is not lost.

    \b
    Written to the folder of the new weights, beside the shipped ones and never over them:
      WEIGHTS+LABEL.safetensors  the weights
      WEIGHTS+LABEL.json         their card: cases (numbers, checksums), every
                                 figure before and after, curves, limits
      WEIGHTS+LABEL.png          before and after as a picture

    Then: proximal-femur-seg segment IMAGE --network NAME+LABEL --output DIR. The command networks lists it, and so does
    the menu of the Slicer module. A folder of --out has to be named in the environment variable
    PROXIMAL_FEMUR_SEG_MODELS for that.
    """
    from ..errors import BadInputError, CancelledError
    from ..fine_tuned import check_label, user_model_folder
    from ..models import find_preset
    from ..training.pair_table import are_phantoms, find_pairs

    preset = find_preset(network)
    check_label(label)
    if preset.origin is not None:
        raise BadInputError(
            f"{network} is fine-tuned already; start from {preset.origin} again, with the earlier cases and new ones."
        )
    out = user_model_folder() if out is None else out
    if not overwrite:
        _refuse_existing(preset, label, out)
    pairs = find_pairs(data)
    simulated = simulated or are_phantoms(pairs)
    place = nullcontext(work) if work else tempfile.TemporaryDirectory(prefix="proximal-femur-seg-")
    with Progress(progress_style) as progress, place as folder:
        try:
            result = _run(preset, pairs, label, out, modality, phantoms, Path(folder), simulated, overwrite, progress,
                          **choices)
        except KeyboardInterrupt:
            raise CancelledError("Stopped; nothing was written.") from None
    if as_json:
        print_json(result)
    else:
        _print_result(result)


def _run(preset, pairs, label, out, modality, phantoms, work, simulated, overwrite, progress, *, roles, minutes, steps,
         folds, patch, seed, device) -> dict:
    from ..fine_tuned import own_name
    from ..fine_tuning_figure import draw_fine_tuning
    from ..inference.devices import choose_device
    from ..output_folder import staged_output
    from ..training import fine_tuning_card as cards
    from ..training.corrected_cases import read_cases
    from ..training.fine_tuning import RULE, FineTuningOptions, fine_tune

    cases = read_cases(pairs, preset, modality)
    options = FineTuningOptions(roles, steps, None if steps else minutes, patch, seed, folds,
                                str(choose_device(device)))
    outcomes = fine_tune(preset, cases, work, options, phantoms, progress)
    kept = [outcome for outcome in outcomes if outcome.kept]
    if kept:
        names = [file for outcome in outcomes for file in _files(outcome.stage, label)]
        with staged_output(out, names, overwrite) as staging:
            for outcome in kept:
                weights = cards.store_outcome(preset, outcome, label, cases, options, simulated, staging)
                draw_fine_tuning(outcome, weights.with_suffix(".png"), f"{own_name(preset.name, label)}, "
                                 f"{outcome.stage.role}: {cards.taught_with(cases, simulated)}")
    name = own_name(preset.name, label) if kept else preset.name
    return {
        "network": name,
        "output": out if kept else None,
        "rule": RULE,
        "taught": [
            {
                "role": outcome.stage.role,
                "kept": outcome.kept,
                "weights": out / _files(outcome.stage, label)[0] if outcome.kept else None,
                "scheme": cards.scheme(outcome, cases),
                "left_out": outcome.rows,
                "mean_dice": {when: round(outcome.mean(when), 4) for when in ("before", "after")},
                "old_look": outcome.phantoms,
                "operating_point": outcome.operating_point,
                "steps": outcome.recipe.steps,
                "minutes": round(outcome.seconds / 60, 1),
                "limits": cards.limits(outcome, cases),
            }
            for outcome in outcomes
        ],
    }


def _files(stage, label: str) -> list[str]:
    from ..fine_tuned import own_name

    return [own_name(stage.weights, label) + suffix for suffix in (".safetensors", ".json", ".png")]


def _refuse_existing(preset, label: str, out) -> None:
    """Before minutes of training rather than after them."""
    from ..errors import BadInputError

    existing = [file for stage in preset.stages for file in _files(stage, label) if (out / file).exists()]
    if existing:
        raise BadInputError(
            f"'{out}' already holds {existing[0]}; choose another --name, or add --overwrite to replace it."
        )


def _print_result(result: dict) -> None:
    for taught in result["taught"]:
        click.echo(f"{taught['role']}, {taught['steps']} steps a training, {taught['minutes']} minutes. "
                   f"{taught['scheme']}")
        rows = [
            [row["subject"], row["name"], *(_shown(row[when][metric], digits)
             for metric, digits in (("dice", 4), ("asd_mm", 2)) for when in ("before", "after"))]
            for row in taught["left_out"]
        ]
        mean = taught["mean_dice"]
        rows.append(["mean", "", f"{mean['before']:.4f}", f"{mean['after']:.4f}", "", ""])
        print_table(rows, ["subject", "left out", "Dice before", "after", "ASD mm before", "after"])
        if not taught["kept"]:
            click.echo(f"The shipped weights stay. {result['rule']}\n")
            continue
        look = taught["old_look"]
        click.echo(f"Simulated samples of the old look: Dice {look['before']:.4f} before, {look['after']:.4f} after.")
        click.echo(f"Kept: {taught['weights']}, threshold {taught['operating_point']['threshold']:.3f}.")
        for limit in taught["limits"]:
            click.echo(f"Note: {limit}")
        click.echo()
    if result["output"] is not None:
        click.echo(f"Segment with it: proximal-femur-seg segment IMAGE --network {result['network']} --output DIR")


def _shown(value, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
