"""Angles, lengths and sections against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ProximalFemurSegLib.regions.bone_field import BoneField
from ProximalFemurSegLib.regions.geometry import (
    alpha_angle,
    anteversion,
    closest_approach,
    measure_geometry,
    neck_shaft_angle,
    section_properties,
)
from ProximalFemurSegLib.regions.landmarks import find_landmarks
from ProximalFemurSegLib.regions.neck_sections import cut_sections
from ProximalFemurSegLib.volume import Grid, Volume
from region_bones import ANGLE, NECK_LENGTH, OFFSET, RADIUS, SMALLEST_AREA, WAIST, Bone, turn

UP = np.array([0.0, 0.0, 1.0])


def down_the_neck(angle, version, side):
    """Direction from the head: `angle` to the shaft, the head `version` degrees forward of medial."""
    tilt, forward = np.deg2rad(180 - angle), np.deg2rad(version)
    medial = 1.0 if side == "left" else -1.0
    return np.array(
        [-medial * np.sin(tilt) * np.cos(forward), -np.sin(tilt) * np.sin(forward), -np.cos(tilt)]
    )


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("angle", "version"), [(125.0, 14.0), (110.0, -8.0), (140.0, 30.0)])
def test_angles_are_those_the_neck_was_given(side, angle, version):
    axis = down_the_neck(angle, version, side)
    assert neck_shaft_angle(axis, UP) == pytest.approx(angle)
    assert anteversion(axis, UP, side) == pytest.approx(version)
    # The whole leg turned inwards by 20 degrees: the condyles turn with it, the frontal plane does not.
    inward = turn(20.0 if side == "left" else -20.0, UP)
    medial = np.array([1.0 if side == "left" else -1.0, 0, 0])
    condyles = np.stack([inward @ (medial * 25), inward @ (-medial * 25)])
    assert anteversion(inward @ axis, UP, side, condyles) == pytest.approx(version)
    assert anteversion(inward @ axis, UP, side) == pytest.approx(version + 20.0)


def test_lines_that_cross_and_lines_that_pass():
    place, gap = closest_approach([0, 0, 0], np.array([1.0, 0, 0]), np.array([5.0, 2, 9]), UP)
    assert np.allclose(place, [5, 0, 0]) and gap == pytest.approx(2.0)


def test_section_of_a_rectangle_and_of_a_ring():
    ticks = np.arange(-60, 61) * 0.5
    up, across = np.meshgrid(ticks, ticks, indexing="ij")
    values = section_properties((np.abs(up - 3) < 10.25) & (np.abs(across) < 5.25), ticks)
    height, width = 20.5, 10.5
    assert values["area_mm2"] == pytest.approx(height * width)
    assert (values["height_mm"], values["width_mm"]) == (pytest.approx(height), pytest.approx(width))
    assert values["moment_mm4"] == pytest.approx(width * height**3 / 12)
    assert values["moment_across_mm4"] == pytest.approx(height * width**3 / 12)
    assert values["section_modulus_mm3"] == pytest.approx(width * height**2 / 6)

    distance = np.hypot(up, across)
    ring = np.clip(0.5 + (16 - distance) / 0.5, 0, 1) - np.clip(0.5 + (13 - distance) / 0.5, 0, 1)
    values = section_properties(ring, ticks)
    assert values["area_mm2"] == pytest.approx(np.pi * (16**2 - 13**2), rel=0.005)
    assert values["moment_mm4"] == pytest.approx(np.pi / 4 * (16**4 - 13**4), rel=0.01)
    assert values["section_modulus_mm3"] == pytest.approx(np.pi / 64 * (16**4 - 13**4), rel=0.03)


@pytest.mark.parametrize("neck", [13.0, 17.0])
def test_alpha_angle_of_a_ball_on_a_stick(neck):
    """The stick leaves the circle of R + 0.5 mm where its side, at a distance r from the axis, crosses that circle."""
    grid = Grid.from_parts((62, 62, 90), (1.0, 1.0, 1.0), (-30.0, -30.5, -30.5))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")[::-1], axis=-1)
    x, y, z = np.moveaxis(grid.ijk_to_ras(index), -1, 0)
    ball = x**2 + y**2 + z**2 <= 24.0**2
    stick = (np.hypot(y, z) <= neck) & (x > 0)
    field = BoneField(Volume(ball | stick, grid))
    found = alpha_angle(field, np.zeros(3), 24.0, [1, 0, 0], [0, 1, 0])
    assert found == pytest.approx(np.degrees(np.arcsin(neck / 24.5)), abs=2.5)
    # A bump in front, none behind.
    bump = (x - 14) ** 2 + (y - 20) ** 2 + z**2 <= 8.0**2
    field = BoneField(Volume(ball | stick | bump, grid))
    assert alpha_angle(field, np.zeros(3), 24.0, [1, 0, 0], [0, 1, 0]) > found + 15
    assert alpha_angle(field, np.zeros(3), 24.0, [1, 0, 0], [0, -1, 0]) == pytest.approx(found, abs=2.5)


def test_sections_count_only_what_hangs_together():
    grid = Grid.from_parts((40, 70, 70), (1.0, 1.0, 1.0), (-34.5, -34.5, 0.0))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")[::-1], axis=-1)
    x, y, _ = np.moveaxis(grid.ijk_to_ras(index), -1, 0)
    field = BoneField(Volume((np.hypot(x, y) <= 12) | (np.hypot(x - 24, y) <= 7), grid))
    stack = cut_sections(field, [0, 0, 0], UP, [0, 1, 0], [15.0, 20.0, 25.0], 40.0, 0.6)
    assert stack.closed.all() and np.allclose(stack.areas, np.pi * 144, rtol=0.02)
    # A window that the bone does not fit into shows no closed section, and one beside the bone none at all.
    assert not cut_sections(field, [0, 0, 0], UP, [0, 1, 0], [15.0, 20.0], 8.0, 0.6).closed.any()
    assert np.isinf(cut_sections(field, [0, -25.0, 0], UP, [0, 1, 0], [15.0, 20.0], 20.0, 0.6).areas).all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_geometry_of_a_built_femur(side):
    bone = Bone(side, pose=turn(12, (0, 0, 1)))
    # Inside a cortex of 3 mm, at the neck's waist.
    along = np.linalg.norm(bone.local - np.clip(bone.local @ [-0.819, 0, -0.574], 10, 40)[..., None]
                           * np.array([-0.819, 0, -0.574]), axis=-1)
    endosteal = bone.with_array(bone.mask.array & (along <= WAIST - 3))
    values = measure_geometry(find_landmarks(bone.mask), endosteal)
    assert values["head_diameter_mm"] == pytest.approx(2 * RADIUS, abs=0.4)
    assert values["neck_shaft_angle_deg"] == pytest.approx(ANGLE, abs=1.5)
    assert values["femoral_offset_mm"] == pytest.approx(OFFSET, abs=0.7)
    assert values["neck_length_mm"] == pytest.approx(NECK_LENGTH, abs=1.5)
    assert values["anteversion_deg"] == pytest.approx(12.0, abs=2.0)
    assert values["anteversion_reference"] == "frontal plane of the image"
    neck = values["narrow_neck"]
    assert neck["area_mm2"] == pytest.approx(SMALLEST_AREA, rel=0.03)
    assert values["neck_width_mm"] == pytest.approx(2 * WAIST, abs=0.7)
    assert neck["moment_mm4"] == pytest.approx(np.pi / 4 * WAIST**4, rel=0.06)
    assert neck["cortex"]["area_mm2"] == pytest.approx(np.pi * (WAIST**2 - (WAIST - 3) ** 2), rel=0.08)
    assert neck["cortex"]["mean_thickness_mm"] == pytest.approx(3.0, abs=0.3)
    assert neck["cortex"]["moment_mm4"] == pytest.approx(np.pi / 4 * (WAIST**4 - (WAIST - 3) ** 4), rel=0.1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_angles_agree_with_landmarks_placed_by_hand(side):
    """By hand: four points where the construction has them, each a mm or so off as a reader's would be."""
    bone = Bone(side, pose=turn(12, (0, 0, 1)), spacing=1.5)
    rng = np.random.default_rng(5)
    places = {"head_center": (0, 0, 0), "neck_center": 24 * np.array([-0.8192, 0, -0.5736]),
              "shaft_proximal": (-OFFSET, 0, -72.0), "shaft_distal": (-OFFSET, 0, -140.0)}
    placed = {name: bone.patient(np.add(place, rng.uniform(-0.6, 0.6, 3))) for name, place in places.items()}
    # Worked out from the points alone: between the neck's line and the shaft's; and how far the neck's runs forward
    # of the frontal plane, seen along the shaft.
    neck = placed["neck_center"] - placed["head_center"]
    shaft = placed["shaft_proximal"] - placed["shaft_distal"]
    neck, shaft = neck / np.linalg.norm(neck), shaft / np.linalg.norm(shaft)
    angle = np.degrees(np.arccos(neck @ shaft))
    sideways = np.cross([0.0, 1.0, 0.0], shaft)
    forward = np.degrees(np.arctan2(-neck @ np.cross(shaft, sideways), abs(neck @ sideways)))

    by_hand = measure_geometry(find_landmarks(bone.mask, placed=placed))
    assert by_hand["neck_shaft_angle_deg"] == pytest.approx(angle, abs=0.1)
    assert by_hand["anteversion_deg"] == pytest.approx(forward, abs=0.5)
    found = measure_geometry(find_landmarks(bone.mask))
    assert found["neck_shaft_angle_deg"] == pytest.approx(angle, abs=3.0)
    assert found["anteversion_deg"] == pytest.approx(forward, abs=3.0)


def test_what_is_not_known_is_none():
    bone = Bone(bottom=-62.0)
    values = measure_geometry(find_landmarks(bone.mask))
    assert values["neck_shaft_angle_deg"] is None and values["femoral_offset_mm"] is None
    assert values["head_diameter_mm"] == pytest.approx(2 * RADIUS, abs=0.6)
