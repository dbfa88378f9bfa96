"""How much a few corrected cases of another scanner help: the figures of the README.

    python Testing/Benchmarks/fine_tuning.py --output FOLDER [--cases 1 3 5] [--held-out 6] [--steps N]
        [--report FOLDER]

The look is a proton-density-weighted, fat-suppressed train of spin echoes (TR 3000 ms, TE 35 ms, 6 % of the fat's
signal left), coronal, 0.6 x 0.6 mm in 3 mm slices, one hip in 120 mm: what a clinical protocol of the hip has, and
unlike the T1-weighted gradient echo of the papers. Marrow, which is bright there, is darker than muscle here, and the
shipped weights do far worse: there is something to learn. The patients are phantoms of the project's own geometry, of
seeds that no training saw.

The shipped weights segment the held-out phantoms as they are, and again after `fine-tune` was given the first 1, 3 and
5 of other phantoms of that look with their exact masks. Results are kept in FOLDER, so that a stopped run goes on;
--report writes the table as JSON, Markdown and a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ProximalFemurSegLib import models
from ProximalFemurSegLib.evaluation import evaluate_masks
from ProximalFemurSegLib.fine_tuned import own_name
from ProximalFemurSegLib.inference import segment
from ProximalFemurSegLib.phantom import field_of_view, mr_scanner
from ProximalFemurSegLib.phantom.anatomy_sample import sample_scene
from ProximalFemurSegLib.phantom.generate import make_scene
from ProximalFemurSegLib.phantom.random_fields import generator
from ProximalFemurSegLib.training.corrected_cases import read_cases
from ProximalFemurSegLib.training.export import hardware, source_commit
from ProximalFemurSegLib.training.fine_tuning import RULE, FineTuningOptions, fine_tune
from ProximalFemurSegLib.training.fine_tuning_card import store_outcome
from ProximalFemurSegLib.training.pair_table import Pair
from ProximalFemurSegLib.volume import Volume
from ProximalFemurSegLib.volume_io import read_labels, read_volume, write_volume

NETWORK = "unet3d-dilated-f16"
FIRST_TAUGHT, FIRST_HELD_OUT = 960_000, 970_000
SEQUENCE, FAT_LEFT = mr_scanner.SpinEchoSequence(3000.0, 35.0), 0.06
PIXEL_MM, SECTION_MM, FIELD_MM, SLICES = 0.6, 3.0, 120.0, 30
LOOK = "PD-weighted, fat-suppressed spin echo (TR 3000, TE 35 ms), coronal, 0.6 x 0.6 x 3 mm"
STEM = "fine-tuning"


def make_case(seed: int, folder: Path) -> Pair:
    """One phantom of the look, with its mask of trabecular bone; kept from run to run."""
    pair = Pair(folder.name, folder / "image.nii.gz", folder / "mask.nii.gz")
    if pair.mask.exists():
        return pair
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 1])
    source = generator(rng.integers(2**62))
    scene = make_scene(seed)
    side = "left" if seed % 2 else "right"
    grid = field_of_view.mr_grid(scene.femora[side], round(FIELD_MM / PIXEL_MM), SLICES, SECTION_MM, FIELD_MM)
    sample = sample_scene(scene, grid)
    contrast = mr_scanner.draw_mr_contrast(rng, sequence=SEQUENCE)
    contrast = replace(contrast, fat=tuple(signal * FAT_LEFT for signal in contrast.fat))
    scan = replace(mr_scanner.draw_mr_scan(rng), fold_over=0.0, blur_mm=(SECTION_MM / 3, 0.3, 0.3))
    water, fat = mr_scanner.surroundings_signal(sample.tissue, contrast)
    signal = mr_scanner.compose_mr(
        water, fat, sample.periosteal, sample.endosteal, sample.density, grid.spacing[::-1], contrast, scan, source
    )
    image = (signal * 300).round().clamp(0, 32767).to(torch.int16).numpy()
    own = sample.owner == sample.sides.index(side) + 1
    truth = ((sample.periosteal < 0) & (sample.endosteal < 0) & own).numpy().astype(np.uint8)
    write_volume(Volume(image, grid, metadata={"modality": "MR"}), pair.image)
    write_volume(Volume(truth, grid), pair.mask)
    return pair


def score(network: str, pair: Pair) -> dict:
    """Dice and average surface distance of what a user would get."""
    result = segment(read_volume(pair.image), preset=network, modality="mr", device="cpu")
    truth = read_labels(pair.mask)
    metrics = evaluate_masks(truth.with_array(result.labels.array > 0), truth)
    return {name: None if metrics[name] is None else round(metrics[name], 4) for name in ("dice", "asd_mm")}


def teach(count: int, pairs, output: Path, options: FineTuningOptions) -> dict:
    """Fine-tune with the first cases; the new weights, if they are better, lie in ``output/weights``."""
    preset = models.find_preset(NETWORK)
    cases = read_cases(pairs[:count], preset, "mr")
    work = output / f"work-{count}"
    shutil.rmtree(work, ignore_errors=True)
    began, cpu = time.monotonic(), time.process_time()
    (outcome,) = fine_tune(preset, cases, work, options, output / "phantoms")
    entry = {
        "cases": count,
        "kept": outcome.kept,
        "left_out": outcome.rows,
        "old_look": outcome.phantoms,
        "threshold": outcome.operating_point["threshold"],
        "steps": outcome.recipe.steps,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "cpu_minutes": round((time.process_time() - cpu) / 60, 1),
    }
    if outcome.kept:
        store_outcome(preset, outcome, f"cases{count}", cases, options, True, output / "weights")
    return entry


def measure(counts, held_out: int, options: FineTuningOptions, output: Path) -> dict:
    """All figures; what `output` holds already is not done again."""
    log = output / "log.json"
    known = json.loads(log.read_text()) if log.exists() else {"teaching": {}, "scores": {}}

    def keep():
        log.write_text(json.dumps(known, indent=1), encoding="utf-8")

    taught = [make_case(FIRST_TAUGHT + n, output / "cases" / f"taught{n}") for n in range(max(counts))]
    unseen = [make_case(FIRST_HELD_OUT + n, output / "cases" / f"held-out{n}") for n in range(held_out)]
    for count in (0, *counts):
        if count and str(count) not in known["teaching"]:
            known["teaching"][str(count)] = teach(count, taught, output, options)
            keep()
        entry = known["teaching"].get(str(count))
        # Weights that are not better are not kept: the shipped ones go on.
        network = own_name(NETWORK, f"cases{count}") if entry and entry["kept"] else NETWORK
        for n, pair in enumerate(unseen):
            key = f"{count} {n}"
            if key not in known["scores"]:
                known["scores"][key] = score(network, pair)
                keep()
                print(count, n, known["scores"][key], flush=True)
    return known


def command(arguments) -> str:
    """What makes the table again."""
    words = ["python Testing/Benchmarks/fine_tuning.py --output FOLDER --cases", *map(str, arguments.cases)]
    words += ["--held-out", str(arguments.held_out)]
    return " ".join(words + (["--steps", str(arguments.steps)] if arguments.steps else []))


def summary(known: dict, counts, held_out: int, made_by: str) -> dict:
    """The table: per number of cases the held-out figures, and how long it took."""
    rows = []
    for count in (0, *counts):
        scores = [known["scores"][f"{count} {n}"] for n in range(held_out)]
        entry = known["teaching"].get(str(count), {})
        dice = np.array([s["dice"] for s in scores])
        surface = [s["asd_mm"] for s in scores if s["asd_mm"] is not None]
        left_out = entry.get("left_out", [])
        rows.append({
            "cases": count,
            "kept": entry.get("kept"),
            "dice": {"mean": round(float(dice.mean()), 4), "sd": round(float(dice.std(ddof=1)), 4),
                     "min": round(float(dice.min()), 4), "each": dice.tolist()},
            "asd_mm": round(float(np.mean(surface)), 3) if surface else None,
            "left_out_dice": {when: round(float(np.mean([r[when]["dice"] for r in left_out])), 4)
                              for when in ("before", "after")} if left_out else None,
            "old_look_dice": entry.get("old_look"),
            **{name: entry.get(name) for name in ("steps", "minutes", "cpu_minutes", "threshold")},
        })
    stage = models.find_preset(NETWORK).stages[0]
    return {
        "network": NETWORK,
        "weights_sha256": models.card(stage)["sha256"],
        "look": LOOK,
        "what": f"simulated MR, own geometry; {held_out} held-out phantoms, whole pipeline; taught with others",
        "rule": RULE,
        "command": made_by,
        "commit": source_commit(),
        "hardware": hardware(),
        "rows": rows,
    }


def markdown(table: dict) -> str:
    """The table for people."""
    lines = [
        f"# Fine-tuning `{table['network']}` to another look",
        "",
        f"{table['look']}. {table['what'][:1].upper()}{table['what'][1:]}. Made by `{table['command']}` on one core of "
        f"{table['hardware']['cpu']}.",
        "",
        "| corrected cases | DSC, held out | smallest | ASD mm | DSC left out of training, before and after "
        "| DSC of the old look, before and after | CPU minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table["rows"]:
        left_out, old = (
            f"{dice['before']:.3f}, {dice['after']:.3f}" if dice else "-"
            for dice in (row["left_out_dice"], row["old_look_dice"])
        )
        surface = "-" if row["asd_mm"] is None else f"{row['asd_mm']:.2f}"
        lines.append(
            f"| {row['cases'] or 'none: as shipped'} | {row['dice']['mean']:.3f} ± {row['dice']['sd']:.3f} "
            f"| {row['dice']['min']:.3f} | {surface} | {left_out} | {old} "
            f"| {'-' if row['cpu_minutes'] is None else row['cpu_minutes']} |"
        )
    steps = ", ".join(str(row["steps"]) for row in table["rows"] if row["steps"])
    return "\n".join([
        *lines,
        "",
        "Left out of training: of several cases each in turn; of one, each half of its slices, taught by the other "
        f"half. Steps of each training: {steps}. {table['rule']}",
        "",
    ])


def draw(table: dict, path: Path) -> None:
    """Every held-out phantom over the number of cases."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ProximalFemurSegLib.figure_file import save_figure

    figure = Figure(figsize=(6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = [row["cases"] for row in table["rows"]]
    for each in zip(*(row["dice"]["each"] for row in table["rows"])):
        axes.plot(places, each, "o-", color="#8fb4d9", linewidth=1, markersize=3)
    means = [row["dice"]["mean"] for row in table["rows"]]
    axes.plot(places, means, "o-", color="#d9541a", linewidth=2.5, label="mean")
    axes.set(xlabel="corrected cases", ylabel="Dice (DSC), held-out phantoms", xticks=places, title=table["look"])
    axes.title.set_fontsize(8)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--cases", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--held-out", type=int, default=6)
    parser.add_argument("--steps", type=int, help="of each training, instead of the usual number")
    parser.add_argument("--report", type=Path, help="folder for the table as JSON, Markdown and a picture")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    folders = [str(arguments.output / "weights"), os.environ.get(models.ENVIRONMENT_VARIABLE, "")]
    os.environ[models.ENVIRONMENT_VARIABLE] = os.pathsep.join(filter(None, folders))
    known = measure(arguments.cases, arguments.held_out, FineTuningOptions(steps=arguments.steps), arguments.output)
    table = summary(known, arguments.cases, arguments.held_out, command(arguments))
    print(markdown(table))
    if arguments.report:
        (arguments.report / f"{STEM}.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        (arguments.report / f"{STEM}.md").write_text(markdown(table), encoding="utf-8")
        draw(table, arguments.report / f"{STEM}.png")


if __name__ == "__main__":
    main()
