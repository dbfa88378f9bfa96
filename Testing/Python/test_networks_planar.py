"""The 2D networks: slices and their neighbours, sizes by hand, mirrored patches against a plain loop."""

import itertools

import numpy as np
import pytest
import torch

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.networks import build_network, parameter_count
from ProximalFemurSegLib.networks.mirrored_patches import average_patches, mirror_extend, patch_starts
from ProximalFemurSegLib.networks.slice_wise import SliceWise, adjacent_slices
from ProximalFemurSegLib.networks.unet2d_valid import smallest_input, valid_output
from unet_parameters import unet_parameters

PLANAR = ("unet2d", "unet2d-dilated", "unet2d-valid")


def unet2d_parameters(features, levels, rates=None):
    """Three slices in, up-sampling and 2x2 convolutions."""
    return unet_parameters(features, levels, rates, channels=3, dims=2, up_kernel=2)


@pytest.mark.parametrize(("name", "features", "levels"), [*itertools.product(PLANAR[::2], (8, 16), (3, 4))])
def test_parameters(name, features, levels):
    network = build_network(name, base_features=features, levels=levels)
    assert parameter_count(network) == unet2d_parameters(features, levels)


@pytest.mark.parametrize("rates", [(1, 2), (1, 2, 4, 8)])
def test_parameters_of_the_dilated(rates):
    network = build_network("unet2d-dilated", base_features=8, levels=3, rates=rates)
    assert parameter_count(network) == unet2d_parameters(8, 3, rates)


def test_parameters_written_in_the_docstrings():
    assert unet2d_parameters(64, 4) == 31_031_810
    assert unet2d_parameters(64, 4, (1, 2, 4, 8)) == 42_043_906
    assert unet2d_parameters(32, 3) == 1_925_634


def test_adjacent_slices_are_channels():
    x = torch.arange(2 * 4).reshape(2, 1, 4, 1, 1)
    assert adjacent_slices(x, 3)[:, :, 0, 0].tolist() == [
        [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3],
        [4, 4, 5], [4, 5, 6], [5, 6, 7], [6, 7, 7],
    ]  # fmt: skip
    assert adjacent_slices(x, 1)[:, 0, 0, 0].tolist() == list(range(8))


@pytest.mark.parametrize("name", PLANAR)
@pytest.mark.parametrize("training", [True, False])
def test_logits_have_the_size_of_the_image(name, training):
    network = build_network(name, base_features=2, levels=2, classes=3, norm="instance").train(training)
    assert network.size_multiple == ((1, 1, 1) if name == "unet2d-valid" else (1, 4, 4))
    image = torch.randn(2, 1, 5, 24, 36)
    logits = network(image)
    assert logits.shape == (2, 3, 5, 24, 36)
    logits.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("name", PLANAR)
def test_a_slice_depends_on_its_neighbours_and_on_no_other(name):
    torch.manual_seed(1)
    network = build_network(name, base_features=2, levels=2).eval()
    image = torch.randn(1, 1, 6, 16, 16)
    changed = image.clone()
    changed[:, :, 2] += 1
    with torch.no_grad():
        difference = (network(image) - network(changed)).abs().amax(dim=(0, 1, 3, 4))
    assert (difference[1:4] > 0).all() and (difference[[0, 4, 5]] == 0).all()


def test_the_padded_network_is_one_pass_per_slice():
    torch.manual_seed(0)
    network = build_network("unet2d", base_features=2, levels=2).eval()
    image = torch.randn(1, 1, 7, 8, 8)
    with torch.no_grad():
        whole = network(image)
        third = network.planar(image[0, 0, 1:4][None])
    torch.testing.assert_close(whole[:, :, 2], third)


# By hand. L 1: 30, 28, 26, pool 13, 11, 9, up 18 - 1 = 17, 15, 13; the skip of 26 is cropped by 4, so that the first
# pixel lies over 2 + 4 + 2 = 8. L 3: 512, 508, 254, 250, 125, 121, 60, 56, 111, 107, 213, 209, 417, 413; the crop of
# 508 to 417 begins at 45, and 2 + 45 + 2 = 49.
SIZES = [(30, 1, 13, 8), (512, 3, 413, 49), (512, 4, 309, 101), (510, 4, 309, 100)]


@pytest.mark.parametrize(("size", "levels", "output", "offset"), SIZES)
def test_valid_sizes(size, levels, output, offset):
    assert valid_output(size, levels) == (output, offset)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_valid_sizes_are_those_of_the_network(levels):
    smallest = smallest_input(levels)
    assert valid_output(smallest - 1, levels) == (0, 0)
    network = build_network("unet2d-valid", base_features=1, levels=levels, patch=smallest)
    with torch.no_grad():
        for size in range(smallest, smallest + 9):
            shape = network.planar(torch.zeros(1, 3, size, size + 3)).shape
            assert shape[2:] == (valid_output(size, levels)[0], valid_output(size + 3, levels)[0])


