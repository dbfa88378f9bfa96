"""The preview shows the contour of the mask, at the right place, whatever the grid."""

from __future__ import annotations

import numpy as np
import pytest

from ProximalFemurSegLib.anatomical_planes import Section
from ProximalFemurSegLib.preview import Bone, draw_preview, intensity_window, outline, ramp, sections_through
from ProximalFemurSegLib.volume import Grid, Volume

ORANGE, CYAN = (255, 157, 46), (64, 214, 232)


def ball(grid, center, radius):
    k, j, i = np.indices(grid.shape)
    return Volume(np.linalg.norm(grid.ijk_to_ras(np.stack([i, j, k], axis=-1)) - center, axis=-1) <= radius, grid)


def isotropic(direction):
    axes = np.asarray(direction, dtype=float)
    return Grid.from_parts((64, 64, 64), (2.0, 2.0, 2.0), origin=-axes @ (63.0 * np.ones(3)), direction=axes)


@pytest.fixture
def scene():
    grid = isotropic(np.eye(3))
    outer, inner = ball(grid, (10, 0, 0), 30), ball(grid, (10, 0, 0), 20)
    image = outer.with_array(np.where(outer.array, 600, 0).astype(np.int16))
    return image, outer, inner


def near(picture, color, tolerance=40):
    return np.abs(picture.astype(int) - color).max(axis=-1) <= tolerance


def panels(picture):
    """The three panels of the first row, coronal, sagittal and axial."""
    array = np.asarray(picture)
    return [array[78 : 78 + 380, 18 + c * 388 : 18 + c * 388 + 380] for c in range(3)]


def test_contours_lie_where_the_surfaces_are(scene):
    image, outer, inner = scene
    picture = draw_preview(image, [Bone("Left femur", outer, inner)], "ct", "title", "footnote")
    assert picture.mode == "RGB"
    view_mm = sections_through(Bone("", outer))[0].size_mm
    for panel in panels(picture):
        for color, radius in ((ORANGE, 30), (CYAN, 20)):
            rows, columns = np.nonzero(near(panel, color))
            distances = np.hypot(rows - 189.5, columns - 189.5) * view_mm / 380
            assert len(rows) > 300
            # Voxels are 2 mm, and a ball's staircase lies up to one voxel off its radius.
            assert np.abs(distances - radius).max() < 2.5
            assert np.abs(distances - radius).mean() < 1.0


def test_the_same_bone_on_a_flipped_and_permuted_grid_gives_the_same_picture(scene):
    image, outer, inner = scene
    flipped = isotropic([[0, -1, 0], [0, 0, 1], [-1, 0, 0]])

    def moved(volume):
        k, j, i = np.indices(flipped.shape)
        ijk = np.rint(volume.grid.ras_to_ijk(flipped.ijk_to_ras(np.stack([i, j, k], axis=-1)))).astype(int)
        return Volume(volume.array[ijk[..., 2], ijk[..., 1], ijk[..., 0]], flipped)

    straight = draw_preview(image, [Bone("b", outer, inner)], "ct", "t", "f")
    turned = draw_preview(moved(image), [Bone("b", moved(outer), moved(inner))], "ct", "t", "f")
    assert np.array_equal(np.asarray(straight), np.asarray(turned))


def test_patient_right_is_on_the_left(scene):
    image, outer, _ = scene
    k, j, i = np.indices(image.grid.shape)
    ras = image.grid.ijk_to_ras(np.stack([i, j, k], axis=-1))
    bright_right = image.with_array(np.where(ras[..., 0] > 10, 900.0, -160.0))
    coronal, _, axial = panels(draw_preview(bright_right, [Bone("b", outer)], "ct", "t", "f"))
    for panel in (coronal, axial):
        assert panel[250:300, 30:150].mean() > 200
        assert panel[250:300, 230:350].mean() < 50


def test_probability_map_gets_rows_of_its_own(scene):
    image, outer, _ = scene
    probability = outer.with_array(outer.array.astype(np.float32))
    without = draw_preview(image, [Bone("b", outer)], "ct", "t", "f")
    with_map = draw_preview(image, [Bone("b", outer, probability=probability)], "ct", "t", "f", threshold=0.5)
    assert with_map.width == without.width
    assert with_map.height > without.height + 380
    middle = np.asarray(with_map)[78 + 380 + 34 + 190, 18 + 190]
    assert middle[0] > middle[2] + 40, "certain bone is yellow, not grey"


def test_image_without_a_femur_is_still_shown():
    grid = isotropic(np.eye(3))
    image = Volume(np.random.default_rng(0).normal(size=grid.shape).astype(np.float32), grid)
    nothing = Volume(np.zeros(grid.shape, bool), grid)
    sections = sections_through(Bone("none", nothing))
    assert [s.view for s in sections] == ["coronal", "sagittal", "axial"]
    np.testing.assert_allclose([s.center for s in sections], 0, atol=1e-9)
    coronal, *_ = panels(draw_preview(image, [Bone("none", nothing)], "mr", "t", "f"))
    assert coronal.std() > 20
    assert near(coronal, ORANGE).sum() == 0


def test_sections_go_through_the_whole_bone(scene):
    sections = sections_through(Bone("b", scene[1]))
    assert all(isinstance(section, Section) for section in sections)
    # Between voxel centres the ball is 58 mm wide, and 22 mm are shown around it.
    assert {section.size_mm for section in sections} == {102.0}
    np.testing.assert_allclose([s.center for s in sections], [(10, 0, 0)] * 3, atol=1.5)


def test_outline_of_a_square():
    inside = np.zeros((9, 9), bool)
    inside[3:6, 3:6] = True
    lines = outline(inside, width=1)
    assert not lines[4, 4]
    assert lines[3:6, 3].all() and lines[3, 3:6].all()
    assert not lines[0].any() and not lines[:, 0].any()
    assert not outline(np.zeros((5, 5), bool), 3).any()
    assert not outline(np.ones((5, 5), bool), 3).any()


def test_intensity_windows():
    assert intensity_window(np.array([5.0]), "ct") == (-160.0, 900.0)
    low, high = intensity_window(np.arange(1001.0), "mr")
    assert (low, high) == pytest.approx((10, 997))
    low, high = intensity_window(np.full(10, 7.0), "mr")
    assert high > low


def test_ramp_grows_brighter():
    brightness = ramp(np.linspace(0, 1, 20)).sum(axis=-1)
    assert (np.diff(brightness) > 0).all()
