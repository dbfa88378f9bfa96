"""Landmarks, axes and cuts of a divided femur as markups: point list, lines and planes that a user can move."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import slicer
import vtk

from ..regions.definition import COLORS, HEAD, INTERTROCHANTER, NECK, SHAFT
from ..regions.division import PLANES
from ..regions.marks import FemurMarks, Mark, label_of, name_of, plane_axes, same_place, side_in

KIND_ATTRIBUTE = "ProximalFemurSeg.Mark"
"""Node attribute: side, and ``points`` or the name of the line or plane, as in ``left:neck axis``."""
POINTS = "points"
_POINT_COLOR, _LINE_COLOR = (1.0, 0.95, 0.55), (0.95, 0.95, 0.95)
_PLANE_COLORS = {"head_neck": HEAD, "neck_end": NECK, "trochanter": INTERTROCHANTER, "distal": SHAFT}


def write_marks(scene, marks: FemurMarks, nodes: dict[str, object], beside) -> Iterator[tuple[str, object]]:
    """Bring the markups of one femur up to its marks; a generator, because views take a moment over each of them.

    Parameters
    ----------
    scene : vtkMRMLScene
    marks : FemurMarks
    nodes : dict
        The femur's nodes of an earlier call, by `kind_of`; those are kept, and get their new places.
    beside : vtkMRMLTransformableNode
        What was divided: its parent transform is taken over, its name goes into theirs.

    Yields
    ------
    tuple of str and vtkMRMLMarkupsNode
        Kind and node; lines and planes that are not known any longer are removed from the scene.
    """
    wanted = {f"{marks.side}:{POINTS}": ("vtkMRMLMarkupsFiducialNode", "landmarks", marks.points)}
    for title, ends in marks.lines.items():
        wanted[f"{marks.side}:{title}"] = ("vtkMRMLMarkupsLineNode", title, ends)
    for plane in marks.planes:
        wanted[f"{marks.side}:{plane.name}"] = ("vtkMRMLMarkupsPlaneNode", plane.label, (plane,))
    for kind, node in nodes.items():
        if kind not in wanted:
            scene.RemoveNode(node)
    for kind, (class_name, title, own) in wanted.items():
        node = nodes.get(kind)
        if node is None:
            name = f"{beside.GetName()} {marks.side} {title}"
            node = _create(scene, class_name, name, kind, beside)
            if class_name == "vtkMRMLMarkupsPlaneNode":
                node.SetSizeMode(node.SizeModeAbsolute)
                node.SetSize(marks.plane_size_mm, marks.plane_size_mm)
        modified = node.StartModify()
        if class_name == "vtkMRMLMarkupsPlaneNode":
            _write_plane(node, own[0])
        else:
            _write_points(node, own)
        node.EndModify(modified)
        yield kind, node


def kind_of(node) -> str | None:
    """Side and kind of a markups node of this module, None of any other."""
    return node.GetAttribute(KIND_ATTRIBUTE)


def read_marks(node) -> list[Mark]:
    """The marks of a markups node as they are now, in the node's own coordinates.

    Points that the user added to it count, if they are named as landmarks.
    """
    side = kind_of(node).partition(":")[0]
    found = []
    if node.IsA("vtkMRMLMarkupsPlaneNode"):
        if node.GetNumberOfControlPoints() < 1 or not _is_defined(node, 0):
            return []
        name = kind_of(node).partition(":")[2]
        return [Mark(name, _plane_numbers(node), _sided(node.GetNthControlPointDescription(0), side))]
    for index in range(node.GetNumberOfControlPoints()):
        name = name_of(node.GetNthControlPointLabel(index))
        if name is None or name in PLANES or not _is_defined(node, index):
            continue
        place = [0.0, 0.0, 0.0]
        node.GetNthControlPointPosition(index, place)
        found.append(Mark(name, tuple(place), _sided(node.GetNthControlPointDescription(index), side)))
    return found


def _sided(note: str, side: str) -> str:
    """The note of a mark; that of a point that the user added says at least to which femur it belongs."""
    return note if side_in(note) else f"{side} femur, placed by hand at"


def _create(scene, class_name, name, kind, beside):
    node = scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name))
    node.SetAttribute(KIND_ATTRIBUTE, kind)
    node.SetAndObserveTransformNodeID(beside.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    plane = kind.partition(":")[2]
    color = _POINT_COLOR if class_name == "vtkMRMLMarkupsFiducialNode" else _LINE_COLOR
    if plane in _PLANE_COLORS:
        color = tuple(part / 255 for part in COLORS[_PLANE_COLORS[plane]])
    display.SetColor(color)
    display.SetSelectedColor(color)
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(3.0)
    display.SetTextScale(2.5)
    # One label at a place is enough: the points have theirs.
    display.SetPointLabelsVisibility(class_name == "vtkMRMLMarkupsFiducialNode")
    display.SetPropertiesLabelVisibility(False)
    if plane in _PLANE_COLORS:
        display.SetOpacity(0.35)
        # A plane is moved by its edge; handles for its size, a dozen each, would hide the bone.
        display.SetScaleHandleVisibility(False)
        display.SetFillVisibility(False)
    return node


def _write_points(node, marks) -> None:
    """Every mark a control point; points that lie where they shall are left alone."""
    index_of = {name_of(node.GetNthControlPointLabel(i)): i for i in range(node.GetNumberOfControlPoints())}
    for mark in marks:
        index = index_of.get(mark.name)
        if index is None:
            index = node.AddControlPoint(vtk.vtkVector3d(*(mark.numbers or (0.0, 0.0, 0.0))), label_of(mark.name))
        if mark.numbers is None:
            node.SetNthControlPointPositionMissing(index)
        else:
            now = [0.0, 0.0, 0.0]
            node.GetNthControlPointPosition(index, now)
            if not _is_defined(node, index) or np.abs(np.subtract(now, mark.numbers)).max() > 1e-6:
                node.SetNthControlPointPosition(index, *mark.numbers)
        node.SetNthControlPointDescription(index, mark.note)


def _write_plane(node, mark: Mark) -> None:
    if node.GetNumberOfControlPoints() < 1 or not same_place(_plane_numbers(node), mark.numbers):
        node.SetOrigin(*mark.numbers[:3])
        # SetNormal passes over turns of less than a degree.
        node.SetAxes(*plane_axes(mark.numbers[3:]))
    node.SetNthControlPointLabel(0, mark.label)
    node.SetNthControlPointDescription(0, mark.note)


def _plane_numbers(node) -> tuple[float, ...]:
    origin, normal = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    node.GetOrigin(origin)
    node.GetNormal(normal)
    return (*origin, *normal)


def _is_defined(node, index) -> bool:
    return node.GetNthControlPointPositionStatus(index) == slicer.vtkMRMLMarkupsNode.PositionDefined
