"""Two nodes compared in the scene: against the metrics of their arrays, whatever the nodes are and where they lie."""

from dataclasses import replace

import numpy as np
import pytest

from mrml_scenes import (
    DIRECTIONS,
    headless,  # noqa: F401
    make_grid,
    make_transform,
    make_volume_node,
    make_warp,
    rotation,
    scene,  # noqa: F401
)
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.evaluation import evaluate_masks
from ProximalFemurSegLib.evaluation.comparison import ComparisonOptions
from ProximalFemurSegLib.mrml.adapter import Adapter
from ProximalFemurSegLib.mrml.compared_parts import EVERYTHING, Pair, joined, suggest_pairs
from ProximalFemurSegLib.mrml.comparison import compare_nodes, distance_models, find_comparison
from ProximalFemurSegLib.mrml.headless import HeadlessSlicer
from ProximalFemurSegLib.mrml.part_names import part_names
from ProximalFemurSegLib.mrml.segmentation_node import create_segmentation_node, write_labels
from ProximalFemurSegLib.mrml.segments import describe_segments
from ProximalFemurSegLib.mrml.table_node import read_table
from ProximalFemurSegLib.mrml.volume_node import node_from_volume
from ProximalFemurSegLib.volume import Grid, Volume

RIGHT = {1: ("trabecular bone", "right"), 2: ("cortical bone", "right")}
BOTH = {1: ("trabecular bone", "left"), 11: ("trabecular bone", "right")}
SHAPE = (10, 12, 14)


def labels(shift=0):
    """A shell of cortical bone (2) around trabecular bone (1)."""
    array = np.zeros(SHAPE, np.uint8)
    array[2:8, 2:9, 2 + shift : 10 + shift] = 2
    array[3:7, 3:8, 4 + shift : 8 + shift] = 1
    return array


def segmentation(scene, volume_node, array, sides=RIGHT, name="segmentation"):  # noqa: F811
    segments = describe_segments(sides)
    node = create_segmentation_node(scene, volume_node, segments, name)
    write_labels(node, array, segments)
    return node


def label_map(scene, array, grid, name="labels"):  # noqa: F811
    return node_from_volume(Volume(array, grid, name), scene, name, "vtkMRMLLabelMapVolumeNode")


def points_of(node):
    from vtk.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(node.GetPolyData().GetPoints().GetData())


def count_legends(scene):  # noqa: F811
    legends = scene.GetNodesByClass("vtkMRMLColorLegendDisplayNode")
    legends.UnRegister(None)
    return legends.GetNumberOfItems()


@pytest.fixture
def adapter(scene):  # noqa: F811
    return Adapter(scene)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_segmentations_give_the_metrics_of_their_masks(adapter, direction):
    grid = make_grid(direction, SHAPE)
    volume = make_volume_node(adapter.scene, direction, shape=SHAPE)
    result, reference = (segmentation(adapter.scene, volume, labels(shift)) for shift in (1, 0))
    found = compare_nodes(adapter, result, reference)
    assert [entry["structure"] for entry in found.values] == ["whole bone, right", "trabecular bone, right"]
    for entry, values in zip(found.values, ((1, 2), (1,))):
        masks = [Volume(np.isin(labels(shift), values), grid) for shift in (1, 0)]
        expected = evaluate_masks(*masks)
        assert {key: entry[key] for key in expected} == {key: pytest.approx(v) for key, v in expected.items()}
    rows = read_table(found.table)
    assert [row["structure"] for row in rows] == ["whole bone, right", "trabecular bone, right"]
    assert rows[0]["dice"] == pytest.approx(7 / 8)
    assert rows[1]["asd_mm"] == pytest.approx(found.values[1]["asd_mm"])
    assert rows[0]["interpolated"] == "no"
    assert found.table.GetColumnUnitLabel("asd_mm") == "mm"
    assert found.table.GetColumnTitle("dice") == "DSC"


