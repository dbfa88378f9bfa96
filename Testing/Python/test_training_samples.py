"""What an epoch of image and mask pairs goes through: crops, slices, and the patches of a grid."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.models import find_preset
from ProximalFemurSegLib.networks import build_network
from ProximalFemurSegLib.networks.mirrored_patches import mirror_extend
from ProximalFemurSegLib.networks.slice_wise import adjacent_slices
from ProximalFemurSegLib.networks.unet2d_valid import valid_output
from ProximalFemurSegLib.training.augmentation import Augmentation
from ProximalFemurSegLib.training.grid_patches import GridPatches, PairImages, PhantomImages
from ProximalFemurSegLib.training.margins import InnerTargets, training_margins, with_slices
from ProximalFemurSegLib.training.pair_data import PairSamples
from ProximalFemurSegLib.training.recipe_files import find_recipe
from ProximalFemurSegLib.training.stage_data import sample_shapes, split_training_data
from ProximalFemurSegLib.training.trainer import train
from toy_samples import Balls

STILL = Augmentation(scale=1.0, noise=0.0, gain=0.0, offset=0.0, flip=False, bone_share=0.0)
STAGES = {name: find_preset(name).stages[0] for name in ("patch2d", "patch25d", "unet2d", "unet2d-valid", "unet3d")}
SHAPES = {"a": (3, 20, 37), "b": (2, 33, 18)}


def small(name, **options):
    return dataclasses.replace(STAGES[name], options={**STAGES[name].options, "base_features": 2, **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two prepared cases of noise, every value another one."""
    folder = tmp_path_factory.mktemp("cases")
    rng = np.random.default_rng(3)
    for name, shape in SHAPES.items():
        count = int(np.prod(shape))
        image = (rng.permutation(count).reshape(shape) / count - 0.5).astype(np.float16)
        np.save(folder / f"{name}.image.npy", image)
        np.save(folder / f"{name}.labels.npy", (rng.random(shape) < 0.3).astype(np.uint8) * 3)
    return folder


def arrays(folder, name):
    return [np.load(folder / f"{name}.{kind}.npy") for kind in ("image", "labels")]


def every_patch(folder, planes, flip):
    """(bytes of the patch, class) of every 8th row and column of every slice, the plain way."""
    found = Counter()
    for name, shape in SHAPES.items():
        image, labels = arrays(folder, name)
        if flip:
            image, labels = image[:, :, ::-1], labels[:, :, ::-1]
        whole = torch.from_numpy(image.astype(np.float32))
        stacked = mirror_extend(adjacent_slices(whole[None, None], 3), (16, 16), (15, 15)).numpy()
        # Axial, coronal, sagittal, each with a border of 16 before and 15 behind.
        volume = whole[None]
        volume = mirror_extend(volume, (16, 16), (15, 15))[0]
        volume = mirror_extend(volume.permute(1, 2, 0)[None], (0, 16), (0, 15))[0].permute(2, 0, 1).numpy()
        for k in range(shape[0]):
            for j in range(0, shape[1], 8):
                for column in range(0, shape[2], 8):
                    # The points are columns of the image as it is, wherever these are in the mirrored one.
                    i = shape[2] - 1 - column if flip else column
                    if planes:
                        patch = np.stack([
                            volume[k : k + 32, j + 16, i : i + 32],
                            volume[k + 16, j : j + 32, i : i + 32],
                            volume[k : k + 32, j : j + 32, i + 16],
                        ])
                    else:
                        patch = stacked[k, :, j : j + 32, i : i + 32]
                    found[np.ascontiguousarray(patch).tobytes(), int(labels[k, j, i] > 0)] += 1
    return found


@pytest.mark.parametrize("planes", [False, True])
def test_an_epoch_of_patches_is_every_point_of_the_grid_once(folder, planes):
    samples = GridPatches(PairImages(folder, SHAPES), planes, 8, seed=5)
    assert len(samples) == 3 * 3 * 5 + 2 * 5 * 3
    expected = every_patch(folder, planes, flip=False)
    for epoch in (0, 3):
        found = Counter()
        for index in range(epoch * len(samples), (epoch + 1) * len(samples)):
            patch, target = samples.sample(index)
            assert patch.shape == ((3, 1, 32, 32) if planes else (1, 3, 32, 32)) and target.shape == (1, 1, 1)
            found[patch.tobytes(), target.item()] += 1
        assert found == expected
    order = [[samples.point(epoch * len(samples) + n)[1:] for n in range(len(samples))] for epoch in (0, 1)]
    assert order[0] != order[1] and sorted(order[0]) == sorted(order[1])


