"""A step of the threshold slider on the papers' MR, 512 x 512 x 60: mask, overlay and volume in a real MRML scene.

The map is a bone with a soft border among specks, as a network may leave it. What is timed is everything that follows
the slider at once; the surface waits until the slider rests.

    python Testing/Benchmarks/threshold_slider.py [--specks N] [--steps N] [--clock wall|cpu]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ProximalFemurSeg"))

from ProximalFemurSegLib.inference import apply_threshold  # noqa: E402
from ProximalFemurSegLib.inference.result import FemurRegion, Probabilities  # noqa: E402
from ProximalFemurSegLib.mrml.headless import boot  # noqa: E402
from ProximalFemurSegLib.mrml.live_mask import LiveMask  # noqa: E402
from ProximalFemurSegLib.mrml.result_nodes import load_result  # noqa: E402
from ProximalFemurSegLib.mrml.volume_node import node_from_volume  # noqa: E402
from ProximalFemurSegLib.volume import Grid, Volume  # noqa: E402

SHAPE, SPACING = (60, 512, 512), (0.234, 0.234, 1.5)
LIMIT_SECONDS = 0.15


def probability_map(specks: int) -> np.ndarray:
    """(K, J, I) float32: head, neck and shaft whose border is 1.5 mm soft, and specks of some voxels."""
    z, y, x = np.meshgrid(
        *[((np.arange(n) - n / 2) * s).astype(np.float32) for n, s in zip(SHAPE, SPACING[::-1])],
        indexing="ij",
        sparse=True,
    )
    head = np.sqrt((x - 20) ** 2 + (y + 28) ** 2 + z**2) - 23
    along = np.clip((x + 8 - y) / 2, 0, 30)
    neck = np.sqrt((x + 8 - along) ** 2 + (y + along) ** 2 + z**2) - 15
    shaft = np.maximum(np.sqrt((x + 12) ** 2 + (z / 1.2) ** 2) - 16, -18 - y)
    distance = np.minimum(np.minimum(head, neck), shaft)
    result = (1 / (1 + np.exp(np.clip(distance / 0.75, -30, 30)))).astype(np.float32)
    result[result < 0.003] = 0
    generator = np.random.default_rng(1)
    for corner in generator.integers((0, 60, 60), (58, 440, 440), (specks, 3)):
        box = tuple(slice(c, c + 2) for c in corner)
        result[box] = np.maximum(result[box], generator.uniform(0.02, 0.9))
    return result


def slider_steps(specks: int, steps: int, clock) -> dict:
    """Seconds of every step, and how many voxels the mask had at the last."""
    headless = boot()
    headless.adapter.update_surface = lambda node: None
    grid = Grid.from_parts(SHAPE, SPACING)
    image = node_from_volume(Volume(np.zeros(SHAPE, np.int16), grid, "hip"), headless.scene)
    volume = Volume(probability_map(specks), grid, "probability")
    region = FemurRegion("left", (0, 0, 0), SHAPE, grid)
    probabilities = Probabilities({"bone": volume}, [region], {"bone": {"threshold": 0.5}}, "benchmark", "mr")
    nodes = load_result(headless.adapter, image, apply_threshold(probabilities))
    live = LiveMask(headless.adapter, nodes, probabilities)
    live.move_to(0.5)
    seconds = []
    for threshold in 0.5 + 0.4 * np.sin(np.linspace(0, 6, steps)):
        before = clock()
        live.move_to(float(threshold))
        live.measurements()
        seconds.append(clock() - before)
    voxels = live.measurements()["volumes"][0]["voxels"]
    assert voxels == apply_threshold(probabilities, float(threshold)).measurements["volumes"][0]["voxels"]
    return {"seconds": seconds, "voxels": voxels}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--specks", type=int, default=300)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for a machine that is busy")
    choices = parser.parse_args()
    clock = time.perf_counter if choices.clock == "wall" else time.process_time
    seconds = slider_steps(choices.specks, choices.steps, clock)["seconds"]
    print(
        json.dumps(
            {
                "clock": choices.clock,
                "median_s": round(statistics.median(seconds), 4),
                "quantile_95_s": round(float(np.quantile(seconds, 0.95)), 4),
                "target_s": LIMIT_SECONDS,
                "reached": bool(np.quantile(seconds, 0.95) < LIMIT_SECONDS),
            }
        )
    )


if __name__ == "__main__":
    main()