def test_models_show_the_distances_on_one_scale_with_one_legend(adapter):
    volume = make_volume_node(adapter.scene, "oblique", shape=SHAPE)
    result, reference = (segmentation(adapter.scene, volume, labels(shift)) for shift in (2, 0))
    found = compare_nodes(adapter, result, reference, options=ComparisonOptions(signed=True))
    outer, inner = found.models
    for node, entry in zip(found.models, found.values):
        low, high = node.GetPolyData().GetPointData().GetScalars().GetRange()
        assert max(-low, high) == pytest.approx(entry["msd_mm"])
        assert low < 0 < high, "outside on one side, inside on the other"
        assert node.GetDisplayNode().GetScalarRange() == (-1.0, 1.0)
    assert (outer.GetDisplayNode().GetVisibility(), inner.GetDisplayNode().GetVisibility()) == (1, 0)
    assert count_legends(adapter.scene) == 1
    middle = make_grid("oblique", SHAPE).ijk_to_ras([7.5, 5, 4.5])
    assert points_of(outer).mean(axis=0) == pytest.approx(middle, abs=0.3)
    limited = compare_nodes(adapter, result, reference, options=ComparisonOptions(limit_mm=3.0))
    assert limited.models[0].GetDisplayNode().GetScalarRange() == (0.0, 3.0)


def test_a_second_comparison_replaces_the_first(adapter):
    volume = make_volume_node(adapter.scene, shape=SHAPE)
    result, reference = (segmentation(adapter.scene, volume, labels(shift)) for shift in (1, 0))
    first = compare_nodes(adapter, result, reference)
    count = adapter.scene.GetNumberOfNodes()
    write_labels(result, labels(0), describe_segments(RIGHT))
    second = compare_nodes(adapter, result, reference)
    assert second.table is first.table and adapter.scene.GetNumberOfNodes() == count
    assert read_table(second.table)[0]["dice"] == 1
    assert distance_models(second.table) == second.models
    other_way = compare_nodes(adapter, reference, result, options=ComparisonOptions(models=False))
    assert other_way.table is not second.table and other_way.models == [None, None]
    assert find_comparison(adapter.scene, result, reference) is second.table


