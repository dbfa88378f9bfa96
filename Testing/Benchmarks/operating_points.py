"""Thresholds for the cards of the shipped weights, from whole phantoms of validation seeds.

    python Testing/Benchmarks/operating_points.py [--modality ct] [--count 6] [--cards]

The phantoms are of the project's own geometry, of seeds that are neither trained on nor among those of
held_out_phantoms.py. The threshold of a network is where its precision-recall curve over all their voxels comes nearest
to precision = recall = 1 (arXiv-v1, section III.B).
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from ProximalFemurSegLib.evaluation.curves import ScoreHistogram
from ProximalFemurSegLib.inference import predict_probabilities
from ProximalFemurSegLib.models import card, default_preset, weights_path, write_card
from ProximalFemurSegLib.phantom.generate import generate, make_scene
from ProximalFemurSegLib.thresholds import find_operating_points

FIRST_SEED = 850_000
TRUTH = {"bone": (1,), "periosteal": (1, 2), "endosteal": (1,)}


def measure(modality: str, count: int) -> dict[str, dict[str, float]]:
    """Operating points by role."""
    stages = default_preset(modality).stages
    curves = {stage.role: ScoreHistogram() for stage in stages}
    for number in range(count):
        phantom = generate(modality, FIRST_SEED + number, scene=make_scene(FIRST_SEED + number))
        maps = predict_probabilities(phantom.image, modality=modality).maps
        for role, histogram in curves.items():
            histogram.add(maps[role].array, np.isin(phantom.truth.array, TRUTH[role]))
        print(f"{modality} phantom {number + 1} of {count}", flush=True)
    points = {role: find_operating_points(histogram.curve()) for role, histogram in curves.items()}
    return {role: {name: round(point.threshold, 4) for name, point in p.items()} for role, p in points.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modality", choices=("ct", "mr"), action="append")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--cards", action="store_true", help="write the thresholds to the cards of the weights")
    arguments = parser.parse_args()
    for modality in arguments.modality or ("ct", "mr"):
        points = measure(modality, arguments.count)
        print(json.dumps({modality: points}, indent=2))
        for stage in default_preset(modality).stages if arguments.cards else ():
            entries = card(stage)
            entries["operating_point"] = points[stage.role]
            write_card(entries, weights_path(stage).with_suffix(".json"))


if __name__ == "__main__":
    main()
