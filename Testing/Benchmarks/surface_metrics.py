"""Surface metrics against other libraries, side by side in one run: seconds and ratios.

Every library gives the mean of the two directed mean distances, the Hausdorff distance and HD95 of the same two masks:
this one by surface voxels and by the area-weighted mesh, surface-distance by its mesh, MONAI and medpy by surface
voxels. A ratio is to this library's time in the same definition; those larger than 1 mean that it is faster. Libraries
that are not installed are left out. The contestants take turns, one that needs more than ten seconds has a single turn,
and the best time of each counts, by the clock on the wall and in processor time, which is what tells on a machine that
others use too. This library runs on one thread here, as the others do. With --memory each also runs once in a process
of its own, which tells how far the memory in use rose above the two masks (on Linux).

    python Testing/Benchmarks/surface_metrics.py [--grid mr|ct] [--masks bone|islands|speckled|displaced] [--memory]
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ProximalFemurSeg"))

from ProximalFemurSegLib.evaluation.surface import surface_distances  # noqa: E402
from ProximalFemurSegLib.volume import Grid  # noqa: E402

# (k, j, i) and mm along i, j, k: coronal MR, and a CT cropped to one femur.
GRIDS = {
    "mr": Grid.from_parts((512, 60, 512), (0.234, 1.5, 0.234)),
    "ct": Grid.from_parts((240, 192, 192), (0.8, 0.8, 0.987)),
}
MASKS = ("bone", "islands", "speckled", "displaced")
SLOW_SECONDS = 10.0


def positions(grid: Grid):
    """mm along i, j and k from the middle of the grid, ready to broadcast."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(grid.shape, grid.spacing[::-1])]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return x.astype(np.float32), y.astype(np.float32), z.astype(np.float32)


def bone(grid: Grid, roughness_mm: float) -> np.ndarray:
    """A head on a neck on a shaft; its surface waves by a roughness."""
    x, y, z = positions(grid)
    reach = 0.4 * grid.shape[0] * grid.spacing[2]
    head = np.sqrt((x - 22) ** 2 + y**2 + (z - 0.55 * reach) ** 2) - 21
    along = np.clip((x + 12 + (z - 0.2 * reach)) / 2, 0, 30)
    neck = np.sqrt((x + 12 - along) ** 2 + y**2 + (z - 0.2 * reach - along) ** 2) - 14
    shaft = np.maximum(np.sqrt((x + 14) ** 2 + y**2) - 15, np.abs(z + 0.35 * reach) - 0.6 * reach)
    distance = np.minimum(np.minimum(head, neck), shaft)
    return distance + roughness_mm * np.sin(x / 3.1) * np.sin(y / 4.3 + 1) * np.sin(z / 3.7) < 0


def pair(kind: str, grid: Grid):
    """Result and reference: alike; with what a network calls bone elsewhere; full of holes; of two different places."""
    rng = np.random.default_rng(0)
    if kind == "speckled":
        x, y, z = positions(grid)
        region = np.sqrt(x**2 + y**2 + z**2) < 28
        return tuple(region & (rng.random(grid.shape, dtype=np.float32) < share) for share in (0.3, 0.35))
    result, reference = bone(grid, 1.2), bone(grid, 0.0)
    if kind == "islands":
        result |= rng.random(grid.shape, dtype=np.float32) < 1e-4
    if kind == "displaced":
        away = grid.shape[0] // 3
        reference = np.concatenate([reference[away:], np.zeros_like(reference[:away])])
    return result, reference


def this_library(definition):
    def measure(result, reference, grid):
        found = surface_distances(result, reference, grid, definition, workers=1)
        return found.asd_mean_of_means, found.msd, found.hd95

    return measure


def deepmind(module):
    def measure(result, reference, grid):
        found = module.compute_surface_distances(reference, result, grid.spacing[::-1])
        mean = sum(module.compute_average_surface_distance(found)) / 2
        return mean, module.compute_robust_hausdorff(found, 100), module.compute_robust_hausdorff(found, 95)

    return measure


def monai(module):
    import torch

    def measure(result, reference, grid):
        tensors = [torch.from_numpy(mask)[None, None] for mask in (result, reference)]
        options = {"include_background": True, "spacing": grid.spacing[::-1]}
        mean = module.compute_average_surface_distance(*tensors, symmetric=True, **options)
        largest = module.compute_hausdorff_distance(*tensors, **options)
        return mean.item(), largest.item(), module.compute_hausdorff_distance(*tensors, percentile=95, **options).item()

    return measure


