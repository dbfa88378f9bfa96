"""A femur divided in the scene: segments, tables and marks, and the division that follows a moved mark."""

import numpy as np
import pytest

from mrml_scenes import headless, make_transform, rotation, scene, slicer  # noqa: F401
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.mrml.adapter import Adapter
from ProximalFemurSegLib.mrml.headless import HeadlessSlicer
from ProximalFemurSegLib.mrml.region_nodes import find_regions
from ProximalFemurSegLib.mrml.region_session import RegionSession, bone_masks
from ProximalFemurSegLib.mrml.segmentation_node import create_segmentation_node, masks_from_segmentation, write_labels
from ProximalFemurSegLib.mrml.segments import describe_segments
from ProximalFemurSegLib.mrml.table_node import read_table
from ProximalFemurSegLib.mrml.terminology import get_terminology
from ProximalFemurSegLib.mrml.volume_node import node_from_volume
from ProximalFemurSegLib.regions import Calibration, RegionDefinition, measure_regions
from ProximalFemurSegLib.regions.definition import COLORS, REGIONS
from region_bones import ANGLE, Bone

FIVE = ["head", "neck", "trochanter", "intertrochanter", "shaft"]


@pytest.fixture(scope="module")
def bone():
    """A femur on an oblique grid, with an endosteal mask."""
    bone = Bone(spacing=2.5, direction=rotation((1, 0, 2), 20))
    # Two voxels of cortex in every direction.
    inner = bone.mask.array.copy()
    for axis in range(3):
        for step in (-2, 2):
            inner &= np.roll(bone.mask.array, step, axis)
    return bone, inner


def segmentation_of(scene, bone, side="left"):  # noqa: F811
    """The segmentation of a bone as the program makes it, on a CT of 200 HU inside and 1000 HU cortex."""
    bone, inner = bone
    labels = np.where(inner, 1, np.where(bone.mask.array, 2, 0)).astype(np.uint8)
    hu = np.array([-50, 200, 1000], np.int16)[labels]
    volume_node = node_from_volume(bone.mask.with_array(hu), scene, "hip")
    segments = describe_segments({1: ("trabecular bone", side), 2: ("cortical bone", side)})
    node = create_segmentation_node(scene, volume_node, segments, "femur")
    write_labels(node, labels, segments)
    return node, volume_node


def volumes(nodes):
    return {row["region"]: row["volume_cm3"] for row in read_table(nodes.table)}


def index_of(points, label):
    return next(i for i in range(points.GetNumberOfControlPoints()) if points.GetNthControlPointLabel(i) == label)


def move(points, label, by):
    index = index_of(points, label)
    points.SetNthControlPointPosition(index, *np.add(points.GetNthControlPointPosition(index), by))


def test_five_coloured_segments_with_the_volumes_of_the_library(scene, bone):  # noqa: F811
    segmentation, volume_node = segmentation_of(scene, bone)
    nodes = RegionSession(Adapter(scene)).divide(segmentation, RegionDefinition("slab10"))
    expected = measure_regions(bone[0].mask, bone[0].mask.with_array(bone[1]), definition=RegionDefinition("slab10"))
    segments = nodes.segmentation.GetSegmentation()
    assert list(segments.GetSegmentIDs()) == [f"{name}_left" for name in FIVE]
    masks = masks_from_segmentation(nodes.segmentation, volume_node)
    for label, name in list(REGIONS.items())[:5]:
        segment = segments.GetSegment(f"{name}_left")
        assert segment.GetName() == f"Left femur, {name}"
        assert np.allclose(segment.GetColor(), np.divide(COLORS[label], 255))
        assert get_terminology(segment).split("~")[2:4] == ["SCT^71341001^Femur", "SCT^7771000^Left"]
        assert np.array_equal(masks[f"{name}_left"].array, expected.labels.array == label)
    rows = {row["region"]: row for row in read_table(nodes.table)}
    for name, entry in expected.femora[0].volumes.items():
        row = rows[name.replace("_", " ")]
        for key in ("volume", "cortical", "trabecular"):
            assert row[f"{key}_cm3"] == pytest.approx(entry[f"{key}_mm3"] / 1000)
    geometry = {row["measure"]: row["value"] for row in read_table(nodes.geometry)}
    assert geometry["Neck-shaft angle"] == pytest.approx(ANGLE, abs=2.0)
    # What the user drew is not touched.
    assert list(segmentation.GetSegmentation().GetSegmentIDs()) == ["trabecular_left", "cortical_left"]


