"""Volumes in mm3, their errors, and the sides at which a scan cuts a bone off."""

from itertools import permutations, product

import numpy as np
import pytest

from ProximalFemurSegLib.evaluation.volumes import VolumeAgreement, VolumeErrors, touched_borders, volume_mm3
from ProximalFemurSegLib.orientation import Reorientation
from ProximalFemurSegLib.volume import Grid

ALL_48 = [Reorientation(o, f) for o in permutations(range(3)) for f in product((False, True), repeat=3)]


def test_volume_is_in_mm3():
    mask = np.zeros((4, 5, 6), bool)
    mask[1:3, 1:4, 2:6] = True
    assert volume_mm3(mask, Grid.from_parts(mask.shape, (0.234, 0.234, 1.5))) == pytest.approx(24 * 0.234**2 * 1.5)


def test_volume_of_a_ball():
    axes = np.arange(-25, 26) * 0.5
    z, y, x = np.meshgrid(axes, axes, axes, indexing="ij")
    ball = x * x + y * y + z * z <= 100
    assert volume_mm3(ball, Grid.from_parts(ball.shape, (0.5, 0.5, 0.5))) == pytest.approx(4e3 / 3 * np.pi, rel=0.005)


@pytest.mark.parametrize("result", [80.0, 125.0])
def test_errors_by_hand(result):
    errors = VolumeErrors(result, 100.0)
    assert errors.difference_mm3 == result - 100
    assert errors.absolute_mm3 == abs(result - 100)
    assert errors.relative_percent == pytest.approx(abs(result - 100))


def test_error_is_relative_to_the_reference():
    assert VolumeErrors(50, 200).relative_percent == 75
    assert VolumeErrors(200, 50).relative_percent == 300
    assert VolumeErrors(0, 0).relative_percent == 0
    assert np.isnan(VolumeErrors(1, 0).relative_percent)


@pytest.mark.parametrize("change", ALL_48)
@pytest.mark.parametrize(
    ("voxel", "names"),
    [
        ((2, 2, 2), ()),
        ((0, 2, 2), ("inferior",)),
        ((4, 2, 2), ("superior",)),
        ((2, 0, 2), ("posterior",)),
        ((2, 4, 0), ("left", "anterior")),
        ((0, 0, 4), ("right", "posterior", "inferior")),
    ],
)
def test_touched_sides_are_named_for_the_patient(change, voxel, names):
    """RAS axes: i to the right, j forwards, k upwards; the same in any array order."""
    mask = np.zeros((5, 5, 5), bool)
    mask[voxel] = True
    grid = Grid.from_parts(mask.shape, (0.5, 1, 2))
    assert touched_borders(change.apply(mask), change.grid(grid)) == names


def test_tilted_grid_uses_the_nearest_direction():
    mask = np.zeros((3, 3, 3), bool)
    mask[2, 1, 1] = True
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    tilted = Grid.from_parts(mask.shape, direction=np.array([[1, 0, 0], [0, c, -s], [0, s, c]]))
    assert touched_borders(mask, tilted) == ("superior",)


def test_empty_and_full_masks():
    assert touched_borders(np.zeros((2, 2, 2), bool), Grid.from_parts((2, 2, 2))) == ()
    assert len(touched_borders(np.ones((2, 2, 2), bool), Grid.from_parts((2, 2, 2)))) == 6


def test_cohort_of_volumes_by_hand():
    agreement = VolumeAgreement([90.0, 220.0, 300.0], [100.0, 200.0, 300.0])
    assert agreement.mae_mm3 == pytest.approx(10)
    assert agreement.rmse_mm3 == pytest.approx(np.sqrt(500 / 3))
    assert agreement.relative_percent == pytest.approx([10, 10, 0])
    assert agreement.bias_mm3 == pytest.approx(10 / 3)
    sd = np.std([-10, 20, 0], ddof=1)
    assert agreement.limits_of_agreement_mm3 == pytest.approx((10 / 3 - 1.96 * sd, 10 / 3 + 1.96 * sd))


def test_limits_of_agreement_hold_95_percent_of_normal_differences():
    differences = np.random.default_rng(0).normal(3, 5, 20000)
    low, high = VolumeAgreement(1000 + differences, np.full(20000, 1000.0)).limits_of_agreement_mm3
    assert np.mean((differences > low) & (differences < high)) == pytest.approx(0.95, abs=0.005)


def test_cohorts_that_are_none():
    assert np.isnan(VolumeAgreement([5.0], [4.0]).limits_of_agreement_mm3).all()
    with pytest.raises(ValueError, match="equal length"):
        VolumeAgreement([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="not empty"):
        VolumeAgreement([], [])
