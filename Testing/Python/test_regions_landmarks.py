"""Landmarks against a femur whose parts are where they were put, in every pose and on every grid."""

from __future__ import annotations

import numpy as np
import pytest

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.regions.geometry import measure_geometry
from ProximalFemurSegLib.regions.head_sphere import fit_sphere_to_surface, guess_sphere
from ProximalFemurSegLib.regions.landmarks import NAMES, find_landmarks
from region_bones import (
    BASE_AT,
    LESSER_LOWER,
    NECK_AXIS,
    OFFSET,
    RADIUS,
    SMALLEST_AREA,
    TIP,
    WAIST_AT,
    Bone,
    degrees_between,
    turn,
)


def errors(bone: Bone, marks) -> dict:
    """How far landmarks lie from where the bone was built, in mm and degrees."""
    lower = marks.position("lesser_trochanter_lower")
    return {
        "center": float(np.linalg.norm(marks.position("head_center") - bone.center)),
        "radius": abs(marks.head_radius - RADIUS),
        "neck": degrees_between(marks.neck.axis, bone.linear @ NECK_AXIS),
        "shaft": degrees_between(marks.shaft.direction, bone.linear @ [0, 0, 1]),
        "tip": float(np.linalg.norm(marks.position("greater_trochanter_tip") - bone.patient(TIP))),
        "lower": abs(float(((lower - bone.center) @ bone.linear)[2]) - LESSER_LOWER),
        "base": abs(marks.base_mm - BASE_AT),
        "minimum": abs(marks.neck.minimum_mm - WAIST_AT),
        "area": abs(marks.neck.minimum_area_mm2 / SMALLEST_AREA - 1),
    }


FINE = {"center": 0.4, "radius": 0.3, "neck": 1.5, "shaft": 0.7, "tip": 3.5, "lower": 2.0, "base": 1.0, "minimum": 1.5,
        "area": 0.03}


def assert_within(found: dict, limits: dict):
    assert {name: value for name, value in found.items() if value > limits[name]} == {}


POSES = {
    "left": {},
    "right": {"side": "right"},
    "flexed 30": {"pose": turn(30, (1, 0, 0))},
    "right, abducted and turned out": {"side": "right", "pose": turn(15, (0, 1, 0)) @ turn(30, (0, 0, 1))},
    "extended, turned in": {"pose": turn(-25, (1, 0, 0)) @ turn(-25, (0, 0, 1))},
    "oblique grid": {"direction": turn(33, (1, 2, -1)), "spacing": 1.8},
    "flipped and permuted grid": {"direction": [[0, 0, -1.0], [-1.0, 0, 0], [0, 1.0, 0]], "spacing": (1.5, 1.2, 1.8)},
    "thick slices": {"spacing": (1.0, 1.0, 2.5)},
}


@pytest.mark.parametrize("name", POSES)
def test_landmarks_lie_where_the_bone_was_built(name):
    bone = Bone(**POSES[name])
    marks = find_landmarks(bone.mask)
    assert (marks.side, marks.side_certain) == (bone.side, True)
    assert_within(errors(bone, marks), FINE)
    # The corner of the lateral outline: on the side away from the head, between shaft and knob.
    ridge = (marks.position("vastus_ridge") - bone.center) @ bone.linear
    assert ridge[0] < -56 and abs(ridge[1]) < 4 and -50 < ridge[2] < -32
    lesser = (marks.position("lesser_trochanter") - bone.center) @ bone.linear
    assert np.linalg.norm(lesser - [-42 + 23 * 0.643, -23 * 0.766, -58.0]) < 4.0
    unseen = {"fovea", "condyle_medial", "condyle_lateral"}
    assert all(mark.confidence > 0.5 for n, mark in marks.points.items() if n not in unseen)


def test_coarse_voxels_of_3_mm():
    bone = Bone(spacing=3.0, pose=turn(10, (1, 1, 0)))
    limits = {**{n: 2 * v for n, v in FINE.items()}, "neck": 3.0, "shaft": 1.5, "area": 0.06, "center": 1.0}
    assert_within(errors(bone, find_landmarks(bone.mask)), limits)


