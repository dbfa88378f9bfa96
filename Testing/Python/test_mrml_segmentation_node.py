"""Segmentation nodes: masks in, masks out, live updates, and never mistaking a drawn mask for the program's own."""

import numpy as np
import pytest

from mrml_scenes import (
    DIRECTIONS,
    SHAPE,
    headless,  # noqa: F401
    make_labels,
    make_transform,
    make_volume_node,
    make_warp,
    rotation,
    scene,  # noqa: F401
    slicer,
)
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.mrml.segmentation_node import (
    create_segmentation_node,
    fingerprint,
    is_edited,
    mark_automatic,
    masks_from_segmentation,
    same_fingerprint,
    set_segments,
    update_surface,
    write_labels,
)
from ProximalFemurSegLib.mrml.segments import describe_segments
from ProximalFemurSegLib.mrml.terminology import get_terminology

RIGHT = {1: ("trabecular bone", "right"), 2: ("cortical bone", "right")}
BOTH = {**RIGHT, 11: ("trabecular bone", "left"), 12: ("cortical bone", "left")}


def make_segmentation(scene, volume_node, labels=None, sides=RIGHT):  # noqa: F811
    segments = describe_segments(sides)
    node = create_segmentation_node(scene, volume_node, segments, "femur")
    write_labels(node, make_labels() if labels is None else labels, segments)
    return node


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_masks_come_back_as_written(scene, direction):  # noqa: F811
    volume_node = make_volume_node(scene, direction)
    node = make_segmentation(scene, volume_node)
    masks = masks_from_segmentation(node, volume_node)
    assert list(masks) == ["trabecular_right", "cortical_right"]
    assert np.array_equal(masks["trabecular_right"].array, make_labels() == 1)
    assert np.array_equal(masks["cortical_right"].array, make_labels() == 2)
    assert masks["cortical_right"].name == "Right femur, cortical bone"
    assert masks["cortical_right"].grid.is_close(masks["trabecular_right"].grid)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_slicer_sees_the_same_masks(scene, direction):  # noqa: F811
    import slicer.util

    volume_node = make_volume_node(scene, direction)
    node = make_segmentation(scene, volume_node)
    seen = slicer.util.arrayFromSegmentBinaryLabelmap(node, "cortical_right", volume_node)
    assert np.array_equal(seen > 0, make_labels() == 2)


@pytest.mark.parametrize("direction", ["oblique", "left-handed"])
def test_the_surface_encloses_the_mask_in_patient_space(scene, direction):  # noqa: F811
    import vtk

    volume_node = make_volume_node(scene, direction)
    labels = np.where(make_labels() > 0, np.uint8(1), np.uint8(0))
    node = make_segmentation(scene, volume_node, labels, {1: ("trabecular bone", None)})
    update_surface(node)
    surface = vtk.vtkPolyData()
    assert node.GetClosedSurfaceRepresentation("trabecular", surface)
    mask = masks_from_segmentation(node, volume_node)["trabecular"]
    k, j, i = np.nonzero(mask.array)
    middle = mask.grid.ijk_to_ras(np.stack([i, j, k], axis=1)).mean(axis=0)
    center = vtk.vtkCenterOfMass()
    center.SetInputData(surface)
    center.Update()
    assert np.allclose(center.GetCenter(), middle, atol=0.5)


def test_segments_carry_name_colour_and_terminology(scene):  # noqa: F811
    node = make_segmentation(scene, make_volume_node(scene), sides=BOTH)
    segmentation = node.GetSegmentation()
    names = [segmentation.GetNthSegment(n).GetName() for n in range(4)]
    assert names == [
        "Right femur, trabecular bone",
        "Right femur, cortical bone",
        "Left femur, trabecular bone",
        "Left femur, cortical bone",
    ]
    assert len({segmentation.GetNthSegment(n).GetColor() for n in range(4)}) == 4
    entry = get_terminology(segmentation.GetSegment("cortical_left"))
    assert entry.split("~") == [
        "Segmentation category and type - DICOM master list",
        "SCT^123037004^Anatomical Structure",
        "SCT^71341001^Femur",
        "SCT^7771000^Left",
        "Anatomic codes - DICOM master list",
        "^^",
        "^^",
    ]
    assert "SCT^24028007^Right" in get_terminology(segmentation.GetSegment("cortical_right"))