def test_label_map_and_segmentation_under_different_transforms(adapter):
    """The reference was moved together with its volume; the result lies in the world as it is."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation((0, 1, 1), 25), (3, -8, 40)
    volume = make_volume_node(adapter.scene, "permuted", shape=SHAPE)
    volume.SetAndObserveTransformNodeID(make_transform(adapter.scene, pose).GetID())
    reference = segmentation(adapter.scene, volume, labels(0), name="drawn")
    grid = make_grid("permuted", SHAPE)
    moved = Grid(SHAPE, pose @ grid.affine)
    result = label_map(adapter.scene, labels(1), moved)
    there = compare_nodes(adapter, result, reference)
    back = compare_nodes(adapter, reference, result, [Pair("bone")])
    for found in (there, back):
        assert [entry["structure"] for entry in found.values] == ["bone"]
        assert found.values[0]["dice"] == pytest.approx(7 / 8)
        assert found.values[0]["interpolated"] is False
    # The model of the moved segmentation hangs under its transform, and lies in the world where the masks do.
    assert there.models[0].GetTransformNodeID() is None
    assert back.models[0].GetTransformNodeID() == reference.GetTransformNodeID()
    world = points_of(back.models[0]) @ pose[:3, :3].T + pose[:3, 3]
    assert np.linalg.norm(world.mean(axis=0) - moved.ijk_to_ras([5.5, 5, 4.5])) < 0.5


def test_other_voxels_are_resampled_and_said_or_refused(adapter):
    grid = make_grid("straight", SHAPE)
    fine = Grid.from_parts(tuple(2 * n for n in SHAPE), np.array(grid.spacing) / 2, grid.ijk_to_ras([-0.25] * 3))
    doubled = labels(0).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    volume = make_volume_node(adapter.scene, shape=SHAPE)
    reference = segmentation(adapter.scene, volume, labels(0))
    as_map = label_map(adapter.scene, doubled, fine)
    as_segments = segmentation(adapter.scene, as_map, doubled)
    refuse = ComparisonOptions(interpolate=False)
    for result, words in ((as_map, "different grids"), (as_segments, "drawn on other voxels")):
        found = compare_nodes(adapter, result, reference)
        assert found.values[0]["dice"] == pytest.approx(1)
        assert read_table(found.table)[0]["interpolated"] == "yes"
        count = adapter.scene.GetNumberOfNodes()
        with pytest.raises(BadInputError, match=words):
            compare_nodes(adapter, result, reference, options=refuse)
        assert adapter.scene.GetNumberOfNodes() == count
    assert compare_nodes(adapter, reference, reference, options=refuse).values[0]["dice"] == 1


def test_what_is_compared_with_what(adapter):
    volume = make_volume_node(adapter.scene, shape=SHAPE)
    both = {1: ("trabecular bone", "left"), 2: ("cortical bone", "left"), 11: ("trabecular bone", "right")}
    ct = segmentation(adapter.scene, volume, labels(0), both)
    mr = segmentation(adapter.scene, volume, labels(0), {1: ("trabecular bone", "left")})
    names = [(pair.name, pair.shown) for pair in suggest_pairs(ct, ct)]
    assert names == [("whole bone, left", True), ("trabecular bone, left", False), ("trabecular bone, right", True)]
    # An MR result against a reference that has the cortex, too: nothing covers the surface of its trabecular bone.
    assert suggest_pairs(mr, ct) == [Pair("trabecular bone, left", ("trabecular_left",), ("trabecular_left",))]
    assert count_legends(adapter.scene) == 0
    compare_nodes(adapter, mr, ct)
    assert count_legends(adapter.scene) == 1
    drawn = adapter.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    drawn.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    drawn.GetSegmentation().AddEmptySegment("Segment_1", "FEMUR")
    assert suggest_pairs(ct, drawn) == [Pair("bone")]
    other = adapter.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    other.GetSegmentation().AddEmptySegment("Segment_7", "Femur")
    assert suggest_pairs(other, drawn) == [Pair("Femur", ("Segment_7",), ("Segment_1",))]
    maps = [label_map(adapter.scene, labels(0), make_grid("straight", SHAPE)) for _ in range(2)]
    assert [pair.name for pair in suggest_pairs(*maps)] == ["1", "2"]
    assert part_names(maps[0]) == {"1": "1", "2": "2"}
    chosen = compare_nodes(adapter, maps[0], maps[1], [Pair("both", ("1", "2"), ("2",))])
    assert chosen.values[0]["recall"] == 1 > chosen.values[0]["precision"]


def drawn_by_another(scene, volume, *names):  # noqa: F811
    """Segments of which the n-th has label n + 1 of the sample labels."""
    segments = [replace(s, name=name) for s, name in zip(describe_segments(RIGHT), names)]
    segments = [replace(s, segment_id=f"Segment_{s.label}") for s in segments]
    node = create_segmentation_node(scene, volume, segments, "colleague")
    write_labels(node, labels(0), segments)
    return node


def test_of_a_reference_with_other_bones_the_femur_of_the_right_side_is_compared(adapter):
    """As programs that label the whole body name them; cortical bone plays the hip bone."""
    volume = make_volume_node(adapter.scene, shape=SHAPE)
    right = segmentation(adapter.scene, volume, labels(0))
    other = drawn_by_another(adapter.scene, volume, "femur_right", "hip_right")
    pairs = suggest_pairs(right, other)
    assert pairs == [Pair("bone, right", ("trabecular_right", "cortical_right"), ("Segment_1",))]
    found = compare_nodes(adapter, right, other).values[0]
    count = {value: int((labels(0) == value).sum()) for value in (1, 2)}
    assert found["recall"] == 1
    assert found["precision"] == pytest.approx(count[1] / (count[1] + count[2]))
    both = segmentation(adapter.scene, volume, labels(0), BOTH)
    two = drawn_by_another(adapter.scene, volume, "Left Femur", "F\u00e9mur R")
    assert suggest_pairs(both, two) == [
        Pair("bone, left", ("trabecular_left",), ("Segment_1",)),
        Pair("bone, right", ("trabecular_right",), ("Segment_2",)),
    ]
    assert joined(suggest_pairs(both, two)) == Pair(
        "bone", ("trabecular_left", "trabecular_right"), ("Segment_1", "Segment_2")
    )
    assert suggest_pairs(right, drawn_by_another(adapter.scene, volume, "femur", "hip")) == [
        Pair("bone", (), ("Segment_1",))
    ]
    with pytest.raises(BadInputError, match="has the left femur, the result the right one"):
        suggest_pairs(right, drawn_by_another(adapter.scene, volume, "femur_left", "hip_left"))


def test_where_no_part_is_named_a_femur_the_user_has_to_choose(adapter):
    volume = make_volume_node(adapter.scene, shape=SHAPE)
    result = segmentation(adapter.scene, volume, labels(0))
    numbers = label_map(adapter.scene, labels(0), make_grid("straight", SHAPE))
    with pytest.raises(BadInputError, match=r"holds 2 structures \(1, 2\), none of them named a femur; choose"):
        suggest_pairs(result, numbers)
    assert suggest_pairs(result, numbers, EVERYTHING) == [Pair("bone")]
    assert suggest_pairs(result, numbers, "2") == [Pair("bone", (), ("2",))]
    with pytest.raises(BadInputError, match="no part '7' any longer"):
        suggest_pairs(result, numbers, "7")
    two_sides = segmentation(adapter.scene, volume, labels(0), BOTH)
    named = drawn_by_another(adapter.scene, volume, "left thigh", "pelvis")
    assert suggest_pairs(two_sides, named, "Segment_1") == [Pair("bone", ("trabecular_left",), ("Segment_1",))]


def test_a_label_map_is_named_by_its_own_color_table(adapter):
    node = label_map(adapter.scene, labels(0).astype(np.int16) * 75, make_grid("straight", SHAPE))
    assert part_names(node) == {"75": "75", "150": "150"}
    colors = adapter.scene.AddNewNodeByClass("vtkMRMLColorTableNode", "bones")
    colors.SetTypeToUser()
    colors.SetNumberOfColors(76)
    colors.SetColor(75, "femur_left", 1.0, 1.0, 1.0, 1.0)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    assert part_names(node) == {"75": "femur_left", "150": "150"}
    far = label_map(adapter.scene, labels(0).astype(np.int32) * 100_000, make_grid("straight", SHAPE))
    assert part_names(far) == {"100000": "100000", "200000": "200000"}


def test_an_empty_mask_has_no_distances_and_no_surface(adapter):
    volume = make_volume_node(adapter.scene, shape=SHAPE)
    reference = segmentation(adapter.scene, volume, labels(0))
    drawn = adapter.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    drawn.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    drawn.GetSegmentation().AddEmptySegment("Segment_1", "Femur")
    found = compare_nodes(adapter, drawn, reference)
    assert (found.values[0]["dice"], found.values[0]["asd_mm"], found.models) == (0, None, [None])
    assert read_table(found.table)[0]["asd_mm"] == ""


def test_what_cannot_be_compared(adapter):
    volume = make_volume_node(adapter.scene, shape=SHAPE)
    reference = segmentation(adapter.scene, volume, labels(0))
    with pytest.raises(BadInputError, match="'hip' holds no masks"):
        compare_nodes(adapter, volume, reference)
    with pytest.raises(BadInputError, match="no part 'head'; choose one of trabecular_right, cortical_right"):
        compare_nodes(adapter, reference, reference, [Pair("head", ("head",), ("cortical_right",))])
    probability = label_map(adapter.scene, labels(0).astype(np.float32), make_grid("straight", SHAPE))
    with pytest.raises(BadInputError, match="no whole numbers"):
        compare_nodes(adapter, probability, reference)
    bare = adapter.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "bare")
    with pytest.raises(BadInputError, match="no reference geometry"):
        compare_nodes(adapter, reference, bare)
    reference.SetAndObserveTransformNodeID(make_warp(adapter.scene).GetID())
    with pytest.raises(BadInputError, match="non-linear"):
        compare_nodes(adapter, label_map(adapter.scene, labels(0), make_grid("straight", SHAPE)), reference)


def test_a_comparison_is_saved_with_the_scene(headless, tmp_path):  # noqa: F811
    adapter = Adapter(headless.scene)
    volume = make_volume_node(headless.scene, shape=SHAPE)
    result, reference = (segmentation(headless.scene, volume, labels(shift)) for shift in (1, 0))
    result.SetName("found")
    reference.SetName("drawn")
    found = compare_nodes(adapter, result, reference)
    distances = found.models[0].GetPolyData().GetPointData().GetScalars().GetRange()
    path = str(tmp_path / "case.mrb")
    assert headless.scene.WriteToMRB(path)
    reader = HeadlessSlicer()
    assert reader.scene.ReadFromMRB(path)
    again = [reader.scene.GetFirstNodeByName(name) for name in ("found", "drawn")]
    table = find_comparison(reader.scene, *again)
    assert float(read_table(table)[0]["dice"]) == pytest.approx(7 / 8)
    model = distance_models(table)[0]
    assert model.GetDisplayNode().GetActiveScalarName() == "SurfaceDistance"
    assert model.GetPolyData().GetPointData().GetArray("SurfaceDistance").GetRange() == pytest.approx(distances)
    assert points_of(model) == pytest.approx(points_of(found.models[0]), abs=1e-3)
