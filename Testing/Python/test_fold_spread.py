"""The spread between the weights of several folds: worked out by hand, and with tiny networks of random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy

import simple_hips as hips
from command_line import files_in, invoke
from ProximalFemurSegLib import models
from ProximalFemurSegLib.desktop import stand_in
from ProximalFemurSegLib.errors import BadInputError, CancelledError
from ProximalFemurSegLib.inference import apply_threshold, predict_probabilities, segment
from ProximalFemurSegLib.inference.fold_spread import mean_of_folds
from ProximalFemurSegLib.inference.result import FemurRegion, Probabilities
from ProximalFemurSegLib.inference.uncertainty import uncertainty
from ProximalFemurSegLib.models import Preprocessing, Preset, Stage
from ProximalFemurSegLib.networks import build_network
from ProximalFemurSegLib.running.exchange import read_result, write_result
from ProximalFemurSegLib.volume import Grid, Volume
from ProximalFemurSegLib.volume_io import read_volume, write_volume

FRAME = Preprocessing((3.0, 3.0, 3.0), "AIL", "mr-percentile", (16, 32, 32))
OPTIONS = {"base_features": 2, "levels": 2}
TINY = Preset("tiny", "Tiny", "", "3D", "mr", (Stage("bone", "unet3d", OPTIONS, FRAME, "tiny"),))
CORONAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
IMAGE = hips.hip_image(
    hips.centred((14, 30, 30), (4.0, 4.0, 5.0), CORONAL, hips.HEADS["left"] + (-25, 0, -25)), ("left",), "MR"
)


def write_fold(folder, number, threshold=0.5, stage=TINY.stages[0]):
    """Weights and card of a fold as a cross-validation leaves them."""
    torch.manual_seed(number)
    network = build_network(stage.architecture, **stage.options)
    for value in network.parameters():
        value.data.normal_(0, 0.4)
    path = Path(folder) / f"fold-{number}" / "weights" / f"{stage.weights}.safetensors"
    card = {"architecture": stage.architecture, "options": stage.options, "trained_on": f"images of fold {number}",
            "operating_point": {"threshold": threshold, "youden": None}}
    models.write_card({**card, "sha256": models.save_weights(network.state_dict(), path)}, path.with_suffix(".json"))


@pytest.fixture
def three_folds(tmp_path, monkeypatch):
    """A network of which there are the weights of three folds, and none of its own."""
    for number, threshold in ((1, 0.3), (2, 0.4), (3, 0.8)):
        write_fold(tmp_path / "cross", number, threshold)
    monkeypatch.setenv(models.ENVIRONMENT_VARIABLE, str(tmp_path / "cross"))
    monkeypatch.setattr(models, "_PRESETS", (*models._PRESETS, TINY))
    return tmp_path / "cross"


def bits(p):
    return scipy_entropy([p, 1 - np.asarray(p, float)], base=2, axis=0)


def test_the_spread_is_the_mutual_information_worked_out_by_hand():
    grid = Grid.from_parts((1, 1, 6), (1, 1, 1))
    answers = np.array([[0.0, 0.5, 0.0, 0.2, 0.9, 1.0], [0.0, 0.5, 1.0, 0.6, 0.9, 0.5]], np.float32)
    inner = np.array([[0.0, 0.0, 0.0, 0.2, 0.2, 1.0], [0.0, 0.0, 0.0, 0.2, 0.8, 0.0]], np.float32)
    points = [{"threshold": 0.4, "youden": 0.2}, {"threshold": 0.5, "youden": None}]
    asked = []

    def predict(volume, side, progress, number):
        asked.append(side)
        maps = {name: Volume(part[number].reshape(1, 1, 6), grid) for name, part in
                (("periosteal", answers), ("endosteal", inner))}
        region = FemurRegion("left", (0, 0, 1), (1, 1, 6), grid)
        return Probabilities(maps, [region], dict.fromkeys(maps, points[number]), weights={f"w{number}": "0"},
                             seconds={"total": 1.5}, messages=["As asked."])

    found = mean_of_folds(Volume(np.zeros((1, 1, 6)), grid), predict, [0, 1])
    assert asked == ["auto", "left"]
    assert found.maps["periosteal"].array.ravel() == pytest.approx([0.0, 0.5, 0.5, 0.4, 0.9, 0.75])
    # h(0.2) = 0.7219, h(0.4) = 0.9710, h(0.6) = 0.9710, h(0.75) = 0.8113, h(0.5) = 1.
    outer = [0.0, 1.0, 0.9710 - (0.7219 + 0.9710) / 2, 0.0, 0.8113 - 0.5]
    # There the two of the inner one say 0.2 and 0.8, then 1 and 0.
    expected = [*outer[:3], 1 - 0.7219, 1.0]
    assert found.spread.ravel() == pytest.approx(expected, abs=1e-4)
    start, shown = uncertainty(found)
    assert start == (0, 0, 1) and shown.array is found.spread
    assert found.operating_points["periosteal"] == {"threshold": pytest.approx(0.45)}
    assert found.weights == {"w0": "0", "w1": "0"} and found.seconds == {"total": 3.0}
    assert found.messages == ["As asked.", "The maps are the mean over the weights of 2 folds."]


def test_random_networks_of_three_folds_give_their_mean_and_spread(three_folds):
    stages = []
    result = segment(IMAGE, "tiny", device="cpu", uncertainty="folds", precision="float32",
                     progress=lambda stage, done, total: stages.append(stage))
    presets = models.fold_presets(TINY)
    assert [preset.stages[0].weights for preset in presets] == [f"fold-{n}/weights/tiny" for n in (1, 2, 3)]
    alone = [predict_probabilities(IMAGE, one, device="cpu", precision="float32").maps["bone"].array for one in presets]
    assert np.ptp(alone, axis=0).max() > 0.1
    mean = np.mean(alone, axis=0)
    found = result.probabilities
    assert np.allclose(found.maps["bone"].array, mean, atol=1e-5)
    spread = bits(mean) - np.mean([bits(p) for p in alone], axis=0)
    assert np.allclose(found.spread, spread[found.window], atol=1e-4)
    assert result.threshold["bone"] == pytest.approx(0.5)
    assert list(found.weights) == [f"fold-{n}/weights/tiny" for n in (1, 2, 3)]
    named = [stage for stage in dict.fromkeys(stages) if "bone" in stage]
    assert [stage.split(": ")[0] for stage in named] == [f"fold {n} of 3" for n in (1, 2, 3)]


def test_the_command_line_writes_the_map_and_says_what_was_run(three_folds, tmp_path):
    write_volume(IMAGE, tmp_path / "hip.nii.gz")
    run = ["segment", tmp_path / "hip.nii.gz", "--network", "tiny", "--modality", "mr", "--device", "cpu", "--progress"]
    done = invoke(*run, "none", "--output", tmp_path / "out", "--uncertainty", "folds")
    assert done.exit_code == 0, done.stderr
    written = read_volume(tmp_path / "out" / "uncertainty.nii.gz")
    found = segment(read_volume(tmp_path / "hip.nii.gz"), "tiny", "mr", device="cpu", uncertainty="folds").probabilities
    assert written.array.shape == IMAGE.array.shape and written.grid.is_close(IMAGE.grid, 1e-3)
    assert np.allclose(written.array[found.window], found.spread, atol=1e-5)
    measured = json.loads((tmp_path / "out" / "measurements.json").read_text(encoding="utf-8"))
    assert measured["trained_on"] == "images of fold 1, images of fold 2, images of fold 3"
    assert len(measured["weights"]) == 3
    assert "The maps are the mean over the weights of 3 folds." in measured["messages"]


def test_a_map_of_the_entropy_is_written_only_where_it_is_asked_for(three_folds, tmp_path, monkeypatch):
    monkeypatch.setenv(models.ENVIRONMENT_VARIABLE, str(three_folds / "fold-2" / "weights"))
    write_volume(IMAGE, tmp_path / "hip.nii.gz")
    run = ["segment", tmp_path / "hip.nii.gz", "--network", "tiny", "--modality", "mr", "--device", "cpu", "--progress"]
    done = invoke(*run, "none", "--output", tmp_path / "out", "--uncertainty", "entropy")
    assert done.exit_code == 0, done.stderr
    folder = tmp_path / "out"
    probability, written = (read_volume(folder / f"{name}.nii.gz").array for name in ("probability", "uncertainty"))
    assert np.allclose(written, bits(probability), atol=1e-4)
    done = invoke(*run, "none", "--output", folder, "--overwrite")
    assert done.exit_code == 0 and "uncertainty.nii.gz" not in files_in(folder)
    refused = invoke(*run, "none", "--output", tmp_path / "other", "--uncertainty", "folds")
    assert refused.exit_code == 2 and "cross-validate" in refused.stderr and not (tmp_path / "other").exists()


def test_a_fold_counts_where_all_networks_of_a_cascade_are_there(tmp_path, monkeypatch):
    inner = Stage("endosteal", "unet3d", OPTIONS, FRAME, "tiny-inner")
    cascade = Preset("two", "Two", "", "3D", "ct", (TINY.stages[0], inner))
    for number in (1, 2, 10, 11):
        write_fold(tmp_path, number)
    for number in (2, 10):
        write_fold(tmp_path, number, stage=inner)
    (tmp_path / "fold-11" / "weights" / "tiny.json").unlink()
    (tmp_path / "fold-x").mkdir()
    monkeypatch.setenv(models.ENVIRONMENT_VARIABLE, str(tmp_path))
    found = [[stage.weights for stage in preset.stages] for preset in models.fold_presets(cascade)]
    assert found == [[f"fold-{n}/weights/tiny", f"fold-{n}/weights/tiny-inner"] for n in (2, 10)]
    assert [p.stages[0].weights for p in models.fold_presets(TINY)] == [f"fold-{n}/weights/tiny" for n in (1, 2, 10)]
    assert models.fold_presets(models.find_preset("vnet")) == []


def test_fewer_than_two_folds_and_unknown_sources_are_refused(three_folds, monkeypatch):
    monkeypatch.setenv(models.ENVIRONMENT_VARIABLE, "")
    with pytest.raises(BadInputError, match="several folds of tiny"):
        segment(IMAGE, "tiny", uncertainty="folds")
    with pytest.raises(BadInputError, match="entropy, variants, folds"):
        segment(IMAGE, "tiny", uncertainty="guess")


def test_it_is_cancelled_between_two_folds(three_folds):
    begun = []
    with pytest.raises(CancelledError):
        segment(IMAGE, "tiny", device="cpu", uncertainty="folds", cancelled=lambda: bool(begun),
                progress=lambda stage, done, total: begun.append(stage) if stage.startswith("fold 2") else None)


def test_the_spread_comes_back_from_another_process(tmp_path):
    image = stand_in.ball_image()
    probabilities = stand_in.predict(image)
    probabilities.spread = np.random.default_rng(0).random(image.array.shape, dtype=np.float32)
    write_result(apply_threshold(probabilities), tmp_path)
    *_, result = read_result(tmp_path, image)
    assert np.array_equal(result.probabilities.spread, probabilities.spread)