def test_the_input_is_the_reference_geometry(scene):  # noqa: F811
    volume_node = make_volume_node(scene, "oblique")
    node = make_segmentation(scene, volume_node)
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert node.GetNodeReference(role) is volume_node


def test_writing_again_keeps_node_segments_and_memory(scene):  # noqa: F811
    volume_node = make_volume_node(scene)
    node = make_segmentation(scene, volume_node)
    segment = node.GetSegmentation().GetSegment("cortical_right")
    image = segment.GetRepresentation("Binary labelmap")
    segment.SetName("my cortex")
    smaller = np.where(make_labels() == 2, np.uint8(2), np.uint8(0))
    write_labels(node, smaller, describe_segments(RIGHT))
    assert node.GetSegmentation().GetSegment("cortical_right") is segment
    assert segment.GetRepresentation("Binary labelmap") is image
    assert segment.GetName() == "my cortex"
    masks = masks_from_segmentation(node, volume_node)
    assert masks["trabecular_right"].array.sum() == 0
    assert np.array_equal(masks["cortical_right"].array, smaller == 2)


def test_writing_tells_the_displays_and_leaves_the_surface_until_asked(scene):  # noqa: F811
    import vtk

    node = make_segmentation(scene, make_volume_node(scene))
    update_surface(node)
    before = vtk.vtkPolyData()
    node.GetClosedSurfaceRepresentation("cortical_right", before)
    events = []
    for event in (slicer.vtkSegmentation.RepresentationModified, slicer.vtkSegmentation.SourceRepresentationModified):
        node.AddObserver(event, lambda caller, name, event=event: events.append(event))
    time = node.GetSegmentation().GetSegment("cortical_right").GetRepresentation("Binary labelmap").GetMTime()
    smaller = make_labels()
    smaller[:, :, 7:] = 0
    write_labels(node, smaller, describe_segments(RIGHT))
    image = node.GetSegmentation().GetSegment("cortical_right").GetRepresentation("Binary labelmap")
    assert image.GetMTime() > time
    assert set(events) == {
        slicer.vtkSegmentation.RepresentationModified,
        slicer.vtkSegmentation.SourceRepresentationModified,
    }
    stale, fresh = vtk.vtkPolyData(), vtk.vtkPolyData()
    assert node.GetClosedSurfaceRepresentation("cortical_right", stale)
    assert stale.GetBounds() == before.GetBounds()
    update_surface(node)
    assert node.GetClosedSurfaceRepresentation("cortical_right", fresh)
    assert fresh.GetBounds() != before.GetBounds()


def test_a_cropped_write_lands_where_it_belongs(scene):  # noqa: F811
    volume_node = make_volume_node(scene, "oblique-left-handed")
    segments = describe_segments(RIGHT)
    node = create_segmentation_node(scene, volume_node, segments, "femur")
    labels = make_labels()
    write_labels(node, labels[1:6, 2:8, 3:10], segments, start=(1, 2, 3))
    masks = masks_from_segmentation(node, volume_node)
    assert np.array_equal(masks["trabecular_right"].array, labels == 1)
    whole = fingerprint(node)
    write_labels(node, labels, segments)
    assert same_fingerprint(fingerprint(node), whole)


def test_masks_follow_linear_transforms_between_segmentation_and_volume(scene):  # noqa: F811
    volume_node = make_volume_node(scene, "oblique")
    shift = np.eye(4)
    shift[:3, 3] = volume_node_axis(volume_node, 0)
    volume_node.SetAndObserveTransformNodeID(make_transform(scene, rotated(30)).GetID())
    node = make_segmentation(scene, volume_node)
    assert node.GetParentTransformNode() is volume_node.GetParentTransformNode()
    masks = masks_from_segmentation(node, volume_node)
    assert np.array_equal(masks["trabecular_right"].array, make_labels() == 1)

    other = make_volume_node(scene, "oblique")
    still = make_segmentation(scene, other)
    still.SetAndObserveTransformNodeID(make_transform(scene, shift).GetID())
    moved = masks_from_segmentation(still, other)["trabecular_right"].array
    assert np.array_equal(moved, np.roll(make_labels() == 1, 1, axis=2))


def volume_node_axis(volume_node, axis):
    from ProximalFemurSegLib.mrml.volume_node import local_affine

    return local_affine(volume_node)[:3, axis]


