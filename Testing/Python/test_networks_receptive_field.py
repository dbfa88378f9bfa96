"""What a voxel of the output can see: the layers really are where the papers put them."""

import pytest
import torch

from ProximalFemurSegLib.networks import build_network
from ProximalFemurSegLib.networks.blocks import ParallelDilated


@pytest.mark.parametrize("rates", [(1, 2), (1, 4), (1, 8), (1, 2, 4, 8)])
def test_each_branch_has_its_dilation_rate(rates):
    layer = ParallelDilated(1, 3, rates)
    for branch in layer.branches:
        torch.nn.init.ones_(branch[0].weight)
        torch.nn.init.zeros_(branch[0].bias)
    image = torch.zeros(1, 1, 21, 21, 21)
    image[..., 10, 10, 10] = 1
    maps = layer(image)[0]
    assert maps.shape == (3 * len(rates), 21, 21, 21)
    for n, rate in enumerate(rates):
        expected = torch.zeros(21, 21, 21)
        expected[10 - rate : 11 + rate : rate, 10 - rate : 11 + rate : rate, 10 - rate : 11 + rate : rate] = 1
        for channel in range(3):
            assert torch.equal(maps[3 * n + channel], expected)


def positive(network):
    """Positive weights make the network strictly increasing: no influence can cancel out."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.abs() + 0.01)
    return network.double().eval()


def spread(cells, offsets):
    return {c + o for c in cells for o in offsets}


def unet_reach(place, centre_offsets):
    """Output places that see an input place, along one axis of a U-Net with one pooling."""
    two_convs = range(-2, 3)
    fine = spread({place}, two_convs)
    coarse = spread({f // 2 for f in fine}, centre_offsets)
    up = {2 * c + o for c in coarse for o in (-1, 0, 1)}
    return spread(up | fine, two_convs)


REACHES = [
    ("unet3d", {}, range(-2, 3)),
    ("unet3d-dilated", {"rates": (1,)}, (-1, 0, 1)),
    ("unet3d-dilated", {"rates": (4,)}, (-4, 0, 4)),
    ("unet3d-dilated", {"rates": (1, 8)}, (-8, -1, 0, 1, 8)),
]


@pytest.mark.parametrize(("name", "options", "centre_offsets"), REACHES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_output_sees_exactly_the_receptive_field(name, options, centre_offsets, axis):
    network = positive(build_network(name, base_features=1, levels=1, classes=1, **options))
    size = [12, 12, 12]
    size[axis] = 64
    place = [6, 6, 6]
    place[axis] = 32
    image = torch.zeros(1, 1, *size, dtype=torch.float64)
    bright = image.clone()
    bright[(0, 0, *place)] = 1.0
    with torch.inference_mode():
        changed = (network(bright) != network(image))[0, 0]
    others = [n for n in range(3) if n != axis]
    seen = set(torch.nonzero(changed.any(dim=others[1]).any(dim=others[0])).flatten().tolist())
    assert seen == {n for n in unet_reach(32, centre_offsets) if 0 <= n < 64}


@pytest.mark.parametrize(
    ("name", "options", "step"),
    [
        ("unet3d", {"base_features": 2, "levels": 2}, 4),
        ("unet3d-dilated", {"base_features": 2, "levels": 1, "rates": (1, 2)}, 2),
        ("vnet", {"base_features": 2, "down_convs": (1, 1), "up_convs": (1,)}, 2),
    ],
)
def test_a_shift_by_whole_cells_shifts_the_result(name, options, step):
    torch.manual_seed(3)
    network = build_network(name, **options).double().eval()
    image = torch.zeros(1, 1, 128, 16, 16, dtype=torch.float64)
    image[..., 62:66, 6:10, 6:10] = torch.rand(4, 4, 4, dtype=torch.float64) + 1
    with torch.inference_mode():
        background = network(torch.zeros_like(image))
        still = network(image) - background
        moved = network(image.roll(step, dims=2)) - background
    assert still.abs().max() > 1e-3
    torch.testing.assert_close(moved, still.roll(step, dims=2), rtol=1e-9, atol=1e-12)


def test_residual_stage_passes_the_image_on():
    """With kernels of zero a V-Net stage gives its shortcut: the sum of the two, not the convolutions alone."""
    from ProximalFemurSegLib.networks.vnet import ResidualStage

    stage = ResidualStage(3, 3, 2, "batch", 0.1).eval()
    for parameter in stage.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(1, 3, 4, 4, 4)
    torch.testing.assert_close(stage(x, x), x)


def test_batch_norm_with_one_patch_trains_and_its_average_is_used_after():
    torch.manual_seed(0)
    network = build_network("vnet", base_features=2, momentum=0.2)
    image = torch.randn(1, 1, 32, 32, 32) * 3 + 5
    with torch.no_grad():
        for _ in range(40):  # the statistics converge to those of this patch
            trained = network.train()(image)
        used = network.eval()(image)
    # Running variances are unbiased ones: at the centre, with 8 values a map, that shows.
    assert (used - trained).abs().mean() < 0.15 * trained.std()
