"""Probability maps, tables and parameters as nodes, and all of them through a saved scene."""

import numpy as np
import pytest

from mrml_scenes import (
    DIRECTIONS,
    SHAPE,
    headless,  # noqa: F401
    make_grid,
    make_labels,
    make_transform,
    make_volume,
    make_volume_node,
    rotation,
    scene,  # noqa: F401
    slicer,
)
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.mrml import parameters as p
from ProximalFemurSegLib.mrml.headless import HeadlessSlicer, boot
from ProximalFemurSegLib.mrml.probability_node import create_probability_node, show_above, update_probability_node
from ProximalFemurSegLib.mrml.segmentation_node import (
    create_segmentation_node,
    is_edited,
    mark_automatic,
    masks_from_segmentation,
    write_labels,
)
from ProximalFemurSegLib.mrml.segments import describe_segments
from ProximalFemurSegLib.mrml.table_node import Column, create_table_node, read_table, write_table
from ProximalFemurSegLib.mrml.volume_node import volume_from_node

PROBABILITY = np.linspace(0, 1, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
SEGMENTS = describe_segments({1: ("trabecular bone", "left"), 2: ("cortical bone", "left")})


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_map_lies_on_the_input_and_is_shown_from_0_to_1(scene, direction):  # noqa: F811
    volume_node = make_volume_node(scene, direction)
    pose = np.eye(4)
    pose[:3, :3] = rotation((1, 0, 0), 15)
    volume_node.SetAndObserveTransformNodeID(make_transform(scene, pose).GetID())
    node = create_probability_node(scene, volume_node, PROBABILITY, "probability")
    back, source = volume_from_node(node), volume_from_node(volume_node)
    assert back.array.dtype == np.float32
    assert np.array_equal(back.array, PROBABILITY)
    assert back.grid.is_close(source.grid, tolerance_mm=1e-9)
    display = node.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
    assert not display.GetAutoWindowLevel()
    assert display.GetColorNode() is not None
    show_above(node, 0.25)
    assert display.GetApplyThreshold()
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == (0.25, 1.0)


def test_a_map_of_another_size_is_refused_and_leaves_no_node(scene):  # noqa: F811
    volume_node = make_volume_node(scene)
    count = scene.GetNumberOfNodes()
    with pytest.raises(BadInputError, match="5 x 6 x 7 voxels.*'hip'.*11 x 9 x 7"):
        create_probability_node(scene, volume_node, np.zeros((7, 6, 5), np.float32), "probability")
    assert scene.GetNumberOfNodes() == count


def test_an_updated_map_keeps_the_users_display(scene):  # noqa: F811
    volume_node = make_volume_node(scene)
    node = create_probability_node(scene, volume_node, PROBABILITY, "probability")
    node.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeRainbow")
    update_probability_node(node, volume_node, PROBABILITY[::-1])
    assert np.array_equal(volume_from_node(node).array, PROBABILITY[::-1])
    assert node.GetDisplayNode().GetColorNodeID() == "vtkMRMLColorTableNodeRainbow"


def test_a_table_holds_numbers_texts_and_gaps(scene):  # noqa: F811
    node = create_table_node(scene, "measurements")
    columns = [Column("structure"), Column("volume", "cm3", "Volume"), Column("incomplete"), Column("note")]
    write_table(node, columns, [["head", 1.5, True, None], ["neck", 2, False, "cut"]])
    assert read_table(node) == [
        {"structure": "head", "volume": 1.5, "incomplete": "yes", "note": ""},
        {"structure": "neck", "volume": 2.0, "incomplete": "no", "note": "cut"},
    ]
    assert node.GetColumnUnitLabel("volume") == "cm3"
    # A table view of Slicer heads a column with its title and "[unit]": the unit must not be there twice.
    write_table(node, [Column("volume", "cm3", "Volume (cm3)")], [[1.5]])
    assert (node.GetColumnTitle("volume"), node.GetColumnUnitLabel("volume")) == ("Volume", "cm3")
    write_table(node, columns[:1], [])
    assert read_table(node) == []


def test_parameters_and_references_are_kept(scene):  # noqa: F811
    node = p.parameter_node(scene)
    assert p.parameter_node(scene) is node
    assert p.read_parameters(node) == p.Parameters()
    chosen = p.Parameters(network="vnet", side="left", threshold=0.375, thresholdMethod="manual", device="cuda:1")
    p.write_parameters(node, chosen)
    assert p.read_parameters(node) == chosen
    assert node.GetParameter("threshold") == "0.375"
    volume_node = make_volume_node(scene)
    p.set_reference(node, p.INPUT, volume_node)
    assert p.get_reference(node, p.INPUT) is volume_node
    p.set_reference(node, p.INPUT, None)
    assert p.get_reference(node, p.INPUT) is None
    node.SetParameter("threshold", "much")
    assert p.read_parameters(node).threshold == p.Parameters().threshold


def fill(scene, direction):  # noqa: F811
    volume_node = make_volume_node(scene, direction)
    probability_node = create_probability_node(scene, volume_node, PROBABILITY, "probability")
    show_above(probability_node, 0.375)
    segmentation_node = create_segmentation_node(scene, volume_node, SEGMENTS, "femur")
    write_labels(segmentation_node, make_labels(), SEGMENTS)
    mark_automatic(segmentation_node)
    table_node = create_table_node(scene, "measurements")
    write_table(table_node, [Column("structure"), Column("volume", "cm3")], [["trabecular", 1.25]])
    node = p.parameter_node(scene)
    p.write_parameters(node, p.Parameters(network="vnet", threshold=0.375))
    for role, referenced in zip(
        (p.INPUT, p.PROBABILITY, p.SEGMENTATION, p.TABLE),
        (volume_node, probability_node, segmentation_node, table_node),
    ):
        p.set_reference(node, role, referenced)


@pytest.mark.parametrize("direction", ["straight", "permuted", "oblique", "oblique-left-handed"])
def test_everything_is_found_again_in_a_saved_scene(headless, tmp_path, direction, capfd):  # noqa: F811
    fill(headless.scene, direction)
    path = str(tmp_path / "case.mrb")
    assert headless.scene.WriteToMRB(path)

    reader = HeadlessSlicer()
    other = reader.scene
    assert other.ReadFromMRB(path)
    node = p.parameter_node(other)
    assert p.read_parameters(node) == p.Parameters(network="vnet", threshold=0.375)
    volume_node = p.get_reference(node, p.INPUT)
    volume = volume_from_node(volume_node)
    # Slicer reads a left-handed volume with its last axis turned round: the same voxels at the same places.
    turned = slice(None, None, -1) if "left-handed" in direction else slice(None)
    assert np.array_equal(volume.array, make_volume().array[turned])
    assert np.allclose(
        np.sort(volume.grid.corners(), axis=0), np.sort(make_grid(direction).corners(), axis=0), atol=1e-4
    )
    probability_node = p.get_reference(node, p.PROBABILITY)
    assert np.array_equal(volume_from_node(probability_node).array, PROBABILITY[turned])
    assert probability_node.GetDisplayNode().GetLowerThreshold() == 0.375
    segmentation_node = p.get_reference(node, p.SEGMENTATION)
    masks = masks_from_segmentation(segmentation_node, volume_node)
    assert np.array_equal(masks["trabecular_left"].array, make_labels()[turned] == 1)
    assert np.array_equal(masks["cortical_left"].array, make_labels()[turned] == 2)
    assert not is_edited(segmentation_node)
    assert read_table(p.get_reference(node, p.TABLE)) == [{"structure": "trabecular", "volume": 1.25}]


def test_booting_makes_slicer_util_work(tmp_path):
    import slicer.util

    headless_slicer = boot()
    assert slicer.mrmlScene is headless_slicer.scene
    node = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.uint8), name="v")
    assert slicer.util.getNode("v") is node


def test_booting_inside_desktop_slicer_is_refused(monkeypatch):
    monkeypatch.setattr(slicer, "app", object(), raising=False)
    with pytest.raises(RuntimeError, match="its own scene"):
        boot()
