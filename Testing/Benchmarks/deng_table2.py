"""Volumes of a femur's regions from the CT cascade against those from the truth: QCT-2021, Table 2, on phantoms.

    python Testing/Benchmarks/deng_table2.py --output FOLDER [--count 15] [--anatomy FOLDER] [--borders network]

Held-out phantoms (see held_out_phantoms.py) are scanned as in the paper and segmented by `segment` as a user would.
Then the result and the truth are each divided by their own landmarks, with the neck as a slab of 10 mm (nearest to the
paper's) and as a whole, and the five volumes of the paper are compared. The label maps are kept in FOLDER/cases, so
that a stopped run goes on; FOLDER/table2.json holds the volumes and the summary, FOLDER/table2.md the table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from held_out_phantoms import FIRST_SEED

from ProximalFemurSegLib.evaluation.volumes import VolumeErrors
from ProximalFemurSegLib.inference import segment
from ProximalFemurSegLib.phantom.generate import generate, make_scene
from ProximalFemurSegLib.regions import Femora, RegionDefinition
from ProximalFemurSegLib.regions.compartments import reported_targets
from ProximalFemurSegLib.training.phantom_cohort import load_shapes, real_scene
from ProximalFemurSegLib.volume import Volume
from ProximalFemurSegLib.volume_io import read_labels, write_volume

NECKS = ("slab10", "adaptive")
TITLES = {
    "femur_head": "Femur head",
    "femur_neck": "Femur neck",
    "combination": "Combination",
    "cortical_femur_neck": "Cortical bone in femur neck",
    "cortical_combination": "Cortical bone in combination",
}
PAPER_RE = {"femur_head": 3.09, "femur_neck": 3.69, "combination": 3.30, "cortical_femur_neck": 4.65,
            "cortical_combination": 4.13}


def target_volumes(labels: Volume) -> dict[str, dict]:
    """The five volumes in mm3 of a map of trabecular (1) and cortical (2) bone, for every mode of the neck."""
    mask = labels.with_array(np.isin(labels.array % 10, (1, 2)))
    femora = Femora(mask, labels.with_array(labels.array % 10 == 1))
    found = {}
    for neck in NECKS:
        (femur,) = femora.measure(RegionDefinition(neck)).femora
        found[neck] = reported_targets(femur.volumes)
        found["refused"] = femur.division.refused
    return found


def segmented(number: int, library, folder: Path, borders: str) -> tuple[Volume, Volume]:
    """Label maps of one phantom, result and truth: made, or read where they were made before."""
    paths = [folder / f"{number:03d}-{what}.nii.gz" for what in ("result", "truth")]
    if not all(path.exists() for path in paths):
        seed = FIRST_SEED + number
        real = library is not None and number % 2 == 1
        scene = real_scene(library, seed, held_out=True) if real else make_scene(seed)
        phantom = generate("ct", seed, scene=scene)
        result = segment(phantom.image, modality="ct", borders=borders)
        for volume, path in zip((result.labels, phantom.truth), paths):
            write_volume(volume, path)
    result, truth = (read_labels(path) for path in paths)
    return result, truth


def summary(entries: list[dict], neck: str) -> dict:
    """The rows of the paper's table."""
    table = {}
    for key in TITLES:
        pairs = [(e["result"][neck][key], e["truth"][neck][key]) for e in entries]
        errors = [VolumeErrors(*pair) for pair in pairs if None not in pair]
        if not errors:
            continue
        truth = np.array([e.reference_mm3 for e in errors]) / 1000
        absolute = np.array([e.absolute_mm3 for e in errors]) / 1000
        relative = np.array([e.relative_percent for e in errors])
        table[key] = {
            "n": len(errors),
            "truth_cm3": [round(float(truth.mean()), 2), round(float(truth.std(ddof=len(truth) > 1)), 2)],
            "mae_cm3": round(float(absolute.mean()), 4),
            "rmse_cm3": round(float(np.sqrt((absolute**2).mean())), 4),
            "re_percent": [round(float(v), 2) for v in (relative.mean(), relative.min(), relative.max())],
            "bias_percent": round(float(np.mean([e.difference_mm3 / e.reference_mm3 for e in errors]) * 100), 2),
        }
    return table


def markdown(tables: dict[str, dict]) -> str:
    """The tables as text."""
    lines = []
    for neck, table in tables.items():
        lines += [
            f"Neck: {neck}",
            "",
            "| target | n | truth (cm3) | MAE (cm3) | RMSE (cm3) | RE % (mean, min, max) | bias % | RE % in QCT-2021 |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for key, row in table.items():
            truth = "{:.2f} ± {:.2f}".format(*row["truth_cm3"])
            spread = "{:.2f}, {:.2f}, {:.2f}".format(*row["re_percent"])
            lines.append(
                f"| {TITLES[key]} | {row['n']} | {truth} | {row['mae_cm3']:.3f} | {row['rmse_cm3']:.3f} | {spread} | "
                f"{row['bias_percent']:+.2f} | {PAPER_RE[key]:.2f} |"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=15)
    parser.add_argument("--anatomy", type=Path)
    parser.add_argument("--borders", default="profiles", choices=("network", "profiles"))
    arguments = parser.parse_args()
    library = load_shapes(arguments.anatomy, print) if arguments.anatomy else None
    arguments.output.mkdir(parents=True, exist_ok=True)
    cases = arguments.output / "cases"
    cases.mkdir(exist_ok=True)
    entries = []
    for number in range(arguments.count):
        result, truth = segmented(number, library, cases, arguments.borders)
        entry = {"number": number, "result": target_volumes(result), "truth": target_volumes(truth)}
        entries.append(entry)
        print(json.dumps(entry), flush=True)
    tables = {neck: summary(entries, neck) for neck in NECKS}
    values = {"tables": tables, "cases": entries}
    (arguments.output / "table2.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    (arguments.output / "table2.md").write_text(markdown(tables), encoding="utf-8")
    print(markdown(tables))


if __name__ == "__main__":
    main()
