"""The cuts: where the construction of a bone says they are, disjoint, complete, and blind to the grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.regions.compartments import region_volumes
from ProximalFemurSegLib.regions.definition import REGIONS, RegionDefinition
from ProximalFemurSegLib.regions.division import Plane, divide
from ProximalFemurSegLib.regions.femora import compartments_of, separate_femora
from ProximalFemurSegLib.regions.landmarks import find_landmarks
from ProximalFemurSegLib.regions.measure import Femora, measure_regions
from ProximalFemurSegLib.volume import Grid, Volume
from region_bones import (
    BASE_AT,
    HEAD_ENDS,
    LESSER_LOWER,
    NECK_AXIS,
    SHAFT_RADIUS,
    SMALLEST_AREA,
    WAIST_AT,
    Bone,
    in_bone,
    turn,
)

HEAD, NECK, TROCHANTER, INTERTROCHANTER, SHAFT, UNDIVIDED = REGIONS


@pytest.fixture(scope="module")
def bone():
    return Bone(spacing=1.5)


@pytest.fixture(scope="module")
def landmarks(bone):
    return find_landmarks(bone.mask)


def volume(division, label) -> float:
    return np.count_nonzero(division.labels.array == label) * division.labels.grid.voxel_volume_mm3


def true_volumes(bone) -> dict[int, float]:
    """Head, neck and shaft by the planes that follow from the bone's construction."""
    along = bone.local @ NECK_AXIS
    inside, unit = bone.mask.array, bone.grid.voxel_volume_mm3
    return {
        HEAD: np.count_nonzero(inside & (along < HEAD_ENDS)) * unit,
        NECK: np.count_nonzero(inside & (along >= HEAD_ENDS) & (along < BASE_AT)) * unit,
        SHAFT: np.count_nonzero(inside & (bone.local[..., 2] < LESSER_LOWER)) * unit,
    }


def test_regions_are_disjoint_and_fill_the_mask(bone, landmarks):
    for definition in (RegionDefinition(), RegionDefinition("slab15", "total-hip")):
        division = divide(bone.mask, landmarks, definition)
        assert np.array_equal(division.labels.array > 0, bone.mask.array)
        assert set(np.unique(division.labels.array)) == {0, HEAD, NECK, TROCHANTER, INTERTROCHANTER, SHAFT}
        assert division.refused == {}


def test_volumes_are_those_of_the_construction(bone, landmarks):
    division = divide(bone.mask, landmarks)
    for label, expected in true_volumes(bone).items():
        assert volume(division, label) == pytest.approx(expected, rel={HEAD: 0.01, NECK: 0.06, SHAFT: 0.04}[label])


@pytest.mark.parametrize(("mode", "thickness"), [("slab15", 15.0), ("slab10", 10.0)])
def test_slabs_lie_around_the_smallest_section(bone, landmarks, mode, thickness):
    division = divide(bone.mask, landmarks, RegionDefinition(mode))
    # Sections grow with the square of the distance from the waist: 0.72 pi d^2 over both halves.
    expected = SMALLEST_AREA * thickness + 0.72 * np.pi * thickness**3 / 12
    assert volume(division, NECK) == pytest.approx(expected, rel=0.02)
    along = (bone.local @ NECK_AXIS)[division.labels.array == NECK]
    assert along.min() == pytest.approx(WAIST_AT - thickness / 2, abs=1.5)
    assert along.max() == pytest.approx(WAIST_AT + thickness / 2, abs=1.5)


def test_total_hip_ends_10_mm_further_down(bone, landmarks):
    usual, low = (divide(bone.mask, landmarks, RegionDefinition(distal=d)) for d in ("lesser-trochanter", "total-hip"))
    gained = volume(low, INTERTROCHANTER) - volume(usual, INTERTROCHANTER)
    assert gained == pytest.approx(10 * np.pi * SHAFT_RADIUS**2, rel=0.1)
    assert volume(low, TROCHANTER) == volume(usual, TROCHANTER)


