"""The area-weighted surface against closed forms and against surface-distance; both definitions side by side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from ProximalFemurSegLib.evaluation import surface
from ProximalFemurSegLib.evaluation.surface import surface_distances
from ProximalFemurSegLib.evaluation.surface_elements import element_areas, neighbourhood_codes
from small_masks import OBLIQUE, box, grid_of

SPACINGS = [(1.0, 1.0, 1.0), (0.234, 0.234, 1.5), (2.0, 0.7, 0.4)]  # i, j, k


def blobs(seed, shape=(12, 13, 14)):
    smooth = [ndimage.gaussian_filter(n, 1.5) for n in np.random.default_rng(seed).random((2, *shape))]
    return [s > np.median(s) for s in (smooth[0], 0.8 * smooth[0] + 0.2 * smooth[1])]


def neck_and_head(shift=0.0):
    """A ball on a slanted stem: a bone in outline."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in (18, 14, 20)], indexing="ij")
    head = (k - 12.5) ** 2 + (j - 7) ** 2 + (i - 13 - shift) ** 2 <= 14
    stem = ((j - 7) ** 2 + (i - 4 - 0.7 * k) ** 2 <= 6) & (k < 13)
    return head | stem


def pathological(seed):
    rng = np.random.default_rng(seed)
    return {
        "speckles": [rng.random((7, 8, 9)) < 0.3 for _ in range(2)],
        "single voxels": [box((6, 6, 6), (1, 1, 1), (2, 2, 2)), box((6, 6, 6), (4, 3, 5), (5, 4, 6))],
        "sheets": [box((6, 9, 9), (2, 0, 0), (3, 9, 9)), box((6, 9, 9), (3, 1, 1), (4, 8, 8))],
        "at every border": blobs(seed),
        "whole grid": [np.ones((4, 5, 6), bool), box((4, 5, 6), (1, 1, 1), (3, 4, 5))],
        "corner to corner": [np.indices((5, 5, 5)).sum(axis=0) % 2 == 0, box((5, 5, 5), (1, 1, 1), (4, 4, 4))],
        "bone": [neck_and_head(), neck_and_head(1.5)],
    }


