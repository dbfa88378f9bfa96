"""``train``: a network of a preset, on phantoms or on pairs of images and masks."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, print_json
from .progress import Progress, progress_option


@click.command(short_help="Train a network on phantoms or on your own images.")
@click.option("--network", required=True, metavar="NAME", help="One of `proximal-femur-seg networks`.")
@click.option("--data", default="phantom", show_default=True, metavar="phantom|FOLDER|TABLE.csv",
              help="Simulated hips, or pairs of images and masks: a table with the columns image and mask (and "
              "endosteal, side, subject), or a folder with a folder per subject that holds image.nii.gz and "
              "mask.nii.gz. In masks 1 is trabecular and 2 cortical bone, or any label the bone.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for all that is made.")
@click.option("--stage", metavar="ROLE", help="Of a cascade only this network: periosteal or endosteal.")
@click.option("--epochs", type=click.IntRange(min=1),
              help="Passes over the training images; an epoch of phantoms has 400 samples. Default: the recipe's.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Time for each network, in minutes.")
@click.option("--recipe", default="default", show_default=True, metavar="NAME|FILE",
              help="How to train: a paper (qct-2021, scirep-2018, arxiv-v2, arxiv-v1, ismrm-2017), any other recipe of "
              "this program, or a file (.json, .toml) with loss, optimizer, learning rate and so on.")
@click.option("--start", metavar="shipped|FILE",
              help="Go on from weights that are there: those of this program, or a .safetensors file of a training.")
@click.option("--patch", type=click.IntRange(min=8), nargs=3, metavar="D H W",
              help="Voxels of a training sample along the network's slices, rows and columns.")
@click.option("--scenes", type=click.IntRange(min=1), default=60, show_default=True,
              help="Phantoms: simulated patients to train on; one for every eight is held out.")
@click.option("--anatomy", type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Phantoms: folder of real shapes, on which half of the patients are then built.")
@click.option("--whole-scans", type=click.IntRange(min=0), default=0, show_default=True,
              help="Phantoms: scans that are simulated as a whole, as `phantom` makes them, for three of five samples; "
              "40 make much better networks, and take ten minutes or so to be made.")
@click.option("--simulated", is_flag=True,
              help="Pairs: say on the card that these images are simulated; phantoms are known without it.")
@click.option("--seed", type=click.IntRange(min=0),
              help="Of the first weights, the split and the samples. Default: the recipe's, else 1.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]|mps",
              help="Processor; auto is a GPU that works, else the CPU.")
@click.option("--workers", type=click.IntRange(0, 64), default=1, show_default=True,
              help="Processes that prepare samples.")
@click.option("--resume", is_flag=True, help="Go on with the training that is in the output folder.")
@progress_option
@json_option
def train(network, data, output, stage, resume, progress_style, as_json, **choices):
    """Train the network NAME, or the networks of a cascade one after the other.

    \b
    Written to the output folder:
      WEIGHTS.safetensors  the trained weights
      WEIGHTS.json         their card: data, recipe, seed, commit, hardware,
                           curves, validation, operating points
      WEIGHTS-curves.png   loss and Dice over the training
      ROLE/                checkpoint, log and recipe, to resume

    Name the folder in the environment variable PROXIMAL_FEMUR_SEG_MODELS to segment with these weights.

    On several GPUs or machines, which share the folders, start it with torchrun; the recipe's batch is shared out:

    \b
      torchrun --nproc_per_node 2 -m ProximalFemurSegLib train --network ...
    """
    from ..errors import BadInputError, CancelledError
    from ..inference.devices import choose_device
    from ..models import find_preset
    from ..training.processes import joined_processes

    preset = find_preset(network)
    stages = [s for s in preset.stages if stage in (None, s.role)]
    if not stages:
        roles = ", ".join(s.role for s in preset.stages)
        raise BadInputError(f"The network {network} has no stage '{stage}'; choose one of {roles}.")
    trained = []
    with joined_processes(choose_device(choices.pop("device"))) as processes:
        with Progress(progress_style if processes.first else "none") as progress:
            try:
                for one in stages:
                    trained.append(_train_one(preset, one, data, output, resume, progress, processes, **choices))
            except KeyboardInterrupt:
                raise CancelledError(f"Stopped; the same command with --resume goes on from '{output}'.") from None
    if not processes.first:
        return
    if as_json:
        print_json({"output": output, "trained": trained})
        return
    for entry in trained:
        click.echo(f"{entry['weights']}: {entry['steps']} steps in {entry['minutes']} minutes, validation Dice "
                   f"{entry['validation']['dice']:.4f}; trained on {entry['trained_on']}.")


def _train_one(preset, stage, data, output, resume, progress, processes, *, epochs, minutes, recipe, start, patch,
               scenes, anatomy, whole_scans, simulated, seed, workers) -> dict | None:
    import dataclasses
    import json
    import math

    from ..models import sha256, weights_path
    from ..training.recipe_files import find_recipe
    from ..training.stage_data import pair_training_data, phantom_training_data
    from ..training.stage_training import train_stage
    from ..training.start import read_start
    from ..training_figure import draw_training_curves

    folder = output / stage.role
    recipe = find_recipe(recipe, stage)
    changes = {"epochs": epochs, "minutes": minutes, "seed": seed}
    recipe = recipe.replace(**{name: value for name, value in changes.items() if value is not None})
    stage = dataclasses.replace(stage, options=recipe.options)
    start = weights_path(stage) if start == "shipped" else start
    state = read_start(start, stage) if start else None
    title = f"preparing {stage.role}"

    def prepare():
        if data == "phantom":
            held_out = max(1, math.ceil(scenes / 8))
            count = iter(range(1_000_000))
            total = (scenes + held_out) * (1 if anatomy is None else 2)
            total += whole_scans + held_out if whole_scans else 0
            return phantom_training_data(
                stage, output / "phantoms", anatomy, scenes, held_out, patch, recipe.seed,
                announce=lambda text: progress(title, next(count), total), recipe=recipe, whole_scans=whole_scans,
            )
        return pair_training_data(
            stage, preset.modality, data, folder / "pairs", simulated, patch, recipe.seed,
            progress=lambda done, total: progress(title, done, total), recipe=recipe,
        )

    # The first process makes the files, the others find them.
    prepared = prepare() if processes.first else None
    processes.from_first(None)
    prepared = prepared or prepare()
    if start:
        prepared.description["started_from"] = {"weights": Path(start).stem, "sha256": sha256(start)}

    def report(entry):
        share = recipe.share_done(entry["step"], entry["seconds"], prepared.epoch)
        progress(f"training {stage.role}", share, 1)

    result, weights = train_stage(
        stage, prepared, recipe, folder, output, resume, processes.device, workers, report, start=state,
        processes=processes,
    )
    if weights is None:
        return None
    draw_training_curves(folder, weights.with_name(f"{weights.stem}-curves.png"), f"{preset.name}, {stage.role}")
    card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    return {
        "role": stage.role,
        "weights": weights,
        "card": weights.with_suffix(".json"),
        "steps": result.steps,
        "minutes": round(result.seconds / 60, 1),
        "validation": card["training"]["validation"],
        "operating_point": card["operating_point"],
        "trained_on": card["trained_on"],
    }