def test_the_output_lies_where_it_says():
    """A network whose kernels only hand on their middle shows where each pixel came from."""
    network = build_network("unet2d-valid", base_features=1, levels=2, classes=1, slices=1, patch=60)
    planar = network.planar
    with torch.no_grad():
        for parameter in planar.parameters():
            parameter.zero_()
        for convolution in (planar.down[0][0][0], planar.down[0][1][0]):
            convolution.weight[0, 0, 1, 1] = 1
        planar.merge[-1][0][0].weight[0, 0, 1, 1] = 1  # of the skip connection
        planar.merge[-1][1][0].weight[0, 0, 1, 1] = 1
        planar.logits.weight[:] = 1
        image = torch.rand(1, 1, 60, 60)
        output, offset = valid_output(60, 2)
        middle = slice(offset, offset + output)
        torch.testing.assert_close(planar(image), image[:, :, middle, middle])
        # So a whole volume comes out as it went in, when it is trained: in one pass.
        volume = torch.rand(1, 1, 3, 50, 37)
        torch.testing.assert_close(network.train()(volume), volume)


def test_mirroring_is_numpys():
    x = torch.rand(1, 2, 5, 7)
    extended = mirror_extend(x, (3, 9), (6, 2))
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (3, 6), (9, 2)), mode="reflect")
    assert np.array_equal(extended.numpy(), expected)


@pytest.mark.parametrize(("size", "output", "count"), [(512, 309, 3), (512, 309, 7), (512, 413, 3), (2000, 309, 3)])
def test_patches_cover_the_slice_evenly(size, output, count):
    starts = patch_starts(size, output, count)
    assert len(starts) == max(count, -(-size // output))
    assert starts[0] == 0 and starts[-1] == size - output
    steps = np.diff(starts)
    assert steps.max() - steps.min() <= 1 and steps.max() <= output


@pytest.mark.parametrize(("shape", "count"), [((31, 25), 3), ((31, 25), 7), ((9, 40), 2), ((6, 5), 3)])
def test_the_mean_over_patches_is_that_of_a_plain_loop(shape, count):
    rng = np.random.default_rng(0)
    patch, output, offset = 21, 11, 5
    image = rng.normal(size=shape)
    kernel = torch.as_tensor(rng.normal(size=(1, 1, 11, 11)))

    def network(part):
        # Depends on where in the patch a pixel lies: so overlapping patches disagree.
        tilt = torch.linspace(0, 1, output)[:, None] + torch.linspace(0, 2, output)
        return torch.nn.functional.conv2d(part, kernel) * (1 + tilt)

    result = average_patches(torch.as_tensor(image)[None, None], network, patch, output, offset, count)[0, 0]
    padded = np.pad(image, 60, mode="reflect")
    total, hits = np.zeros(shape), np.zeros(shape)
    for row in patch_starts(shape[0], output, count):
        for column in patch_starts(shape[1], output, count):
            part = padded[60 + row - offset :, 60 + column - offset :][:patch, :patch]
            values = network(torch.as_tensor(part.copy())[None, None])[0, 0].numpy()
            for y, x in itertools.product(range(output), range(output)):
                if row + y < shape[0] and column + x < shape[1]:
                    total[row + y, column + x] += values[y, x]
                    hits[row + y, column + x] += 1
    np.testing.assert_allclose(result.numpy(), total / hits, rtol=1e-5, atol=1e-5)


def test_the_unpadded_network_averages_probabilities():
    torch.manual_seed(3)
    network = build_network("unet2d-valid", base_features=2, levels=1, patch=24, patches=3).eval()
    image = torch.randn(1, 1, 3, 30, 30)
    with torch.no_grad():
        probability = torch.softmax(network(image), dim=1)
        expected = average_patches(
            adjacent_slices(image, 3), lambda part: torch.softmax(network.planar(part), 1), 24, *valid_output(24, 1), 3
        )
    torch.testing.assert_close(probability[0].transpose(0, 1), expected)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("unet2d", {"slices": 2}, "slices must be odd"),
        ("unet2d", {"norm": "layer"}, "norm must be none, batch or instance"),
        ("unet2d-dilated", {"rates": (2, 2)}, "one rate twice"),
        ("unet2d-valid", {"patch": 90}, "use at least 100"),
        ("unet2d-valid", {"levels": 4, "patch": 200}, "use at least 204"),
    ],
)
def test_impossible_options_are_refused(name, options, words):
    with pytest.raises(BadInputError, match=words):
        build_network(name, **options)
    with pytest.raises(BadInputError, match="multiple of 1x8x8; the next size that works is 3x8x16"):
        build_network("unet2d", base_features=1, levels=3)(torch.zeros(1, 1, 3, 8, 12))


@pytest.mark.parametrize("levels", [3, 4])
def test_dropout_lies_between_the_third_and_the_fourth_level(levels):
    """Everything that enters the fourth level is dropped: what lies above does not notice."""
    torch.manual_seed(0)
    network = build_network("unet2d", base_features=1, levels=levels, dropout=0.999999)
    seen = {}
    fourth = network.planar.down[3] if levels > 3 else network.planar.centre
    network.planar.down[2].register_forward_hook(lambda m, i, o: seen.update(third=o))
    fourth.register_forward_pre_hook(lambda m, i: seen.update(fourth=i[0]))
    network(torch.rand(1, 1, 1, 16, 16))
    assert seen["third"].abs().sum() > 0 and seen["fourth"].abs().sum() == 0
    assert isinstance(network, SliceWise)
