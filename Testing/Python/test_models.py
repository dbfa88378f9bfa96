"""Presets, and weights on disk: what is written comes back, what is damaged or missing is refused in one sentence."""

import dataclasses
import hashlib
import json
import os

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from ProximalFemurSegLib import models
from ProximalFemurSegLib.errors import BadInputError, ProximalFemurSegError
from ProximalFemurSegLib.networks import build_network
from ProximalFemurSegLib.orientation import axis_directions
from ProximalFemurSegLib.training.export import export_training, thin_curves
from ProximalFemurSegLib.training.phantom_training import patch_shape
from ProximalFemurSegLib.training.recipe import Recipe
from ProximalFemurSegLib.training.trainer import train
from toy_samples import Balls

OPTIONS = {"base_features": 2, "down_convs": [1, 1], "up_convs": [1]}
STAGE = dataclasses.replace(models.find_preset("vnet").stages[0], options=OPTIONS, weights="tiny")
DATA = {"description": "noisy balls", "simulated": True}


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training") / "run"
    recipe = Recipe("vnet", OPTIONS, steps=4, warmup_steps=1, precision="float32", learning_rate=1e-2)
    train(recipe, Balls((8, 8, 8)), folder, lambda network, step: {"dice": 0.5}, workers=0, log_every=1)
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(models.ENVIRONMENT_VARIABLE, str(tmp_path))
    models.forget_networks()
    return tmp_path


def test_exported_weights_come_back(training, folder):
    path = export_training(training, STAGE, DATA, folder, limits=["only balls"], command="train balls")
    assert {p.name for p in folder.iterdir()} == {"tiny.safetensors", "tiny.json"}
    network = models.load_network(STAGE)
    assert models.load_network(STAGE) is network
    assert not network.training
    trained = torch.load(training / "best.pt", weights_only=True)["network"]
    loaded = network.state_dict()
    for name, value in trained.items():
        if value.is_floating_point():
            expected = value.half().float() if value.ndim > 1 else value
            assert torch.equal(loaded[name], expected)
    stored = load_file(path)
    assert {v.dtype for v in stored.values() if v.ndim > 1} == {np.dtype(np.float16)}
    image = torch.randn(1, 1, 8, 8, 8)
    original = build_network("vnet", **OPTIONS)
    original.load_state_dict(trained)
    with torch.inference_mode():
        assert (network(image) - original.eval()(image)).abs().max() < 0.01


def test_card_says_what_was_done(training, folder):
    path = export_training(training, STAGE, DATA, folder, metrics={"dice": 0.1}, limits=["only balls"],
                           operating_point={"threshold": 0.4}, command="train balls", commit="abc")
    card = models.card(STAGE)
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["trained_on"] == "simulated images"
    assert "Research use only" in card["use"]
    assert card["data"] == DATA
    assert (card["command"], card["commit"], card["seed"]) == ("train balls", "abc", 1)
    assert card["architecture"] == "vnet"
    assert card["options"] == OPTIONS
    assert card["parameters"] == sum(p.numel() for p in build_network("vnet", **OPTIONS).parameters())
    assert card["preprocessing"]["spacing_mm"] == [1.0, 0.8, 0.8]
    assert card["operating_point"] == {"threshold": 0.4}
    assert card["limits"] == ["only balls"]
    assert card["curves"]["training"]["step"] == [1, 2, 3, 4]
    assert card["curves"]["validation"] == {"step": [4], "dice": [0.5]}
    assert card["hardware"]["cores"] >= 1
    assert card["hardware"]["torch"] == str(torch.__version__)


def test_exporting_twice_gives_the_same_bytes(training, tmp_path):
    first = export_training(training, STAGE, DATA, tmp_path / "a").read_bytes()
    assert export_training(training, STAGE, DATA, tmp_path / "b").read_bytes() == first


def test_curves_are_thinned_but_keep_their_ends(tmp_path):
    (tmp_path / "log.jsonl").write_text(
        "".join(json.dumps({"step": n, "loss": 1 / n, "dice": 0.5}) + "\n" for n in range(1, 1002))
    )
    steps = thin_curves(tmp_path, points=100)["training"]["step"]
    assert len(steps) <= 102
    assert (steps[0], steps[-1]) == (1, 1001)


def test_missing_weights(folder):
    missing = dataclasses.replace(STAGE, weights="nobody")
    with pytest.raises(BadInputError, match="no trained weights 'nobody' .*train command.*PROXIMAL_FEMUR_SEG_M"):
        models.load_network(missing)


def test_weights_without_a_card_count_as_missing(training, folder):
    export_training(training, STAGE, DATA, folder).with_suffix(".json").unlink()
    with pytest.raises(BadInputError, match="no trained weights"):
        models.weights_path(STAGE)


def test_damaged_weights(training, folder):
    path = export_training(training, STAGE, DATA, folder)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInputError, match="sha256 differs"):
        models.load_network(STAGE)


