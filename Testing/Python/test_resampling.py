"""Resampling against analytic functions, SimpleITK and torch, on grids of every attitude."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from ProximalFemurSegLib.orientation import Reorientation
from ProximalFemurSegLib.resampling import axis_weights, coverage, footprint, index_map, resample
from ProximalFemurSegLib.volume import Grid

FLIPPED = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], dtype=float)  # i -> A, j -> I, k -> L


def rotated(degrees, base=None):
    a, b = np.radians(degrees), np.radians(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return about_z @ about_x @ (np.eye(3) if base is None else base)


def centred(shape, spacing, direction=None, center=(0, 0, 0)):
    grid = Grid.from_parts(shape, spacing, direction=direction)
    affine = grid.affine.copy()
    affine[:3, 3] = np.asarray(center) - grid.center
    return Grid(shape, affine)


def points(grid):
    k, j, i = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    return grid.ijk_to_ras(np.stack([i, j, k], axis=-1))


def ramp(ras):
    return ras @ (0.7, -1.3, 2.1) + 5


def waves(ras):
    return np.sin(ras[..., 0] / 6) * np.cos(ras[..., 1] / 8) + np.sin(ras[..., 2] / 7)


SOURCE = centred((30, 40, 36), (1.1, 0.9, 1.6))
GRIDS = {
    "shifted": centred((12, 14, 10), (1.0, 1.0, 1.0), center=(0.3, 0.21, -0.4)),
    "coarser": centred((7, 8, 9), (2.3, 1.9, 3.1)),
    "finer": centred((20, 21, 22), (0.4, 0.37, 0.6)),
    "permuted and flipped": centred((11, 12, 13), (1.7, 0.8, 1.0), FLIPPED, (1, 2, -1)),
    "oblique": centred((10, 12, 11), (1.2, 0.8, 1.0), rotated(30)),
    "oblique and permuted": centred((10, 12, 11), (1.0, 1.4, 0.6), rotated(-50, FLIPPED)),
}


@pytest.mark.parametrize("order", ["linear", "cubic"])
@pytest.mark.parametrize("name", GRIDS)
def test_straight_ramps_come_out_exactly(name, order):
    target = GRIDS[name]
    result = resample(ramp(points(SOURCE)), SOURCE, target, order)
    assert result.shape == target.shape and result.dtype == torch.float32
    assert np.abs(result.numpy() - ramp(points(target))).max() < 2e-4


@pytest.mark.parametrize("step", [0.3, 1.0, 1.37, 2.0, 3.9])
@pytest.mark.parametrize("order", ["linear", "cubic"])
def test_axis_weights_keep_constants_and_ramps_up_to_the_border(step, order):
    positions = np.linspace(0, 9, 25)
    weights = axis_weights(positions, 10, step, order)
    assert weights.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert weights @ np.arange(10) == pytest.approx(positions, abs=1e-12)


def test_beyond_the_last_voxel_centre_its_value_continues():
    assert axis_weights([-0.4, 3.5], 4, 1.0).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    assert axis_weights([0.3], 1, 2.0, "cubic").tolist() == [[1]]


@pytest.mark.parametrize(
    ("name", "order", "tolerance"),
    [
        ("shifted", "linear", 0.02),
        ("shifted", "cubic", 0.002),
        ("finer", "linear", 0.03),
        ("finer", "cubic", 0.002),
        ("permuted and flipped", "cubic", 0.015),
        ("oblique", "linear", 0.03),
        ("oblique and permuted", "linear", 0.03),
    ],
)
def test_smooth_waves(name, order, tolerance):
    target = GRIDS[name]
    result = resample(waves(points(SOURCE)), SOURCE, target, order)
    assert np.abs(result.numpy() - waves(points(target))).max() < tolerance


def simpleitk_image(array, grid):
    to_lps = np.diag([-1.0, -1.0, 1.0])
    image = sitk.GetImageFromArray(np.asarray(array, dtype=np.float32))
    image.SetSpacing(grid.spacing)
    image.SetOrigin(to_lps @ grid.origin)
    image.SetDirection((to_lps @ grid.direction).ravel())
    return image


@pytest.mark.parametrize("name", GRIDS)
def test_without_antialiasing_equals_simpleitk_linear(name):
    target = GRIDS[name]
    array = np.random.default_rng(3).normal(size=SOURCE.shape)
    reference = simpleitk_image(np.zeros(target.shape), target)
    expected = sitk.Resample(simpleitk_image(array, SOURCE), reference, sitk.Transform(), sitk.sitkLinear)
    result = resample(array, SOURCE, target, "linear", antialias=False)
    assert np.abs(result.numpy() - sitk.GetArrayFromImage(expected)).max() < 1e-4


def test_antialiased_halving_matches_torch_away_from_the_border():
    """torch's antialiased bicubic kernel is the same one; at factor two no correction is needed."""
    image = np.random.default_rng(0).normal(size=(1, 40, 48)).astype(np.float32)
    source = centred((1, 40, 48), (0.25, 0.25, 1.5))
    target = centred((1, 20, 24), (0.5, 0.5, 1.5))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None], size=(20, 24), mode="bicubic", antialias=True, align_corners=False
    )
    result = resample(image, source, target, "cubic")
    assert (result - expected[0])[:, 2:-2, 2:-2].abs().max() < 1e-5


