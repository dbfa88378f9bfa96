"""``train`` from pairs of images and masks to weights that the other commands find."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import simple_hips as hips
from command_line import assert_refused, files_in, invoke
from dicom_files import write_volume_as_series
from ProximalFemurSegLib.volume_io import write_volume

CORONAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
STEM = "unet3d-dilated-f16"


@pytest.fixture
def pairs(tmp_path):
    """Three subjects, each a coarse MR of one analytic hip with its mask: NIfTI, NRRD, and a DICOM series."""
    for number in range(3):
        grid = hips.centred((16, 30, 30), (4.0, 4.0, 5.0), CORONAL, hips.HEADS["left"] + (-20, 0, -20 - number))
        folder = tmp_path / "pairs" / f"subject{number}"
        folder.mkdir(parents=True)
        image = hips.hip_image(grid, ("left",), "MR")
        image = image.with_array(np.round(image.array))
        if number == 2:
            write_volume_as_series(image, folder / "image")
        else:
            write_volume(image, folder / ("image.nii.gz", "image.nrrd")[number])
        mask = image.with_array(hips.truth(grid, ("left",)).astype(np.uint8))
        write_volume(mask, folder / ("mask.nii.gz", "mask.nrrd")[number % 2])
    return tmp_path / "pairs"


def as_table(pairs):
    """The same pairs as a table beside them."""
    images = ("image.nii.gz", "image.nrrd", "image")
    rows = [f"subject{n}/{images[n]},subject{n}/{('mask.nii.gz', 'mask.nrrd')[n % 2]},subject{n}" for n in range(3)]
    (pairs / "cases.csv").write_text("\n".join(["image,mask,subject", *rows]) + "\n")
    return pairs / "cases.csv"


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
    # Here the pairs are named in a table, and prepared to the same.
    again = invoke(*arguments(as_table(pairs), tmp_path / "again", "--start", start, "--json"))
    assert again.exit_code == 0, again.stderr
    second = json.loads((tmp_path / "again" / f"{STEM}.json").read_text())
    for number in range(3):
        name = f"bone/pairs/subject{number}.image.npy"
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
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


def test_a_papers_recipe_trains_the_papers_network(pairs, tmp_path, monkeypatch):
    """The recipe's options stand in for the preset's, the card says so, and the weights load."""
    recipe = {"architecture": "unet3d-dilated", "options": {"base_features": 2, "levels": 1, "rates": [1, 4]},
              "loss": "weighted-ce", "optimizer": "adam", "epochs": 2, "batch_size": 2, "keep": "last", "seed": 7,
              "patience": 1, "minimum_gain": 2.0, "validation_patch": [16, 24, 24]}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    out = tmp_path / "out"
    result = invoke("train", "--network", STEM, "--data", pairs, "--output", out, "--recipe", tmp_path / "recipe.json",
                    "--patch", 16, 16, 16, "--workers", 0, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    card = json.loads((out / f"{STEM}.json").read_text())
    assert card["options"] == {**recipe["options"], "norm": "instance"}
    assert (card["seed"], card["training"]["weights"], card["training"]["steps"]) == (7, "last", 2)
    assert card["recipe"]["loss"] == "weighted-ce" and card["data"]["epoch_samples"] == 2
    assert "loss" in card["curves"]["validation"] and card["curves"]["validation"]["epoch"] == [1.0, 2.0]
    monkeypatch.setenv("PROXIMAL_FEMUR_SEG_MODELS", str(out))
    listed = json.loads(invoke("networks", "--json").stdout)["networks"]
    (stage,) = next(entry["stages"] for entry in listed if entry["name"] == STEM)
    assert stage["options"] == card["options"] and stage["parameters"] == card["parameters"]
    assert_refused(invoke(*arguments(pairs, tmp_path / "b", "--recipe", "scirep-2018-unet3d")), "scirep-2018-unet3d")


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