@pytest.mark.parametrize("planes", [False, True])
def test_mirrored_patches_are_those_of_the_mirrored_image(folder, planes):
    samples = GridPatches(PairImages(folder, SHAPES), planes, 8, 5, dataclasses.replace(STILL, flip=True))
    plain, mirrored = (every_patch(folder, planes, flip) for flip in (False, True))
    kinds = Counter()
    for index in range(2 * len(samples)):
        patch, target = samples.sample(index)
        key = patch.tobytes(), target.item()
        assert key in plain or key in mirrored
        kinds[key in mirrored] += 1
    assert min(kinds.values()) > 0.3 * len(samples)


def test_patches_of_phantoms_come_from_new_images_in_every_round():
    class Numbered:
        """Images of one value."""

        def __init__(self):
            self.asked = []

        def sample(self, index):
            self.asked.append(index)
            return np.full((1, 2, 16, 16), index, np.float32), np.full((2, 16, 16), index % 2, np.int64)

    images = Numbered()
    samples = GridPatches(PhantomImages(images, (2, 16, 16), epoch=20), False, 8)
    assert len(samples) == 2 * 16 * 2 * 2 * 2, "20 images are two rounds of 16"
    for number in range(2):
        found = [samples.sample(number * 128 + n) for n in range(128)]
        values = Counter(int(patch[0, 1, 16, 16]) for patch, _ in found)
        assert values == {value: 8 for value in range(16 * number, 16 * number + 16)}
        assert all(target.item() == int(patch[0, 1, 16, 16]) % 2 for patch, target in found)
    assert sorted(images.asked) == list(range(32)), "each is simulated once"


@pytest.mark.parametrize("name", ["patch2d", "patch25d"])
def test_a_patch_network_learns_from_patches_what_it_says_of_the_image(folder, name, tmp_path):
    """The logits of a training patch are those of its voxel in the dense network."""
    stage = small(name, dropout=0.0, **({"every": [1, 1, 1]} if name == "patch25d" else {}))
    torch.manual_seed(0)
    network = build_network(stage.architecture, **stage.options).eval()
    samples = GridPatches(PairImages(folder, SHAPES), name == "patch25d", 8)
    image, _ = arrays(folder, "a")
    with torch.no_grad():
        dense = network(torch.from_numpy(image.astype(np.float32))[None, None])[0]
        checked = 0
        for index in range(len(samples)):
            _, place, voxel = samples.point(index)
            if place == 0:
                logits = network(torch.from_numpy(samples.sample(index)[0])[None], inside=True)
                assert torch.allclose(logits[0, :, 0, 0, 0], dense[(slice(None), *voxel)], atol=1e-5)
                checked += 1
    assert checked == 3 * 3 * 5