def test_trochanters_part_at_the_plane_through_base_and_ridge(bone, landmarks):
    division = divide(bone.mask, landmarks)
    plane = division.planes["trochanter"]
    for name in ("neck_base_inferior", "vastus_ridge"):
        assert abs(plane.height(landmarks.position(name))) < 1e-6
    # It holds the direction at right angles to shaft and neck, here front to back.
    assert abs(plane.normal @ np.cross(landmarks.shaft.direction, landmarks.neck.axis)) < 1e-9
    points = bone.grid.ijk_to_ras(np.argwhere(division.labels.array == TROCHANTER)[:, ::-1])
    assert (plane.height(points) >= -1e-6).all()


def test_mirror_image_and_other_array_orders_give_the_same_volumes(bone, landmarks):
    usual = divide(bone.mask, landmarks)
    mirrored = Volume(bone.mask.array, Grid(bone.grid.shape, np.diag([-1.0, 1, 1, 1]) @ bone.grid.affine))
    array = np.ascontiguousarray(bone.mask.array[::-1].transpose(2, 0, 1))
    affine = np.eye(4)
    # Array axes (0, 1, 2) are now (i, -k, j).
    affine[:3, 2], affine[:3, 1], affine[:3, 0] = (
        bone.grid.affine[:3, 0], -bone.grid.affine[:3, 2], bone.grid.affine[:3, 1])
    affine[:3, 3] = bone.grid.ijk_to_ras((0, 0, bone.grid.shape[0] - 1))
    flipped = Volume(array, Grid(array.shape, affine))
    for other in (mirrored, flipped):
        marks = find_landmarks(other)
        division = divide(other, marks)
        for label in (HEAD, NECK, TROCHANTER, INTERTROCHANTER, SHAFT):
            assert volume(division, label) == pytest.approx(volume(usual, label), rel=0.003)
    assert find_landmarks(mirrored).side == "right"


def test_turned_grid_changes_volumes_by_less_than_a_percent(bone, landmarks):
    usual = region_volumes(divide(bone.mask, landmarks))
    turned = Bone(spacing=1.5, direction=turn(28, (2, 1, -1)))
    volumes = region_volumes(divide(turned.mask, find_landmarks(turned.mask)))
    for name in ("head", "neck", "trochanter", "intertrochanter", "total_hip"):
        assert volumes[name]["volume_mm3"] == pytest.approx(usual[name]["volume_mm3"], rel=0.01), name


@pytest.mark.parametrize("tilt", [0.0, 30.0])
def test_a_cut_through_voxels_counts_them_in_parts(bone, landmarks, tilt):
    """A cut moved by less than a voxel moves as much bone as it sweeps, along the slices and aslant."""
    normal = turn(tilt, (0, 1, 0)) @ landmarks.shaft.direction
    middle = landmarks.shaft.project(bone.patient((0, 0, -110.0)))
    section = np.pi * SHAFT_RADIUS**2 / np.cos(np.deg2rad(tilt))
    shafts = []
    for shift in (0.0, 0.2, 0.4, 0.9):
        division = divide(bone.mask, landmarks, placed={"distal": (middle + shift * normal, normal)})
        volumes = region_volumes(division)
        assert sum(volumes[name]["volume_mm3"] for name in ("total_hip", "head", "shaft")) == pytest.approx(
            np.count_nonzero(bone.mask.array) * bone.grid.voxel_volume_mm3, rel=1e-6
        )
        shafts.append(volumes["shaft"]["volume_mm3"])
    assert np.diff(shafts) == pytest.approx(np.diff([0.0, 0.2, 0.4, 0.9]) * section, rel=0.04)


def test_what_the_field_of_view_lacks_is_refused_and_the_rest_comes_out():
    bone = Bone(bottom=-70.0)
    measured = measure_regions(bone.mask, bone.with_array(binary_erosion(bone.mask.array, iterations=2)))
    result = measured.femora[0]
    assert set(result.thickness.summary()) == {"head", "neck", "undivided"}
    assert set(result.division.refused) == {"trochanter", "intertrochanter", "shaft"}
    assert all(result.division.refused.values())
    truth = true_volumes(bone)
    assert result.volumes["head"]["volume_mm3"] == pytest.approx(truth[HEAD], rel=0.01)
    assert result.volumes["neck"]["volume_mm3"] == pytest.approx(truth[NECK], rel=0.08)
    assert result.volumes["total_hip"]["volume_mm3"] is None and result.volumes["total_hip"]["reason"]
    assert np.array_equal(measured.labels.array > 0, bone.mask.array)
    assert UNDIVIDED in measured.labels.array


