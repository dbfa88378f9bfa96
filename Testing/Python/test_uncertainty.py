"""Uncertainty: entropy against scipy, areas against hand counts, variants against a network of known behaviour."""

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from ProximalFemurSegLib.desktop import stand_in
from ProximalFemurSegLib.inference.result import FemurRegion, Probabilities
from ProximalFemurSegLib.inference.uncertainty import area_per_slice, entropy, mean_of_variants, uncertainty
from ProximalFemurSegLib.volume import Grid, Volume


def test_entropy_is_that_of_a_coin():
    p = np.linspace(0, 1, 101)
    assert np.allclose(entropy(p), scipy_entropy([p, 1 - p], base=2, axis=0), atol=1e-6)
    assert entropy(p).dtype == np.float32


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_area_of_a_slice_is_in_square_millimetres(axis):
    grid = Grid.from_parts((2, 3, 4), (0.5, 1.5, 4.0))
    values = np.zeros((2, 3, 4))
    values[1, 2, 3] = 0.25
    areas = area_per_slice(values, grid, axis)
    assert len(areas) == values.shape[axis]
    across = {0: 0.5 * 1.5, 1: 0.5 * 4.0, 2: 1.5 * 4.0}[axis]
    assert areas[-1] == pytest.approx(0.25 * across)
    assert not areas[:-1].any()


def test_of_a_cascade_the_less_certain_map_counts_and_only_where_femora_were_looked_for():
    grid = Grid.from_parts((4, 4, 4), (1, 2, 3), (10, 20, 30))
    outer, inner = np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), np.float32)
    outer[1, 1, 1], inner[2, 2, 2], outer[0, 0, 0] = 0.5, 0.5, 0.5
    maps = {"periosteal": Volume(outer, grid), "endosteal": Volume(inner, grid)}
    start, values = uncertainty(Probabilities(maps, [FemurRegion("left", (1, 1, 1), (3, 3, 4), grid)]))
    assert start == (1, 1, 1)
    assert values.array.shape == (2, 2, 3)
    assert values.array[0, 0, 0] == values.array[1, 1, 1] == 1
    assert values.array.sum() == 2
    assert np.allclose(values.grid.ijk_to_ras([0, 0, 0]), grid.ijk_to_ras([1, 1, 1]))


class Network:
    """Remembers what it was shown, and finds bone as the stand-in does."""

    def __init__(self, spoil=None):
        self.seen, self.spoil = [], spoil

    def __call__(self, volume, side, progress):
        self.seen.append((volume, side))
        progress.expect(1)
        progress("bone", 1, 1)
        result = stand_in.predict(volume, sides=("left",) if side == "auto" else (side,))
        if self.spoil is not None and len(self.seen) == self.spoil:
            result.maps["bone"].array[...] = 0
        return result


class Listener:
    def __init__(self):
        self.expected, self.stages = [], []

    def expect(self, passes):
        self.expected.append(passes)

    def __call__(self, stage, done, total):
        self.stages.append(stage)


def test_a_network_that_always_says_the_same_is_as_certain_as_before():
    image, network, listener = stand_in.ball_image(), Network(), Listener()
    result = mean_of_variants(image, network, "auto", listener)
    assert np.allclose(result.maps["bone"].array, image.array / 100, atol=1e-6)
    assert result.regions[0].side == "left"
    assert set(listener.expected) == {4}
    assert listener.stages[0] == "bone" and len(set(listener.stages)) == 4


def test_what_is_shown_is_the_mirror_image_and_shifted_ones():
    image, network = stand_in.ball_image(), Network()
    mean_of_variants(image, network, "auto")
    (_, first), (mirrored, second), (forth, _), (back, _) = network.seen
    assert (first, second) == ("auto", "right"), "a left femur in the mirror is a right one"
    assert np.array_equal(mirrored.array, image.array)
    assert np.allclose(mirrored.grid.ijk_to_ras([3, 4, 5]) * (-1, 1, 1), image.grid.ijk_to_ras([3, 4, 5]))
    # Spacing 1, 1.5, 2 mm: two, one and one voxel more, at the beginning or at the end.
    for shifted, corner in ((forth, np.array([2, 1, 1])), (back, np.zeros(3))):
        assert shifted.array.shape == tuple(np.add(image.array.shape, (1, 1, 2)))
        assert np.allclose(shifted.grid.ijk_to_ras(corner), image.grid.origin)
        k, j, i = corner[::-1].astype(int)
        n = image.array.shape
        assert np.array_equal(shifted.array[k : k + n[0], j : j + n[1], i : i + n[2]], image.array)


@pytest.mark.parametrize("which", [2, 3, 4])
def test_where_one_answer_differs_the_mean_is_less_certain(which):
    image = stand_in.ball_image()
    result = mean_of_variants(image, Network(spoil=which), "left")
    assert np.allclose(result.maps["bone"].array, 0.75 * image.array / 100, atol=1e-6)