@pytest.mark.parametrize(("name", "batch"), [("patch2d", 128), ("patch25d", 256)])
def test_a_training_by_the_papers_recipe(folder, name, batch, tmp_path):
    stage = small(name)
    recipe = find_recipe("arxiv-v1" if name == "patch2d" else "ismrm-2017", stage)
    assert recipe.batch_size == batch
    recipe = recipe.replace(options={**recipe.options, "base_features": 2}, patch=(2, 16, 16))
    data = split_training_data(stage, folder, {"a": "ann", "b": "bob"}, ["ann"], ["bob"], recipe=recipe)
    assert data.epoch == 3 * 3 * 5
    result = train(recipe.replace(epochs=6), data.samples, tmp_path / "run", workers=0, epoch_samples=data.epoch)
    assert result.steps == -(-6 * data.epoch // batch)


def test_an_epoch_of_crops_goes_through_every_case_once(folder):
    samples = PairSamples(folder, ["a", "b", "a"], STAGES["unet3d"], (2, 8, 8), augmentation=STILL)
    assert len(samples) == 3
    orders = [[samples._item(3 * epoch + n)[0] for n in range(3)] for epoch in range(12)]
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert len({tuple(order) for order in orders}) > 2


def test_an_epoch_of_slices_sees_every_slice_once_with_its_neighbours(folder):
    """One slice each; at the ends the last slice stands in for the neighbour that is not there."""
    recipe = find_recipe("scirep-2018", STAGES["unet2d"]).replace(patch=(1, 48, 48), augmentation=STILL)
    both = dict.fromkeys(SHAPES, "ann")
    samples = split_training_data(STAGES["unet2d"], folder, both, ["ann"], ["ann"], recipe=recipe)
    assert samples.epoch == 3 + 2
    samples = samples.samples
    seen = set()
    for index in range(5):
        image, target = samples.sample(index)
        assert image.shape == (1, 3, 48, 48) and target.shape == (1, 48, 48)
        number, first = samples.dataset._item(index)
        name, middle = list(SHAPES)[number], first + 1
        whole, labels = arrays(folder, name)
        depth = len(whole)
        for place, k in enumerate((middle - 1, middle, middle + 1)):
            # The case is smaller than the sample, so all of the slice is there, and padding around it.
            values, expected = image[0, place], whole[min(max(k, 0), depth - 1)]
            assert set(np.unique(values)) == {-1.0} | set(np.unique(expected))
        assert target.sum() == (labels[middle] > 0).sum()
        seen.add((name, middle))
    assert seen == {("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)}


def test_slabs_that_do_not_come_out_even_reach_back(folder):
    samples = PairSamples(folder, ["a"], STAGES["unet2d"], (4, 40, 40), 0, STILL, slab=(2, 1))
    assert sorted(samples._items) == [(0, -1), (0, 0)], "slices 0 to 1 and 1 to 2"


@pytest.mark.parametrize("shape", [(2, 60, 71), (1, 64, 64)])
def test_nothing_is_made_up_around_what_unpadded_networks_learn_from(shape):
    """Logits of what lies inside the margins are those of the planar network on the image alone."""
    options = {"base_features": 2, "levels": 2, "patch": 60, "patches": 2}
    margins = training_margins("unet2d-valid", options, shape)
    seen = with_slices(shape, margins)
    assert seen == (shape[0] + 2, *shape[1:])
    for axis in (1, 2):
        output, offset = valid_output(shape[axis], 2)
        assert margins[axis] == (offset, shape[axis] - offset - output)
    torch.manual_seed(1)
    network = build_network("unet2d-valid", **options).train()
    image = torch.randn(1, 1, *seen)
    logits = network(image, inside=True)
    assert logits.shape[2:] == tuple(n - a - b for n, (a, b) in zip(seen, margins))
    for number in range(shape[0]):
        assert torch.allclose(logits[:, :, number], network.planar(image[:, 0, number : number + 3]), atol=1e-6)


def test_planar_networks_train_on_what_lies_inside(tmp_path):
    stage = small("unet2d", levels=2)
    margins = training_margins(stage.architecture, stage.options, (4, 16, 16))
    samples = InnerTargets(Balls((6, 16, 16)), margins)
    image, target = samples.sample(0)
    assert image.shape == (1, 6, 16, 16) and target.shape == (4, 16, 16)
    assert np.array_equal(target, Balls((6, 16, 16)).sample(0)[1][1:5])
    recipe = find_recipe("default", stage).replace(options=stage.options, steps=2)
    assert train(recipe, samples, tmp_path / "run", workers=0).steps == 2


def test_shapes_of_samples():
    planar = find_recipe("scirep-2018", STAGES["unet2d"])
    shapes = sample_shapes(STAGES["unet2d"], planar)
    assert (shapes.patch, shapes.margins[0], shapes.validation) == ((1, 512, 512), (1, 1), (48, 512, 512))
    # Given on the command line, the patch decides the validation's, too, which needs more slices than one.
    assert sample_shapes(STAGES["unet2d"], planar, (1, 64, 64)).validation == (8, 64, 64)
    spatial = find_recipe("scirep-2018", STAGES["unet3d"])
    assert sample_shapes(STAGES["unet3d"], spatial).validation == (48, 256, 256)
    with pytest.raises(BadInputError, match="only patch2d and patch25d learn, not unet3d"):
        sample_shapes(STAGES["unet3d"], spatial.replace(sampling="patches"))
    with pytest.raises(BadInputError, match="unet3d is no network of slices"):
        sample_shapes(STAGES["unet3d"], spatial.replace(sampling="slices"))
    with pytest.raises(BadInputError, match="of 40 pixels nothing is left after 3 unpadded levels; use at least 100"):
        sample_shapes(STAGES["unet2d-valid"], find_recipe("default", STAGES["unet2d-valid"]), (4, 40, 40))