def test_limit_below_the_end_of_the_bone_is_refused():
    bone = Bone(bottom=-96.0)
    marks = find_landmarks(bone.mask)
    assert divide(bone.mask, marks).refused == {}
    lowered = bone.patient((-42.0, 0.0, -94.0))
    marks = find_landmarks(bone.mask, placed={**_axis(bone), "lesser_trochanter_lower": lowered})
    refused = divide(bone.mask, marks, RegionDefinition(distal="total-hip")).refused
    assert set(refused) == {"intertrochanter", "shaft"} and "ends above" in refused["shaft"]


def _axis(bone):
    return {"shaft_proximal": bone.patient((-42, 0, -70)), "shaft_distal": bone.patient((-42, 0, -90))}


def test_high_trochanter_over_the_plane_is_not_neck(bone, landmarks):
    """A hook that leans medially from the tip lies on the head's side of the neck's base, apart from the neck."""
    x, y, z = np.moveaxis(bone.local, -1, 0)
    hook = (np.hypot(y + 8, z - 12) < 5) & (x > -60) & (x < -34)
    hook |= (np.hypot(y + 8, x + 57) < 5) & (z > 0) & (z < 16)
    over = hook & ~bone.mask.array & (bone.local @ NECK_AXIS < BASE_AT - 2)
    assert over.any()
    division = divide(bone.with_array(bone.mask.array | hook), landmarks)
    assert set(np.unique(division.labels.array[over])) == {TROCHANTER}


def test_moved_ridge_moves_bone_between_the_trochanters(bone, landmarks):
    ridge = landmarks.position("vastus_ridge")
    higher = find_landmarks(bone.mask, placed={"vastus_ridge": ridge + 5 * landmarks.shaft.direction})
    usual, moved = divide(bone.mask, landmarks), divide(bone.mask, higher)
    lost = volume(usual, TROCHANTER) - volume(moved, TROCHANTER)
    assert lost > 1000 and lost == pytest.approx(volume(moved, INTERTROCHANTER) - volume(usual, INTERTROCHANTER))
    assert volume(moved, NECK) == volume(usual, NECK)


def test_planes_placed_by_hand_are_the_cuts(bone, landmarks):
    proximal = landmarks.shaft.direction
    placed = {
        # A slanted cut, its normal given the wrong way round and too long.
        "head_neck": (bone.patient(18.0 * NECK_AXIS), -3.0 * turn(10, (0, 1, 0)) @ NECK_AXIS),
        "distal": Plane(bone.patient((0, 0, -80.0)), proximal),
    }
    division = divide(bone.mask, landmarks, placed=placed)
    labels = division.labels.array
    assert division.planes["head_neck"].placed and not division.planes["neck_end"].placed
    height = (bone.local - 18.0 * NECK_AXIS) @ (turn(10, (0, 1, 0)) @ NECK_AXIS)
    assert (height[labels == HEAD] < 1e-6).all() and (height[labels == NECK] > -1e-6).all()
    assert bone.local[..., 2][labels == SHAFT].max() == pytest.approx(-80.0, abs=1.0)
    assert volume(division, TROCHANTER) == volume(divide(bone.mask, landmarks), TROCHANTER)


def test_a_placed_plane_lifts_the_refusal_that_its_absence_was():
    bone = Bone(bottom=-95.0)
    marks = find_landmarks(bone.mask)
    refused = divide(bone.mask, marks, RegionDefinition(distal="total-hip")).refused
    higher = find_landmarks(bone.mask, placed={**_axis(bone), "lesser_trochanter_lower": bone.patient((-42, 0, -94))})
    assert "shaft" in divide(bone.mask, higher, RegionDefinition(distal="total-hip")).refused
    placed = {"distal": (bone.patient((-42, 0, -80)), (0, 0, 1))}
    assert divide(bone.mask, higher, RegionDefinition(distal="total-hip"), placed).refused == {} == refused


