"""Grids: voxel centres to millimetres and back, by hand-worked numbers and by SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from ProximalFemurSegLib.volume import Grid, Volume

FLIP = np.array([-1, -1, 1])


def random_grid(seed):
    rng = np.random.default_rng(seed)
    direction = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return Grid.from_parts(
        rng.integers(1, 9, 3), spacing=rng.uniform(0.2, 4, 3), origin=rng.uniform(-300, 300, 3), direction=direction
    )


def test_hand_worked_grid():
    """Voxel axes i -> posterior, j -> superior, k -> right."""
    direction = np.array([[0, 0, 1], [-1, 0, 0], [0, 1, 0]])
    grid = Grid.from_parts((5, 4, 3), spacing=(0.5, 2, 3), origin=(100, 20, -7), direction=direction)
    assert grid.spacing == (0.5, 2.0, 3.0)
    assert grid.voxel_volume_mm3 == pytest.approx(3)
    assert grid.ijk_to_ras((2, 1, 1)).tolist() == [103, 19, -5]
    assert grid.center.tolist() == [106, 19.5, -4]
    assert grid.direction.tolist() == direction.tolist()


@pytest.mark.parametrize("seed", range(6))
def test_points_agree_with_simpleitk(seed):
    grid = random_grid(seed)
    image = sitk.Image([int(n) for n in grid.shape[::-1]], sitk.sitkUInt8)
    image.SetSpacing(grid.spacing)
    image.SetOrigin((FLIP * grid.origin).tolist())
    image.SetDirection((FLIP[:, None] * grid.direction).ravel().tolist())
    for point in ((0, 0, 0), (1.5, -2.25, 7), (3, 2, 1)):
        lps = np.array(image.TransformContinuousIndexToPhysicalPoint(point))
        assert grid.ijk_to_ras(point) == pytest.approx(FLIP * lps)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), point=st.tuples(*[st.floats(-500, 500)] * 3))
def test_there_and_back(seed, point):
    grid = random_grid(seed)
    assert grid.ijk_to_ras(grid.ras_to_ijk(point)) == pytest.approx(point, abs=1e-8)


def test_many_points_at_once_keep_their_shape():
    grid = random_grid(1)
    points = np.random.default_rng(0).normal(size=(4, 5, 3))
    mapped = grid.ijk_to_ras(points)
    assert mapped.shape == (4, 5, 3)
    assert mapped[2, 3] == pytest.approx(grid.ijk_to_ras(points[2, 3]))


def test_volume_of_all_corners_is_the_volume_of_all_voxels():
    grid = random_grid(2)
    corners = grid.corners()
    edges = [corners[4] - corners[0], corners[2] - corners[0], corners[1] - corners[0]]
    assert abs(np.linalg.det(edges)) == pytest.approx(grid.voxel_volume_mm3 * np.prod(grid.shape))


def test_left_handed_grid_has_a_positive_volume():
    grid = Grid.from_parts((2, 2, 2), spacing=(1, 2, 3), direction=np.diag([1, 1, -1]))
    assert np.linalg.det(grid.affine) < 0
    assert grid.voxel_volume_mm3 == pytest.approx(6)


@pytest.mark.parametrize(("start", "stop"), [((1, 0, 2), (3, 3, 4)), ((-2, -1, 0), (6, 3, 5))])
def test_crop_and_growth_keep_every_voxel_in_its_place(start, stop):
    grid = random_grid(3)
    cropped = grid.crop(start, stop)
    assert cropped.shape == tuple(b - a for a, b in zip(start, stop))
    voxel = np.array([1, 1, 1])
    assert cropped.ijk_to_ras(voxel) == pytest.approx(grid.ijk_to_ras(voxel + start[::-1]))


def test_grids_that_differ_by_less_than_the_tolerance_are_close():
    grid = Grid.from_parts((10, 10, 10))
    nudged = Grid.from_parts((10, 10, 10), origin=(0.0005, 0, 0))
    moved = Grid.from_parts((10, 10, 10), origin=(0.002, 0, 0))
    stretched = Grid.from_parts((10, 10, 10), spacing=(1, 1, 1.001))
    assert grid.is_close(nudged)
    assert not grid.is_close(moved)
    assert grid.is_close(moved, tolerance_mm=0.01)
    assert not grid.is_close(stretched)
    assert not grid.is_close(Grid.from_parts((10, 10, 11)))


def test_grid_cannot_be_changed_behind_a_volume():
    affine = np.eye(4)
    grid = Grid((1, 1, 1), affine)
    affine[0, 3] = 5
    assert grid.origin.tolist() == [0, 0, 0]
    with pytest.raises(ValueError):
        grid.affine[0, 3] = 5


def test_wrong_affine_and_wrong_array_are_refused():
    with pytest.raises(ValueError, match="4x4"):
        Grid((1, 1, 1), np.eye(3))
    with pytest.raises(ValueError, match="shape"):
        Volume(np.zeros((2, 2, 2)), Grid.from_parts((2, 2, 3)))


def test_other_values_on_the_same_grid_keep_everything_else():
    volume = Volume(np.zeros((1, 2, 3)), Grid.from_parts((1, 2, 3)), name="hip", metadata={"modality": "CT"})
    other = volume.with_array(np.ones((1, 2, 3)), name="mask")
    assert other.grid is volume.grid
    assert other.metadata == {"modality": "CT"}
    assert (other.name, volume.with_array(volume.array).name) == ("mask", "hip")