def medpy(module):
    def measure(result, reference, grid):
        options = {"voxelspacing": grid.spacing[::-1]}
        return tuple(getattr(module, name)(result, reference, **options) for name in ("assd", "hd", "hd95"))

    return measure


OTHERS = {
    "surface-distance": ("surface_distance", deepmind, "mesh"),
    "MONAI": ("monai.metrics", monai, "voxels"),
    "medpy": ("medpy.metric.binary", medpy, "voxels"),
}


def contestants():
    """Name to function and the definition of ours that it is compared with."""
    found = {f"this, {name}": (this_library(name), name) for name in ("voxels", "mesh")}
    for name, (module, wrap, definition) in OTHERS.items():
        try:
            found[name] = wrap(importlib.import_module(module)), definition
        except ImportError:
            print(f"{name} is not installed and is left out.", file=sys.stderr)
    return found


def peak_mb(name: str, grid_name: str, kind: str) -> float:
    """How far the memory of a process rises above what it holds when the masks are there."""
    command = [sys.executable, __file__, "--peak", name, "--grid", grid_name, "--masks", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def report_peak(name: str, grid: Grid, kind: str) -> None:
    """Measure within this process; a first call on small masks has imported what there is to import."""
    measure = contestants()[name][0]
    small = Grid.from_parts((9, 9, 9), (1, 1, 1))
    measure(*[np.pad(np.ones((n, n, n), bool), ((1, 8 - n),) * 3) for n in (5, 6)], small)
    result, reference = pair(kind, grid)
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is what is in use now
    before = resident_mb("VmRSS")
    measure(result, reference, grid)
    print(resident_mb("VmHWM") - before)


def resident_mb(entry: str) -> float:
    return int(re.search(rf"{entry}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def measure_all(rivals, grid: Grid, result, reference, repeats: int):
    """Best seconds on the wall, best of processor time, and the values, of each."""
    wall, processor = dict.fromkeys(rivals, np.inf), dict.fromkeys(rivals, np.inf)
    values = {}
    # In turn, so that a slow minute of the machine meets all of them.
    for turn in range(repeats):
        for name, (measure, _) in rivals.items():
            if turn and processor[name] > SLOW_SECONDS:
                continue
            start = time.perf_counter(), time.process_time()
            values[name] = measure(result, reference, grid)
            wall[name] = min(wall[name], time.perf_counter() - start[0])
            processor[name] = min(processor[name], time.process_time() - start[1])
    return wall, processor, values


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--grid", choices=GRIDS, action="append")
    parser.add_argument("--masks", choices=MASKS, action="append")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.peak:
        report_peak(arguments.peak, GRIDS[arguments.grid[0]], arguments.masks[0])
        return
    rivals, results = contestants(), []
    if not arguments.json:
        print(f"{'':33}{'wall':>16}{'processor':>17}")
        print(f"{'grid':5}{'masks':11}{'library':17}{'seconds':>9}{'ratio':>8}{'seconds':>9}{'ratio':>8}"
              f"{'mean':>9}{'MSD':>9}{'HD95':>9}  mm" + ("        MB" if arguments.memory else ""))
    for grid_name in arguments.grid or GRIDS:
        for kind in arguments.masks or MASKS:
            grid = GRIDS[grid_name]
            wall, processor, values = measure_all(rivals, grid, *pair(kind, grid), arguments.repeats)
            for name, (_, definition) in rivals.items():
                ours = f"this, {definition}"
                r = {
                    "grid": grid_name, "masks": kind, "library": name,
                    "wall_seconds": wall[name], "wall_ratio": wall[name] / wall[ours],
                    "processor_seconds": processor[name], "processor_ratio": processor[name] / processor[ours],
                    "mean_mm": values[name][0], "msd_mm": values[name][1], "hd95_mm": values[name][2],
                }
                if arguments.memory:
                    r["peak_mb"] = peak_mb(name, grid_name, kind)
                results.append(r)
                if not arguments.json:
                    print(f"{r['grid']:5}{r['masks']:11}{r['library']:17}{r['wall_seconds']:9.3f}{r['wall_ratio']:8.1f}"
                          f"{r['processor_seconds']:9.3f}{r['processor_ratio']:8.1f}"
                          f"{r['mean_mm']:9.4f}{r['msd_mm']:9.3f}{r['hd95_mm']:9.3f}"
                          + (f"{r['peak_mb']:14.0f}" if arguments.memory else ""), flush=True)
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    for name in OTHERS:
        ratios = [r["processor_ratio"] for r in results if r["library"] == name]
        if ratios:
            print(f"Against {name}: {min(ratios):.1f} to {max(ratios):.1f} times as fast in processor time.")


if __name__ == "__main__":
    main()
