"""Volume nodes as volumes: the same voxels in the same place, by slicer.util and by hand-computed matrices."""

import gc

import numpy as np
import pytest

from mrml_scenes import (
    DIRECTIONS,
    headless,  # noqa: F401
    make_transform,
    make_volume,
    make_volume_node,
    make_warp,
    rotation,
    scene,  # noqa: F401
    slicer,
)
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.mrml.hierarchy import place_beside
from ProximalFemurSegLib.mrml.volume_node import grid_from_node, modality_of, node_from_volume, volume_from_node


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
def test_a_volume_comes_back_from_its_node_as_it_was(scene, direction, dtype):  # noqa: F811
    volume = make_volume(direction, dtype)
    node = node_from_volume(volume, scene)
    back = volume_from_node(node)
    assert back.array.dtype == dtype
    assert np.array_equal(back.array, volume.array)
    assert np.abs(back.grid.affine - volume.grid.affine).max() < 1e-9
    assert back.name == "hip"


def test_the_node_lies_where_slicer_util_says_it_lies(scene):  # noqa: F811
    import slicer.util
    import vtk

    volume = make_volume("oblique-left-handed")
    node = node_from_volume(volume, scene)
    assert np.array_equal(slicer.util.arrayFromVolume(node), volume.array)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    assert np.allclose(matrix.MultiplyPoint((3, 2, 1, 1))[:3], volume.grid.ijk_to_ras((3, 2, 1)))


def test_voxels_are_shared_in_both_directions(scene):  # noqa: F811
    volume = make_volume()
    node = node_from_volume(volume, scene)
    assert np.shares_memory(volume_from_node(node).array, volume.array)


def test_the_node_keeps_the_memory_of_an_array_that_is_gone(scene):  # noqa: F811
    volume = make_volume(dtype=np.float32)
    expected = volume.array.copy()
    node = node_from_volume(volume, scene)
    del volume
    gc.collect()
    rubbish = [np.full(expected.shape, np.nan, np.float32) for _ in range(200)]
    assert len(rubbish) == 200
    assert np.array_equal(volume_from_node(node).array, expected)


def test_types_that_vtk_does_not_hold_are_converted(scene):  # noqa: F811
    mask = make_volume(dtype=np.int16).array > 60
    node = node_from_volume(make_volume().with_array(mask), scene)
    assert np.array_equal(volume_from_node(node).array, mask.astype(np.uint8))
    half = node_from_volume(make_volume(dtype=np.float16), scene)
    assert np.array_equal(volume_from_node(half).array, make_volume(dtype=np.float32).array)
    big_endian = node_from_volume(make_volume(dtype=">i2"), scene)
    assert np.array_equal(volume_from_node(big_endian).array, make_volume().array)
    strided = make_volume()
    transposed = strided.with_array(np.asfortranarray(strided.array))
    assert np.array_equal(volume_from_node(node_from_volume(transposed, scene)).array, strided.array)


def test_parent_transforms_are_composed_into_the_grid(scene):  # noqa: F811
    node = make_volume_node(scene, "oblique")
    outer, inner = np.eye(4), np.eye(4)
    outer[:3, :3] = rotation((0, 0, 1), 90)
    inner[:3, 3] = (10, 20, 30)
    outer_node, inner_node = make_transform(scene, outer), make_transform(scene, inner)
    inner_node.SetAndObserveTransformNodeID(outer_node.GetID())
    node.SetAndObserveTransformNodeID(inner_node.GetID())
    expected = outer @ inner @ make_volume("oblique").grid.affine
    assert np.allclose(volume_from_node(node).grid.affine, expected)
    assert node.GetParentTransformNode() is inner_node
    node.HardenTransform()
    assert np.allclose(grid_from_node(node).affine, expected)


def test_a_non_linear_transform_is_refused_by_name(scene):  # noqa: F811
    node = make_volume_node(scene)
    node.SetAndObserveTransformNodeID(make_warp(scene).GetID())
    with pytest.raises(BadInputError, match="'hip' is under the non-linear transform 'bent'"):
        volume_from_node(node)


def test_a_shearing_transform_is_refused(scene):  # noqa: F811
    node = make_volume_node(scene)
    shear = np.eye(4)
    shear[0, 1] = 0.3
    node.SetAndObserveTransformNodeID(make_transform(scene, shear).GetID())
    with pytest.raises(BadInputError, match="not perpendicular"):
        volume_from_node(node)


def test_nodes_without_voxels_are_refused(scene):  # noqa: F811
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    for function in (volume_from_node, grid_from_node):
        with pytest.raises(BadInputError, match="'nothing' holds no voxels"):
            function(empty)


def test_colour_and_single_slices_are_refused(scene):  # noqa: F811
    import slicer.util

    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(colour, np.zeros((4, 5, 6, 3), np.uint8))
    with pytest.raises(BadInputError, match="'photo' has 3 values per voxel"):
        volume_from_node(colour)
    slice_node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "slice")
    slicer.util.updateVolumeFromArray(slice_node, np.zeros((1, 5, 6), np.uint8))
    with pytest.raises(BadInputError, match="'slice' is a single slice"):
        volume_from_node(slice_node)


def test_modality_from_the_subject_hierarchy_and_from_the_units(scene):  # noqa: F811
    node = make_volume_node(scene)
    assert modality_of(node) is None
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    item = hierarchy.CreateItem(study, node)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "MR")
    assert modality_of(node) == "MR"
    assert volume_from_node(node).metadata["modality"] == "MR"

    other = make_volume_node(scene)
    hounsfield = slicer.vtkCodedEntry()
    hounsfield.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    other.SetVoxelValueUnits(hounsfield)
    assert modality_of(other) == "CT"


def test_results_go_under_the_study_of_their_input(scene):  # noqa: F811
    node, result = make_volume_node(scene), make_volume_node(scene, name="result")
    assert place_beside(node, result) is False
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.CreateItem(study, node)
    assert place_beside(node, result, None) is True
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result)) == study
    elsewhere = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "elsewhere")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), elsewhere)
    place_beside(node, result)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result)) == elsewhere