def test_weights_of_another_network(training, folder):
    export_training(training, STAGE, DATA, folder)
    other = dataclasses.replace(STAGE, architecture="unet3d")
    with pytest.raises(BadInputError, match="are for vnet, not for unet3d"):
        models.load_network(other)


def test_the_card_says_which_options_the_network_has(training, folder):
    """A recipe may have trained a wider network than the preset's."""
    path = export_training(training, STAGE, DATA, folder)
    other = dataclasses.replace(STAGE, options={**OPTIONS, "base_features": 4})
    found, expected = models.load_network(other), models.load_network(STAGE)
    assert {n: v.shape for n, v in found.state_dict().items()} == {n: v.shape for n, v in expected.state_dict().items()}
    card = json.loads(path.with_suffix(".json").read_text())
    models.write_card({**card, "options": other.options}, path.with_suffix(".json"))
    os.utime(path, ns=(1, 1))
    with pytest.raises(BadInputError, match="do not fit the network vnet of their card"):
        models.load_network(other)


def test_damaged_card(training, folder):
    path = export_training(training, STAGE, DATA, folder).with_suffix(".json")
    path.write_text("{")
    with pytest.raises(BadInputError, match="card .* cannot be read"):
        models.card(STAGE)


def test_replaced_weights_are_loaded_anew(training, folder):
    path = export_training(training, STAGE, DATA, folder)
    before = models.load_network(STAGE)
    export_training(training, STAGE, DATA, folder, which="last")
    os.utime(path, ns=(1, 1))
    assert models.load_network(STAGE) is not before


def test_named_folders_come_first(training, tmp_path, monkeypatch):
    for name in ("first", "second"):
        export_training(training, STAGE, DATA, tmp_path / name)
    value = os.pathsep.join([str(tmp_path / "first"), str(tmp_path / "second")])
    monkeypatch.setenv(models.ENVIRONMENT_VARIABLE, value)
    assert models.weights_path(STAGE).parent.name == "first"
    (tmp_path / "first" / "tiny.json").unlink()
    assert models.weights_path(STAGE).parent.name == "second"


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_weights_that_are_no_numbers_are_not_written(tmp_path, value):
    state = {"kernel": torch.full((2, 2), value)}
    with pytest.raises(ProximalFemurSegError, match="kernel hold values that are not finite"):
        models.save_weights(state, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_exports_that_cannot_work(training, tmp_path):
    with pytest.raises(BadInputError, match="lacks the entry 'simulated'"):
        export_training(training, STAGE, {"description": "balls"}, tmp_path)
    with pytest.raises(BadInputError, match="holds no training"):
        export_training(tmp_path / "none", STAGE, DATA, tmp_path)
    with pytest.raises(BadInputError, match="not of unet3d"):
        export_training(training, models.find_preset("unet3d").stages[0], DATA, tmp_path)
    assert not list(tmp_path.iterdir())


def test_presets_are_whole():
    stems = []
    for preset in models.all_presets(internal=True):
        assert models.find_preset(preset.name) is preset
        hash(preset)
        for stage in preset.stages:
            stems.append(stage.weights)
            frame = stage.preprocessing
            axis_directions(frame.orientation)  # raises unless it names three axes
            network = build_network(stage.architecture, **stage.options)
            if frame.window:
                assert all(n % m == 0 for n, m in zip(frame.window, network.size_multiple))
    assert len(set(stems)) == len(stems)
    assert "locator" not in [p.name for p in models.all_presets()]


def test_presets_are_the_papers():
    dilated = models.find_preset("unet3d-dilated").stages[0]
    assert dilated.options == {"base_features": 32, "levels": 4, "rates": [1, 2, 4, 8]}
    assert dilated.preprocessing.window == (48, 256, 256)
    periosteal, endosteal = models.find_preset("vnet").stages
    assert (periosteal.role, endosteal.role) == ("periosteal", "endosteal")
    assert periosteal.preprocessing.window == (64, 192, 192)
    # The paper's, less what is blank around the bone.
    assert endosteal.preprocessing.window == (64, 112, 112) and endosteal.preprocessing.blank_outside
    assert (periosteal.preprocessing.blank_outside, endosteal.preprocessing.blank_outside) == (False, True)
    assert models.default_preset("mr").modality == "mr"
    assert models.default_preset("ct").name == "vnet"


def test_unknown_names():
    with pytest.raises(BadInputError, match="choose one of .*unet3d-dilated.*vnet"):
        models.find_preset("resnet")
    with pytest.raises(BadInputError, match="choose one of mr, ct"):
        models.default_preset("us")


def test_networks_that_normalise_over_their_window_always_get_the_same_one():
    """Of slices each is normalised by itself; the locator sees all of a scan, however large it is."""
    for preset in models.all_presets():
        for stage in preset.stages:
            exact = stage.options.get("norm") == "instance" and preset.dimension == "3D"
            assert stage.preprocessing.exact_window == exact, preset.name
            assert not exact or patch_shape(stage) == stage.preprocessing.window
