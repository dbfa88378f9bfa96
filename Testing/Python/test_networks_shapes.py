"""Every architecture: sizes in and out, and numbers of parameters from the layer tables of the papers."""

import itertools

import pytest
import torch

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.networks import blocks, build_network, parameter_count
from unet_parameters import unet_parameters

# name, options, size (D, H, W), size_multiple
SIZES = [
    ("unet3d", {"base_features": 2, "levels": 3}, (8, 16, 24), (8, 8, 8)),
    ("unet3d", {"base_features": 2, "levels": 4}, (16, 32, 16), (16, 16, 16)),
    ("unet3d", {"base_features": 2, "levels": 1, "in_channels": 3, "classes": 3, "dropout": 0.5}, (2, 4, 6), (2, 2, 2)),
    ("unet3d-dilated", {"base_features": 2, "levels": 3}, (24, 8, 16), (8, 8, 8)),
    ("unet3d-dilated", {"base_features": 2, "levels": 4, "rates": (1, 8)}, (16, 16, 32), (16, 16, 16)),
    ("vnet", {"base_features": 2}, (16, 32, 32), (16, 16, 16)),
    ("vnet", {"base_features": 2, "norm": "instance", "in_channels": 2, "classes": 4}, (32, 16, 32), (16, 16, 16)),
    ("vnet", {"base_features": 2, "down_convs": [1, 2, 3], "up_convs": [2, 1]}, (4, 8, 4), (4, 4, 4)),
]


@pytest.mark.parametrize(("name", "options", "size", "multiple"), SIZES)
def test_logits_have_the_size_of_the_image(name, options, size, multiple):
    network = build_network(name, **options)
    assert network.size_multiple == multiple
    image = torch.randn(2, options.get("in_channels", 1), *size)
    logits = network(image)
    assert logits.shape == (2, options.get("classes", 2), *size)
    logits.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


RATES = [(1, 2), (1, 4), (1, 8), (1, 2, 4), (1, 2, 4, 8)]


@pytest.mark.parametrize(("features", "levels"), list(itertools.product((16, 32), (3, 4))))
def test_parameters_of_unet3d(features, levels):
    network = build_network("unet3d", base_features=features, levels=levels)
    assert parameter_count(network) == unet_parameters(features, levels)


@pytest.mark.parametrize("rates", RATES)
def test_parameters_of_dilated_unet3d(rates):
    network = build_network("unet3d-dilated", base_features=16, levels=3, rates=rates)
    assert parameter_count(network) == unet_parameters(16, 3, rates)


def test_parameters_written_in_the_docstrings():
    assert unet_parameters(32, 4) == 25_882_882
    assert unet_parameters(16, 3) == 1_604_866
    assert unet_parameters(32, 4, (1, 2, 4, 8)) == 40_039_682
    assert unet_parameters(16, 3, (1, 2, 4, 8)) == 2_489_858


def test_parameters_of_vnet():
    count = parameter_count(build_network("vnet"))
    # The paper: about 8.6 million.
    assert abs(count / 8.6e6 - 1) < 0.03
    convs = 27 * (1 * 16 + 32 * 32 + 64 * 64 + 2 * 128 * 128 + 3 * 256 * 256)  # left stages
    convs += 27 * (256 * 128 + 128 * 128 + 128 * 64 + 64 * 32 + 32 * 16)  # right stages
    convs += 2 * 8 * (16 * 32 + 32 * 64 + 64 * 128 + 128 * 256)  # 2x2x2, down and up
    maps_normalised = 16 + 32 + 64 + 2 * 128 + 3 * 256 + 2 * 128 + 64 + 32 + 16  # after 3x3x3
    maps_normalised += (32 + 64 + 128 + 256) + (128 + 64 + 32 + 16)  # after 2x2x2
    assert count == convs + 2 * maps_normalised + (16 * 2 + 2) == 8_650_034


def test_vnet_with_the_original_number_of_convolutions_is_too_large():
    """10.03 million, as the docstring says: the reason for the arrangement."""
    network = build_network("vnet", down_convs=(1, 2, 3, 3, 3), up_convs=(3, 3, 2, 1))
    assert parameter_count(network) == pytest.approx(10.03e6, abs=5e3)


VOLUMETRIC = ("unet3d", "unet3d-dilated", "vnet")


@pytest.mark.parametrize("name", VOLUMETRIC)
@pytest.mark.parametrize("size", [(16, 16, 20), (1, 16, 16), (0, 16, 16)])
def test_impossible_sizes_are_refused_with_one_that_works(name, size):
    network = build_network(name, base_features=1)
    with pytest.raises(BadInputError, match=r"multiple of 16x16x16; the next size that works is 16x16x(16|32)\."):
        network(torch.zeros(1, 1, *size))


