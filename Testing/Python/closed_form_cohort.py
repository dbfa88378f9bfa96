"""A cohort of cubes whose every number is known in closed form.

The reference of subject s is a cube of ``side`` voxels of 1 mm. One model moves it by one voxel, one lets it grow by a
voxel on every side.
"""

from __future__ import annotations

import csv
from math import sqrt
from pathlib import Path

import numpy as np

from ProximalFemurSegLib.volume import Grid, Volume
from ProximalFemurSegLib.volume_io import write_volume

SIDES = (4, 5, 6, 7, 8, 9)
GRID = Grid.from_parts((14, 14, 16), (1.0, 1.0, 1.0), (-5.0, 10.0, 30.0))


def cube(side: int, shift: int = 0, growth: int = 0) -> np.ndarray:
    """(14, 14, 16) bool."""
    mask = np.zeros(GRID.shape, bool)
    mask[
        2 - growth : 2 + side + growth, 2 - growth : 2 + side + growth, 2 + shift - growth : 2 + shift + side + growth
    ] = 1
    return mask


def surface_count(side: int) -> int:
    """Voxels of a cube with a face on its outside."""
    return side**3 - max(0, side - 2) ** 3


def shifted(side: int) -> dict[str, float]:
    """Metrics of a cube moved by one voxel, in closed form."""
    overlap = (side - 1) / side
    return {
        "dice": overlap,
        "precision": overlap,
        "recall": overlap,
        "msd_mm": 1.0,
        "relative_volume_error_percent": 0.0,
    }


def grown(side: int) -> dict[str, float]:
    """Metrics of a cube that grew by one voxel on every side, in closed form."""
    small, large = side**3, (side + 2) ** 3
    outer = 6 * side**2 + 12 * side * sqrt(2) + 8 * sqrt(3)
    return {
        "dice": 2 * small / (small + large),
        "precision": small / large,
        "recall": 1.0,
        "asd_mm": (outer + surface_count(side)) / (surface_count(side + 2) + surface_count(side)),
        "msd_mm": sqrt(3),
        "relative_volume_error_percent": 100 * (large - small) / small,
    }


def write(mask, path: Path) -> Path:
    """Write a mask or a map; an existing file stays."""
    if not path.exists():
        array = mask.astype(np.uint8) if mask.dtype == bool else mask
        write_volume(Volume(array, GRID), path)
    return path


def probability(side: int) -> np.ndarray:
    """0.9 on the reference, 0.6 on the voxels around it, 0.1 elsewhere."""
    return np.where(cube(side), 0.9, np.where(cube(side, growth=1), 0.6, 0.1)).astype(np.float32)


def write_cohort(folder: Path, sides=SIDES) -> list[dict[str, str]]:
    """Write the masks of both models; returns the lines of the table."""
    rows = []
    for side in sides:
        reference = write(cube(side), folder / f"reference{side}.nrrd")
        for model, mask in (("shifted", cube(side, shift=1)), ("grown", cube(side, growth=1))):
            result = write(mask, folder / f"{model}{side}.nrrd")
            rows.append({"subject": f"s{side}", "model": model, "result": result.name, "reference": reference.name})
    return rows


def write_table(rows: list[dict[str, str]], path: Path, separator: str = ",") -> Path:
    """Write lines that need not have the same columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return path
