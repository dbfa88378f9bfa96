"""Sections look the same however the voxels lie in the array."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from ProximalFemurSegLib.anatomical_planes import Section, extent, field_of_view, largest_cut, sample
from ProximalFemurSegLib.volume import Grid, Volume


def grid_with_axes(columns, center, counts, spacing):
    """A grid whose i, j, k axes are the given unit vectors, around a centre."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(columns, dtype=float).T * spacing
    affine[:3, 3] = np.asarray(center) - affine[:3, :3] @ ((np.array(counts) - 1) / 2)
    return Grid(tuple(counts[::-1]), affine)


def ramp_volume(grid):
    """Values R + 100 A + 10000 S in mm, which trilinear interpolation reproduces exactly."""
    k, j, i = np.indices(grid.shape)
    ras = grid.ijk_to_ras(np.stack([i, j, k], axis=-1))
    return Volume(ras @ np.array([1.0, 100.0, 10000.0]), grid)


ROTATION = np.linalg.qr(np.array([[9.0, 2, 1], [-3, 8, 1], [1, -2, 7]]))[0]
ORIENTATIONS = [
    np.array(signs)[:, None] * np.eye(3)[list(order)]
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


@pytest.mark.parametrize("columns", [*ORIENTATIONS, ROTATION], ids=str)
def test_pixel_values_are_those_of_their_place_in_the_patient(columns):
    volume = ramp_volume(grid_with_axes(columns, (5, -7, 3), (40, 36, 32), (1.0, 1.5, 2.0)))
    points = Section("sagittal", np.array([5.0, -7.0, 3.0]), 12.0).points(6)
    np.testing.assert_allclose(sample(volume, points), points @ [1, 100, 10000], rtol=1e-5, atol=0.05)


@pytest.mark.parametrize(
    ("view", "right", "down"), [("axial", "L", "P"), ("coronal", "L", "I"), ("sagittal", "P", "I")]
)
def test_views_are_those_of_radiologists(view, right, down):
    towards = {"L": (-1, 0, 0), "P": (0, -1, 0), "I": (0, 0, -1)}
    section = Section(view, np.array([1.0, 2.0, 3.0]), 10.0)
    points = section.points(5)
    np.testing.assert_allclose(points[0, 1] - points[0, 0], 2.0 * np.array(towards[right]))
    np.testing.assert_allclose(points[1, 0] - points[0, 0], 2.0 * np.array(towards[down]))
    np.testing.assert_allclose(points[2, 2], (1, 2, 3))
    assert (section.letters["right"], section.letters["bottom"]) == (right, down)
    shown = {"axial": set("RLAP"), "coronal": set("RLSI"), "sagittal": set("APSI")}
    assert set(section.letters.values()) == shown[view]
    assert np.ptp(points[..., section.normal_axis]) == 0


def test_unknown_view_is_refused():
    with pytest.raises(ValueError, match="axial, coronal, sagittal"):
        Section("frontal", np.zeros(3), 10.0)


def test_field_of_view_ends_half_a_voxel_beyond_the_last_centre():
    volume = Volume(np.ones((2, 2, 2), bool), Grid.from_parts((2, 2, 2)))
    inside, outside = [1.49, 0.5, 0.5], [1.51, 0.5, 0.5]
    assert sample(volume, np.array([inside, outside]), outside=-3).tolist() == [1.0, -3.0]
    assert field_of_view(volume.grid).tolist() == [[-0.5] * 3, [1.5] * 3]


def test_largest_cut_of_a_cone_is_at_its_base_and_on_its_axis():
    grid = grid_with_axes(ROTATION, (0, 0, 0), (80, 80, 80), (1.0, 1.0, 1.0))
    k, j, i = np.indices(grid.shape)
    ras = grid.ijk_to_ras(np.stack([i, j, k], axis=-1))
    radius = np.hypot(ras[..., 0] - 4, ras[..., 1] + 6)
    cone = (ras[..., 2] > -20) & (ras[..., 2] < 20) & (radius < (20 - ras[..., 2]) / 2)
    cut = largest_cut(Volume(cone, grid))
    np.testing.assert_allclose(cut[:2], (4, -6), atol=1.0)
    assert -20 <= cut[2] <= -15
    np.testing.assert_allclose(extent(Volume(cone, grid))[:, 2], (-20, 19), atol=1.0)