def rotated(degrees):
    matrix = np.eye(4)
    matrix[:3, :3] = rotation((0, 1, 1), degrees)
    matrix[:3, 3] = (5, -3, 2)
    return matrix


def test_masks_on_another_grid_are_resampled_to_it(scene):  # noqa: F811
    from ProximalFemurSegLib.mrml.volume_node import node_from_volume
    from ProximalFemurSegLib.volume import Grid, Volume

    coarse = Grid.from_parts((12, 12, 12), spacing=(2, 2, 2))
    fine = Grid.from_parts((48, 48, 48), spacing=(0.5, 0.5, 0.5), origin=(-0.75, -0.75, -0.75))
    coarse_node = node_from_volume(Volume(np.zeros(coarse.shape, np.uint8), coarse, "coarse"), scene)
    fine_node = node_from_volume(Volume(np.zeros(fine.shape, np.uint8), fine, "fine"), scene)
    labels = np.zeros(coarse.shape, np.uint8)
    labels[3:8, 2:9, 4:7] = 1
    node = make_segmentation(scene, coarse_node, labels, {1: ("trabecular bone", None)})
    mask = masks_from_segmentation(node, fine_node)["trabecular"].array
    assert np.array_equal(mask, np.kron(labels, np.ones((4, 4, 4), np.uint8)).astype(bool))


def test_a_bend_between_segmentation_and_volume_is_refused(scene):  # noqa: F811
    volume_node = make_volume_node(scene)
    node = make_segmentation(scene, volume_node)
    node.SetAndObserveTransformNodeID(make_warp(scene).GetID())
    with pytest.raises(BadInputError, match="non-linear"):
        masks_from_segmentation(node, volume_node)


@pytest.mark.parametrize("direction", ["straight", "oblique-left-handed"])
def test_an_edit_of_one_voxel_is_noticed_and_undone(scene, direction):  # noqa: F811
    import slicer.util

    volume_node = make_volume_node(scene, direction)
    node = make_segmentation(scene, volume_node)
    assert is_edited(node), "nothing was marked yet, so it must count as somebody's"
    mark_automatic(node)
    assert not is_edited(node)
    drawn = (make_labels() == 1).astype(np.uint8)
    drawn[3, 4, 5] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, "trabecular_right", volume_node)
    assert is_edited(node)
    drawn[3, 4, 5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, "trabecular_right", volume_node)
    assert node.GetSegmentation().GetNumberOfLayers() > 1, "the masks lie differently in memory now"
    assert not is_edited(node)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mask_moved_by_one_voxel_is_an_edit(scene, axis):  # noqa: F811
    node = make_segmentation(scene, make_volume_node(scene, "oblique"))
    mark_automatic(node)
    write_labels(node, np.roll(make_labels(), 1, axis=axis), describe_segments(RIGHT))
    assert is_edited(node)


def test_an_added_segment_is_an_edit_and_a_new_name_is_none(scene):  # noqa: F811
    node = make_segmentation(scene, make_volume_node(scene))
    mark_automatic(node)
    node.GetSegmentation().GetSegment("cortical_right").SetName("cortex")
    assert not is_edited(node)
    node.GetSegmentation().AddEmptySegment("extra", "extra")
    assert is_edited(node)


def test_a_segment_of_the_user_on_the_same_layer_is_not_written_over(scene):  # noqa: F811
    volume_node = make_volume_node(scene)
    node = make_segmentation(scene, volume_node)
    segmentation = node.GetSegmentation()
    image = segmentation.GetSegment("cortical_right").GetRepresentation("Binary labelmap")
    own = slicer.vtkSegment()
    own.SetName("cyst")
    own.SetLabelValue(7)
    own.AddRepresentation("Binary labelmap", image)
    segmentation.AddSegment(own, "cyst")
    from vtk.util.numpy_support import vtk_to_numpy

    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(SHAPE)
    voxels[0, 0, 0] = 7
    write_labels(node, make_labels(), describe_segments(RIGHT))
    assert masks_from_segmentation(node, volume_node)["cyst"].array.sum() == 1


def test_segments_that_the_new_result_has_not_are_taken_away(scene):  # noqa: F811
    node = make_segmentation(scene, make_volume_node(scene), sides=BOTH)
    set_segments(node, describe_segments(RIGHT))
    assert list(node.GetSegmentation().GetSegmentIDs()) == ["trabecular_right", "cortical_right"]
