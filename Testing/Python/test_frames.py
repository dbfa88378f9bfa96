"""The networks' grids: where they lie, and that no trace of the file's array order is left."""

from itertools import permutations, product

import numpy as np
import pytest

from ProximalFemurSegLib.inference.frames import canonical_image, extent, network_directions, network_grid
from ProximalFemurSegLib.orientation import Reorientation, axis_directions
from ProximalFemurSegLib.resampling import index_map
from ProximalFemurSegLib.volume import Grid, Volume

ALL_48 = [Reorientation(o, f) for o in permutations(range(3)) for f in product((False, True), repeat=3)]


def about_x(degrees):
    a = np.radians(degrees)
    return np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])


def scan(degrees=0.0, shape=(8, 10, 12), spacing=(0.7, 0.9, 1.3)):
    grid = Grid.from_parts(shape, spacing, origin=(-81.3, 47.7, 1021.9), direction=about_x(degrees))
    return Volume(np.random.default_rng(0).normal(size=shape), grid)


@pytest.mark.parametrize("degrees", [0, 12, 33, 45])
def test_all_array_orders_give_the_same_bits(degrees):
    volume = scan(degrees)
    expected = canonical_image(volume)
    grid = network_grid(expected.grid, network_directions(expected.grid, "AIL"), (1.5, 0.5, 0.5), (0, 0, 0), (5, 6, 7))
    for change in ALL_48:
        other = canonical_image(Volume(change.apply(volume.array), change.grid(volume.grid)))
        assert np.array_equal(other.array, expected.array)
        assert np.array_equal(other.grid.affine, expected.grid.affine)
        assert np.array_equal(other.change.undo(other.array), change.apply(volume.array))
        directions = network_directions(other.grid, "AIL")
        same = network_grid(other.grid, directions, (1.5, 0.5, 0.5), (0, 0, 0), (5, 6, 7))
        assert same.shape == grid.shape and np.array_equal(same.affine, grid.affine)


def test_rounding_of_a_float32_header_leaves_no_trace():
    volume = scan(12)
    stored = Grid(volume.grid.shape, volume.grid.affine.astype(np.float32))
    first, second = canonical_image(volume), canonical_image(Volume(volume.array, stored))
    assert np.array_equal(first.grid.affine, second.grid.affine)


@pytest.mark.parametrize("degrees", [0, 8, 19.9, -19.9])
def test_small_tilts_keep_the_scans_own_axes(degrees):
    directions = network_directions(scan(degrees).grid, "SPL")
    assert directions == pytest.approx(axis_directions("SPL") @ about_x(degrees).T, abs=1e-12)


@pytest.mark.parametrize("degrees", [20.1, 45, -30])
def test_large_tilts_are_turned_to_the_patient(degrees):
    assert np.array_equal(network_directions(scan(degrees).grid, "SPL"), axis_directions("SPL"))


def test_a_quarter_turn_is_no_tilt():
    directions = network_directions(scan(90 + 5).grid, "SPL")
    assert np.abs(np.sum(directions * axis_directions("SPL"), axis=1)).min() == pytest.approx(np.cos(np.radians(5)))


@pytest.mark.parametrize("degrees", [0, 15])
def test_the_grid_covers_the_box_and_is_centred_on_it(degrees):
    image = canonical_image(scan(degrees)).grid
    directions = network_directions(image, "AIL")
    low, high = np.array([-3.0, 2.0, 1.0]), np.array([4.1, 10.0, 8.9])
    grid = network_grid(image, directions, (1.5, 0.5, 0.4), low, high, least=(3, 20, 4))
    assert grid.shape == (5, 20, 20)
    assert grid.spacing == pytest.approx((0.4, 0.5, 1.5))
    assert directions @ grid.center == pytest.approx((low + high) / 2, abs=1e-4)
    outer = extent(grid.corners(), directions)
    assert (outer[0] <= low + 1e-4).all() and (outer[1] >= high - 1e-4).all()


def test_equal_spacing_puts_voxels_on_voxels():
    """An MR of 1.5 mm slices is not interpolated across slices."""
    image = canonical_image(scan(10, spacing=(0.7, 1.5, 0.9))).grid
    grid = network_grid(image, network_directions(image, "AIL"), (1.5, 0.5, 0.5), (0.2, 1, 1), (9.9, 9, 8))
    matrix, offset = index_map(image, grid)
    along = int(np.abs(matrix[:, 0]).argmax())
    assert abs(matrix[along, 0]) == pytest.approx(1)
    assert offset[along] == pytest.approx(round(offset[along]), abs=1e-9)
    assert abs(extent([grid.center], network_directions(image, "AIL"))[0][0] - 5.05) <= 0.75 + 1e-9
