"""The recipes that come with the program say what the papers print."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.models import find_preset
from ProximalFemurSegLib.networks import build_network
from ProximalFemurSegLib.training.recipe import Recipe
from ProximalFemurSegLib.training.recipe_files import find_recipe, read_recipe, recipe_folder, recipe_names
from ProximalFemurSegLib.training.stage_training import complete_recipe

PERIOSTEAL, ENDOSTEAL = find_preset("vnet").stages
UNET3D = find_preset("unet3d").stages[0]

# arXiv-v1, Table I; ISMRM-2017, Table 1; arXiv-v2, Table 1, and SciRep-2018, Table 5; QCT-2021, section 2.3.
_STOP = {"patience": 10, "minimum_epochs": 30, "minimum_gain": 1e-4}
_SCIREP = {"loss": "weighted-ce", "optimizer": "adam", "learning_rate": 5e-5, "batch_size": 1, **_STOP}
_PLANAR = {"sampling": "slices", "patch": (1, 512, 512)}
_SPATIAL = {"sampling": "crops", "patch": (48, 256, 256)}
_QCT = {"architecture": "vnet", "loss": "ce", "optimizer": "adam", "learning_rate": 1e-4, "batch_size": 1,
        "epochs": 800, "patch": (64, 192, 192), "keep": "best", "patience": None}
PRINTED = {
    "arxiv-v1-patch2d": {"architecture": "patch2d", "loss": "weighted-ce", "optimizer": "sgd", "momentum": 0.9,
                         "batch_size": 128, "learning_rate": 1e-5, "epochs": 200, "sampling": "patches", "stride": 8},
    "arxiv-v1-unet2d-valid": {"architecture": "unet2d-valid", "loss": "weighted-ce", "optimizer": "adam",
                              "batch_size": 1, "learning_rate": 1e-5, "epochs": 200, "sampling": "slices",
                              "patch": (1, 510, 510)},
    "ismrm-2017-patch25d": {"architecture": "patch25d", "loss": "ce", "optimizer": "sgd", "learning_rate": 1e-4,
                            "batch_size": 256, "epochs": 62, "sampling": "patches"},
    "arxiv-v2-unet2d-valid": {"architecture": "unet2d-valid", **_SCIREP, **_PLANAR},
    "arxiv-v2-unet3d": {"architecture": "unet3d", **_SCIREP, **_SPATIAL},
    "scirep-2018-unet2d-valid": {"architecture": "unet2d-valid", **_SCIREP, **_PLANAR},
    "scirep-2018-unet2d": {"architecture": "unet2d", **_SCIREP, **_PLANAR},
    "scirep-2018-unet2d-dilated": {"architecture": "unet2d-dilated", **_SCIREP, **_PLANAR},
    "scirep-2018-unet3d": {"architecture": "unet3d", **_SCIREP, **_SPATIAL},
    "scirep-2018-unet3d-dilated": {"architecture": "unet3d-dilated", **_SCIREP, **_SPATIAL},
    "qct-2021-periosteal": _QCT,
    "qct-2021-endosteal": _QCT,
}
# Feature maps and poolings, dropout, and other options of the networks.
NETWORKS = {
    "arxiv-v1-patch2d": {"dropout": 0.5, "slices": 3},
    "arxiv-v1-unet2d-valid": {"base_features": 32, "levels": 3, "dropout": 0.5, "patch": 510, "patches": 7},
    "ismrm-2017-patch25d": {"dropout": 0.5},
    "arxiv-v2-unet2d-valid": {"base_features": 32, "levels": 4, "dropout": 0.0, "patch": 512, "patches": 3},
    "arxiv-v2-unet3d": {"base_features": 32, "levels": 4},
    "scirep-2018-unet2d-valid": {"base_features": 64, "levels": 3, "patch": 512, "patches": 3},
    "scirep-2018-unet2d": {"base_features": 64, "levels": 4},
    "scirep-2018-unet2d-dilated": {"base_features": 64, "levels": 4, "rates": [1, 2, 4, 8]},
    "scirep-2018-unet3d": {"base_features": 32, "levels": 4},
    "scirep-2018-unet3d-dilated": {"base_features": 32, "levels": 4, "rates": [1, 2, 4, 8]},
    "qct-2021-periosteal": {"norm": "batch"},
    "qct-2021-endosteal": {"norm": "batch"},
}


def test_every_recipe_is_of_a_paper_or_our_own():
    assert set(recipe_names()) == set(PRINTED) | {"default", "default-borders"}


@pytest.mark.parametrize("name", PRINTED)
def test_recipes_of_the_papers_say_what_is_printed(name):
    recipe = read_recipe(recipe_folder() / f"{name}.json")
    for entry, value in PRINTED[name].items():
        assert getattr(recipe, entry) == value, entry
    for option, value in NETWORKS[name].items():
        assert recipe.options[option] == value, option
    assert recipe.source
    # Nothing that no paper has: no schedule, no averaged weights, no clipping, one precision.
    assert (recipe.schedule, recipe.warmup_steps, recipe.clip_norm, recipe.ema_decay, recipe.freeze_norm) == (
        "constant", 0, None, 0.0, 0.0)
    assert recipe.precision == "float32" and recipe.deep_supervision == 0 and recipe.accumulate == 1
    change = recipe.augmentation
    if name.startswith("qct"):
        assert change.scale > 1 and change.noise > 0 and change.gain > 0 and not change.flip
    else:
        assert change.flip and (change.scale, change.noise, change.gain, change.offset) == (1.0, 0.0, 0.0, 0.0)
        # L2 on the kernels: ISMRM-2017, and arXiv-v1 "in some CNNs".
        assert (recipe.weight_decay > 0) == (recipe.architecture in ("patch2d", "patch25d"))


@pytest.mark.parametrize("name", PRINTED)
def test_networks_of_the_papers_start_as_printed(name):
    """Xavier kernels, uniform within sqrt(6 / (inputs + outputs)), and biases of 0.10, but for the V-Net's."""
    recipe = read_recipe(recipe_folder() / f"{name}.json")
    network = build_network(recipe.architecture, **{**recipe.options, "base_features": 2})
    for layer in network.modules():
        if isinstance(getattr(layer, "weight", None), type(None)) or layer.weight.ndim < 4:
            continue
        fan = (layer.weight.shape[0] + layer.weight.shape[1]) * layer.weight[0, 0].numel()
        assert float(layer.weight.detach().abs().max()) <= (6 / fan) ** 0.5
        if layer.bias is not None:
            expected = 0.0 if recipe.architecture == "vnet" else 0.10
            assert layer.bias.detach().tolist() == pytest.approx([expected] * len(layer.bias))


