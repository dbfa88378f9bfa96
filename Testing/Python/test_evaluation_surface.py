"""Surface distances against analytic shapes, brute force, MONAI, scipy, and surface-distance where they agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.spatial.distance import cdist

from ProximalFemurSegLib.evaluation.surface import surface_distances, surface_voxels
from small_masks import OBLIQUE, box, grid_of

SPACINGS = [(1.0, 1.0, 1.0), (0.4, 0.5, 1.5), (2.0, 0.7, 0.7)]


def ball(shape, center, radius, spacing=(1.0, 1.0, 1.0)):
    """Voxels whose centre (k, j, i) lies within a radius in mm; spacing (i, j, k)."""
    axes = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    return sum(((a - c) * s) ** 2 for a, c, s in zip(axes, center, spacing[::-1])) <= radius**2


def blob_pair(seed, shape=(14, 16, 18)):
    noise = np.random.default_rng(seed).random((2, *shape))
    smooth = [ndimage.gaussian_filter(n, 2, mode="nearest") for n in noise]
    return [s > np.median(s) for s in (smooth[0], 0.8 * smooth[0] + 0.2 * smooth[1])]


@pytest.mark.parametrize("seed", range(3))
def test_surface_is_mask_without_its_erosion(seed):
    """Blobs that touch the border: what lies beyond the grid is outside."""
    mask = blob_pair(seed)[0]
    expected = mask & ~ndimage.binary_erosion(mask)
    found = np.zeros(mask.shape, bool)
    found[tuple(surface_voxels(mask).T)] = True
    assert np.array_equal(found, expected)
    assert mask[0].any() and mask[:, :, -1].any()


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("axis", range(3))
def test_shifted_box(spacing, axis):
    """Moved by two voxels: two faces are two voxels away, the maximum is that, in mm."""
    shape, start, stop = (20, 22, 24), np.array([5, 6, 7]), np.array([13, 14, 15])
    step = np.eye(3, dtype=int)[axis] * 2
    one, other = box(shape, start, stop), box(shape, start + step, stop + step)
    distances = surface_distances(other, one, grid_of(one, spacing))
    assert distances.msd == pytest.approx(2 * spacing[2 - axis])


def test_boxes_one_within_the_other_by_hand():
    """A 3-cube around one voxel, voxels 2 mm: 26 surface voxels at 2, 2 sqrt 2 and 2 sqrt 3 mm."""
    one, other = box((5, 5, 5), (1, 1, 1), (4, 4, 4)), box((5, 5, 5), (2, 2, 2), (3, 3, 3))
    distances = surface_distances(one, other, grid_of(one, (2, 2, 2)))
    assert len(distances.result_to_reference) == 26
    total = 2 * (6 + 12 * np.sqrt(2) + 8 * np.sqrt(3))
    assert distances.reference_to_result.tolist() == [2]
    assert distances.asd == pytest.approx((total + 2) / 27), "pooled, not the mean of two means"
    assert distances.msd == pytest.approx(2 * np.sqrt(3))
    assert distances.percentile(0) == pytest.approx(2)
    assert distances.surface_dice(2) == pytest.approx(7 / 27)
    assert distances.surface_dice(1.99) == 0


@pytest.mark.parametrize("spacing", SPACINGS)
def test_concentric_balls(spacing):
    """Radii 11 and 8 mm: 3 mm apart everywhere, to within a voxel."""
    shape = tuple(int(26 / s) + 3 for s in spacing[::-1])
    center = [(n - 1) / 2 for n in shape]
    masks = [ball(shape, center, radius, spacing) for radius in (11, 8)]
    distances = surface_distances(*masks, grid_of(masks[0], spacing))
    assert distances.asd == pytest.approx(3, abs=0.5 * max(spacing))
    assert distances.msd <= 3 + np.linalg.norm(spacing)
    assert distances.asd < distances.hd95 <= distances.msd
    assert distances.surface_dice(distances.msd) == 1


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(3))
def test_every_distance_by_brute_force(spacing, seed):
    result, reference = blob_pair(seed, (7, 8, 9))
    grid = grid_of(result, spacing, OBLIQUE * [1, 1, -1])
    distances = surface_distances(result, reference, grid)
    points = [grid.ijk_to_ras(v[:, ::-1]) for v in (distances.result_points, distances.reference_points)]
    between = cdist(*points)
    assert distances.result_to_reference == pytest.approx(between.min(axis=1), abs=1e-9)
    assert distances.reference_to_result == pytest.approx(between.min(axis=0), abs=1e-9)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what surface-distance calls in scipy
@pytest.mark.parametrize("spacing", SPACINGS)
def test_agrees_with_surface_distance_on_the_maximum(spacing):
    """Its surface elements lie between voxels, so that only a shift as a whole gives the same number."""
    theirs = pytest.importorskip("surface_distance")
    one, other = box((20, 20, 20), (4, 5, 6), (11, 12, 13)), box((20, 20, 20), (7, 5, 6), (14, 12, 13))
    ours = surface_distances(other, one, grid_of(one, spacing))
    measured = theirs.compute_surface_distances(one, other, spacing[::-1])
    assert ours.msd == pytest.approx(theirs.compute_robust_hausdorff(measured, 100))


@settings(max_examples=40, deadline=None)
@given(pair=arrays(bool, st.tuples(st.just(2), *[st.integers(1, 5)] * 3)))
def test_laws(pair):
    result, reference = pair
    grid = grid_of(result, (0.5, 0.8, 1.3))
    there, back = surface_distances(result, reference, grid), surface_distances(reference, result, grid)
    same = surface_distances(result, result, grid)
    if result.any():
        assert (same.asd, same.msd, same.hd95, same.surface_dice(0)) == (0, 0, 0, 1)
    if result.any() and reference.any():
        assert there.asd == pytest.approx(back.asd)
        assert (there.msd, there.hd95) == (back.msd, back.hd95)
        # A mean of equal numbers may miss them by the last bit.
        assert 0 <= there.asd <= there.msd * (1 + 1e-12)
        assert there.msd <= np.linalg.norm(np.array(result.shape) * (1.3, 0.8, 0.5))
        assert there.surface_dice(0) <= there.surface_dice(1) <= there.surface_dice(there.msd) == 1
        doubled = surface_distances(result, reference, grid_of(result, (1.0, 1.6, 2.6)))
        assert doubled.asd == pytest.approx(2 * there.asd)


@pytest.mark.parametrize("direction", [OBLIQUE, OBLIQUE * [-1, 1, 1], np.eye(3)[:, [2, 0, 1]]])
def test_orientation_does_not_matter(direction):
    result, reference = blob_pair(4)
    plain = surface_distances(result, reference, grid_of(result, SPACINGS[1]))
    turned = surface_distances(result, reference, grid_of(result, SPACINGS[1], direction))
    assert turned.asd == pytest.approx(plain.asd, abs=1e-9)
    assert turned.hd95 == pytest.approx(plain.hd95, abs=1e-9)


def test_empty_masks():
    empty, bone = np.zeros((4, 4, 4), bool), box((4, 4, 4), (1, 1, 1), (3, 3, 3))
    for pair in ((empty, bone), (bone, empty), (empty, empty)):
        distances = surface_distances(*pair, grid_of(bone))
        assert np.isnan([distances.asd, distances.msd, distances.hd95]).all()
    assert surface_distances(empty, bone, grid_of(bone)).surface_dice(5) == 0
    assert surface_distances(empty, empty, grid_of(bone)).surface_dice(0) == 1


def test_masks_that_fill_the_grid():
    full = np.ones((3, 4, 5), bool)
    inner = box((3, 4, 5), (1, 1, 1), (2, 3, 4))
    assert surface_distances(full, full, grid_of(full)).asd == 0
    assert surface_distances(full, inner, grid_of(full)).msd == pytest.approx(np.sqrt(3))


def test_shape_must_be_the_grids():
    mask = np.ones((3, 4, 5), bool)
    with pytest.raises(ValueError, match="do not lie on a grid"):
        surface_distances(mask, mask[1:], grid_of(mask))
    with pytest.raises(ValueError, match="do not lie on a grid"):
        surface_distances(mask, mask, grid_of(mask[1:]))


def test_distances_cannot_be_exchanged():
    """Frozen: every metric stays one of the same distances."""
    mask = np.ones((2, 2, 2), bool)
    with pytest.raises(AttributeError):
        surface_distances(mask, mask, grid_of(mask)).result_to_reference = np.zeros(8)