@pytest.mark.parametrize("spacing", SPACINGS)
def test_area_of_a_box_in_closed_form(spacing):
    """n x m x l voxels: flat faces between the outer voxel centres, bevels along edges, a triangle at each corner."""
    count = np.array([4, 3, 5])  # along i, j, k
    mask = box((8, 8, 8), (1, 1, 1), 1 + count[::-1])
    s, inner = np.array(spacing), (count - 1) * spacing
    flat = 2 * sum(inner[a] * inner[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    bevels = 4 * sum(inner[a] * np.hypot(s[(a + 1) % 3], s[(a + 2) % 3]) / 2 for a in range(3))
    u, v, w = np.diag(s / 2)
    corners = 8 * np.linalg.norm(np.cross(v - u, w - u)) / 2
    areas = surface_distances(mask, mask, grid_of(mask, spacing, OBLIQUE), "mesh").result_areas
    assert areas.sum() == pytest.approx(flat + bevels + corners)


def test_codes_by_hand():
    codes = neighbourhood_codes(np.array([[[True, False]]]))
    assert codes.shape == (2, 2, 3)
    assert codes[0, 0].tolist() == [0b10000000, 0b01000000, 0]
    assert codes[1, 1].tolist() == [0b00000010, 0b00000001, 0]


def test_mask_and_complement_have_the_same_area_and_no_orientation_is_preferred():
    areas = element_areas(np.diag([1.0, 2.0, 0.7]))
    assert areas == pytest.approx(areas[::-1])
    assert element_areas(np.eye(3))[[1, 2, 4, 8, 16, 32, 64, 128]] == pytest.approx(np.sqrt(3) / 8)
    assert element_areas(OBLIQUE * [-1.0, 2.0, 0.7]) == pytest.approx(element_areas(np.diag([1.0, 2.0, 0.7])))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_neighbourhood_has_the_area_of_surface_distance(spacing):
    tables = pytest.importorskip("surface_distance.lookup_tables")
    bits = np.asarray(tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL).ravel()
    theirs = tables.create_table_neighbour_code_to_surface_area(spacing[::-1])
    renumbered = [sum(int(b) for n, b in enumerate(bits) if code >> n & 1) for code in range(256)]
    assert element_areas(np.diag(spacing)) == pytest.approx(theirs[renumbered], abs=1e-12)


@pytest.mark.parametrize("definition", surface.DEFINITIONS)
def test_points_lie_where_the_elements_are(definition):
    """Half a voxel lower than the mask's first voxel for the mesh, on the voxel itself otherwise."""
    mask = box((7, 8, 9), (2, 3, 4), (4, 5, 6))
    points = surface_distances(mask, mask, grid_of(mask), definition).result_points
    low, high = ([2, 3, 4], [3, 4, 5]) if definition == "voxels" else ([1.5, 2.5, 3.5], [3.5, 4.5, 5.5])
    assert points.min(axis=0).tolist() == low
    assert points.max(axis=0).tolist() == high


def test_simpleitk_covers_the_whole_set_and_not_the_surface():
    """Its Hausdorff filter measures from every voxel of a mask: alike from outside, nothing for a hole within."""
    sitk = pytest.importorskip("SimpleITK")
    outer, inner = box((12, 12, 12), (1, 1, 1), (11, 11, 11)), box((12, 12, 12), (4, 4, 4), (8, 8, 8))
    theirs = sitk.HausdorffDistanceImageFilter()

    def both(result, reference):
        theirs.Execute(*[sitk.GetImageFromArray(m.astype(np.uint8)) for m in (result, reference)])
        return surface_distances(result, reference, grid_of(result)).msd, theirs.GetHausdorffDistance()

    assert both(outer, inner) == (pytest.approx(3 * np.sqrt(3)), pytest.approx(3 * np.sqrt(3)))
    ours, whole = both(outer & ~box((12, 12, 12), (5, 5, 5), (7, 7, 7)), outer)
    assert whole == pytest.approx(1), "from the hole to its edge"
    assert ours == pytest.approx(3), "from the hole's surface to the outer one"


def test_every_mean_by_hand():
    """A 3-cube around one voxel: 26 surface voxels at 1, sqrt 2 and sqrt 3 mm, and one at 1 mm."""
    one, other = box((5, 5, 5), (1, 1, 1), (4, 4, 4)), box((5, 5, 5), (2, 2, 2), (3, 3, 3))
    distances = surface_distances(one, other, grid_of(one))
    there = (6 + 12 * np.sqrt(2) + 8 * np.sqrt(3)) / 26
    assert distances.directed_means == pytest.approx((there, 1))
    assert distances.asd_mean_of_means == pytest.approx((there + 1) / 2)
    assert distances.asd == pytest.approx((26 * there + 1) / 27)
    assert distances.rms == pytest.approx(np.sqrt((6 * 1 + 12 * 2 + 8 * 3 + 1) / 27))
    assert distances.percentile(95) == pytest.approx(np.sqrt(3))


def test_areas_even_out_what_counting_voxels_does_not():
    """Two boxes shifted by 1 mm across thick slices: their flat sides have many voxels, their upright sides few."""
    spacing = (0.25, 0.25, 2.0)
    one, other = box((8, 60, 60), (2, 10, 10), (6, 50, 50)), box((8, 60, 60), (2, 10, 14), (6, 50, 54))
    grid = grid_of(one, spacing)
    means = {name: surface_distances(one, other, grid, name).asd for name in surface.DEFINITIONS}
    # Of 10 x 10 x 8 mm, two sides of 80 mm2 are 1 mm apart and two strips of 1 x 10 mm2 half of that on average.
    assert means["mesh"] == pytest.approx((80 * 2 + 0.5 * 10 * 2) / (2 * 100 + 4 * 80), rel=0.15)
    assert means["voxels"] < 0.5 * means["mesh"]


@settings(max_examples=15, deadline=None)
@given(pair=arrays(bool, st.tuples(st.just(2), *[st.integers(1, 4)] * 3)))
def test_laws_of_the_mesh(pair):
    result, reference = pair
    grid = grid_of(result, (0.5, 0.8, 1.3))
    there, back = (surface_distances(*p, grid, "mesh") for p in (pair, pair[::-1]))
    if result.any() and reference.any():
        assert there.asd == pytest.approx(back.asd)
        assert there.asd <= there.rms * (1 + 1e-12) <= there.msd * (1 + 1e-9)
        assert there.surface_dice(0) <= there.surface_dice(1) <= there.surface_dice(there.msd) == 1
    else:
        assert np.isnan([there.asd, there.rms, there.asd_mean_of_means, there.msd]).all()
        assert there.surface_dice(9) == float(not result.any() and not reference.any())


def test_percentiles_of_areas_by_hand():
    """Areas 1, 2, 3, 4 at 0, 1, 1 and 5 mm; a share that is met exactly is met."""
    areas, distances = np.array([2.0, 1.0, 4.0, 3.0]), np.array([1.0, 0.0, 5.0, 1.0])
    for shift in (0.0, 0.25):  # with and without a part that coincides
        one = surface.SurfaceDistances(*[np.zeros((4, 3))] * 2, *[distances + shift] * 2, *[areas] * 2, "mesh")
        found = [one.percentile(p) - shift for p in (0, 10, 10.1, 60, 60.1, 100)]
        assert found == [0, 0, 1, 1, 5, 5]


def test_what_is_no_definition_and_no_percentage():
    mask = np.ones((2, 2, 2), bool)
    with pytest.raises(ValueError, match="voxels or mesh"):
        surface_distances(mask, mask, grid_of(mask), "contour")
    with pytest.raises(ValueError, match="from 0 to 100"):
        surface_distances(mask, mask, grid_of(mask)).percentile(101)
