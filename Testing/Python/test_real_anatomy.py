"""Real shapes from outside: label maps and meshes made up here, and the real ones where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.phantom.label_world import enclosed_in_axial_plane, upright, world_from_labels
from ProximalFemurSegLib.phantom.mesh_femur import MeshFemur
from ProximalFemurSegLib.phantom.real_anatomy import AnatomyLibrary, draw_rotation, shape_from_mesh, shape_from_model
from ProximalFemurSegLib.phantom.shape_model import LPS_TO_RAS, ShapeModel, fit_similarity, fit_sphere
from ProximalFemurSegLib.phantom.tissues import Tissue

DATA = Path(os.environ.get("PROXIMAL_FEMUR_SEG_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
MODEL = DATA / "femur_ssm" / "femur_ssm.npz"
needs_data = pytest.mark.skipif(not MODEL.exists(), reason="the folder of real anatomy is not here")

NAMES = {0: "background", 1: "pelvis", 2: "femur", 3: "gluteus_muscle", 29: "body"}


def label_map():
    """(K, J, I) on 2 x 2 x 3 mm: a body cylinder, a muscle ring, two femora as columns and a pelvis as a bar."""
    z, y, x = np.meshgrid(np.arange(20) * 3.0, np.arange(90) * 2.0 - 90, np.arange(120) * 2.0 - 120, indexing="ij")
    labels = np.zeros(x.shape, np.uint8)
    radius = np.hypot(x, y * 1.4)
    labels[radius < 110] = 29
    labels[(radius > 70) & (radius < 90)] = 3
    labels[np.hypot(np.abs(x) - 60, y) < 14] = 2
    labels[(np.abs(x) < 30) & (np.abs(y - 30) < 8)] = 1
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = (-120, -90, 0)
    return labels, affine


def at(*point):
    return torch.tensor([point], dtype=torch.float32)


def test_world_knows_bone_skin_muscle_and_cavity():
    labels, affine = label_map()
    world = world_from_labels("made up", labels, affine, NAMES)
    assert float(world.bone(at(0, 30, 30))) == pytest.approx(-7, abs=1.1)
    assert float(world.bone(at(0, 45, 30))) == pytest.approx(7, abs=1.1)
    assert float(world.depth(at(100, 0, 30))) == pytest.approx(10, abs=2.0)
    assert float(world.depth(at(118, 0, 30))) < 0
    assert int(world.tissue.nearest(at(0, 57, 30))) == int(Tissue.MUSCLE)
    assert int(world.tissue.nearest(at(100, 0, 30))) == int(Tissue.FAT)
    assert int(world.cavity.nearest(at(0, 0, 30))) == 1
    assert int(world.cavity.nearest(at(100, 0, 30))) == 0


def test_the_maps_own_femora_are_gone():
    labels, affine = label_map()
    world = world_from_labels("made up", labels, affine, NAMES)
    assert float(world.bone(at(60, 0, 30))) > 10


@pytest.mark.parametrize("flip", [(0,), (1,), (0, 2), ()])
def test_upright_undoes_flips_and_permutations(flip):
    labels, affine = label_map()
    expected, origin, spacing = upright(labels, affine)
    matrix = affine.copy()
    for axis in flip:
        matrix[:3, 3] += matrix[:3, axis] * (labels.shape[2 - axis] - 1)
        matrix[:3, axis] *= -1
    # Axes i, j, k are now the former k, i, j.
    matrix = matrix[:, [2, 0, 1, 3]]
    array = np.transpose(np.flip(labels, [2 - axis for axis in flip]), (1, 2, 0))
    found, found_origin, found_spacing = upright(array, matrix)
    assert np.array_equal(found, expected)
    np.testing.assert_allclose(found_origin, origin)
    np.testing.assert_allclose(found_spacing, spacing)


def test_enclosed_needs_wall_on_all_four_sides():
    wall = np.zeros((5, 5, 1), bool)
    wall[1:4, 1:4] = True
    wall[2, 2] = False
    expected = np.zeros_like(wall)
    expected[2, 2] = True
    assert np.array_equal(enclosed_in_axial_plane(wall), expected)
    wall[2, 1] = False
    wall[2, 0] = False
    assert not enclosed_in_axial_plane(wall).any()


def test_sphere_fit_is_exact_on_a_cap():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(200, 3))
    directions = directions[directions[:, 2] > 0]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    center, radius = fit_sphere(np.array([3.0, -4.0, 5.0]) + 23.5 * directions)
    np.testing.assert_allclose(center, [3, -4, 5], atol=1e-8)
    assert radius == pytest.approx(23.5)


def test_similarity_fit_recovers_what_moved_the_points():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(50, 3))
    rotation = draw_rotation(rng, 30.0)
    moved = 1.3 * points @ rotation.T + [1, 2, 3]
    scale, found, translation = fit_similarity(points, moved, np.ones(50))
    assert scale == pytest.approx(1.3)
    np.testing.assert_allclose(found, rotation, atol=1e-9)
    np.testing.assert_allclose(translation, [1, 2, 3], atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_folder_without_shapes_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="no femur shape model"):
        AnatomyLibrary.load(tmp_path)


@needs_data
def test_folder_without_label_maps_is_refused(tmp_path):
    (tmp_path / "model.npz").write_bytes(MODEL.read_bytes())
    (tmp_path / "labels.json").write_text(json.dumps({"1": "pelvis"}))
    with pytest.raises(BadInputError, match="no usable label map"):
        AnatomyLibrary.load(tmp_path, model_samples=0)


@needs_data
def test_shape_model_finds_its_own_pose_and_landmarks():
    model = ShapeModel.load(MODEL)
    marks, radius = model.landmarks(model.mean)
    np.testing.assert_allclose(marks["head_center"], 0, atol=0.05)
    assert 20 < radius < 28
    assert marks["greater_trochanter_tip"][0] < -30 and marks["lesser_trochanter"][2] < -40
    # Cut off below the lesser trochanter, turned, scaled and moved, it is found again.
    rotation = draw_rotation(np.random.default_rng(2), 6.0)
    bone = 1.05 * model.shape(np.array([0.0, 0.8, -0.5])) @ rotation.T + [100, -50, 30]
    bone = bone[bone[:, 2] > bone[:, 2].max() - 150]
    fit = model.fit(bone, np.array([104.0, -46.0, 27.0]), 24.0)
    assert fit.residual_mm < 0.8
    found, _ = model.landmarks(fit.to_bone(model.shape(fit.coefficients)))
    np.testing.assert_allclose(found["head_center"], [100, -50, 30] + 1.05 * rotation @ model.landmarks(
        model.shape(np.array([0.0, 0.8, -0.5])))[0]["head_center"], atol=0.8)


@needs_data
def test_mirrored_femora_mirror_and_the_mesh_volume_is_kept():
    model = ShapeModel.load(MODEL)
    shape = shape_from_model(model, np.random.default_rng(0))
    from ProximalFemurSegLib.phantom.cortex import CortexParameters

    turn = draw_rotation(np.random.default_rng(3), 8.0)
    left = MeshFemur(shape, "left", (-90, 0, 0), turn, 1.0, CortexParameters())
    right = MeshFemur(shape, "right", (90, 0, 0), turn, 1.0, CortexParameters())
    points = np.random.default_rng(4).uniform((-160, -60, -120), (-50, 60, 40), (4000, 3))
    points = torch.tensor(points, dtype=torch.float32)
    mirrored = points * torch.tensor([-1.0, 1, 1])
    for function in ("periosteal_distance", "cortical_thickness", "region"):
        np.testing.assert_allclose(
            getattr(left, function)(points), getattr(right, function)(mirrored), atol=2e-3, err_msg=function
        )


@needs_data
def test_real_femur_keeps_its_volume():
    path = next((DATA / "femora_libhip").glob("m4_r*.npz"))
    model = ShapeModel.load(MODEL)
    shape = shape_from_mesh(model, path)
    with np.load(path) as data:
        vertices, faces = data["vertices"].astype(float) * LPS_TO_RAS, data["faces"]
    from ProximalFemurSegLib.phantom.distance_field import enclosed_volume

    inside = float((0.5 - shape.distance.values).clamp(0, 1).sum())
    # The cut face and 4 mm above it are left out of the field.
    assert inside == pytest.approx(abs(enclosed_volume(vertices, faces)), rel=0.04)
    assert 20 < shape.head_radius < 28
    assert shape.landmarks["greater_trochanter_tip"][0] < 0  # a right femur is kept as a left one