def test_noise_holes_and_a_piece_of_pelvis():
    bone = Bone()
    rng = np.random.default_rng(3)
    array = bone.mask.array ^ (rng.random(bone.grid.shape) < 0.03)
    for hole in ((-42, 0, -40), (0, 0, 0), (-55, -3, -20)):
        array &= ((bone.local - hole) ** 2).sum(axis=-1) > 49
    x, y, z = np.moveaxis(bone.local, -1, 0)
    array |= (z > 20) & (x > -12) & (np.abs(y) < 14)  # stuck to the top of the head, up to the end of the scan
    limits = {**FINE, "center": 0.8, "radius": 0.5, "neck": 2.5, "area": 0.05, "lower": 3.0, "base": 2.0, "tip": 4.0}
    assert_within(errors(bone, find_landmarks(bone.with_array(array))), limits)


@pytest.mark.parametrize("side", ["left", "right"])
def test_fovea_is_found_where_it_is_and_not_where_it_is_not(side):
    # As in most people: behind and a little below the end of the neck's axis.
    behind = np.array([0.87, -0.45, 0.2]) / np.linalg.norm([0.87, -0.45, 0.2])
    for bottom in (-60.0, -110.0):
        bone = Bone(side, spacing=1.4, bottom=bottom)
        assert find_landmarks(bone.mask).position("fovea") is None
        for place, shows in ((RADIUS * behind, True), (RADIUS * np.array([0.0, 0.6, 0.8]), False)):
            dented = bone.mask.array & (((bone.local - 1.3 * place) ** 2).sum(axis=-1) > 9.0**2)
            found = find_landmarks(bone.with_array(dented)).position("fovea")
            assert (found is not None) == shows
            if shows:
                assert np.linalg.norm((found - bone.center) @ bone.linear - place) < 3.5


@pytest.mark.parametrize("side", ["left", "right"])
def test_condyles_turned_against_the_neck_give_the_anteversion(side):
    """Two balls under the shaft, their backs on a line turned by 16 degrees: the neck points forward by as much."""
    pose = turn(25, (0, 0, 1)) @ turn(8, (1, 0, 0))
    bone = Bone(side, spacing=2.5, pose=pose, bottom=-400.0, below=-400.0)
    across = turn(-16, (0, 0, 1)) @ [1.0, 0.0, 0.0]
    middle = np.array([-36.0, 0.0, -375.0])
    array = bone.mask.array.copy()
    for sign in (-1, 1):
        array |= ((bone.local - middle - sign * 18 * across) ** 2).sum(axis=-1) <= 17.0**2
    marks = find_landmarks(bone.with_array(array))
    axis = (marks.condylar_axis[0] - marks.condylar_axis[1]) @ bone.linear
    assert degrees_between(axis, across) < 2.5
    back = turn(-16, (0, 0, 1)) @ [0.0, -1.0, 0.0]
    inner = (marks.position("condyle_medial") - bone.center) @ bone.linear
    assert np.linalg.norm(inner - middle - 18 * across - 17 * back) < 4.0
    values = measure_geometry(marks)
    assert values["anteversion_reference"] == "posterior condyles"
    assert values["anteversion_deg"] == pytest.approx(16.0, abs=2.0)
    # A shaft that ends above the knee shows none, and one cut through the condyles neither.
    assert find_landmarks(bone.mask).condylar_axis is None
    cut = find_landmarks(bone.with_array(array & (bone.local[..., 2] > -372.0)))
    assert cut.condylar_axis is None and cut.reason("condyle_medial")


def test_a_shaft_as_wide_as_the_lesser_trochanter_does_not_send_its_edge_away():
    bone = Bone()
    x, y, z = np.moveaxis(bone.local, -1, 0)
    wide = (np.hypot(x + OFFSET, y) < 25.0) & (z < -74) & (z > -150)
    marks = find_landmarks(bone.with_array(bone.mask.array | wide))
    lower = marks.points["lesser_trochanter_lower"]
    assert -85.0 < ((lower.position - bone.center) @ bone.linear)[2] < -62.0
    assert lower.confidence < 0.5 and "proportions" in lower.reason


