"""Post-processing against scipy, scikit-image and shapes whose answer is plain."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.measure import label as skimage_label

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.postprocessing import (
    binary_opening,
    bounding_box,
    fill_holes,
    label_components,
    largest_component,
    postprocess,
    postprocess_steps,
    remove_small_components,
)
from ProximalFemurSegLib.volume import Grid

masks = arrays(bool, st.tuples(*[st.integers(1, 7)] * 3))


@pytest.fixture(params=["cc3d", "scipy"])
def backend(request, monkeypatch):
    if request.param == "cc3d":
        pytest.importorskip("cc3d")
    else:
        monkeypatch.setitem(sys.modules, "cc3d", None)


def grid_of(mask, spacing=(1.0, 1.0, 1.0)):
    return Grid.from_parts(mask.shape, spacing)


def speckle(seed, shape=(9, 10, 11), share=0.3):
    return np.random.default_rng(seed).random(shape) < share


@settings(max_examples=50, deadline=None)
@given(mask=masks)
def test_bounding_box_holds_all_and_touches_every_side(mask):
    box = bounding_box(mask)
    if box is None:
        assert not mask.any()
    else:
        assert mask[box].sum() == mask.sum()
        for axis in range(3):
            for end in (0, -1):
                assert mask[box].take(end, axis).any()


def test_bounding_box_with_a_margin_stays_in_the_grid():
    mask = np.zeros((5, 6, 7), bool)
    mask[0, 3, 5] = True
    assert bounding_box(mask, margin=2) == (slice(0, 3), slice(1, 6), slice(3, 7))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("connectivity", "rank"), [(6, 1), (18, 2), (26, 3)])
@pytest.mark.parametrize("seed", range(5))
def test_components_are_those_of_scikit_image(connectivity, rank, seed):
    mask = speckle(seed)
    labels, sizes = label_components(mask, connectivity)
    expected, count = skimage_label(mask, connectivity=rank, return_num=True)
    assert len(sizes) == count + 1
    assert sizes.tolist() == [(labels == n).sum() for n in range(count + 1)]
    pairs = set(zip(labels.ravel().tolist(), expected.ravel().tolist()))
    assert len(pairs) == count + 1, "each of ours is one of theirs"


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("connectivity", "rank"), [(6, 1), (18, 2), (26, 3)])
def test_largest_component(connectivity, rank):
    mask = speckle(7, share=0.2)
    expected = skimage_label(mask, connectivity=rank)
    sizes = np.bincount(expected.ravel())[1:]
    result = largest_component(mask, connectivity)
    assert result.sum() == sizes.max()
    assert len(np.unique(expected[result])) == 1


@pytest.mark.usefixtures("backend")
def test_of_two_equal_components_one_is_kept():
    mask = np.zeros((3, 3, 9), bool)
    mask[1, 1, 1:3] = mask[1, 1, 5:7] = True
    assert largest_component(mask).sum() == 2


def test_corner_neighbours_count_only_with_26():
    mask = np.zeros((2, 2, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[1, 1, 2] = True
    assert largest_component(mask, 26).sum() == 3
    assert largest_component(mask, 18).sum() == 2
    with pytest.raises(ValueError, match="6, 18 or 26, not 8"):
        largest_component(mask, 8)


@pytest.mark.usefixtures("backend")
def test_small_components_are_measured_in_mm3():
    mask = np.zeros((4, 5, 12), bool)
    mask[1, 1, 1] = True  # 3 mm3
    mask[1, 1, 3:5] = True  # 6 mm3
    mask[1, 3, 1:6] = True  # 15 mm3
    grid = grid_of(mask, (1.5, 1, 2))
    assert remove_small_components(mask, 6, grid).sum() == 7
    assert remove_small_components(mask, 6.1, grid).sum() == 5
    assert remove_small_components(mask, 0, grid).sum() == 8
    assert remove_small_components(mask, 100, grid).sum() == 0


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("seed", range(8))
def test_holes_are_those_of_scipy(seed):
    mask = speckle(seed, share=0.6)
    assert np.array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))


def test_cavity_open_to_the_end_of_the_scan_is_no_hole():
    mask = np.zeros((5, 5, 5), bool)
    mask[:4, 1:4, 1:4] = True
    mask[:3, 2, 2] = False
    assert np.array_equal(fill_holes(mask), mask)
    mask[0, 2, 2] = True
    assert fill_holes(mask).sum() == 36


def ball(radius, spacing):
    """The voxels whose centres lie within a radius in mm of the middle one."""
    reach = np.floor(radius / np.asarray(spacing) + 1e-9).astype(int)
    axes = [np.arange(-r, r + 1) * s for r, s in zip(reach, spacing)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return x * x + y * y + z * z <= radius**2 * (1 + 1e-9)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (1.5, 0.5, 0.5), (0.7, 2, 1.1)])
@pytest.mark.parametrize("radius", [1.0, 1.6, 2.3])
@pytest.mark.parametrize("seed", range(3))
def test_opening_is_scipys_with_a_ball(spacing, radius, seed):
    mask = np.zeros((24, 26, 28), bool)
    mask[6:-6, 6:-6, 6:-6] = ndimage.gaussian_filter(np.random.default_rng(seed).random((12, 14, 16)), 1.5) > 0.49
    structure = ball(radius, spacing)
    expected = ndimage.binary_opening(mask, structure)
    result = binary_opening(mask, radius, Grid.from_parts(mask.shape, spacing[::-1]))
    assert np.array_equal(result, expected)
    assert mask.sum() > result.sum() or structure.sum() == 1


def test_opening_removes_a_bridge_and_keeps_the_bone():
    mask = np.zeros((20, 20, 40), bool)
    mask[4:16, 4:16, 4:16] = mask[4:16, 4:16, 24:36] = True
    mask[9:11, 9:11, 16:24] = True
    opened = binary_opening(mask, 2, grid_of(mask))
    assert label_components(opened)[1].size == 3
    assert not opened[9:11, 9:11, 17:23].any()


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("end", [slice(0, 9), slice(6, None)])
def test_opening_keeps_the_face_where_the_scan_cuts_the_bone(axis, end):
    """A rod along one axis loses its edges, but is the same in every slice up to the border."""
    mask = np.zeros((15, 15, 15), bool)
    window = [slice(4, 11)] * 3
    window[axis] = end
    mask[tuple(window)] = True
    opened = np.moveaxis(binary_opening(mask, 2, grid_of(mask)), axis, 0)
    border = opened[0] if end.start == 0 else opened[-1]
    inside = opened[3] if end.start == 0 else opened[-4]
    assert border.any()
    assert np.array_equal(border, inside)
    assert border.sum() < 49


def test_opening_with_nothing_to_do():
    mask = speckle(3)
    assert np.array_equal(binary_opening(mask, 0, grid_of(mask)), mask)
    assert np.array_equal(binary_opening(mask, 0.9, grid_of(mask)), mask)
    full = np.ones((4, 4, 4), bool)
    assert binary_opening(full, 2, grid_of(full)).all()
    assert not binary_opening(mask & (speckle(4)), 5, grid_of(mask)).any()


@settings(max_examples=60, deadline=None)
@given(mask=masks)
def test_laws(mask):
    """Each step done twice is the step done once; opening and components only take away, filling only adds."""
    grid = grid_of(mask, (0.6, 1.0, 1.4))
    steps = {
        largest_component: -1,
        fill_holes: 1,
        lambda m: binary_opening(m, 1.2, grid): -1,
        lambda m: remove_small_components(m, 3, grid): -1,
    }
    before = mask.copy()
    for step, direction in steps.items():
        once = step(mask)
        assert np.array_equal(step(once), once)
        assert not ((once & ~mask) if direction < 0 else (mask & ~once)).any()
        assert np.array_equal(mask, before), "the input is left as it was"


@pytest.mark.usefixtures("backend")
def test_empty_mask_stays_empty():
    empty = np.zeros((3, 4, 5), bool)
    for text in ("auto", "none", "open=2", "small=5", "largest"):
        result = postprocess(empty, grid_of(empty), text)
        assert result.shape == empty.shape
        assert not result.any()


@pytest.mark.usefixtures("backend")
def test_views_in_any_memory_order():
    mask = speckle(5)
    for view in (mask.T, mask[::-1, :, ::-1], mask[:, ::2]):
        copy = np.ascontiguousarray(view)
        for text in ("largest", "fill", "open=1"):
            expected = postprocess(copy, grid_of(copy), text)
            assert np.array_equal(postprocess(view, grid_of(copy), text), expected)


def test_steps_are_done_in_their_order():
    mask = np.zeros((9, 9, 20), bool)
    mask[1:8, 1:8, 1:8] = True
    mask[4, 4, 4] = False  # a hole
    mask[4, 4, 8:12] = True  # a thread to a smaller cube
    mask[2:7, 2:7, 12:17] = True
    grid = grid_of(mask)
    assert postprocess(mask, grid, "auto").sum() == 343 + 4 + 125
    assert postprocess(mask, grid, "fill, open=1, largest")[:, :, 9:].sum() == 0
    assert postprocess(mask, grid, "none") is mask
    assert [(s.name, s.value) for s in postprocess_steps("small=2.5,LARGEST")] == [("small", 2.5), ("largest", None)]


@pytest.mark.parametrize("text", ["big", "open", "open=-1", "small=many", "largest=2", "open=nan", "small=inf"])
def test_unknown_step(text):
    with pytest.raises(BadInputError, match="choose auto, none, or any of") as error:
        postprocess_steps(text)
    assert f"'{text}'" in str(error.value)
