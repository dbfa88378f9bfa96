"""``phantom`` and ``demo`` from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ProximalFemurSegLib
import simple_hips as hips
from command_line import assert_refused, files_in, invoke
from ProximalFemurSegLib.phantom.generate import Phantom
from ProximalFemurSegLib.volume_io import read_labels, read_volume

PHANTOM_FILES = ["image.nii.gz", "landmarks.json", "regions.nii.gz", "truth.nii.gz"]
LPS = np.diag([-1.0, -1.0, 1.0])


@pytest.fixture
def simple_phantom(monkeypatch):
    """An analytic hip instead of the simulated one: what the commands do with it is at issue here."""
    asked = []

    def generate(modality, seed, side="random", anatomy=None, **options):
        asked.append({"modality": modality, "seed": seed, "side": side, "anatomy": anatomy, **options})
        grid = hips.centred((90, 64, 64), (2.2, 2.1, 2.0), LPS, hips.HEADS["left"] + (-10, 0, -60))
        bone = hips.truth(grid, ("left",), shaft_length=90)
        # The network that stands in for MR calls the whole bone trabecular.
        depth = hips.ENDOSTEAL_DEPTH if modality == "ct" else 0.0
        marrow = hips.truth(grid, ("left",), depth=depth, shaft_length=90)
        image = hips.hip_image(grid, ("left",), modality.upper(), shaft_length=90)
        return Phantom(
            image.with_array(np.round(image.array).astype(np.int16)),
            image.with_array((2 * bone - marrow).astype(np.uint8)),
            image.with_array(bone.astype(np.uint8)),
            {"left": {"landmarks": {"head_center": [0.0, 0.0, 0.0]}, "head_radius": 24.0}},
            {"seed": seed, "side": "left"},
        )

    monkeypatch.setattr("ProximalFemurSegLib.phantom.generate.generate", generate)
    return asked


def test_phantom_writes_image_truth_regions_and_landmarks_on_one_grid(tmp_path):
    small = ["--modality", "mr", "--seed", 5, "--slices", 8, "--matrix", 48, "--side", "right"]
    result = invoke("phantom", *small, "--output", tmp_path / "p", "--json")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert sorted(printed["files"]) == files_in(tmp_path / "p") == PHANTOM_FILES
    image = read_volume(tmp_path / "p" / "image.nii.gz")
    assert image.array.shape == (8, 48, 48)
    assert image.grid.spacing == pytest.approx((2.5, 2.5, 1.5), abs=1e-4)
    truth, regions = (read_labels(tmp_path / "p" / f"{name}.nii.gz") for name in ("truth", "regions"))
    assert truth.grid.is_close(image.grid) and regions.grid.is_close(image.grid)
    assert {1, 2} <= set(np.unique(truth.array)) <= {0, 1, 2, 11, 12}
    assert np.array_equal(truth.array > 0, regions.array > 0)
    noted = json.loads((tmp_path / "p" / "landmarks.json").read_text())
    assert printed["landmarks"] == noted["femora"]
    # The head is on the patient's right, and in view.
    head = noted["femora"]["right"]["landmarks"]["head_center"]
    assert head[0] > 0
    i, j, _ = image.grid.ras_to_ijk(head)
    assert 0 <= i < 48 and 0 <= j < 48


def test_options_reach_the_simulation(simple_phantom, tmp_path):
    arguments = ["--modality", "mr", "--seed", 9, "--side", "left", "--noise", 2, "--ghost", 0.1, "--cysts"]
    result = invoke("phantom", *arguments, "--anatomy", tmp_path, "--slices", 20, "--output", tmp_path / "p")
    assert result.exit_code == 0, result.stderr
    (asked,) = simple_phantom
    assert (asked["modality"], asked["seed"], asked["side"], asked["anatomy"]) == ("mr", 9, "left", tmp_path)
    assert asked["slices"] == 20 and "matrix" not in asked
    artefacts = asked["artefacts"]
    assert (artefacts.noise, artefacts.ghost, artefacts.cysts, artefacts.bias) == (2, 0.1, True, None)


@pytest.mark.parametrize(
    ("modality", "option", "word"),
    [
        ("ct", ["--cysts"], "--cysts"),
        ("ct", ["--fold-over", 0.2], "--fold-over"),
        ("mr", ["--metal"], "--metal"),
        ("mr", ["--rods"], "--rods"),
        ("mr", ["--field", "pelvis"], "--field"),
        ("ct", ["--matrix", 64], "--matrix"),
    ],
)
def test_artefacts_of_the_other_scanner_are_refused(simple_phantom, tmp_path, modality, option, word):
    result = invoke("phantom", "--modality", modality, "--seed", 1, "--output", tmp_path / "p", *option)
    assert_refused(result, word)
    assert simple_phantom == [] and files_in(tmp_path) == []


def test_earlier_phantom_is_kept(simple_phantom, tmp_path):
    arguments = ["phantom", "--modality", "ct", "--seed", 1, "--output", tmp_path / "p"]
    assert invoke(*arguments).exit_code == 0
    before = (tmp_path / "p" / "image.nii.gz").read_bytes()
    assert_refused(invoke(*arguments), "already holds image.nii.gz", "--overwrite")
    assert invoke(*arguments, "--overwrite").exit_code == 0
    assert (tmp_path / "p" / "image.nii.gz").read_bytes() == before, "the same seed gives the same bytes"


@pytest.mark.parametrize(("modality", "structures"), [("ct", 2), ("mr", 1)])
def test_demo_makes_segments_and_measures_a_sample(simple_phantom, tmp_path, monkeypatch, modality, structures):
    monkeypatch.setattr(ProximalFemurSegLib, "models", hips.fake_models())
    monkeypatch.chdir(tmp_path)
    result = invoke("demo", "--modality", modality, "--json", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed["output"] == "demo-output"
    assert files_in(tmp_path / "demo-output" / "sample") == PHANTOM_FILES
    assert {"preview.png", "segmentation.nii.gz"} <= set(files_in(tmp_path / "demo-output" / "result"))
    assert len(printed["accuracy"]) == structures
    for values in printed["accuracy"].values():
        assert values["dice"] > 0.97

    words = invoke("demo", "--modality", modality).stdout
    assert "Against the exact truth" in words and "preview.png" in words
    assert files_in(tmp_path) != []