@pytest.mark.parametrize("name", VOLUMETRIC)
def test_wrong_channels_and_axes_are_refused(name):
    network = build_network(name, base_features=1)
    with pytest.raises(BadInputError, match="1 input channel"):
        network(torch.zeros(1, 2, 16, 16, 16))
    with pytest.raises(BadInputError, match="batch, channel, depth, height, width"):
        network(torch.zeros(1, 16, 16, 16))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("unet4d", {}, "patch25d, patch2d, unet2d, unet2d-dilated, unet2d-valid, unet3d, unet3d-dilated, vnet"),
        ("unet3d", {"rates": (1, 2)}, "no option rates; its options are base_features"),
        ("unet3d", {"levels": 0}, "levels must be a whole number"),
        ("unet3d", {"base_features": 2.5}, "base_features must be a whole number"),
        ("unet3d", {"dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
        ("unet3d-dilated", {"rates": ()}, "at least one dilation rate"),
        ("unet3d-dilated", {"rates": (1, 1)}, "one rate twice"),
        ("unet3d-dilated", {"rates": (0, 1)}, "rates must be a whole number"),
        ("vnet", {"norm": "layer"}, "choose one of batch, instance"),
        ("vnet", {"down_convs": (1, 2), "up_convs": (1, 1)}, "one stage fewer"),
        ("vnet", {"down_convs": (1, 0), "up_convs": (1,)}, "number of convolutions"),
    ],
)
def test_impossible_options_are_refused(name, options, words):
    with pytest.raises(BadInputError, match=words):
        build_network(name, **options)


@pytest.mark.parametrize("name", ["unet3d", "unet3d-dilated"])
def test_glorot_weights_and_bias(name):
    network = build_network(name, base_features=4, levels=2)
    for layer in network.modules():
        if isinstance(layer, (torch.nn.Conv3d, torch.nn.ConvTranspose3d)):
            taps = layer.kernel_size[0] ** 3
            limit = (6 / (taps * (layer.in_channels + layer.out_channels))) ** 0.5
            assert layer.weight.abs().max() <= limit
            if layer.weight.numel() > 1000:  # uniform: variance limit^2 / 3
                assert float(layer.weight.detach().var()) == pytest.approx(limit**2 / 3, rel=0.15)
            assert torch.equal(layer.bias, torch.full_like(layer.bias, 0.10))


@pytest.mark.parametrize("rates", [None, (1, 2, 4, 8)])
def test_normalised_unet_has_a_scale_and_a_shift_per_map(rates):
    """On request there is a norm after every convolution but the last."""
    name, options = ("unet3d", {}) if rates is None else ("unet3d-dilated", {"rates": rates})
    network = build_network(name, base_features=4, levels=2, norm="batch", **options)
    centre = 2 * 16 if rates is None else len(rates) * 16
    maps = 2 * (4 + 8) + centre + 3 * (8 + 4)
    assert parameter_count(network) == unet_parameters(4, 2, rates) + 2 * maps
    with pytest.raises(BadInputError, match="norm must be none, batch or instance"):
        build_network(name, norm="layer")


@pytest.mark.parametrize("name", VOLUMETRIC)
def test_mixed_precision_holds_in_every_layer(name):
    """One float32 map in a sum or a concatenation would make everything after it float32: half the speed."""
    network = build_network(name, base_features=2)
    seen = {}
    for path, layer in network.named_modules():
        if isinstance(layer, (torch.nn.Conv3d, torch.nn.ConvTranspose3d)):
            layer.register_forward_pre_hook(lambda _, inputs, path=path: seen.update({path: inputs[0].dtype}))
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.randn(1, 1, 16, 16, 32))
    first = next(iter(seen))
    assert [path for path, dtype in seen.items() if dtype != torch.bfloat16] == [first]
    assert logits.dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(1, 4, 3, 6, 5), (2, 4, 3, 6, 5), (1, 4, 7, 6), (3, 4, 7, 6), (1, 4, 1, 1, 1)])
def test_instance_norm_is_torchs(shape):
    """For one image it is computed another way; numbers and gradients are the same, in training and after it."""
    torch.manual_seed(0)
    ours = blocks.make_norm("instance", 4, dims=len(shape) - 2)
    theirs = (torch.nn.InstanceNorm2d if len(shape) == 4 else torch.nn.InstanceNorm3d)(4, affine=True)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter)
    theirs.load_state_dict(ours.state_dict())
    layout = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    x = torch.randn(shape).to(memory_format=layout).requires_grad_()
    if min(shape[2:]) == max(shape[2:]) == 1:
        with pytest.raises(ValueError, match="more than 1 spatial element"):
            ours(x)
        return
    results = [ours(x), ours.eval()(x), theirs(x)]
    gradients = [torch.autograd.grad(r.square().sum() + r.sin().sum(), x, retain_graph=True)[0] for r in results]
    for n in (0, 1):
        torch.testing.assert_close(results[n], results[2])
        torch.testing.assert_close(gradients[n], gradients[2])
    if shape[0] == 1:
        assert results[0].is_contiguous(memory_format=layout)
