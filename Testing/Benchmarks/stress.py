"""How well the shipped weights bear what goes wrong with scans: Dice on phantoms under one stress at a time.

    python Testing/Benchmarks/stress.py --output FOLDER [--modality ct] [--count 6] [--anatomy FOLDER] [--cards]

Every stress is put on the same patients, with the same seeds, so that a row differs from the row `clean` by its stress
alone. The patients' seeds and shapes are none that a training saw. Results are added to FOLDER/MODALITY.jsonl one by
one, so that a stopped run goes on; FOLDER/MODALITY.json holds the table, which --cards copies to the networks' cards.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ProximalFemurSegLib.evaluation import evaluate_masks
from ProximalFemurSegLib.inference import segment
from ProximalFemurSegLib.models import card, default_preset, weights_path, write_card
from ProximalFemurSegLib.phantom import field_of_view
from ProximalFemurSegLib.phantom.generate import Artefacts, Phantom, generate, make_scene
from ProximalFemurSegLib.phantom.mr_scanner import FlashSequence, SpinEchoSequence
from ProximalFemurSegLib.training.phantom_cohort import MODEL_SAMPLES, real_scene
from ProximalFemurSegLib.volume import Grid, Volume

FIRST_SEED = 970_000  # training uses seeds below 800000
ALLOWED_DROP = 0.03
TRUTH = {"bone": (1,), "periosteal": (1, 2), "endosteal": (1,)}


@dataclass(frozen=True)
class Stress:
    """One thing that is not as usual.

    Attributes
    ----------
    what : str
        For the table.
    artefacts : Artefacts
        Of the scan.
    sequence : FlashSequence, SpinEchoSequence or None
        MR contrast.
    wide : float
        CT: contrast and scanner beyond the usual.
    average : tuple of int
        Voxels along (slices, rows, columns) that are averaged to one.
    skip : int
        Of the slices only every such one is scanned, with gaps between them.
    turn_deg : float
        How far the patient is turned, about another axis from patient to patient.
    keep : tuple of float
        Share of the field of view that is kept of (slices, rows, columns).
    """

    what: str
    artefacts: Artefacts = Artefacts()
    sequence: FlashSequence | SpinEchoSequence | None = None
    wide: float = 0.0
    average: tuple[int, int, int] = (1, 1, 1)
    skip: int = 1
    turn_deg: float = 0.0
    keep: tuple[float, float, float] = (1.0, 1.0, 1.0)


_COMMON = {
    "clean": Stress("as the scanners of the papers give it"),
    "noise": Stress("twice the noise", Artefacts(noise=2.0)),
    "coarse": Stress("voxels twice as large along every axis", average=(2, 2, 2)),
    "gaps": Stress("every other slice left out", skip=2),
    "turned +20": Stress("patient turned by 20 degrees", turn_deg=20.0),
    "turned -20": Stress("patient turned by -20 degrees", turn_deg=-20.0),
}
STRESSES = {
    "mr": {
        **_COMMON,
        "bias": Stress("coil shading of e to the 0.9 over the field of view", Artefacts(bias=0.9)),
        "fold-over": Stress("60 % of the signal from beyond the rows' ends folded in", Artefacts(fold_over=0.6)),
        "cyst": Stress("one to three bone cysts with dark foci", Artefacts(cysts=True)),
        "cropped": Stress("a quarter fewer rows and columns, a fifth fewer slices", keep=(0.8, 0.75, 0.75)),
        "T1 spin echo": Stress("T1-weighted spin echo, 600/12 ms", sequence=SpinEchoSequence(600.0, 12.0)),
        "T2 spin echo": Stress("T2-weighted spin echo, 4000/90 ms", sequence=SpinEchoSequence(4000.0, 90.0)),
        "density": Stress("density-weighted FLASH, 31/4.92 ms, 6 degrees", sequence=FlashSequence(31.0, 4.92, 6.0)),
    },
    "ct": {
        **_COMMON,
        "metal": Stress("an implant with its streaks", Artefacts(metal=True)),
        "cropped": Stress("a quarter fewer slices, a fifth fewer rows and columns", keep=(0.75, 0.8, 0.8)),
        "other scanner": Stress("contrast, kernel and noise beyond the usual", wide=1.0),
    },
}


def usual_grid(modality: str, femur) -> Grid:
    """The papers' grid."""
    return field_of_view.mr_grid(femur) if modality == "mr" else field_of_view.ct_hip_grid(femur)