def test_marks_lie_on_the_bone_and_know_what_was_not_found(scene, bone):  # noqa: F811
    segmentation, _ = segmentation_of(scene, bone)
    nodes = RegionSession(Adapter(scene)).divide(segmentation)
    points = nodes.marks["left:points"]
    at = points.GetNthControlPointPosition(index_of(points, "head center"))
    assert np.linalg.norm(np.subtract(at, bone[0].center)) < 0.6
    knee = index_of(points, "condyle medial")
    assert points.GetNthControlPointPositionStatus(knee) == slicer.vtkMRMLMarkupsNode.PositionMissing
    assert "knee is not in view" in points.GetNthControlPointDescription(knee)
    axis = nodes.marks["left:neck axis"]
    assert np.allclose(axis.GetNthControlPointPosition(0), at)
    origin, normal = [0.0] * 3, [0.0] * 3
    nodes.marks["left:distal"].GetOrigin(origin)
    nodes.marks["left:distal"].GetNormal(normal)
    assert normal == pytest.approx([0, 0, 1], abs=0.02)
    assert origin[2] == pytest.approx(bone[0].center[2] - 66.0, abs=2.5)


def test_no_handles_hide_the_bone(scene, bone):  # noqa: F811
    segmentation, _ = segmentation_of(scene, bone)
    nodes = RegionSession(Adapter(scene)).divide(segmentation)
    assert not scene.IsBatchProcessing()
    planes = [node for node in nodes.marks.values() if node.IsA("vtkMRMLMarkupsPlaneNode")]
    assert planes and not any(plane.GetDisplayNode().GetScaleHandleVisibility() for plane in planes)


def test_a_moved_point_moves_its_boundary_alone(scene, bone):  # noqa: F811
    segmentation, _ = segmentation_of(scene, bone)
    session = RegionSession(Adapter(scene))
    nodes = session.divide(segmentation)
    before = volumes(nodes)
    move(nodes.marks["left:points"], "vastus ridge", (0, 0, 6))
    after = volumes(nodes)
    gained = after["intertrochanter"] - before["intertrochanter"]
    assert gained > 1.0 and before["trochanter"] - after["trochanter"] == pytest.approx(gained)
    assert {name: after[name] for name in ("head", "neck", "shaft", "total hip")} == pytest.approx(
        {name: before[name] for name in ("head", "neck", "shaft", "total hip")}
    )
    assert set(session.result.femora[0].landmarks.placed) == {"vastus_ridge"}
    session.release(name="vastus_ridge")
    assert volumes(nodes) == before


def test_a_drag_only_says_that_something_moved_until_it_settles(scene, bone):  # noqa: F811
    segmentation, _ = segmentation_of(scene, bone)
    told = []
    session = RegionSession(Adapter(scene), on_moved=lambda: told.append(1))
    nodes = session.divide(segmentation)
    assert told == []
    before = volumes(nodes)
    for _ in range(3):
        move(nodes.marks["left:points"], "lesser trochanter lower", (0, 0, -2))
    assert len(told) >= 3 and volumes(nodes) == before
    assert session.settle() is True
    assert volumes(nodes)["shaft"] < before["shaft"] - 1.0
    assert session.settle() is False


def test_lines_and_points_stay_one(scene, bone):  # noqa: F811
    segmentation, _ = segmentation_of(scene, bone)
    session = RegionSession(Adapter(scene))
    nodes = session.divide(segmentation)
    points, line = nodes.marks["left:points"], nodes.marks["left:shaft axis"]
    upper = np.array(line.GetNthControlPointPosition(0))
    line.SetNthControlPointPosition(0, *(upper + [5, 0, 0]))
    assert points.GetNthControlPointPosition(index_of(points, "shaft proximal")) == pytest.approx(upper + [5, 0, 0])
    # And again: the line was placed before, now it is moved.
    line.SetNthControlPointPosition(0, *(upper + [-5, 0, 0]))
    assert points.GetNthControlPointPosition(index_of(points, "shaft proximal")) == pytest.approx(upper + [-5, 0, 0])
    lower = np.array(line.GetNthControlPointPosition(1))
    up = (upper + [-5, 0, 0] - lower) / np.linalg.norm(upper + [-5, 0, 0] - lower)
    assert session.result.femora[0].landmarks.shaft.direction == pytest.approx(up)


