"""How well the shipped weights do on phantoms they were not trained on: the figures of the cards.

    python Testing/Benchmarks/held_out_phantoms.py --output FOLDER [--modality ct] [--network NAME] [--count 20]
        [--anatomy FOLDER]

Every phantom is a patient whose seed and femoral shape no training saw: of the project's own geometry, or, with
--anatomy, every other one over the real shapes that are held out. Each is scanned as the papers do (MR 512 x 512 x 60
at 0.234 x 0.234 x 1.5 mm; CT 192 x 192 x 200 at 0.8 x 0.8 x 1 mm), segmented by `segment` as a user would, and compared
with the exact truth on the scan's own grid. Results are added to FOLDER/MODALITY.jsonl one by one, so that a stopped
run goes on; FOLDER/MODALITY.json holds the summary, which --cards copies to the cards of the networks that were run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from ProximalFemurSegLib.evaluation import evaluate_masks
from ProximalFemurSegLib.inference import apply_threshold, predict_probabilities
from ProximalFemurSegLib.models import card, default_preset, find_preset, weights_path, write_card
from ProximalFemurSegLib.phantom.generate import generate, make_scene
from ProximalFemurSegLib.training.phantom_cohort import load_shapes, real_scene

FIRST_SEED = 900_000  # training uses seeds below 800000
BEFORE = ", before post-processing"
METRICS = ("dice", "precision", "recall", "asd_mm", "hd95_mm", "relative_volume_error_percent")


def structures(modality: str) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Name to labels in the result and in the truth: the MR networks segment the trabecular bone."""
    if modality == "mr":
        return {"bone": ((1,), (1,))}
    return {"periosteal": ((1, 2), (1, 2)), "endosteal": ((1,), (1,))}


def score(modality: str, preset, number: int, library) -> dict:
    """Metrics of one phantom; of a planar network also before post-processing, without which it is not meant to be."""
    seed = FIRST_SEED + number
    real = library is not None and number % 2 == 1
    scene = real_scene(library, seed, held_out=True) if real else make_scene(seed)
    phantom = generate(modality, seed, scene=scene)
    # The side is left for the program to find.
    probabilities = predict_probabilities(phantom.image, preset.name, modality)
    result = apply_threshold(probabilities)
    planar = preset.stages[0].preprocessing.window[0] == 1
    raw = apply_threshold(probabilities, postprocess="none") if planar else None
    entry = {"number": number, "seed": seed, "shape": "real" if real else "own", "side": phantom.parameters["side"]}
    entry["sides_found"] = sorted({str(side) for _, side in result.sides.values()})
    for name, (found, true) in structures(modality).items():
        reference = phantom.truth.with_array(np.isin(phantom.truth.array, true))
        for labels, key in ((result.labels, name), (raw and raw.labels, f"{name}{BEFORE}")):
            if labels:
                mask = phantom.truth.with_array(np.isin(labels.array % 10, found))
                entry[key] = {key: value for key, value in evaluate_masks(mask, reference).items() if key in METRICS}
    return entry


def summary(entries: list[dict], modality: str, preset) -> dict:
    """Mean, standard deviation, smallest and largest of every metric."""
    table = {"phantoms": len(entries), "network": preset.name}
    names = [name for name in structures(modality) for name in (name, f"{name}{BEFORE}") if name in entries[0]]
    for name in names:
        table[name] = {}
        for metric in METRICS:
            values = np.array([e[name][metric] for e in entries if e[name][metric] is not None], dtype=float)
            table[name][metric] = {
                "mean": round(float(values.mean()), 4),
                "sd": round(float(values.std(ddof=1)), 4) if len(values) > 1 else 0.0,
                "min": round(float(values.min()), 4),
                "max": round(float(values.max()), 4),
            }
    return table


def put_on_cards(table: dict, modality: str, preset, anatomy: bool) -> None:
    """Every network's card gets the figures of what it segments, and what they were measured on."""
    shapes = "of the project's own geometry and, every other one, over real shapes" if anatomy else "of own geometry"
    for stage in preset.stages:
        entries = card(stage)
        entries["metrics"]["held_out_phantoms"] = {
            "phantoms": table["phantoms"],
            "what": f"simulated {modality.upper()} {shapes}, of seeds and shapes that no training saw; whole pipeline",
            "command": "python Testing/Benchmarks/held_out_phantoms.py",
            **table[stage.role],
        }
        if f"{stage.role}{BEFORE}" in table:
            entries["metrics"]["held_out_phantoms"]["before_postprocessing"] = table[f"{stage.role}{BEFORE}"]
        write_card(entries, weights_path(stage).with_suffix(".json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--modality", choices=("ct", "mr"), action="append")
    parser.add_argument("--network", metavar="NAME", help="instead of the default for the modality, which it decides")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--anatomy", type=Path)
    parser.add_argument("--cards", action="store_true", help="copy the summary to the cards of the weights")
    arguments = parser.parse_args()
    library = load_shapes(arguments.anatomy, print) if arguments.anatomy else None
    arguments.output.mkdir(parents=True, exist_ok=True)
    chosen = find_preset(arguments.network) if arguments.network else None
    for modality in [chosen.modality] if chosen else arguments.modality or ("ct", "mr"):
        preset = chosen or default_preset(modality)
        log = arguments.output / f"{modality}.jsonl"
        entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        done = {entry["number"] for entry in entries}
        for number in range(arguments.count):
            if number in done:
                continue
            entry = score(modality, preset, number, library)
            entries.append(entry)
            with open(log, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
            print(json.dumps(entry), flush=True)
        table = summary(entries, modality, preset)
        (arguments.output / f"{modality}.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        print(json.dumps(table, indent=2))
        if arguments.cards:
            put_on_cards(table, modality, preset, arguments.anatomy is not None)


if __name__ == "__main__":
    main()
