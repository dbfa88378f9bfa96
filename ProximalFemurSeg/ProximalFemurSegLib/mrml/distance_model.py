"""A surface-distance map as a model node: coloured by mm, with a colour legend."""

from __future__ import annotations

import numpy as np

from ..evaluation.distance_map import ARRAY_NAME, DistanceMap, color_limit
from .color_legend import add_legend
from .matrices import matrix_to_world

# Values from 0 to 1 and their colours; the scale is stretched to the distances. The same two scales as in pictures.
_UNSIGNED = ("Surface distance", ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)))
_SIGNED = ("Signed surface distance", ((59, 76, 192), (141, 176, 254), (221, 221, 221), (244, 152, 122), (180, 4, 38)))
_STEPS = 256


def create_distance_model(
    scene, surface: DistanceMap, name: str, limit_mm: float | None = None, beside=None, legend: bool = True
):
    """Add a distance map to the scene.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where to add it.
    surface : DistanceMap
        In RAS mm of the scene's world.
    name : str
        Of the node; made unique.
    limit_mm : float, optional
        Where the colours end; default a round number that all but the farthest percent lies within.
    beside : vtkMRMLTransformableNode, optional
        What was measured: its parent transform is taken over, so that the model stays with it when it is moved.
    legend : bool
        Show a colour legend, where the scene knows them.

    Returns
    -------
    vtkMRMLModelNode
        With the point array ``SurfaceDistance`` in mm, which it shows.

    Raises
    ------
    BadInputError
        If the parent transform bends space.
    """
    to_local = None if beside is None else np.linalg.inv(matrix_to_world(beside))
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", scene.GenerateUniqueName(name))
    node.SetAndObservePolyData(poly_data(surface, to_local))
    if beside is not None:
        node.SetAndObserveTransformNodeID(beside.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    limit = limit_mm or color_limit(surface)
    display.SetActiveScalar(ARRAY_NAME, 0)  # 0: a value at each point
    display.SetScalarRangeFlag(display.UseManualScalarRange)
    display.SetScalarRange(-limit if surface.signed else 0.0, limit)
    display.SetAndObserveColorNodeID(_color_node(scene, *(_SIGNED if surface.signed else _UNSIGNED)).GetID())
    display.SetScalarVisibility(True)
    if legend:
        add_legend(display, "mm, + outside" if surface.signed else "distance (mm)")
    return node


def remove_distance_model(scene, node) -> None:
    """Take a model out of the scene, with its display and its legend, which would stay behind."""
    displays = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    for display in filter(None, displays):
        scene.RemoveNode(display)
    scene.RemoveNode(node)


def poly_data(surface: DistanceMap, matrix=None):
    """The map as vtkPolyData with the point array ``SurfaceDistance``; its points go through the (4, 4) matrix."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

    places = surface.points if matrix is None else surface.points @ matrix[:3, :3].T + matrix[:3, 3]
    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(places, dtype=np.float64), deep=True))
    cells = vtk.vtkCellArray()
    offsets = np.arange(len(surface.triangles) + 1, dtype=np.int64) * 3
    cells.SetData(
        numpy_to_vtkIdTypeArray(offsets, deep=True),
        numpy_to_vtkIdTypeArray(np.ascontiguousarray(surface.triangles, dtype=np.int64).ravel(), deep=True),
    )
    values = numpy_to_vtk(np.ascontiguousarray(surface.distances, dtype=np.float32), deep=True)
    values.SetName(ARRAY_NAME)
    data = vtk.vtkPolyData()
    data.SetPoints(points)
    data.SetPolys(cells)
    data.GetPointData().SetScalars(values)
    return data


def _color_node(scene, name: str, colors):
    """The scale of this name, made where the scene does not have it; a table, which stretches to any range."""
    nodes = scene.GetNodesByClassByName("vtkMRMLColorTableNode", name)
    if nodes.GetNumberOfItems():
        return nodes.GetItemAsObject(0)
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
    node.SetTypeToUser()
    node.SetNumberOfColors(_STEPS)
    at = np.linspace(0, len(colors) - 1, _STEPS)
    parts = np.stack([np.interp(at, np.arange(len(colors)), part) for part in zip(*colors)], axis=1) / 255
    for number, color in enumerate(parts):
        node.SetColor(number, str(number), *map(float, color), 1.0)
    return node