def test_a_moved_plane_is_the_cut(scene, bone):  # noqa: F811
    segmentation, _ = segmentation_of(scene, bone)
    session = RegionSession(Adapter(scene))
    nodes = session.divide(segmentation)
    plane, origin = nodes.marks["left:distal"], [0.0] * 3
    plane.GetOrigin(origin)
    plane.SetOrigin(*np.add(origin, (0, 0, -10)))
    plane.SetNormal(0, 0, -1)  # turned over, it is the same cut
    place = session.result.femora[0].division.planes["distal"]
    assert place.placed and place.normal == pytest.approx([0, 0, 1])
    assert place.origin[2] == pytest.approx(origin[2] - 10)
    labels = session.result.labels
    shaft = labels.grid.ijk_to_ras(np.argwhere(labels.array == 5)[:, ::-1])
    assert shaft[:, 2].max() == pytest.approx(origin[2] - 10, abs=1.5)
    # A landmark moved afterwards leaves the placed plane where it is.
    move(nodes.marks["left:points"], "lesser trochanter lower", (0, 0, 4))
    assert session.result.femora[0].division.planes["distal"].origin[2] == pytest.approx(origin[2] - 10)


def test_impossible_marks_are_refused_and_the_division_stays(scene, bone):  # noqa: F811
    segmentation, _ = segmentation_of(scene, bone)
    session = RegionSession(Adapter(scene), on_moved=lambda: None)
    nodes = session.divide(segmentation)
    before = volumes(nodes)
    line = nodes.marks["left:shaft axis"]
    line.SetNthControlPointPosition(0, *np.add(line.GetNthControlPointPosition(1), (0, 0, 2)))
    with pytest.raises(BadInputError, match="further apart"):
        session.settle()
    assert volumes(nodes) == before


def test_a_deleted_point_comes_back_where_it_was_found(scene, bone):  # noqa: F811
    segmentation, _ = segmentation_of(scene, bone)
    nodes = RegionSession(Adapter(scene)).divide(segmentation)
    points, before = nodes.marks["left:points"], volumes(nodes)
    move(points, "vastus ridge", (0, 0, 6))
    points.RemoveNthControlPoint(index_of(points, "vastus ridge"))
    # The line and the list hold no other point of it.
    assert volumes(nodes) == before
    assert points.GetNumberOfControlPoints() == 13


def test_another_definition_and_edited_masks(scene, bone):  # noqa: F811
    segmentation, _ = segmentation_of(scene, bone)
    session = RegionSession(Adapter(scene))
    nodes = session.divide(segmentation)
    move(nodes.marks["left:points"], "vastus ridge", (0, 0, 6))
    moved = volumes(nodes)
    session.redefine(RegionDefinition("slab15", "total-hip"))
    assert volumes(nodes)["shaft"] < moved["shaft"] and volumes(nodes)["neck"] != moved["neck"]
    assert session.nodes.segmentation.GetAttribute("ProximalFemurSeg.Neck") == "slab15"
    # The head loses its top to an eraser; what was placed is kept.
    session.redefine(RegionDefinition())
    segments = describe_segments({1: ("trabecular bone", "left"), 2: ("cortical bone", "left")})
    labels = np.where(bone[1], 1, np.where(bone[0].mask.array, 2, 0)).astype(np.uint8)
    write_labels(segmentation, np.where(bone[0].local[..., 2] > 19, 0, labels), segments)
    again = session.divide(segmentation)
    assert again is nodes and set(session.result.femora[0].landmarks.placed) == {"vastus_ridge"}
    assert volumes(nodes)["head"] < moved["head"] - 1.0
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2


def test_density_on_the_ct_it_was_drawn_on(scene, bone):  # noqa: F811
    segmentation, volume_node = segmentation_of(scene, bone)
    nodes = RegionSession(Adapter(scene)).divide(segmentation, image=volume_node, calibration=Calibration(0.8, 2.0))
    row = next(row for row in read_table(nodes.table) if row["region"] == "shaft")
    share = row["cortical_cm3"] / row["volume_cm3"]
    assert row["vbmd_mg_cm3"] == pytest.approx(share * 802 + (1 - share) * 162, rel=1e-6)


