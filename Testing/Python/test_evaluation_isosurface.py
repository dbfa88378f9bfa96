"""Marching cubes against closed surfaces, solids of known size, and scikit-image's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ProximalFemurSegLib.evaluation.isosurface import isosurface


def enclosed_volume(points, triangles):
    a, b, c = (points[triangles[:, n]][:, ::-1] for n in range(3))
    return np.einsum("ij,ij->", a, np.cross(b, c)) / 6


def directed_edges(triangles):
    edges = triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    names, counts = np.unique(edges, axis=0, return_counts=True)
    return {tuple(name): count for name, count in zip(names.tolist(), counts.tolist())}


def test_one_voxel_is_an_octahedron():
    field = np.zeros((3, 3, 3))
    field[1, 1, 1] = 1
    points, triangles = isosurface(field, 0.25)
    assert sorted(points.tolist()) == sorted(
        [[1 + 0.75 * s * (a == n) for n in range(3)] for a in range(3) for s in (-1, 1)]
    )
    assert enclosed_volume(points, triangles) == pytest.approx(4 / 3 * 0.75**3), "positive: its outside is outside"


@settings(max_examples=40, deadline=None)
@given(mask=arrays(bool, st.tuples(*[st.integers(1, 5)] * 3)))
def test_any_mask_gets_a_closed_surface_between_its_voxels_and_the_others(mask):
    """Every edge is walked as often one way as the other: no gaps, and everywhere the same side is outside."""
    field = np.pad(mask, 1).astype(np.float32)
    points, triangles = isosurface(field, 0.5)
    edges = directed_edges(triangles)
    assert all(edges.get((b, a)) == count for (a, b), count in edges.items())
    crossings = sum(int((np.diff(field, axis=axis) != 0).sum()) for axis in range(3))
    assert len(points) == len(np.unique(triangles)) == crossings
    assert (enclosed_volume(points, triangles) > 0) == mask.any()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("smooth", [False, True])
def test_points_are_those_of_scikit_image(seed, smooth):
    """Only the triangles between them may differ where a cube can be cut in several ways."""
    theirs = pytest.importorskip("skimage.measure").marching_cubes
    rng = np.random.default_rng(seed)
    field = rng.random((7, 8, 9)) if smooth else (rng.random((7, 8, 9)) < 0.4).astype(float)
    field = np.pad(field, 1).astype(np.float32)
    points, _ = isosurface(field, 0.45)
    expected, _, _, _ = theirs(field, 0.45, method="lorensen", allow_degenerate=True)
    for one, other in ((points, expected), (expected, points)):
        apart = np.linalg.norm(one[:, None] - other[None], axis=2).min(axis=1)
        assert apart.max() < 1e-5


def test_ball_of_a_distance_field():
    """Radius 7.3: volume and area to within what chords cut off."""
    k, j, i = np.indices((20, 21, 22))
    points, triangles = isosurface(-np.sqrt((k - 9.5) ** 2 + (j - 10) ** 2 + (i - 10.2) ** 2), -7.3)
    assert np.linalg.norm(points - [9.5, 10, 10.2], axis=1) == pytest.approx(7.3, abs=0.02)
    assert enclosed_volume(points, triangles) == pytest.approx(4 / 3 * np.pi * 7.3**3, rel=0.015)
    a, b, c = (points[triangles[:, n]] for n in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    assert area == pytest.approx(4 * np.pi * 7.3**2, rel=0.01)


def test_nothing_crosses_the_level():
    for field in (np.zeros((3, 4, 5)), np.ones((3, 4, 5)), np.ones((1, 4, 5))):
        points, triangles = isosurface(field, 0.5)
        assert points.shape == (0, 3) and triangles.shape == (0, 3)
