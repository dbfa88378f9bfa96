"""The patch networks: every voxel gets what its own patches, cut with numpy, give it."""

import time

import numpy as np
import pytest
import torch

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.networks import build_network, parameter_count


def own_patch(image, k, j, i):
    """The 32x32 patch of three slices around a voxel, cut with numpy."""
    padded = np.pad(image, ((1, 1), (0, 0), (0, 0)), mode="edge")
    padded = np.pad(padded, ((0, 0), (16, 16), (16, 16)), mode="reflect")
    return padded[k : k + 3, j : j + 32, i : i + 32]


@pytest.mark.parametrize("shape", [(3, 40, 37), (1, 18, 33)])
def test_every_voxel_gets_what_its_own_patch_gives(shape):
    torch.manual_seed(0)
    network = build_network("patch2d", base_features=4).double().eval()
    image = np.random.default_rng(1).normal(size=shape)
    with torch.no_grad():
        dense = torch.softmax(network(torch.as_tensor(image)[None, None]), dim=1)[0, 1].numpy()
        rng = np.random.default_rng(2)
        voxels = [(0, 0, 0), tuple(n - 1 for n in shape)] + [tuple(rng.integers(shape)) for _ in range(60)]
        patches = torch.as_tensor(np.stack([own_patch(image, *voxel) for voxel in voxels]))
        single = torch.softmax(network.planar.patches(patches), dim=1)[:, 1].numpy()
    assert np.std(single) > 0.001
    np.testing.assert_allclose([dense[voxel] for voxel in voxels], single, atol=1e-9)


def test_the_dense_pass_is_at_least_fifty_times_faster():
    network = build_network("patch2d", base_features=8).eval()
    image = torch.randn(1, 1, 1, 128, 128)
    patches = torch.randn(256, 3, 32, 32)
    with torch.no_grad():
        network(image), network.planar.patches(patches)  # the first call prepares kernels
        seconds = {}
        for name, run in (("dense", lambda: network(image)), ("patches", lambda: network.planar.patches(patches))):
            times = []
            for _ in range(3):
                started = time.process_time()
                run()
                times.append(time.process_time() - started)
            seconds[name] = min(times)
    assert seconds["patches"] / 256 > 50 * seconds["dense"] / 128**2


def test_parameters():
    def conv(inputs, outputs, taps=9):
        return taps * inputs * outputs + outputs

    f = 32
    total = conv(3, f) + conv(f, f) + conv(f, 2 * f) + conv(2 * f, 2 * f) + conv(2 * f, 4 * f) + conv(4 * f, 4 * f)
    assert parameter_count(build_network("patch2d")) == total + conv(4 * f, 2, 1) == 287_266


def test_dropout_follows_every_hidden_layer():
    torch.manual_seed(0)
    network = build_network("patch2d", base_features=2, dropout=0.999999).train()
    with torch.no_grad():
        logits = network(torch.randn(1, 1, 1, 8, 8))
    torch.testing.assert_close(logits, torch.full_like(logits, 0.10))  # nothing is left but the last bias


def three_patches(image, k, j, i):
    """Axial, coronal and sagittal patch of an image of coronal slices; rows and columns in array order."""
    padded = np.pad(image, 16, mode="reflect")
    z, y, x = (slice(n, n + 32) for n in (k, j, i))
    return np.stack([padded[z, j + 16, x], padded[k + 16, y, x], padded[z, y, i + 16]])


def test_three_planes_meet_in_the_voxel():
    torch.manual_seed(0)
    network = build_network("patch25d", base_features=3, every=(1, 1, 1)).double().eval()
    image = np.random.default_rng(1).normal(size=(18, 20, 19))  # numpy mirrors no further than the image is long
    part = (slice(5, 8), slice(0, 20, 7), slice(0, 19, 6))
    with torch.no_grad():
        dense = network(torch.as_tensor(image)[None, None])[0].numpy()
        voxels = [(k, j, i) for k in range(5, 8) for j in range(0, 20, 7) for i in range(0, 19, 6)]
        patches = torch.as_tensor(np.stack([three_patches(image, *voxel) for voxel in voxels]))
        single = network.cnn.patches(patches).numpy()
    assert np.std(single) > 0.001
    np.testing.assert_allclose(dense[(slice(None), *part)].reshape(2, -1).T, single, atol=1e-9)


def test_fewer_voxels_are_interpolated():
    torch.manual_seed(0)
    network = build_network("patch25d", base_features=2, every=(1, 1, 1)).eval()
    image = torch.randn(1, 1, 3, 10, 9)
    with torch.no_grad():
        exact = network(image)[0].numpy()
        network.every = (2, 4, 5)
        coarse = network(image)[0].numpy()
    rows, columns = [0, 4, 8, 9], [0, 5, 8]
    for k, j, i in np.ndindex(3, 10, 9):
        expected = np.zeros(2)
        for c in range(2):
            plane = (exact[c, k] if k != 1 else (exact[c, 0] + exact[c, 2]) / 2)[np.ix_(rows, columns)]
            along = [np.interp(i, columns, line) for line in plane]
            expected[c] = np.interp(j, rows, along)
        np.testing.assert_allclose(coarse[:, k, j, i], expected, atol=1e-5)


def test_training_looks_at_a_few_voxels():
    torch.manual_seed(0)
    network = build_network("patch25d", base_features=2, voxels=20, dropout=0.0).train()
    logits = network(torch.randn(2, 1, 4, 8, 8))
    assert logits.shape == (2, 2, 4, 8, 8)
    looked = (logits != 0).any(dim=1).flatten(1).sum(dim=1)
    assert all(10 <= n <= 20 for n in looked.tolist())  # some are drawn twice
    logits.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_impossible_options_are_refused():
    with pytest.raises(BadInputError, match="dropout must lie in"):
        build_network("patch2d", dropout=1.0)
    with pytest.raises(BadInputError, match="slices must be odd"):
        build_network("patch2d", slices=4)
    with pytest.raises(BadInputError, match="every must name three steps"):
        build_network("patch25d", every=4)
