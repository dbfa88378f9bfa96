"""Surfaces made without Slicer are those that Slicer makes of the same masks."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed: the MRML layer is not tested here")

from vtk.util.numpy_support import vtk_to_numpy  # noqa: E402

from mrml_scenes import DIRECTIONS, headless, make_grid, make_labels, scene  # noqa: E402, F401
from ProximalFemurSegLib.mrml.segmentation_node import (  # noqa: E402
    CLOSED_SURFACE,
    create_segmentation_node,
    set_surface,
    shared_labels,
    update_surface,
    write_labels,
)
from ProximalFemurSegLib.mrml.segments import describe_segments  # noqa: E402
from ProximalFemurSegLib.mrml.surfaces import polydata, surface_of  # noqa: E402
from ProximalFemurSegLib.mrml.volume_node import node_from_volume  # noqa: E402
from ProximalFemurSegLib.volume import Volume  # noqa: E402

SEGMENTS = describe_segments({1: ("trabecular bone", "left"), 2: ("cortical bone", "left")})


def segmentation(scene, direction, labels, start=(0, 0, 0)):  # noqa: F811
    volume = Volume(np.zeros((9, 12, 14), np.uint8), make_grid(direction, (9, 12, 14)), "hip")
    node = create_segmentation_node(scene, node_from_volume(volume, scene), SEGMENTS, "masks")
    write_labels(node, labels, SEGMENTS, start)
    return node


def surface(node, segment_id):
    return node.GetSegmentation().GetSegment(segment_id).GetRepresentation(CLOSED_SURFACE)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_surface_is_that_of_slicers_own_conversion(scene, direction):  # noqa: F811
    node = segmentation(scene, direction, make_labels(), (1, 2, 3))
    update_surface(node)
    labels, affine, segments = shared_labels(node)
    assert segments == {"trabecular_left": 1, "cortical_left": 2}
    for segment_id, label in segments.items():
        points, triangles, normals = surface_of(labels == label, affine)
        theirs = surface(node, segment_id)
        assert len(points) == theirs.GetNumberOfPoints()
        assert len(triangles) == theirs.GetNumberOfCells()
        their_points = vtk_to_numpy(theirs.GetPoints().GetData())
        order, their_order = (np.lexsort(np.round(p, 3).T) for p in (points, their_points))
        assert np.allclose(points[order], their_points[their_order], atol=2e-3)
        their_normals = vtk_to_numpy(theirs.GetPointData().GetNormals())
        assert np.allclose(np.abs((normals[order] * their_normals[their_order]).sum(axis=1)), 1, atol=0.05)


def test_a_mask_at_the_border_gives_a_closed_surface_and_none_an_empty_one():
    import vtk

    points, triangles, normals = surface_of(np.ones((3, 4, 5), bool), np.eye(4))
    edges = vtk.vtkFeatureEdges()
    edges.SetInputData(polydata(points, triangles, normals))
    edges.FeatureEdgesOff()
    edges.Update()
    assert edges.GetOutput().GetNumberOfCells() == 0
    points, triangles, _ = surface_of(np.zeros((3, 4, 5), bool), np.eye(4))
    assert polydata(points, triangles).GetNumberOfPoints() == 0


def test_a_surface_put_into_a_segmentation_is_shown_and_leaves_the_masks_alone(scene):  # noqa: F811
    node = segmentation(scene, "oblique", make_labels())
    labels, affine, segments = shared_labels(node)
    before = labels.copy()
    heard = []
    import slicer

    node.GetSegmentation().AddObserver(slicer.vtkSegmentation.RepresentationModified, lambda *_: heard.append(1))
    set_surface(node, {name: polydata(*surface_of(labels == n, affine)) for name, n in segments.items()})
    assert len(heard) >= 2
    assert surface(node, "cortical_left").GetNumberOfPoints() > 0
    assert np.array_equal(shared_labels(node)[0], before)


def test_layers_of_their_own_are_told_apart(scene):  # noqa: F811
    node = segmentation(scene, "straight", make_labels())
    node.GetSegmentation().SeparateSegmentLabelmap("cortical_left")
    assert shared_labels(node) is None
