"""The box around a femur grows where the bone leaves it, and nowhere else."""

import numpy as np
import pytest
import torch

import simple_hips as hips
from ProximalFemurSegLib.inference import segment
from ProximalFemurSegLib.inference.box_growth import faces_reached, grown_box
from ProximalFemurSegLib.volume import Grid

LPS = np.diag([-1.0, -1.0, 1.0])


def test_a_face_is_reached_by_an_area_not_by_a_voxel():
    grid = Grid.from_parts((10, 12, 14), (0.5, 1.0, 4.0))
    mask = np.zeros(grid.shape, bool)
    mask[5, 5, :] = True  # one voxel of 4 mm2 on both faces of the last axis
    assert not faces_reached(mask, grid).any()
    mask[3:6, 4:6, -1] = True  # six of them
    assert faces_reached(mask, grid).tolist() == [[False, False], [False, False], [False, True]]
    mask[0, :10, :5] = True  # 50 voxels of 0.5 mm2; 5 of 2 mm2; 10 of 4 mm2
    assert faces_reached(mask, grid).tolist() == [[True, False], [False, False], [True, True]]


@pytest.mark.parametrize("upwards", [True, False])
def test_the_box_grows_within_the_scan_and_not_down_to_the_knee(upwards):
    low, high = np.array([-100.0, -40, -40]), np.array([130.0, 40, 40])
    scan = np.array([-300.0, -50, -400]), np.array([300.0, 50, 400])
    everywhere = np.ones((3, 2), bool)
    new_low, new_high = grown_box(low, high, everywhere, *scan, 0, upwards, 240.0)
    assert new_low.tolist() == [-110 if upwards else -124, -50, -64]
    assert new_high.tolist() == [154 if upwards else 140, 50, 64]
    assert grown_box(low, high, ~everywhere, *scan, 0, upwards, 240.0) is None
    down = np.zeros((3, 2), bool)
    down[0, 0 if upwards else 1] = True
    assert grown_box(low, high, down, *scan, 0, upwards, 230.0) is None
    near = np.array([-101.0, -42, -42]), np.array([132.0, 41, 42])
    assert grown_box(low, high, everywhere, *near, 0, upwards, 240.0) is None
    beyond = low - 200, high + 200  # across the slices a box may reach beyond the scan: it never shrinks
    new_low, new_high = grown_box(*beyond, everywhere, *scan, 0, upwards, 240.0)
    assert (new_low <= beyond[0]).all() and (new_high >= beyond[1]).all()


class HalfBlind(hips.Level):
    """Misses everything above a height: the array's first axis runs upwards."""

    def __init__(self, level, blind):
        super().__init__(level, classes=3)
        self.blind = blind

    def forward(self, x):
        score = super().forward(x)
        top = x.shape[2] - self.blind
        score[:, 0, top:], score[:, 1:, top:] = 9.0, -9.0
        return score


def test_a_head_that_the_locator_missed_is_found_all_the_same():
    grid = hips.centred((110, 50, 125), (2.5, 2.4, 2.3), LPS)
    volume = hips.hip_image(grid, shaft_length=90)
    top = grid.ras_to_ijk(hips.HEADS["left"] + (0, 0, 23))[2]
    # Blind from the middle of the head's height upwards: beyond the margin around what is seen.
    models = hips.fake_models(locator=HalfBlind(hips.ct_value(450), int((110 - top) * 2.3 / 4) + 11))
    steps = []
    result = segment(volume, preset="ct", models=models, precision="float32", progress=lambda *s: steps.append(s[0]))
    assert hips.dice(result.labels.array > 0, hips.truth(grid, shaft_length=90)) > 0.985
    assert "periosteal, left femur, wider view" in steps and "endosteal, left femur" in steps
    seen = models.networks["periosteal"].seen
    assert seen[1].shape[2] > seen[0].shape[2]


def test_a_bone_that_the_scan_cuts_is_not_looked_for_again():
    grid = hips.centred((40, 50, 125), (2.5, 2.4, 2.3), LPS, hips.HEADS["left"] + (88, 0, -40))
    models = hips.fake_models()
    segment(hips.hip_image(grid), preset="ct", models=models, precision="float32")
    assert len(models.networks["periosteal"].seen) == 2
    assert all(torch.isfinite(x).all() for x in models.networks["periosteal"].seen)
