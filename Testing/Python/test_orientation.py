"""Reorientation is exact: same voxels, same places, in any array order."""

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk

from ProximalFemurSegLib.orientation import (
    Reorientation,
    axis_directions,
    closest_reorientation,
    reorient,
    tilt_degrees,
)
from ProximalFemurSegLib.volume import Grid, Volume

ALL_48 = [Reorientation(o, f) for o in permutations(range(3)) for f in product((False, True), repeat=3)]


def rotation(axis, degrees):
    angle = np.radians(degrees)
    a = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    cross = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def numbered(direction=None):
    grid = Grid.from_parts((4, 3, 2), spacing=(0.5, 1.25, 3.0), origin=(7, -11, 13), direction=direction)
    return Volume(np.arange(24).reshape(4, 3, 2), grid)


def test_named_axes_are_ras_directions():
    assert axis_directions("RAS").tolist() == np.eye(3).tolist()
    assert axis_directions("AIL").tolist() == [[0, 1, 0], [0, 0, -1], [-1, 0, 0]]


@pytest.mark.parametrize("axes", ["RRS", "RL", "RASS", "XYZ", "LRA"])
def test_letters_that_are_no_axes_are_refused(axes):
    with pytest.raises(ValueError, match=axes):
        axis_directions(axes)


def test_hand_worked_case():
    """A RAS image of one row of three voxels, seen from the left."""
    volume = Volume(np.array([[[1, 2, 3]]]), Grid.from_parts((1, 1, 3), spacing=(2, 1, 1), origin=(10, 0, 0)))
    seen = reorient(volume, "SAL")
    assert seen.array.ravel().tolist() == [3, 2, 1]
    assert seen.grid.origin.tolist() == [14, 0, 0]
    assert seen.grid.direction[:, 0].tolist() == [-1, 0, 0]


@pytest.mark.parametrize("change", ALL_48)
def test_every_voxel_stays_where_it_was(change):
    volume = numbered(rotation((1, 2, 3), 25))
    array, grid = change.apply(volume.array), change.grid(volume.grid)
    assert array.shape == grid.shape
    for k, j, i in np.ndindex(array.shape):
        k0, j0, i0 = np.argwhere(volume.array == array[k, j, i])[0]
        assert grid.ijk_to_ras((i, j, k)) == pytest.approx(volume.grid.ijk_to_ras((i0, j0, k0)))
    assert np.array_equal(change.undo(array), volume.array)


@pytest.mark.parametrize("degrees", [0, 17, 45, 60])
def test_the_array_order_of_the_input_leaves_no_trace(degrees):
    """Also at 45 degrees, where two choices are equally near."""
    volume = numbered(rotation((0, 0, 1), degrees))
    expected = reorient(volume, "SPL")
    for change in ALL_48:
        shuffled = Volume(change.apply(volume.array), change.grid(volume.grid))
        result = reorient(shuffled, "SPL")
        assert np.array_equal(result.array, expected.array)
        assert np.array_equal(result.grid.affine[:3, :3], expected.grid.affine[:3, :3])
        assert result.grid.is_close(expected.grid, 1e-9)


@pytest.mark.parametrize("axes", ["SPL", "AIL", "RAS", "LPS", "IAR"])
def test_agrees_with_simpleitk(axes):
    """DICOMOrient names the axes in (i, j, k) order and LPS space; ours in array order."""
    volume = numbered(rotation((0.2, 1, -0.3), 20)[:, [2, 0, 1]])
    image = sitk.GetImageFromArray(volume.array)
    to_lps = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(volume.grid.spacing)
    image.SetOrigin(to_lps @ volume.grid.origin)
    image.SetDirection((to_lps @ volume.grid.direction).ravel())
    expected = sitk.DICOMOrient(image, axes[::-1])
    result = reorient(volume, axes)
    assert np.array_equal(result.array, sitk.GetArrayFromImage(expected))
    assert to_lps @ result.grid.origin == pytest.approx(expected.GetOrigin())


@pytest.mark.parametrize("degrees", [0, 3, 19.5, 44])
def test_tilt_is_the_angle_of_rotation(degrees):
    volume = numbered(rotation((0, 1, 0), degrees)[:, [1, 2, 0]])
    assert tilt_degrees(volume.grid, "SPL") == pytest.approx(degrees, abs=1e-5)


def test_reorienting_copies_nothing():
    volume = numbered()
    assert np.shares_memory(reorient(volume, "SPL").array, volume.array)
    assert closest_reorientation(volume.grid, "SAR").flipped == (False, False, False)
