"""Small networks that know one look of analytic hips, and cases of another look that can teach them.

In the look that they know marrow is bright; in the other one all is inverted. A network this small learns either in
seconds on one core.
"""

from __future__ import annotations

import dataclasses

import numpy as np

import simple_hips as hips
from ball_scene import BallScene
from ProximalFemurSegLib import models
from ProximalFemurSegLib.models import Preprocessing, Preset, Stage
from ProximalFemurSegLib.training import rehearsal
from ProximalFemurSegLib.training.export import export_training
from ProximalFemurSegLib.training.pair_cases import prepare_pairs
from ProximalFemurSegLib.training.pair_data import PairSamples
from ProximalFemurSegLib.training.pair_table import find_pairs
from ProximalFemurSegLib.training.phantom_cases import bake_hip, save_case
from ProximalFemurSegLib.training.recipe import Recipe
from ProximalFemurSegLib.training.trainer import train
from ProximalFemurSegLib.volume_io import write_volume

CORONAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
PATCH = (16, 16, 16)
_OPTIONS = {"base_features": 4, "levels": 2, "norm": "instance"}
_MR = Preprocessing((5.0, 5.0, 5.0), "AIL", "mr-percentile", (16, 24, 24))
_CT = Preprocessing((6.0, 6.0, 6.0), "SPL", "ct-window", (16, 16, 16), canonical_side="left")
TINY_MR = Preset("tiny-mr", "Tiny", "none", "3D", "mr", (Stage("bone", "unet3d", _OPTIONS, _MR, "tiny-mr"),))
TINY_CT = Preset(
    "tiny-ct", "Tiny cascade", "none", "3D", "ct",
    (
        Stage("periosteal", "unet3d", _OPTIONS, _CT, "tiny-periosteal"),
        Stage("endosteal", "unet3d", _OPTIONS, dataclasses.replace(_CT, blank_outside=True), "tiny-endosteal"),
    ),
)


def write_cases(folder, count, modality="MR", inverted=True):
    """A folder per subject, with the image and the mask of one left hip; labels 1 and 2 in CT, 1 in MR."""
    for number in range(count):
        center = hips.HEADS["left"] + (-20, 0, -20 - 3 * number)
        grid = hips.centred((18, 30, 30), (4.0, 4.0, 4.0), CORONAL, center)
        image = hips.hip_image(grid, ("left",), modality)
        if inverted:
            image = image.with_array(image.array.min() + image.array.max() - image.array)
        labels = hips.truth(grid, ("left",)).astype(np.uint8)
        if modality == "CT":
            labels += labels
            labels[hips.truth(grid, ("left",), depth=6.0)] = 1
        subject = folder / f"person{number}"
        subject.mkdir(parents=True)
        write_volume(image, subject / "image.nii.gz")
        write_volume(image.with_array(labels), subject / "mask.nii.gz")
    return folder


def teach(stage, modality, data, folder, out, steps):
    """Train a stage on pairs and write its weights and card."""
    names = prepare_pairs(find_pairs(data), stage, modality, folder / "cases")
    recipe = Recipe(stage.architecture, dict(stage.options), learning_rate=1e-2, steps=steps, warmup_steps=5,
                    ema_decay=0.9, precision="float32", validate_every=steps)
    samples = PairSamples(folder / "cases", names, stage, PATCH, seed=5)
    train(recipe, samples, folder / "training", workers=0, log_every=5)
    export_training(folder / "training", stage, {"description": "analytic hips", "simulated": True}, out,
                    which="last", limits=["only analytic hips"])


def bake_balls(folder):
    """The simulated hips that a fine-tuning rehearses, as balls: made at once."""
    case = bake_hip(BallScene(), "left", "p000")
    for name in ("p000-left", "p001-right", "p002-left", "w000-left", "w001-right"):
        save_case(dataclasses.replace(case, name=name), folder / "hips")
    return folder


def offer(monkeypatch, *presets):
    """Have the program know these networks, too, and rehearse few samples."""
    monkeypatch.setattr(models, "_PRESETS", (*models._PRESETS, *presets))
    monkeypatch.setattr(rehearsal, "SAMPLES", 2)
    monkeypatch.setattr(rehearsal, "HELD_OUT_SAMPLES", 1)
    models.forget_networks()