def test_role_and_architecture_complete_a_name():
    assert find_recipe("qct-2021", PERIOSTEAL).source.count("periosteal") == 1
    assert find_recipe("qct-2021", ENDOSTEAL).source.count("endosteal") == 1
    assert find_recipe("scirep-2018", UNET3D).options["base_features"] == 32
    assert find_recipe("arxiv-v2", UNET3D).source.startswith("Deniz et al. 2018, arXiv v2")


def test_options_of_a_recipe_stand_in_for_those_of_the_preset():
    assert PERIOSTEAL.options["norm"] == "instance"
    assert find_recipe("qct-2021", PERIOSTEAL).options == {"base_features": 16, "norm": "batch"}
    assert find_recipe("default", PERIOSTEAL).options == PERIOSTEAL.options


@pytest.mark.parametrize("preset", ["unet3d", "vnet", "patch2d", "patch25d", "unet2d-valid"])
def test_the_default_recipe_is_for_any_network(preset):
    stage = find_preset(preset).stages[0]
    recipe = find_recipe("default", stage)
    assert (recipe.architecture, recipe.optimizer, recipe.loss) == (stage.architecture, "adamw", "dice-ce")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scirep-2018-unet2d", "is for the architecture unet2d, and this network is a unet3d; .*scirep-2018-unet3d"),
        ("qct-2021-periosteal", "is for the architecture vnet"),
        ("ismrm", "no recipe named 'ismrm' .* arxiv-v2-unet3d, default, default-borders, scirep-2018-unet3d, or"),
        ("ismrm-2017", "no recipe named 'ismrm-2017'"),
        ("none.json", "cannot be read"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(name, words):
    with pytest.raises(BadInputError, match=words):
        find_recipe(name, UNET3D)


def test_a_file_may_leave_the_network_open(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"loss": "surface-ce", "options": {"levels": 3}}))
    recipe = find_recipe(path, UNET3D)
    assert (recipe.architecture, recipe.options) == ("unet3d", {"base_features": 32, "levels": 3})
    # In millimetres, as the grid of the network has them.
    assert complete_recipe(recipe, UNET3D).loss_options == {"spacing_mm": [1.5, 0.469, 0.469]}
    told = recipe.replace(loss_options={"spacing_mm": [1, 1, 1]})
    assert complete_recipe(told, UNET3D) == told
    path.write_text(json.dumps({"options": [1]}))
    with pytest.raises(BadInputError, match="options must be a table"):
        find_recipe(path, UNET3D)


def test_recipes_survive_being_written_and_read():
    for name in PRINTED:
        recipe = read_recipe(recipe_folder() / f"{name}.json")
        assert Recipe.from_dict(recipe.to_dict()) == recipe
        assert dataclasses.replace(recipe, seed=2) != recipe