def test_under_a_transform_the_marks_go_with_the_bone(scene, bone):  # noqa: F811
    segmentation, volume_node = segmentation_of(scene, bone)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation((0, 0, 1), 40), (10, 20, 30)
    transform = make_transform(scene, pose)
    volume_node.SetAndObserveTransformNodeID(transform.GetID())
    segmentation.SetAndObserveTransformNodeID(transform.GetID())
    nodes = RegionSession(Adapter(scene)).divide(segmentation)
    points = nodes.marks["left:points"]
    world = [0.0] * 3
    points.GetNthControlPointPositionWorld(index_of(points, "head center"), world)
    assert np.linalg.norm(world - (pose[:3, :3] @ bone[0].center + pose[:3, 3])) < 0.6
    assert nodes.segmentation.GetTransformNodeID() == transform.GetID()


def test_both_femora_and_a_plain_mask(scene):  # noqa: F811
    left, right = Bone(spacing=3.0, center=(-90, 0, 0)), Bone("right", spacing=3.0, center=(90, 0, 0))
    from ProximalFemurSegLib.volume import Grid, Volume
    from region_bones import in_bone

    grid = Grid.from_parts((64, 24, 114), (3.0, 3.0, 3.0), (-170.0, -34.0, -155.0))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")[::-1], axis=-1)
    mask = np.zeros(grid.shape, bool)
    for bone in (left, right):
        mask |= in_bone((grid.ijk_to_ras(index) - bone.center) @ bone.linear)
    volume_node = node_from_volume(Volume(mask.astype(np.uint8), grid, "hips"), scene)
    segments = describe_segments({1: ("bone", None)})
    segmentation = create_segmentation_node(scene, volume_node, segments, "femora")
    write_labels(segmentation, mask.astype(np.uint8), segments)
    assert bone_masks(segmentation)[1] is None
    session = RegionSession(Adapter(scene))
    nodes = session.divide(segmentation)
    assert list(nodes.segmentation.GetSegmentation().GetSegmentIDs()) == [
        f"{name}_{side}" for side in ("left", "right") for name in FIVE
    ]
    first = session.result.femora
    move(nodes.marks["right:points"], "vastus ridge", (0, 0, 6))
    # Only the femur whose mark was moved is divided again.
    assert session.result.femora[0] is first[0] and session.result.femora[1] is not first[1]
    masks = masks_from_segmentation(nodes.segmentation, volume_node)
    sides = grid.ijk_to_ras(index)[..., 0]
    assert (sides[masks["head_right"].array] > 0).all() and (sides[masks["head_left"].array] < 0).all()


def test_through_a_saved_scene(bone, tmp_path):
    headless = HeadlessSlicer()  # noqa: F811
    segmentation, _ = segmentation_of(headless.scene, bone)
    session = RegionSession(headless.adapter)
    nodes = session.divide(segmentation, RegionDefinition("slab10"))
    move(nodes.marks["left:points"], "vastus ridge", (0, 0, 6))
    before = volumes(nodes)
    assert headless.scene.WriteToMRB(str(tmp_path / "scene.mrb"))

    other = HeadlessSlicer()
    assert other.scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    source = other.scene.GetFirstNodeByName("femur")
    again = RegionSession(other.adapter)
    nodes = again.attach(source)
    assert find_regions(other.scene, source).marks.keys() == nodes.marks.keys() and again.definition.neck == "slab10"
    assert volumes(nodes) == pytest.approx(before, rel=1e-4)
    # The marks are followed as before, and what was placed before is still placed.
    move(nodes.marks["left:points"], "lesser trochanter lower", (0, 0, -4))
    assert set(again.result.femora[0].landmarks.placed) == {"vastus_ridge", "lesser_trochanter_lower"}
    assert volumes(nodes)["trochanter"] == pytest.approx(before["trochanter"])


def test_a_closed_session_follows_nothing(scene, bone):  # noqa: F811
    segmentation, _ = segmentation_of(scene, bone)
    session = RegionSession(Adapter(scene))
    nodes = session.divide(segmentation)
    before = volumes(nodes)
    session.close()
    move(nodes.marks["left:points"], "vastus ridge", (0, 0, 6))
    assert volumes(nodes) == before
    with pytest.raises(BadInputError, match="first"):
        session.release()
    scene.Clear(0)


def test_what_is_no_femur_leaves_the_scene_alone(scene, bone):  # noqa: F811
    segmentation, _ = segmentation_of(scene, bone)
    segments = describe_segments({1: ("trabecular bone", "left"), 2: ("cortical bone", "left")})
    write_labels(segmentation, np.zeros_like(bone[1], np.uint8), segments)
    count = scene.GetNumberOfNodes()
    with pytest.raises(BadInputError, match="empty"):
        RegionSession(Adapter(scene)).divide(segmentation)
    assert scene.GetNumberOfNodes() == count
