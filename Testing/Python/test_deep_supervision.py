"""Auxiliary outputs: where they come from, what they add to the loss, and that the network keeps nothing of them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.networks import build_network
from ProximalFemurSegLib.training.deep_supervision import DeeplySupervised, output_weights
from ProximalFemurSegLib.training.recipe import Recipe
from ProximalFemurSegLib.training.trainer import train
from toy_samples import Balls

NETWORKS = {
    "unet3d": {"base_features": 2, "levels": 3},
    "unet3d-dilated": {"base_features": 2, "levels": 3, "rates": (1, 2)},
    "vnet": {"base_features": 2, "down_convs": (1, 1, 1, 1), "up_convs": (1, 1, 1)},
}


@pytest.mark.parametrize("architecture", NETWORKS)
def test_outputs_of_the_coarser_stages(architecture):
    """Maps of half and of a quarter of the size, through a 1x1x1 convolution, interpolated to the whole."""
    torch.manual_seed(1)
    network = build_network(architecture, **NETWORKS[architecture])
    supervised = DeeplySupervised(network, 2).train()
    maps = []
    for stage, channels in network.expanding_stages:
        stage.register_forward_hook(lambda module, inputs, out, channels=channels: maps.append((channels, out)))
    image = torch.randn(1, 1, 16, 16, 16)
    main, half, quarter = supervised(image)
    assert main.shape == half.shape == quarter.shape == (1, 2, 16, 16, 16)
    assert [(c, tuple(m.shape[1:])) for c, m in maps] == [(8, (8, 4, 4, 4)), (4, (4, 8, 8, 8))]
    for found, head, (_, inputs), factor in zip((half, quarter), supervised.heads, maps[::-1], (2, 4)):
        plain = functional.conv3d(inputs, head.weight, head.bias)
        expected = functional.interpolate(plain, scale_factor=factor, mode="trilinear")
        assert torch.allclose(found, expected, atol=1e-6)
    # As it is used afterwards, there is one output: that of the plain network.
    supervised.eval()
    assert torch.equal(supervised(image), network(image))


def test_the_loss_is_the_weighted_sum_and_reaches_every_head(tmp_path):
    assert output_weights(3) == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    options = {"base_features": 2, "levels": 2}
    recipe = Recipe("unet3d", options, steps=1, warmup_steps=0, precision="float32", optimizer="sgd", momentum=0.0,
                    weight_decay=0.0, clip_norm=None, learning_rate=1.0, schedule="constant", ema_decay=0.0, loss="ce",
                    deep_supervision=1)
    result = train(recipe, Balls((8, 8, 8)), tmp_path / "run", workers=0)
    # The same step by hand.
    torch.manual_seed(recipe.seed)
    network = build_network("unet3d", **options)
    supervised = DeeplySupervised(network, 1)
    image, target = Balls((8, 8, 8)).sample(0)
    main, other = supervised.train()(torch.from_numpy(image)[None])
    losses = [functional.cross_entropy(o, torch.from_numpy(target)[None]) for o in (main, other)]
    (2 / 3 * losses[0] + 1 / 3 * losses[1]).backward()
    for name, parameter in network.named_parameters():
        moved = parameter.detach() - parameter.grad
        assert torch.allclose(result.network.get_parameter(name), moved, atol=1e-6), name
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert torch.allclose(saved["heads"]["0.weight"], (supervised.heads[0].weight - supervised.heads[0].weight.grad))


def test_weights_are_those_of_the_plain_network_and_a_training_resumes(tmp_path):
    options = {"base_features": 2, "levels": 2}
    recipe = Recipe("unet3d", options, steps=6, warmup_steps=0, precision="float32", deep_supervision=1)
    whole = train(recipe, Balls((8, 8, 8)), tmp_path / "whole", workers=0)
    build_network("unet3d", **options).load_state_dict(whole.network.state_dict())
    asked = []
    train(recipe, Balls((8, 8, 8)), tmp_path / "part", workers=0, cancelled=lambda: asked.append(1) or len(asked) > 3)
    rest = train(recipe, Balls((8, 8, 8)), tmp_path / "part", workers=0, resume=True)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, rest.network.state_dict()[name]), name
    with pytest.raises(BadInputError, match="another deep_supervision"):
        train(recipe.replace(deep_supervision=0), Balls((8, 8, 8)), tmp_path / "part", workers=0, resume=True)


def test_a_network_without_such_outputs_says_so():
    with pytest.raises(BadInputError, match="patch2d offers 0 auxiliary outputs, not 1"):
        DeeplySupervised(build_network("patch2d", base_features=2), 1)
    with pytest.raises(BadInputError, match="unet3d offers 1 auxiliary outputs, not 2"):
        DeeplySupervised(build_network("unet3d", base_features=2, levels=2), 2)
