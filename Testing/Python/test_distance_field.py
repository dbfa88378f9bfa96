"""Signed distance to meshes, against balls and boxes whose distances are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from ProximalFemurSegLib.phantom.distance_field import (
    SampledField,
    enclosed_volume,
    make_one_solid,
    mesh_distance_field,
    surface_samples,
    vertex_normals,
)


def ball_mesh(radius, count=4000):
    """Points of a Fibonacci spiral on a ball, meshed by their convex hull, faces looking outwards."""
    n = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * n / count), np.pi * (1 + 5**0.5) * n
    points = radius * np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], 1)
    faces = ConvexHull(points).simplices
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = np.einsum("ij,ij->i", normals, corners[:, 0])
    faces[inward < 0] = faces[inward < 0][:, ::-1]
    return points, faces


def test_enclosed_volume_is_that_of_the_ball_and_changes_sign_with_the_faces():
    vertices, faces = ball_mesh(20.0)
    assert enclosed_volume(vertices, faces) == pytest.approx(4 / 3 * np.pi * 20**3, rel=2e-3)
    assert enclosed_volume(vertices, faces[:, ::-1]) == -enclosed_volume(vertices, faces)


def test_normals_of_a_ball_point_away_from_its_centre():
    vertices, faces = ball_mesh(20.0)
    assert (np.einsum("ij,ij->i", vertex_normals(vertices, faces), vertices / 20.0) > 0.999).all()


def test_surface_samples_leave_no_gaps():
    vertices, faces = ball_mesh(20.0, 300)
    points, normals = surface_samples(vertices, faces, 0.8)
    assert len(points) > len(vertices)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, rtol=1e-6)
    from scipy.spatial import cKDTree

    centers = vertices[faces].mean(axis=1)
    assert cKDTree(points).query(centers)[0].max() < 0.8


@pytest.mark.parametrize("inside_out", [False, True])
def test_distance_to_a_ball(inside_out):
    vertices, faces = ball_mesh(20.0)
    field = mesh_distance_field(vertices, faces[:, ::-1] if inside_out else faces)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(2000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = rng.uniform(15, 26, size=(2000, 1))
    found = field(torch.tensor(directions * radii, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, radii[:, 0] - 20.0, atol=0.12)
    near = np.abs(radii[:, 0] - 20) < 2
    assert np.abs(found - radii[:, 0] + 20.0)[near].mean() < 0.03
    # The volume of the zero level is that of the mesh.
    inside = (0.5 - field.values).clamp(0, 1).sum()
    assert float(inside) == pytest.approx(enclosed_volume(vertices, faces), rel=3e-3)


def test_a_field_that_starts_above_the_lower_end_keeps_the_rest():
    vertices, faces = ball_mesh(20.0)
    field = mesh_distance_field(vertices, faces, lowest_z=-5.0)
    assert field.origin[2] == -5.0
    points = torch.tensor([[19.0, 0, 0], [0, 21.0, 3.0], [0, 0, 17.0]])
    np.testing.assert_allclose(field(points), [-1.0, np.hypot(21, 3) - 20, -3.0], atol=0.1)


def test_field_interpolates_linearly_and_continues_its_border():
    values = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    field = SampledField(values, (10.0, 0.0, -3.0), (2.0, 1.0, 0.5))
    # Halfway along x: (0 + 12) / 2; a quarter of a sample along z adds 0.25; beyond the border, the border.
    points = torch.tensor([[11.0, 0.0, -3.0], [10.0, 0.0, -2.875], [5.0, -9.0, -3.0]])
    np.testing.assert_allclose(field(points), [6.0, 0.25, 0.0], atol=1e-5)
    assert field.nearest(torch.tensor([[11.9, 1.6, -1.4]])).item() == values[1, 2, 3].item()
    beyond = field.beyond(torch.tensor([[15.0, 5.0, -3.0], [11.0, 1.0, -2.0]]))
    np.testing.assert_allclose(beyond, [np.hypot(3, 3), 0.0])


def test_one_solid_without_islands_and_bubbles():
    x, y, z = np.meshgrid(*[np.arange(30.0)] * 3, indexing="ij")
    ball = np.sqrt((x - 12) ** 2 + (y - 14) ** 2 + (z - 15) ** 2) - 8.0
    wrong = ball.copy()
    wrong[25:28, 3:9, 10] *= -1  # an island
    wrong[11:14, 13:16, 14:16] *= -1  # a bubble
    make_one_solid(wrong)
    assert np.array_equal(wrong, ball)
    nothing = np.full((4, 4, 4), 2.0)
    make_one_solid(nothing)
    assert (nothing == 2.0).all()
