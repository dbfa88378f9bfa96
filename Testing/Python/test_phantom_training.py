"""Training samples from baked phantoms: where they lie, what they show, and a whole small training on them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from ball_scene import RADIUS, THICKNESS, BallScene
from ProximalFemurSegLib import models
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.training import phantom_training
from ProximalFemurSegLib.training.phantom_cases import bake_body, bake_hip, load_case, save_case
from ProximalFemurSegLib.training.phantom_data import CtSamples, LocatorSamples, MrSamples, Variation

STILL = Variation(rotation_deg=0.0, zoom=1.0, bend_mm=0.0, wide=0.0, cut=0.0, coarse=0.0, metal=0.0, thin=0.0)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    scene = BallScene()
    for name in ("r000", "v000"):
        for side in ("left", "right"):
            save_case(bake_hip(scene, side, name), folder / "hips")
        save_case(bake_body(scene, name), folder / "bodies")
    return folder


def volume(target, spacing):
    return np.count_nonzero(target) * np.prod(spacing)


def test_baked_hips_of_both_sides_are_the_same_left_hip(cases):
    left, right = (load_case(cases / "hips" / f"r000-{side}.npy") for side in ("left", "right"))
    # Distances of the balls and their boxes mirror exactly but for rounding at half counts.
    difference = left.channels[1].astype(int) - right.channels[1]
    assert np.abs(difference).max() <= 1
    assert left.corner == (-150.0, -90.0, -95.0) and left.spacing == 1.25


def test_body_names_the_femora(cases):
    case = load_case(cases / "bodies" / "r000.npy")
    inside = case.channels[1] < 128
    columns = np.argwhere(inside & (case.channels[4] == 1))[:, 2].mean() * case.spacing + case.corner[2]
    # Columns run to the patient's left, so the left femur has the larger coordinate.
    assert columns == pytest.approx(85.0, abs=1.0)
    assert np.argwhere(inside & (case.channels[4] == 2))[:, 2].mean() < np.argwhere(inside)[:, 2].mean()


def test_ct_targets_have_the_balls_volumes(cases, monkeypatch):
    from ProximalFemurSegLib.training import phantom_data

    monkeypatch.setattr(phantom_data, "_hip_center", lambda *_: np.zeros(3))
    for target, radius in (("periosteal", RADIUS), ("endosteal", RADIUS - THICKNESS)):
        samples = CtSamples(cases / "hips", (48, 64, 64), target=target, variation=STILL)
        image, truth = samples.sample(0)
        assert image.shape == (1, 48, 64, 64) and truth.shape == (48, 64, 64)
        assert image.dtype == np.float32 and truth.dtype == np.int64
        assert volume(truth, (1.0, 0.8, 0.8)) == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.015)
        assert -1 <= image.min() and image.max() <= 1


def test_samples_of_a_cascade_are_blank_outside_the_bone(cases, monkeypatch):
    from ProximalFemurSegLib.training import phantom_data

    monkeypatch.setattr(phantom_data, "_hip_center", lambda *_: np.zeros(3))
    options = {"target": "endosteal", "variation": STILL}
    image, truth = CtSamples(cases / "hips", (48, 64, 64), blank_outside=True, **options).sample(1)
    seen, same = CtSamples(cases / "hips", (48, 64, 64), **options).sample(1)
    assert np.array_equal(truth, same) and not (seen[0] == -1)[truth == 1].any()
    assert np.count_nonzero(seen[0] != -1) > 2 * np.count_nonzero(image[0] != -1)
    blank = image[0] == -1
    assert not truth[blank].any()
    bone = np.count_nonzero(~blank) * 0.64
    assert bone == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.25)


def test_mr_target_is_the_trabecular_ball(cases, monkeypatch):
    from ProximalFemurSegLib.training import phantom_data

    monkeypatch.setattr(phantom_data, "_hip_center", lambda *_: np.zeros(3))
    image, truth = MrSamples(cases / "hips", (32, 96, 96), variation=STILL).sample(0)
    assert volume(truth, (1.5, 0.469, 0.469)) == pytest.approx(4 / 3 * np.pi * (RADIUS - THICKNESS) ** 3, rel=0.02)
    # Marrow is bright, the cortex around it dark.
    middle = (np.array(truth.shape) - 1) / 2
    offset = (np.moveaxis(np.indices(truth.shape), 0, -1) - middle) * (1.5, 0.469, 0.469)
    cortex = np.abs(np.linalg.norm(offset, axis=-1) - RADIUS + THICKNESS / 2) < THICKNESS / 4
    assert image[0][truth == 1].mean() > image[0][cortex].mean() + 0.5


def test_locator_tells_left_from_right(cases):
    samples = LocatorSamples(cases / "bodies", (48, 64, 112), variation=STILL)
    seen = set()
    for index in range(12):
        _, target = samples.sample(index)
        for label, sign in ((1, 1), (2, -1)):
            place = np.argwhere(target == label)
            if len(place) > 300:
                # The patient's left is at large columns, whether or not the body was mirrored.
                seen.add(label)
                assert sign * (place[:, 2].mean() - 55.5) > 5
    assert seen == {1, 2}


@pytest.mark.parametrize("kind", [CtSamples, MrSamples])
def test_a_sample_depends_on_nothing_but_its_index(cases, kind):
    samples = kind(cases / "hips", (16, 32, 32), seed=3)
    first, other, again = samples.sample(7), samples.sample(8), samples.sample(7)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert np.isfinite(first[0]).all()


def test_held_out_cases_are_never_trained_on(cases):
    stage = models.find_preset("vnet").stages[0]
    train = {p.stem for p in phantom_training.phantom_samples(stage, cases).paths}
    held = {p.stem for p in phantom_training.phantom_samples(stage, cases, held_out=True).paths}
    assert train == {"r000-left", "r000-right"} and held == {"v000-left", "v000-right"}


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="no baked phantom"):
        CtSamples(tmp_path, (16, 16, 16))


@pytest.mark.parametrize(
    ("preset", "options", "patch"),
    [
        ("vnet", {}, (16, 32, 32)),
        ("unet3d", {"levels": 2}, (8, 16, 16)),
        ("unet3d-dilated", {"levels": 2, "rates": [1, 2]}, (8, 16, 16)),
        ("patch2d", {}, (3, 40, 40)),
        ("patch25d", {"voxels": 32}, (3, 32, 32)),
        ("unet2d", {"levels": 2}, (3, 32, 32)),
        ("unet2d-dilated", {"levels": 2, "rates": [1, 4]}, (3, 32, 32)),
        ("unet2d-valid", {"levels": 1, "patch": 60, "patches": 1}, (3, 40, 44)),
    ],
)
def test_a_whole_training_leaves_weights_that_load(preset, options, patch, cases, tmp_path, monkeypatch):
    from ProximalFemurSegLib.training import stage_data, stage_training

    stage = models.find_preset(preset).stages[0]
    stage = dataclasses.replace(stage, options={"base_features": 2, **options})
    monkeypatch.setattr(stage_data, "bake_cohort", lambda *_, **__: None)
    data = stage_data.phantom_training_data(stage, cases, patch=patch)
    recipe = phantom_training.phantom_recipe(stage, steps=4).replace(validate_every=2)
    _, path = stage_training.train_stage(stage, data, recipe, tmp_path / "run", tmp_path, workers=0)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["trained_on"] == "simulated images" and card["training"]["steps"] in (2, 4)
    monkeypatch.setenv(models.ENVIRONMENT_VARIABLE, str(tmp_path))
    network = models.load_network(stage)
    with torch.no_grad():
        assert network(torch.zeros(1, 1, *patch)).shape == (1, 2, *patch)


def test_patches_of_phantoms_are_trained_on_by_the_papers_recipe(cases, tmp_path, monkeypatch):
    from ProximalFemurSegLib.training import stage_data, stage_training
    from ProximalFemurSegLib.training.recipe_files import find_recipe

    stage = models.find_preset("patch2d").stages[0]
    monkeypatch.setattr(stage_data, "bake_cohort", lambda *_, **__: None)
    monkeypatch.setattr(stage_data, "PHANTOM_EPOCH", 2)
    recipe = find_recipe("arxiv-v1", stage).replace(options={"base_features": 2, "slices": 3, "dropout": 0.5}, epochs=2)
    stage = dataclasses.replace(stage, options=recipe.options)
    data = stage_data.phantom_training_data(stage, cases, patch=(4, 40, 36), recipe=recipe)
    assert data.epoch == 2 * 4 * 5 * 5, "every 8th row and column of all slices of both images"
    result, path = stage_training.train_stage(stage, data, recipe, tmp_path / "run", tmp_path, workers=0)
    assert result.steps == -(-2 * data.epoch // 128)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["data"]["sampling"] == "patches" and card["training"]["weights"] == "last"