@pytest.mark.parametrize("direction", [None, rotated(35)], ids=["parallel", "oblique"])
def test_detail_too_fine_for_the_target_is_averaged_away(direction):
    """A chequerboard of the finest period must become grey, not a moire pattern."""
    source = centred((48, 48, 48), (0.5, 0.5, 0.5))
    board = np.indices(source.shape).sum(axis=0) % 2
    target = centred((5, 5, 5), (2.1, 2.3, 1.9), direction)
    averaged = resample(board, source, target).numpy()
    skipped = resample(board, source, target, antialias=False).numpy()
    assert np.abs(averaged - 0.5).max() < 0.05
    assert np.abs(skipped - 0.5).max() > 0.15


def test_outside_the_field_of_view_is_filled():
    source = centred((4, 4, 4), (1, 1, 1))
    target = centred((8, 6, 4), (1, 1, 1))
    result = resample(np.ones(source.shape), source, target, fill=-7.0).numpy()
    assert (result[2:6, 1:5] == 1).all()
    assert result.sum() == 64 - 7 * (8 * 6 * 4 - 64)


@pytest.mark.parametrize("name", GRIDS)
def test_coverage_is_the_box_of_voxel_edges(name):
    small = SOURCE.crop((8, 9, 10), (17, 20, 22))
    target = GRIDS[name]
    ijk = small.ras_to_ijk(points(target))
    expected = ((ijk > -0.5 - 1e-6) & (ijk < np.array(small.shape[::-1]) - 0.5 + 1e-6)).all(axis=-1)
    assert np.array_equal(coverage(small, target).numpy(), expected)
    assert 0 < expected.sum()


def test_grids_that_do_not_meet_give_only_the_fill():
    far = centred((3, 3, 3), (1, 1, 1), center=(500, 0, 0))
    assert (resample(np.ones(SOURCE.shape), SOURCE, far, fill=9.0) == 9).all()
    start, stop = footprint(SOURCE, far)
    assert ((stop - start) >= 1).all()


@pytest.mark.parametrize("name", GRIDS)
def test_the_footprint_is_enough_and_small(name):
    """Voxels outside it may hold anything, even NaN, and it does not grow with the source."""
    target = GRIDS[name]
    big = SOURCE.crop((-40, -40, -40), (90, 90, 90))
    array = np.full(big.shape, np.nan)
    start, stop = footprint(big, target, "cubic")
    window = tuple(slice(a, b) for a, b in zip(start, stop))
    array[window] = ramp(points(big))[window]
    assert torch.isfinite(resample(array, big, target, "cubic")).all()
    assert np.prod(stop - start) < 0.1 * array.size


def test_index_map_of_a_hand_worked_pair():
    source = Grid.from_parts((9, 9, 9), spacing=(1, 1, 2))
    target = Grid.from_parts((9, 9, 9), spacing=(0.5, 3, 1), origin=(2, 0, 4))
    matrix, offset = index_map(source, target)
    assert matrix.tolist() == [[0.5, 0, 0], [0, 3, 0], [0, 0, 0.5]]
    assert offset.tolist() == [2, 0, 2]


@pytest.mark.parametrize("name", ["coarser", "permuted and flipped", "oblique"])
def test_every_array_order_of_either_grid_gives_the_same_values(name):
    array, target = waves(points(SOURCE)), GRIDS[name]
    expected = resample(array, SOURCE, target, "cubic").numpy()
    for order, flipped in [((2, 0, 1), (True, False, True)), ((1, 0, 2), (False, True, False))]:
        change = Reorientation(order, flipped)
        from_other = resample(change.apply(array), change.grid(SOURCE), target, "cubic").numpy()
        assert np.abs(from_other - expected).max() < 1e-5
        to_other = resample(array, SOURCE, change.grid(target), "cubic").numpy()
        assert np.abs(change.undo(to_other) - expected).max() < 1e-5


def test_a_ball_survives_the_way_to_a_network_grid_and_back():
    """Volume and place of a 20 mm ball, MR voxels to network voxels and back, within a fraction of a percent."""
    source = centred((32, 120, 120), (0.4, 0.4, 1.5), rotated(8))
    distance = np.linalg.norm(points(source) - (1.0, -0.5, 0.7), axis=-1) - 20
    soft = np.clip(0.5 - distance / 1.0, 0, 1)
    middle = centred((32, 64, 64), (0.8, 0.8, 1.5), rotated(8), (0.1, 0.1, 0.1))
    there = resample(soft, source, middle, "cubic")
    back = resample(there, middle, source, "cubic").numpy()
    mask, truth = back > 0.5, distance < 0
    dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    assert dice > 0.995
    assert mask.sum() == pytest.approx(truth.sum(), rel=0.003)


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="quintic"):
        axis_weights([0], 3, 1.0, "quintic")


@pytest.mark.parametrize("direction", [None, rotated(35)], ids=["parallel", "oblique"])
def test_values_that_are_not_numbers_do_not_spread(direction):
    array = np.ones(SOURCE.shape)
    array[15, 20, 18], array[14, 20, 18] = np.nan, np.inf
    target = centred((20, 20, 20), (1, 1, 1), direction)
    result = resample(array, SOURCE, target, fill=0.0).numpy()
    assert np.isfinite(result).all()
    assert 0 < (np.abs(result - 1) > 1e-5).sum() < 80


def test_equal_grids_copy_and_shifted_ones_shift():
    array = np.random.default_rng(2).normal(size=SOURCE.shape).astype(np.float32)
    assert np.array_equal(resample(array, SOURCE, SOURCE, "cubic").numpy(), array)
    copy = resample(array, SOURCE, SOURCE)
    copy += 1
    assert not np.array_equal(copy.numpy(), array)
    moved = SOURCE.crop((3, 4, 5), (20, 44, 30))
    result = resample(array, SOURCE, moved, "cubic", fill=9.0).numpy()
    assert np.array_equal(result[:, :36], array[3:20, 4:, 5:30]) and (result[:, 36:] == 9).all()
