"""Surface metrics against other libraries, side by side in one run: seconds and ratios.

Every library gives the mean of the two directed mean distances, the Hausdorff distance and HD95 of the same two masks:
this one by surface voxels and by the area-weighted mesh, surface-distance by its mesh, MONAI and medpy by surface
voxels. A ratio is to this library's time in the same definition; those larger than 1 mean that it is faster. Libraries
that are not installed are left out. Times are the best of several; on a machine that others use too, --clock cpu takes
processor time, which counts this library's two threads twice.

    python Testing/Benchmarks/surface_metrics.py [--grid mr|ct] [--masks bone|speckled] [--repeats N] [--clock cpu]
"""

from __future__ import annotations

import argparse
import importlib
import json
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
MASKS = ("bone", "speckled")


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
    """Result and reference."""
    if kind == "bone":
        return bone(grid, 1.2), bone(grid, 0.0)
    x, y, z = positions(grid)
    region = np.sqrt(x**2 + y**2 + z**2) < 28
    rng = np.random.default_rng(0)
    return tuple(region & (rng.random(grid.shape, dtype=np.float32) < share) for share in (0.3, 0.35))


def this_library(definition):
    def measure(result, reference, grid):
        found = surface_distances(result, reference, grid, definition)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--grid", choices=GRIDS, action="append")
    parser.add_argument("--masks", choices=MASKS, action="append")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    rivals, results = contestants(), []
    for grid_name in arguments.grid or GRIDS:
        for kind in arguments.masks or MASKS:
            result, reference = pair(kind, GRIDS[grid_name])
            best, values = dict.fromkeys(rivals, np.inf), {}
            # In turn, so that a slow minute of the machine meets all of them.
            for _ in range(arguments.repeats):
                for name, (measure, _) in rivals.items():
                    start = clock()
                    values[name] = measure(result, reference, GRIDS[grid_name])
                    best[name] = min(best[name], clock() - start)
            for name, (_, definition) in rivals.items():
                results.append({
                    "grid": grid_name, "masks": kind, "library": name, "seconds": best[name],
                    "ratio": best[name] / best[f"this, {definition}"], "mean_mm": values[name][0],
                    "msd_mm": values[name][1], "hd95_mm": values[name][2],
                })
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'grid':5}{'masks':10}{'library':18}{'seconds':>9}{'ratio':>8}{'mean':>9}{'MSD':>9}{'HD95':>9}  mm")
    for r in results:
        print(f"{r['grid']:5}{r['masks']:10}{r['library']:18}{r['seconds']:9.3f}{r['ratio']:8.1f}"
              f"{r['mean_mm']:9.4f}{r['msd_mm']:9.3f}{r['hd95_mm']:9.3f}")


if __name__ == "__main__":
    main()