@pytest.mark.parametrize(
    ("placed", "words"),
    [
        ({"knee": ((0, 0, 0), (0, 0, 1))}, "no plane 'knee'"),
        ({"distal": ((0, 0, 0), (0, 0, 0))}, "point and a normal"),
        ({"distal": (1.0, 2.0, 3.0)}, "point and a normal"),
    ],
)
def test_planes_that_are_none_are_refused(bone, landmarks, placed, words):
    with pytest.raises(BadInputError, match=words):
        divide(bone.mask, landmarks, placed=placed)


def test_a_femur_of_which_nothing_changed_is_not_divided_again(bone):
    femora = Femora(bone.mask)
    first = femora.measure().femora[0]
    assert femora.measure().femora[0] is first
    assert femora.measure(RegionDefinition("slab10")).femora[0].landmarks.field is first.landmarks.field
    placed = {"vastus_ridge": first.landmarks.position("vastus_ridge") + 3.0}
    moved, alone = femora.measure(placed=placed).femora[0], measure_regions(bone.mask, placed=placed).femora[0]
    assert moved.volumes == alone.volumes != first.volumes


def test_both_femora_are_told_apart_and_specks_go_to_the_nearer():
    left, right = Bone(spacing=2.0, center=(-90, 0, 0)), Bone("right", spacing=2.0, center=(90, 0, 0))
    grid = Grid.from_parts((95, 34, 170), (2.0, 2.0, 2.0), (-170.0, -34.0, -155.0))
    array = np.zeros(grid.shape, bool)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")[::-1], axis=-1)
    for bone in (left, right):
        array |= in_bone((grid.ijk_to_ras(index) - bone.center) @ bone.linear)
    array[90, 3, 150:152] = True
    mask = Volume(array, grid, "both")
    parts = separate_femora(mask)
    assert len(parts) == 2 and sum(p.mask.array.sum() for p in parts) == array.sum()
    assert parts[1].window[2].stop > 150
    result = measure_regions(mask)
    assert [femur.side for femur in result.femora] == ["left", "right"]
    assert np.array_equal(result.labels.array > 0, array)
    for name in ("head", "neck"):
        one, other = (femur.volumes[name]["volume_mm3"] for femur in result.femora)
        assert one == pytest.approx(other, rel=0.06)
    assert [f.side for f in measure_regions(mask, side="right").femora] == ["right"]


def test_label_map_of_compartments_is_known_from_one_of_sides(bone):
    labels = np.where(bone.mask.array, 2, 0).astype(np.uint8)
    labels[bone.mask.array & (np.roll(bone.mask.array, 2, 0) & np.roll(bone.mask.array, -2, 0))] = 1
    whole, inner = compartments_of(bone.with_array(labels))
    assert np.array_equal(whole.array, bone.mask.array) and np.array_equal(inner.array, labels == 1)
    two = np.zeros((20, 20, 60), np.uint8)
    two[:, :, :25], two[:, :, 35:] = 1, 2
    grid = Grid.from_parts(two.shape, (4.0, 4.0, 4.0))
    assert compartments_of(Volume(two, grid))[1] is None


@pytest.mark.parametrize(("arguments", "words"), [(("box",), "adaptive"), (("adaptive", "knee"), "total-hip")])
def test_unknown_definitions_are_refused(arguments, words):
    with pytest.raises(BadInputError, match=words):
        RegionDefinition(*arguments)


def test_definition_goes_with_the_numbers(bone):
    described = measure_regions(bone.mask, definition=RegionDefinition("slab10")).describe()["femora"][0]["definition"]
    assert (described["neck"], described["version"]) == ("slab10", "1.1") and described["name"]


def test_too_small_a_piece_is_no_femur():
    array = np.zeros((30, 30, 30), bool)
    array[10:20, 10:20, 10:20] = True
    with pytest.raises(BadInputError, match="1.0 cm3"):
        measure_regions(Volume(array, Grid.from_parts((30, 30, 30))))
