"""Thresholds for the cards of the shipped weights, from whole phantoms of validation seeds.

    python Testing/Benchmarks/operating_points.py [--modality ct] [--count 6] [--cards]

The phantoms are of the project's own geometry, of seeds that are neither trained on nor among those of
held_out_phantoms.py. The threshold of a network is where precision and recall over all their voxels come nearest to 1
and 1 (arXiv-v1, section III.B), counted on the masks as they are given out: what post-processing removes anyway is no
reason for a higher threshold. Where the choice hardly matters, it is the threshold nearest to 0.5: what is flat on
simulated scans need not be on others; but of a cascade's inner border the one whose volume is right, for the cortex is
what it leaves. Cascades are measured with the networks' own borders. Youden's point and the ROC curve's
are those of the bare maps.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from ProximalFemurSegLib.evaluation.curves import ScoreHistogram
from ProximalFemurSegLib.inference import apply_threshold, predict_probabilities
from ProximalFemurSegLib.models import card, default_preset, weights_path, write_card
from ProximalFemurSegLib.phantom.generate import generate, make_scene
from ProximalFemurSegLib.thresholds import find_operating_points

FIRST_SEED = 850_000
_AS_GOOD = 1.1  # times the least distance from precision = recall = 1
THRESHOLDS = [round(0.1 + 0.05 * n, 2) for n in range(18)]
TRUTH = {"bone": (1,), "periosteal": (1, 2), "endosteal": (1,)}


def measure(modality: str, count: int) -> dict[str, dict[str, float]]:
    """Operating points by role."""
    roles = [stage.role for stage in default_preset(modality).stages]
    curves = {role: ScoreHistogram() for role in roles}
    counts = {role: np.zeros((len(THRESHOLDS), 3)) for role in roles}  # both, result, truth
    for number in range(count):
        phantom = generate(modality, FIRST_SEED + number, scene=make_scene(FIRST_SEED + number))
        maps = predict_probabilities(phantom.image, modality=modality, borders="network")
        truths = {role: np.isin(phantom.truth.array, TRUTH[role]) for role in roles}
        for role in roles:
            curves[role].add(maps.maps[role].array, truths[role])
        for row, threshold in enumerate(THRESHOLDS):
            labels = apply_threshold(maps, threshold).labels.array % 10
            for role in roles:
                mask = np.isin(labels, TRUTH[role])
                counts[role][row] += ((mask & truths[role]).sum(), mask.sum(), truths[role].sum())
        print(f"{modality} phantom {number + 1} of {count}", flush=True)
    points = {}
    for role in roles:
        both, found, true = counts[role].T
        distance = np.hypot(1 - both / np.maximum(found, 1), 1 - both / true)
        print(role, dict(zip(THRESHOLDS, distance.round(4).tolist())), flush=True)
        good = [t for t, d in zip(THRESHOLDS, distance) if d <= _AS_GOOD * distance.min()]
        if role == "endosteal":
            chosen = min(good, key=lambda threshold: abs(found[THRESHOLDS.index(threshold)] / true[0] - 1))
        else:
            chosen = min(good, key=lambda threshold: abs(threshold - 0.5))
        bare = find_operating_points(curves[role].curve())
        points[role] = {
            "threshold": chosen,
            **{name: round(bare[name].threshold, 4) for name in ("roc", "youden")},
        }
    return points


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
