"""A distance map in a Slicer scene: where it lies, what it shows, and that its file is read back in place."""

import numpy as np
import pytest

from mrml_scenes import headless, make_transform, make_volume_node, rotation, scene, slicer  # noqa: F401
from ProximalFemurSegLib.evaluation.distance_map import distance_map
from ProximalFemurSegLib.evaluation.vtp import write_vtp
from ProximalFemurSegLib.mrml.distance_model import create_distance_model
from ProximalFemurSegLib.volume import Grid, Volume

GRID = Grid.from_parts((8, 9, 10), (1.0, 1.2, 2.0), (30, -20, 100))


@pytest.fixture
def surface():
    result, reference = np.zeros((2, *GRID.shape), bool)
    result[2:6, 2:7, 2:8] = True
    reference[2:6, 2:7, 3:9] = True
    return distance_map(Volume(result, GRID), Volume(reference, GRID), signed=True)


def points_of(node):
    from vtk.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(node.GetPolyData().GetPoints().GetData())


def test_node_shows_the_distances_where_they_are(scene, surface):  # noqa: F811
    node = create_distance_model(scene, surface, "map")
    assert points_of(node) == pytest.approx(surface.points)
    assert node.GetPolyData().GetNumberOfPolys() == len(surface.triangles)
    display = node.GetDisplayNode()
    assert display.GetActiveScalarName() == "SurfaceDistance"
    assert display.GetScalarVisibility()
    assert display.GetScalarRange() == (-1.0, 1.0)
    assert display.GetColorNode().GetName() == "Signed surface distance"
    low, high = (node.GetPolyData().GetPointData().GetScalars().GetRange()[n] for n in (0, 1))
    assert (low, high) == pytest.approx((surface.distances.min(), surface.distances.max()))


def test_one_scale_for_all_maps_and_a_limit_of_ones_own(scene, surface):  # noqa: F811
    first = create_distance_model(scene, surface, "map")
    second = create_distance_model(scene, surface, "map", limit_mm=4.0)
    assert first.GetName() != second.GetName()
    assert first.GetDisplayNode().GetColorNodeID() == second.GetDisplayNode().GetColorNodeID()
    assert second.GetDisplayNode().GetScalarRange() == (-4.0, 4.0)


def test_model_stays_with_what_was_measured(scene, surface):  # noqa: F811
    """Under the same transform it lies where the distances were measured, and is moved with the volume."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation((1, 0, 2), 40), (5, -7, 11)
    transform = make_transform(scene, pose)
    volume = make_volume_node(scene)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node = create_distance_model(scene, surface, "map", beside=volume)
    assert node.GetTransformNodeID() == transform.GetID()
    assert points_of(node) @ pose[:3, :3].T + pose[:3, 3] == pytest.approx(surface.points)


def test_slicer_reads_the_file_in_place(scene, surface, tmp_path):  # noqa: F811
    """The file says that it is RAS; Slicer takes what says nothing for LPS and would turn it round."""
    write_vtp(tmp_path / "map.vtp", surface.points, surface.triangles, {"SurfaceDistance": surface.distances})
    storage = scene.AddNewNodeByClass("vtkMRMLModelStorageNode")
    storage.SetFileName(str(tmp_path / "map.vtp"))
    node = scene.AddNewNodeByClass("vtkMRMLModelNode")
    assert storage.ReadData(node)
    assert points_of(node) == pytest.approx(surface.points, abs=1e-4)