@pytest.mark.parametrize("bottom", [-62.0, -75.0])
def test_a_bone_cut_high_is_refused_with_the_reason(bottom):
    marks = find_landmarks(Bone(bottom=bottom).mask)
    assert marks.shaft is None and marks.position("shaft_distal") is None
    assert "20 mm are needed" in marks.reason("shaft_distal") or "Too little" in marks.reason("shaft_distal")
    # Head and neck do not need the shaft.
    assert np.linalg.norm(marks.position("head_center") - [12, -7, 31]) < 0.4
    assert degrees_between(marks.neck.axis, NECK_AXIS) < 2.0


def test_what_is_no_femur_has_no_landmarks():
    bone = Bone(spacing=2.0)
    x, y, z = np.moveaxis(bone.local, -1, 0)
    marks = find_landmarks(bone.with_array((np.abs(x + 40) < 8) & (np.abs(y) < 8)))
    assert marks.position("head_center") is None and "sphere" in marks.reason("head_center")
    assert set(marks.points) == set(NAMES)
    assert all(mark.position is None and mark.reason for mark in marks.points.values())


def test_moved_landmarks_take_the_rest_with_them():
    bone = Bone()
    first = find_landmarks(bone.mask)
    ridge = bone.patient((-60, 0, -30))
    moved = find_landmarks(bone.mask, placed={"vastus_ridge": ridge})
    assert np.array_equal(moved.position("vastus_ridge"), ridge) and set(moved.placed) == {"vastus_ridge"}
    assert np.allclose(moved.position("head_center"), first.position("head_center"))

    tilted = {"shaft_proximal": bone.patient((-42, 0, -70)), "shaft_distal": bone.patient((-42 + 8.75, 0, -120))}
    tilted = find_landmarks(bone.mask, placed=tilted)
    assert degrees_between(tilted.shaft.direction, first.shaft.direction) == pytest.approx(9.93, abs=0.5)

    aimed = find_landmarks(bone.mask, placed={"neck_center": bone.center + turn(6, (0, 1, 0)) @ (24 * NECK_AXIS)})
    # The head's own centre, found to some hundredths of a mm, is the other end of the axis.
    assert degrees_between(aimed.neck.axis, turn(6, (0, 1, 0)) @ NECK_AXIS) < 0.2
    assert aimed.neck.minimum_area_mm2 > first.neck.minimum_area_mm2


def test_axis_placed_by_hand_lifts_a_refusal():
    bone = Bone(bottom=-75.0)
    axis = {"shaft_proximal": bone.patient((-42, 0, -40)), "shaft_distal": bone.patient((-42, 0, -70))}
    marks = find_landmarks(bone.mask, placed=axis)
    assert degrees_between(marks.shaft.direction, [0, 0, 1]) < 0.01


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"placed": {"knee": (0, 0, 0)}}, "no landmark 'knee'"),
        ({"placed": {"head_center": (0, 0)}}, "three numbers"),
        ({"placed": {"shaft_distal": (0, 0, 0)}}, "both"),
        ({"side": "both"}, "no side"),
        ({"side": "right"}, "orientation"),
    ],
)
def test_wrong_requests_are_refused(arguments, words):
    with pytest.raises(BadInputError, match=words):
        find_landmarks(Bone(spacing=3.0).mask, **arguments)


def test_empty_mask_is_refused():
    bone = Bone(spacing=3.0)
    with pytest.raises(BadInputError, match="empty"):
        find_landmarks(bone.with_array(np.zeros(bone.grid.shape, bool)))


def test_head_fit_equals_an_exact_sphere():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(4000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals[normals[:, 2] > -0.5]
    points, areas = np.array([10.0, -3.0, 5.0]) + 19.6 * normals, np.ones(len(normals))
    head = fit_sphere_to_surface(points, normals, areas, *guess_sphere(points, normals, areas))
    assert np.allclose(head.center, [10, -3, 5], atol=1e-6) and head.radius == pytest.approx(19.6)
