"""The weights in the repository: whole, honestly labelled, and good for the sample case in any array order."""

from __future__ import annotations

import os
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from ProximalFemurSegLib import models
from ProximalFemurSegLib.evaluation import evaluate_masks
from ProximalFemurSegLib.inference import segment
from ProximalFemurSegLib.orientation import Reorientation
from ProximalFemurSegLib.volume import Volume
from ProximalFemurSegLib.volume_io import read_labels, read_volume
from test_packaging import MODULE

SAMPLES = MODULE / "Resources" / "SampleData"
# Networks that somebody fine-tuned on this machine are their own business.
PRESETS = [p for p in models.all_presets(internal=True) if p.origin is None and models.has_weights(p)]
STAGES = [stage for preset in PRESETS for stage in preset.stages]
ALL_48 = [Reorientation(o, f) for o in permutations(range(3)) for f in product((False, True), repeat=3)]
# Three orders by default, which take seconds; all of them take minutes.
ORDERS = ALL_48[1:] if os.environ.get("PROXIMAL_FEMUR_SEG_ALL_ORDERS") else [ALL_48[n] for n in (13, 30, 44)]


DATA = Path(os.environ.get("PROXIMAL_FEMUR_SEG_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
REAL = DATA / "ct" / "totalsegmentator-example.nii.gz"


def test_the_defaults_have_weights_and_all_of_them_stay_small():
    assert {s.role for s in STAGES} >= {"locator", "bone", "periosteal", "endosteal"}
    assert sum(path.stat().st_size for path in (MODULE / "Resources" / "Models").iterdir()) < 60e6


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.weights)
def test_every_card_says_what_the_weights_are(stage):
    card = models.card(stage)
    assert card["sha256"] == models.sha256(models.weights_path(stage))
    assert card["trained_on"] == "simulated images" and card["data"]["simulated"] is True
    assert any("simulated" in limit for limit in card["limits"])
    assert "Research use only" in card["use"]
    for entry in ("seed", "command", "commit", "hardware", "recipe", "metrics", "curves"):
        assert card[entry], f"{stage.weights} has no {entry}"
    assert 0 < card["operating_point"]["threshold"] < 1
    training = card["curves"]["training"]
    assert len(training["loss"]) == len(training["step"]) > 5 and training["step"] == sorted(training["step"])


def sample(modality):
    return read_volume(SAMPLES / f"hip-{modality}.nii.gz"), read_labels(SAMPLES / f"hip-{modality}-truth.nii.gz")


@pytest.mark.parametrize(
    ("network", "modality", "values", "least"),
    [
        ("auto", "ct", {"whole": (1, 2), "inside": (1,)}, 0.93),
        ("auto", "mr", {"inside": (1,)}, 0.93),
        ("unet2d-f16", "mr", {"inside": (1,)}, 0.9),
    ],
)
def test_the_sample_case_is_segmented_well(network, modality, values, least):
    image, truth = sample(modality)
    result = segment(image, network)
    assert result.probabilities.modality == modality
    assert {side for _, side in result.sides.values()} == {"left"}
    for name, labels in values.items():
        masks = (v.with_array(np.isin(v.array, labels)) for v in (result.labels, truth))
        assert evaluate_masks(*masks)["dice"] > least, name


def test_any_array_order_gives_the_same_mask():
    image, _ = sample("mr")
    grid = image.grid.crop((12, 0, 0), (36, 256, 256))
    image = Volume(image.array[12:36], grid, metadata={"modality": "MR"})
    expected = segment(image)
    assert (expected.labels.array > 0).sum() * grid.voxel_volume_mm3 > 20e3
    for change in ORDERS:
        shuffled = Volume(change.apply(image.array), change.grid(grid), metadata=image.metadata)
        result = segment(shuffled)
        assert np.array_equal(result.labels.array, change.apply(expected.labels.array))
        assert np.array_equal(result.probability.array, change.apply(expected.probability.array))


@pytest.mark.skipif(not REAL.exists(), reason="the folder of real images is not here")
def test_the_right_femur_of_a_real_ct():
    """3 mm voxels; the left femur carries an implant."""
    from scipy import ndimage

    truth = read_labels(REAL.with_name("totalsegmentator-example-femur-hip-labels.nii.gz"))
    result = segment(read_volume(REAL))
    assert {side for _, side in result.sides.values()} == {"left", "right"}
    assert result.labels.grid.is_close(truth.grid)
    right = result.labels.array > 10
    masks = (truth.with_array(mask) for mask in (right, truth.array == 2))
    assert evaluate_masks(*masks)["dice"] > 0.85
    # The labels' border is uncertain by a voxel. What is left is a spot of the acetabular roof, about one percent.
    pelvis = ndimage.binary_erosion(np.isin(truth.array, (3, 4)))
    assert (right & pelvis).sum() < 0.015 * right.sum()
