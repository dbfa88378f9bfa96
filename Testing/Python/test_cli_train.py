"""``train`` from pairs of images and masks to weights that the other commands find."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import simple_hips as hips
from command_line import assert_refused, files_in, invoke
from ProximalFemurSegLib.volume_io import write_volume

CORONAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
STEM = "unet3d-dilated-f16"


@pytest.fixture
def pairs(tmp_path):
    """Three subjects, each a coarse MR of one analytic hip with its mask."""
    for number in range(3):
        grid = hips.centred((16, 30, 30), (4.0, 4.0, 5.0), CORONAL, hips.HEADS["left"] + (-20, 0, -20 - number))
        folder = tmp_path / "pairs" / f"subject{number}"
        folder.mkdir(parents=True)
        write_volume(hips.hip_image(grid, ("left",), "MR"), folder / "image.nii.gz")
        mask = hips.hip_image(grid, ("left",)).with_array(hips.truth(grid, ("left",)).astype(np.uint8))
        write_volume(mask, folder / "mask.nii.gz")
    return tmp_path / "pairs"


def arguments(pairs, out, *more):
    small = ["--patch", 16, 16, 16, "--epochs", 1, "--workers", 0, "--device", "cpu"]
    return ["train", "--network", STEM, "--data", pairs, "--output", out, *small, *more]


def test_training_on_pairs_gives_weights_card_and_curves(pairs, tmp_path, monkeypatch):
    out = tmp_path / "out"
    result = invoke(*arguments(pairs, out, "--json"))
    assert result.exit_code == 0, result.stderr
    (trained,) = json.loads(result.stdout)["trained"]
    assert trained["steps"] == 2, "one epoch of the two subjects that are not held out"
    assert trained["role"] == "bone" and trained["trained_on"] == "images of people"
    assert {f"{STEM}.safetensors", f"{STEM}.json", f"{STEM}-curves.png", "bone/checkpoint.pt"} <= set(files_in(out))
    card = json.loads((out / f"{STEM}.json").read_text())
    assert card["architecture"] == "unet3d-dilated" and card["seed"] == 1
    assert set(card["operating_point"]) == {"threshold", "roc", "youden"}
    held_out = card["data"]["validation_subjects"]
    assert len(held_out) == 1 and set(held_out).isdisjoint(card["data"]["training_subjects"])
    with Image.open(out / f"{STEM}-curves.png") as picture:
        assert picture.width > 600

    # Found by the other commands through the environment variable that the help names.
    monkeypatch.setenv("PROXIMAL_FEMUR_SEG_MODELS", str(out))
    listed = json.loads(invoke("networks", "--json").stdout)["networks"]
    (entry,) = [entry for entry in listed if entry["name"] == STEM]
    assert entry["weights_here"] and entry["stages"][0]["card"] == str(out / f"{STEM}.json")

    # Another training goes on from these weights, and its card says so; another network cannot.
    start = out / f"{STEM}.safetensors"
    again = invoke(*arguments(pairs, tmp_path / "again", "--start", start, "--json"))
    assert again.exit_code == 0, again.stderr
    second = json.loads((tmp_path / "again" / f"{STEM}.json").read_text())
    assert second["data"]["started_from"] == {"weights": STEM, "sha256": card["sha256"]}
    fresh = json.loads((out / f"{STEM}.json").read_text())["curves"]["training"]["loss"][0]
    assert second["curves"]["training"]["loss"][0] != fresh
    other = ["train", "--network", "unet3d", "--data", pairs, "--output", tmp_path / "other", "--start", start]
    assert_refused(invoke(*other), start.name, "unet3d")
    no_weights = out / "bone" / "recipe.json"
    assert_refused(invoke(*arguments(pairs, tmp_path / "third", "--start", no_weights)), no_weights.name)

    # The same folder again is another training, unless it is to be resumed.
    assert_refused(invoke(*arguments(pairs, out)), "resume")
    resumed = invoke(*arguments(pairs, out, "--resume"))
    assert resumed.exit_code == 0, resumed.stderr


def test_simulated_pairs_are_labelled_so(pairs, tmp_path):
    for folder in pairs.iterdir():
        (folder / "landmarks.json").write_text("{}")
    result = invoke(*arguments(pairs, tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    assert "trained on simulated images" in result.stdout
    assert json.loads((tmp_path / "out" / f"{STEM}.json").read_text())["trained_on"] == "simulated images"


def test_interrupted_training_says_how_to_go_on(pairs, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ProximalFemurSegLib.training.stage_training.train", interrupt)
    result = invoke(*arguments(pairs, tmp_path / "out"))
    assert result.exit_code == 130
    assert "--resume" in result.stderr


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (["--network", "resnet"], "resnet"),
        (["--stage", "endosteal"], "bone"),
        (["--data", "nowhere"], "nowhere"),
        (["--recipe", "nowhere.json"], "nowhere.json"),
    ],
)
def test_impossible_choices_are_refused(pairs, tmp_path, change, word):
    assert_refused(invoke(*arguments(pairs, tmp_path / "out", *change)), word)
