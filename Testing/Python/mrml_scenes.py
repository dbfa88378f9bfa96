"""Scenes, volumes and grids of every attitude for the tests of the MRML layer."""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: the MRML layer is not tested here")

from ProximalFemurSegLib.mrml.headless import boot  # noqa: E402
from ProximalFemurSegLib.mrml.volume_node import node_from_volume  # noqa: E402
from ProximalFemurSegLib.volume import Grid, Volume  # noqa: E402


def rotation(about, degrees):
    angle = np.radians(degrees)
    x, y, z = np.asarray(about, dtype=float) / np.linalg.norm(about)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


OBLIQUE = rotation((1, 2, 3), 37)
DIRECTIONS = {
    "straight": np.eye(3),
    "flipped": np.diag([-1.0, -1.0, 1.0]),
    "left-handed": np.diag([1.0, -1.0, 1.0]),
    "permuted": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "oblique": OBLIQUE,
    "oblique-left-handed": OBLIQUE @ np.diag([1.0, 1.0, -1.0]),
}
SHAPE = (7, 9, 11)
SPACING = (0.5, 0.75, 2.0)
ORIGIN = (-31.25, 18.5, 102.125)


def make_grid(direction="straight", shape=SHAPE):
    return Grid.from_parts(shape, SPACING, ORIGIN, DIRECTIONS[direction])


def make_volume(direction="straight", dtype=np.int16, shape=SHAPE, name="hip"):
    array = np.arange(np.prod(shape)).reshape(shape) % 120
    return Volume(array.astype(dtype), make_grid(direction, shape), name=name)


def make_labels(shape=SHAPE):
    """A shell of cortical bone (2) around trabecular bone (1), off the volume's border."""
    labels = np.zeros(shape, dtype=np.uint8)
    labels[1:6, 2:8, 3:10] = 2
    labels[2:5, 3:7, 4:8] = 1
    return labels


def make_volume_node(scene, direction="straight", **options):
    return node_from_volume(make_volume(direction, **options), scene)


def make_transform(scene, matrix):
    """A linear transform node of a 4x4 RAS mm matrix."""
    import vtk

    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "pose")
    vtk_matrix = vtk.vtkMatrix4x4()
    vtk_matrix.DeepCopy(np.asarray(matrix, dtype=float).ravel())
    node.SetMatrixTransformToParent(vtk_matrix)
    return node


def make_warp(scene):
    """A non-linear transform node: a thin-plate spline that bends space."""
    import vtk

    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for x in (0.0, 50.0):
        for y in (0.0, 50.0):
            for z in (0.0, 50.0):
                source.InsertNextPoint(x, y, z)
                target.InsertNextPoint(x + 0.1 * y * z / 50, y, z)
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    node.SetAndObserveTransformToParent(spline)
    return node


@pytest.fixture
def headless():
    """A fresh headless Slicer, its scene also ``slicer.mrmlScene``."""
    return boot()


@pytest.fixture
def scene(headless):
    return headless.scene