def coarser_grid(grid: Grid, factors, skip: int) -> Grid:
    """Blocks of (slices, rows, columns) as one voxel, and of the slices every ``skip``-th."""
    shape = [size // factor for size, factor in zip(grid.shape, factors)]
    shape[0] = -(-shape[0] // skip)
    affine, steps = grid.affine.copy(), np.array(factors[::-1])
    affine[:3, 3] += affine[:3, :3] @ ((steps - 1) / 2)
    affine[:3, :3] *= steps * (1, 1, skip)
    return Grid(tuple(shape), affine)


def coarser(image: Volume, factors, skip: int) -> Volume:
    """Blocks of voxels averaged to one, and slices left out."""
    array = image.array
    cut = array[tuple(slice(size // factor * factor) for size, factor in zip(array.shape, factors))]
    blocks = cut.reshape([n for size, factor in zip(cut.shape, factors) for n in (size // factor, factor)])
    array = np.ascontiguousarray(blocks.mean(axis=(1, 3, 5)).round().astype(array.dtype)[::skip])
    return Volume(array, coarser_grid(image.grid, factors, skip), image.name, metadata=image.metadata)


def turned(grid: Grid, degrees: float, axis: int) -> Grid:
    """The grid turned about its middle."""
    angle = np.deg2rad(degrees)
    turn = np.eye(3)
    a, b = (n for n in range(3) if n != axis)
    turn[a, a] = turn[b, b] = np.cos(angle)
    turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
    middle = grid.ijk_to_ras((np.array(grid.shape[::-1]) - 1) / 2)
    affine = grid.affine.copy()
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = middle - turn @ (middle - grid.origin)
    return Grid(grid.shape, affine)


def cropped(grid: Grid, keep) -> Grid:
    """The middle of the grid; along the axis of the leg its upper part."""
    start, stop = [], []
    for axis, (size, share) in enumerate(zip(grid.shape, keep)):
        lost = round(size * (1 - share))
        towards = grid.direction[:, 2 - axis]
        if abs(towards[2]) > 0.8:
            # What is cut is the shaft.
            first = lost if towards[2] > 0 else 0
        else:
            first = lost // 2
        start.append(first)
        stop.append(first + size - lost)
    return grid.crop(start, stop)


def stressed(modality: str, stress: Stress, number: int, scene) -> Phantom:
    """A phantom under a stress."""
    seed = FIRST_SEED + number
    side = "left" if number % 4 < 2 else "right"
    grid = usual_grid(modality, scene.femora[side])
    grid = cropped(grid, stress.keep)
    seen = turned(grid, stress.turn_deg, number % 3) if stress.turn_deg else grid
    phantom = generate(
        modality, seed, side, grid=seen, artefacts=stress.artefacts, wide=stress.wide, scene=scene,
        sequence=stress.sequence,
    )
    image, truth = phantom.image, phantom.truth
    if stress.skip > 1 or max(stress.average) > 1:
        image, grid = coarser(image, stress.average, stress.skip), coarser_grid(grid, stress.average, stress.skip)
        # What lies at the middle of each voxel: of the labels of a block of two, as many as not are undecided.
        truth = generate(modality, seed, side, grid=image.grid, scene=scene).truth
    # The scanner does not turn with the patient: its axes stay where they were.
    image, truth = (Volume(v.array, grid, v.name, metadata=v.metadata) for v in (image, truth))
    return Phantom(image, truth, phantom.regions, phantom.landmarks, phantom.parameters)


def score(modality: str, name: str, number: int, scene) -> dict:
    """Dice and distance of every structure of one phantom."""
    phantom = stressed(modality, STRESSES[modality][name], number, scene)
    result = segment(phantom.image, modality=modality)
    entry = {"stress": name, "number": number, "side": phantom.parameters["side"]}
    entry["sides_found"] = sorted({str(side) for _, side in result.sides.values()})
    for stage in default_preset(modality).stages:
        labels = TRUTH[stage.role]
        reference = phantom.truth.with_array(np.isin(phantom.truth.array, labels))
        mask = phantom.truth.with_array(np.isin(result.labels.array % 10, labels))
        metrics = evaluate_masks(mask, reference)
        entry[stage.role] = {key: metrics[key] for key in ("dice", "asd_mm")}
    return entry


def table(entries: list[dict], modality: str) -> dict:
    """Mean Dice of every structure under every stress, and the drop against the clean scans."""
    result = {"what": f"mean Dice of simulated {modality.upper()} under one stress at a time; whole pipeline",
              "command": "python Testing/Benchmarks/stress.py",
              "phantoms": len({entry["number"] for entry in entries})}
    for stage in default_preset(modality).stages:
        rows = {}
        clean = {e["number"]: e[stage.role]["dice"] for e in entries if e["stress"] == "clean"}
        for name, stress in STRESSES[modality].items():
            scores = {e["number"]: e[stage.role]["dice"] for e in entries if e["stress"] == name}
            if not scores:
                continue
            drops = [clean[number] - value for number, value in scores.items()]
            rows[name] = {
                "what": stress.what,
                "dice": round(float(np.mean(list(scores.values()))), 4),
                "worst": round(min(scores.values()), 4),
                "drop": round(float(np.mean(drops)), 4),
            }
        result[stage.role] = rows
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--modality", choices=("ct", "mr"), action="append")
    parser.add_argument("--count", type=int, default=6, help="patients")
    parser.add_argument("--stress", action="append", metavar="NAME", help="only this one and `clean`")
    parser.add_argument("--anatomy", type=Path, help="folder of real shapes, on which every other patient is built")
    parser.add_argument("--cards", action="store_true", help="copy the table to the cards of the weights")
    arguments = parser.parse_args()
    library = None
    if arguments.anatomy:
        from ProximalFemurSegLib.phantom.real_anatomy import AnatomyLibrary

        library = AnatomyLibrary.load(arguments.anatomy, model_samples=MODEL_SAMPLES, announce=print)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for modality in arguments.modality or ("mr", "ct"):
        log = arguments.output / f"{modality}.jsonl"
        entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        done = {(entry["stress"], entry["number"]) for entry in entries}
        wanted = [s for s in STRESSES[modality] if not arguments.stress or s in ("clean", *arguments.stress)]
        for number in range(arguments.count):
            missing = [name for name in wanted if (name, number) not in done]
            if not missing:
                continue
            seed = FIRST_SEED + number
            real = library is not None and number % 2 == 1
            scene = real_scene(library, seed, held_out=True) if real else make_scene(seed)
            for name in missing:
                entry = score(modality, name, number, scene)
                entries.append(entry)
                with open(log, "a", encoding="utf-8") as stream:
                    stream.write(json.dumps(entry) + "\n")
                print(json.dumps(entry), flush=True)
        found = table(entries, modality)
        (arguments.output / f"{modality}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        for stage in default_preset(modality).stages:
            print(f"\n{modality.upper()}, {stage.role}")
            for name, row in found[stage.role].items():
                mark = "  more than allowed" if row["drop"] > ALLOWED_DROP else ""
                print(f"{name:14s} {row['dice']:.4f}  worst {row['worst']:.4f}  drop {row['drop']:+.4f}{mark}")
            if arguments.cards:
                entries_of_card = card(stage)
                rows = found[stage.role]
                entries_of_card["metrics"]["stress"] = {
                    "what": found["what"], "command": found["command"], "phantoms": found["phantoms"], "rows": rows,
                }
                write_card(entries_of_card, weights_path(stage).with_suffix(".json"))


if __name__ == "__main__":
    main()
