"""Every kind of network on the same data with the same budget: a table as in SciRep-2018, with tests and figures.

    python Testing/Benchmarks/compare_networks.py --output FOLDER [--modality ct] [--minutes 7]
        [--anatomy FOLDER] [--networks NAME ...] [--test 10] [--only train|cases|predict|report]

MR: the networks of `MR` are trained on parts of the same simulated scans for the same time, all on voxels of 1.5 x
0.469 x 0.469 mm, the planar ones on slices of them. CT: the endosteal network is trained twice, once as the second one
of the cascade, which sees the bone alone, and once on the whole crop, to show what the cascade brings (QCT-2021: 92.56
-> 96.49 %); both go on from the shipped periosteal network, which is also the first of the cascade. All are then
run over simulated scans of shapes that no training saw, without cropping around the bone, and the probability maps are
compared with the truth by `cohort`, before and after post-processing. The thresholds are chosen on scans of their own.

What exists in FOLDER already is not made again, so that a stopped comparison goes on. FOLDER/MODALITY/report.html is
the report.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from ProximalFemurSegLib import models
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.inference import predict_probabilities
from ProximalFemurSegLib.training.export import export_training
from ProximalFemurSegLib.training.phantom_cohort import bake_cohort
from ProximalFemurSegLib.training.phantom_data import Variation
from ProximalFemurSegLib.training.phantom_training import phantom_recipe, phantom_samples
from ProximalFemurSegLib.training.trainer import train
from ProximalFemurSegLib.training.validation import DiceValidation
from ProximalFemurSegLib.volume import Grid, Volume
from ProximalFemurSegLib.volume_io import read_volume, write_volume
from ProximalFemurSegLib.whole_file import whole_file

MR = (
    "patch2d", "patch25d", "unet2d-valid-f16", "unet2d-f16", "unet2d-dilated-f16", "unet3d-f16", "unet3d-dilated-f16",
)
CT = ("cascade", "direct")
VALIDATION_SCANS = 2
FIRST_TEST_SAMPLE = 1000  # of the held-out ones; validation during the training uses the first
STEPS = 20_000  # never reached: time ends first
LEARNING_RATES = {"patch2d": 3e-4}  # without normalisation, and at the others' 2e-3 it found no bone at all
# Every network is trained on parts of the same simulated scans: what it can take in at once. The planar ones get whole
# slices, patch2d fewer pixels, as it looks at every one of them with a whole patch.
SCANS = 64
SCAN_SHAPE = {"mr": (48, 256, 256), "ct": (96, 144, 144)}
PARTS = {"3D": (48, 128, 128), "2D": (5, 256, 256), "patch2d": (2, 192, 192), "ct": (64, 96, 96)}
# The papers' scanners, rather than any: what a few minutes can teach.
VARIATION = Variation(rotation_deg=5.0, bend_mm=2.0, wide=0.0, cut=0.0, coarse=0.0, metal=0.0, thin=0.0, spread=0.1)


def networks(modality: str) -> dict[str, models.Preset]:
    """The presets that are compared, by name."""
    if modality == "mr":
        return {name: _on_common_voxels(models.find_preset(name)) for name in MR}
    vnet = models.find_preset("vnet")
    stage = next(s for s in vnet.stages if s.role == "endosteal")
    seeing_all = dataclasses.replace(stage.preprocessing, blank_outside=False)
    direct = dataclasses.replace(stage, preprocessing=seeing_all, weights="vnet-endosteal-direct")
    return {
        "cascade": vnet,
        "direct": dataclasses.replace(vnet, name="direct", stages=(direct,)),
    }


def _on_common_voxels(preset: models.Preset) -> models.Preset:
    stage = preset.stages[0]
    frame = models.MR_HALF_SLICE_FRAME if preset.dimension == "2D" else models.MR_FRAME
    return dataclasses.replace(preset, stages=(dataclasses.replace(stage, preprocessing=frame),))


class PartsOfScans:
    """Parts of a few simulated scans, each scan written to a folder when it is first asked for."""

    def __init__(self, scans, folder: Path, count: int, part: tuple[int, int, int], seed: int):
        self.scans, self.folder, self.count, self.part, self.seed = scans, folder, count, part, seed
        folder.mkdir(parents=True, exist_ok=True)

    def scan(self, number: int):
        """Image and target (D, H, W) of a whole scan."""
        path = self.folder / f"{number:05d}.npz"
        if not path.exists():
            image, target = self.scans.sample(number)
            with whole_file(path) as unfinished:
                np.savez(unfinished, image=image[0].astype(np.float16), target=target.astype(np.uint8))
        kept = np.load(path)
        return kept["image"], kept["target"]

    def sample(self, index: int):
        """Image (1, d, h, w) and target (d, h, w) of a part,."""
        rng = np.random.default_rng([self.seed, index])
        image, target = self.scan(index % self.count)
        start = [int(rng.integers(size - part + 1)) for size, part in zip(image.shape, self.part)]
        box = tuple(slice(a, a + part) for a, part in zip(start, self.part))
        image, target = image[box].astype(np.float32), target[box].astype(np.int64)
        return image[None], target


def trained_stage(preset: models.Preset) -> models.Stage:
    """The stage that the comparison trains: of a cascade the last one."""
    return preset.stages[-1]


def train_network(preset, folder: Path, minutes: float, workers: int, seed: int) -> None:
    """Train one network on the common samples and leave weights and card in ``folder/weights``."""
    stage = trained_stage(preset)
    if (folder / "weights" / f"{stage.weights}.json").exists():
        return
    part = PARTS["ct" if preset.modality == "ct" else preset.name if preset.name in PARTS else preset.dimension]
    sets = []
    for held_out, count in ((False, SCANS), (True, 4)):
        scans = phantom_samples(stage, folder / "phantoms", held_out, SCAN_SHAPE[preset.modality], seed)
        scans.variation = VARIATION
        kind = ["held-out" if held_out else "training", *(["blanked"] if stage.preprocessing.blank_outside else [])]
        sets.append(PartsOfScans(scans, folder / "scans" / "-".join(kind), count, part, seed))
    samples, held_out = sets
    recipe = phantom_recipe(stage, minutes, STEPS, seed).replace(validate_every=STEPS)
    recipe = recipe.replace(learning_rate=LEARNING_RATES.get(preset.name, recipe.learning_rate))
    out = folder / "trainings" / stage.weights
    # Both endosteal networks go on from the periosteal one, which knows the bone; the others begin with nothing.
    start = models.read_weights(models.find_preset("vnet").stages[0]) if preset.modality == "ct" else None
    print(f"training {stage.weights}", flush=True)
    result = train(recipe, samples, out, DiceValidation(held_out, 4), resume=True, workers=workers, threads=1,
                   start=start, progress=lambda entry: print(json.dumps(entry), flush=True))
    if result.finished:
        export_training(
            out, stage, {"description": f"Simulated scans, {minutes:g} minutes on one core.", "simulated": True},
            folder / "weights",
        )


def make_cases(modality: str, preset, folder: Path, count: int, seed: int) -> list[tuple[str, str, Path]]:
    """Scans of held-out shapes to choose thresholds on and to test on: (subject, split, folder)."""
    frame = trained_stage(preset).preprocessing
    scans = phantom_samples(trained_stage(preset), folder / "phantoms", True, SCAN_SHAPE[modality], seed)
    scans.variation, scans.blank_outside = VARIATION, False
    toward = {"L": (-1, 0, 0), "P": (0, -1, 0), "S": (0, 0, 1), "A": (0, 1, 0), "I": (0, 0, -1)}
    direction = np.array([toward[letter] for letter in frame.orientation[::-1]], dtype=float).T
    grid = Grid.from_parts(SCAN_SHAPE[modality], frame.spacing_mm[::-1], (0.0, 0.0, 0.0), direction)
    cases = []
    plan = [("validation", n) for n in range(VALIDATION_SCANS)]
    plan += [("test", n) for n in range(VALIDATION_SCANS, VALIDATION_SCANS + count)]
    for split, number in plan:
        subject = f"{split}-{number + 1:02d}"
        place = folder / "cases" / subject
        cases.append((subject, split, place))
        if (place / "truth.nii.gz").exists():
            continue
        place.mkdir(parents=True, exist_ok=True)
        image, target = scans.sample(FIRST_TEST_SAMPLE + number)
        # From what networks see back to HU, or to the signal of some scanner.
        values = image[0] * 800.0 + 500.0 if modality == "ct" else (image[0] + 1.5) * 300.0
        write_volume(Volume(values.round().astype(np.int16), grid), place / "image.nii.gz")
        write_volume(Volume(target.astype(np.uint8), grid), place / "truth.nii.gz")
    return cases


def probabilities(image, preset):
    """The maps of a scan; the hips of CT are all left ones, which on such small scans is not always seen."""
    if preset.modality == "mr":
        return predict_probabilities(image, preset, "mr")
    try:
        return predict_probabilities(image, preset, "ct", "left")
    except BadInputError:
        return predict_probabilities(image, preset, "ct")


def predict(name, preset, cases, folder: Path) -> None:
    """The probability map of every case, on its own grid."""
    role = trained_stage(preset).role
    for subject, _, place in cases:
        path = place / f"{name}.nii.gz"
        if path.exists():
            continue
        image = read_volume(place / "image.nii.gz")
        started = time.process_time()
        found = probabilities(image, preset)
        seconds = time.process_time() - started
        write_volume(found.maps[role], path)
        with open(folder / "times.jsonl", "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"network": name, "subject": subject, "cpu_seconds": round(seconds, 2)}) + "\n")
        print(f"{name}: {subject} took {seconds:.1f} s of CPU time", flush=True)


def write_report(modality: str, folder: Path, names, cases, minutes: float) -> None:
    """The table of cases, and what `cohort` makes of it."""
    table = folder / "cases.csv"
    with open(table, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["subject", "split", "model", "structure", "image", "reference", "probability"])
        for name in names:
            for subject, split, place in cases:
                files = [(place / f"{part}.nii.gz").relative_to(folder) for part in ("image", "truth", name)]
                writer.writerow([subject, split, name, "trabecular bone", *files])
    title = f"Networks for {modality.upper()}, each trained for {minutes:g} minutes on the same simulated hips"
    subprocess.run([
        sys.executable, "-m", "ProximalFemurSegLib", "cohort", str(table), "--output", str(folder / "report"),
        "--postprocess", "largest,fill", "--title", title, "--worst", "4", "--overwrite",
    ], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--modality", choices=("mr", "ct"), default="mr")
    parser.add_argument("--minutes", type=float, default=7.0, help="for each network")
    parser.add_argument("--networks", nargs="+", metavar="NAME")
    parser.add_argument("--anatomy", type=Path, help="real shapes, for half of the phantoms")
    parser.add_argument("--scenes", type=int, default=24, help="simulated patients of each kind to train on")
    parser.add_argument("--test", type=int, default=10, help="scans to test on")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("train", "cases", "predict", "report"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = networks(arguments.modality)
    names = arguments.networks or list(known)
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error(f"There is no network {', '.join(unknown)} to compare; choose from {', '.join(known)}.")
    folder = arguments.output / arguments.modality
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.only in (None, "train", "cases"):
        bake_cohort(folder / "phantoms", arguments.anatomy, arguments.scenes, 8, print)
    if arguments.only in (None, "train"):
        for name in names:
            train_network(known[name], folder, arguments.minutes, arguments.workers, arguments.seed)
    cases = []
    if arguments.only != "train":
        whole = known[list(known)[-1]]  # of CT the one that sees all
        cases = make_cases(arguments.modality, whole, folder, arguments.test, arguments.seed)
    if arguments.only in (None, "predict"):
        for name in names:
            with models_from(folder / "weights"):
                predict(name, known[name], cases, folder)
    if arguments.only in (None, "report"):
        write_report(arguments.modality, folder, names, cases, arguments.minutes)


class models_from:
    """Within it, weights are looked for in a folder first."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self):
        import os

        os.environ[models.ENVIRONMENT_VARIABLE] = str(self.folder)

    def __exit__(self, *_):
        import os

        del os.environ[models.ENVIRONMENT_VARIABLE]


if __name__ == "__main__":
    main()
