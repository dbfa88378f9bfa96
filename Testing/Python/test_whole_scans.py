"""Whole simulated scans in a training: how they are mixed in, made coarse, and kept apart from those held out."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from ProximalFemurSegLib import models
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.training import stage_data, whole_scans
from ProximalFemurSegLib.training.coarse_voxels import CoarsenedSamples, coarsen
from ProximalFemurSegLib.training.mixed_samples import MixedSamples
from ProximalFemurSegLib.training.recipe_files import find_recipe


class Numbered:
    def __init__(self, name):
        self.name = name

    def sample(self, index):
        return self.name, index


class Ramps:
    """A ramp along D whose first two slices lie beyond the field of view."""

    def sample(self, index):
        image = np.broadcast_to(np.arange(16, dtype=np.float32)[:, None, None] / 16, (16, 8, 8)).copy()
        image[:2] = -1.0
        return image[None], np.ones((16, 8, 8), np.int64)


def test_two_sets_take_turns_and_none_of_their_samples_is_left_out():
    mixed = MixedSamples(Numbered("whole"), Numbered("drawn"), 3, 5)
    found = [mixed.sample(n) for n in range(10)]
    assert [name for name, _ in found] == (["whole"] * 3 + ["drawn"] * 2) * 2
    assert [n for name, n in found if name == "whole"] == list(range(6))
    assert [n for name, n in found if name == "drawn"] == list(range(4))


def test_thick_slices_are_means_and_gaps_leave_slices_out():
    column = torch.arange(8.0)[:, None, None].expand(8, 4, 4).contiguous()
    thick = coarsen(column, [2.0, 1.0, 1.0])
    # Means of pairs are 0.5, 2.5, 4.5, 6.5; between them it is linear, beyond the outer ones constant.
    assert torch.allclose(thick[:, 0, 0], torch.tensor([0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.5]))
    gaps = coarsen(column, [2.0, 1.0, 1.0], gaps=True)
    left = {float(v) for v in torch.arange(8.0)[1::2]}
    assert {round(float(v), 3) for v in gaps[[0, 7], 0, 0]} <= left
    assert coarsen(column, [1.0, 1.0, 1.0]) is column


def test_a_share_of_the_samples_is_coarse_and_what_was_not_scanned_stays_so():
    fine = Ramps().sample(0)[0]
    samples = CoarsenedSamples(Ramps(), (1.5, 0.5, 0.5), 0.5, seed=3)
    images = [samples.sample(n)[0] for n in range(60)]
    changed = [image for image in images if not np.array_equal(image, fine)]
    assert 15 <= len(changed) <= 45
    assert all((image[0, :2] == -1.0).all() for image in images)
    assert np.array_equal(samples.sample(7)[0], images[7])
    untouched = CoarsenedSamples(Ramps(), (1.5, 0.5, 0.5), 0.0)
    assert all(np.array_equal(untouched.sample(n)[0], fine) for n in range(5))


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What is generated, noted; the scans are small, of own geometry."""
    made, real = [], whole_scans.generate

    def generate(modality, seed, **choices):
        made.append((modality, seed, choices.pop("matrix", None), choices["wide"]))
        return real(modality, seed, matrix=48, slices=16, **choices)

    monkeypatch.setattr(whole_scans, "generate", generate)
    monkeypatch.setattr(stage_data, "bake_cohort", lambda *_, **__: None)
    return made


def test_scans_are_mixed_into_a_training_and_those_held_out_into_its_validation(asked, tmp_path, monkeypatch):
    stage = models.find_preset("unet3d-f16").stages[0]
    monkeypatch.setattr(stage_data, "phantom_samples", lambda *_, **__: Numbered("drawn"))
    said = []
    data = stage_data.phantom_training_data(stage, tmp_path, held_out=1, patch=(8, 48, 48), seed=5,
                                            announce=said.append, whole_scans=2)
    assert said == ["scan t000", "scan t001", "scan h000"]
    assert [modality for modality, *_ in asked] == ["mr"] * 3 and len({seed for _, seed, *_ in asked}) == 3
    assert data.description["whole_scans"] == 2
    for samples, names in ((data.samples, ["t000", "t001"]), (data.held_out, ["h000"])):
        assert samples.first.samples.names == names
        image, target = samples.sample(0)
        assert image.shape == (1, 8, 48, 48) and target.shape == (8, 48, 48) and target.any()
        assert samples.sample(3) == ("drawn", 0)
    # What is there is not made again.
    whole_scans.make_whole_scans(tmp_path / "scans-mr", "mr", 2, 1)
    assert len(asked) == 3
    parameters = [json.loads((tmp_path / "scans-mr" / name / "landmarks.json").read_text())["parameters"]
                  for name in ("t000", "h000")]
    assert parameters[0] != parameters[1]


def test_patches_are_not_cut_from_whole_scans(asked, tmp_path):
    stage = models.find_preset("patch2d").stages[0]
    recipe = find_recipe("arxiv-v1", stage)
    stage = dataclasses.replace(stage, options=recipe.options)
    with pytest.raises(BadInputError, match="--whole-scans"):
        stage_data.phantom_training_data(stage, tmp_path, recipe=recipe, whole_scans=3)
    assert not asked


def test_real_shapes_are_read_once_for_the_baked_scenes_and_the_scans(tmp_path, monkeypatch):
    stage = models.find_preset("unet3d-f16").stages[0]
    given = []
    monkeypatch.setattr(stage_data, "load_shapes", lambda anatomy, announce: f"shapes of {anatomy}")
    monkeypatch.setattr(stage_data, "bake_cohort", lambda folder, anatomy, *_: given.append(anatomy))
    monkeypatch.setattr(stage_data, "make_whole_scans", lambda *choices: given.append(choices[4]))
    monkeypatch.setattr(stage_data, "whole_scan_samples", lambda *_: Numbered("whole"))
    monkeypatch.setattr(stage_data, "phantom_samples", lambda *_, **__: Numbered("drawn"))
    stage_data.phantom_training_data(stage, tmp_path, "bones", patch=(8, 48, 48), whole_scans=2)
    assert given == ["shapes of bones"] * 2


def test_share_of_a_training_is_by_steps_or_by_time_whichever_is_further():
    recipe = find_recipe("default", models.find_preset("unet3d-f16").stages[0]).replace(steps=100, minutes=10.0)
    assert recipe.share_done(25, 60.0) == 0.25 and recipe.share_done(25, 300.0) == 0.5
    assert recipe.share_done(1, 3600.0) == 1.0
    by_epochs = recipe.replace(epochs=2, batch_size=4, minutes=None)
    assert by_epochs.share_done(5, 3600.0, epoch_samples=20) == 0.5
