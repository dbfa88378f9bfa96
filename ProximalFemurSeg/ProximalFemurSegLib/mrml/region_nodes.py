"""A femur's regions in the scene: a segmentation of them, tables of what was measured, and the marks that divide it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..postprocessing import bounding_box
from ..regions.definition import COLORS, REGIONS, UNDIVIDED
from ..regions.marks import marks_of
from ..regions.measure import RegionsResult
from .adapter import Adapter
from .hierarchy import place_beside
from .region_marks import kind_of, write_marks
from .segmentation_node import create_segmentation_on, set_segments, write_labels
from .segments import SegmentDescription
from .table_node import Column, create_table_node, write_table

DIVIDED, REGION_TABLE, GEOMETRY_TABLE, MARK = "DividedSegmentation", "RegionsTable", "GeometryTable", "RegionMark"
"""Roles in which the segmentation of regions refers to the nodes that belong to it; they are saved with the scene."""
NECK_ATTRIBUTE, DISTAL_ATTRIBUTE = "ProximalFemurSeg.Neck", "ProximalFemurSeg.DistalLimit"
_SECOND_FEMUR = 10  # added to the labels of the second femur

_COLUMNS = (
    Column("side", "", "Side"),
    Column("region", "", "Region"),
    Column("volume_cm3", "cm3", "Volume (cm3)"),
    Column("cortical_cm3", "cm3", "Cortical (cm3)"),
    Column("trabecular_cm3", "cm3", "Trabecular (cm3)"),
    Column("thickness_mm", "mm", "Cortical thickness (mm)"),
    Column("vbmd_mg_cm3", "mg/cm3", "vBMD (mg/cm3)"),
    Column("bmc_mg", "mg", "BMC (mg)"),
    Column("refused", "", "Why there is none"),
)
_MEASURES = (
    ("neck_shaft_angle_deg", "Neck-shaft angle", "deg"),
    ("anteversion_deg", "Anteversion", "deg"),
    ("alpha_angle_deg", "Alpha angle", "deg"),
    ("head_diameter_mm", "Head diameter", "mm"),
    ("femoral_offset_mm", "Femoral offset", "mm"),
    ("neck_length_mm", "Neck length", "mm"),
    ("neck_width_mm", "Neck width", "mm"),
)
_SECTION = (
    ("area_mm2", "Narrow neck, area", "mm2"),
    ("moment_mm4", "Narrow neck, second moment (bending up and down)", "mm4"),
    ("moment_across_mm4", "Narrow neck, second moment (bending forth and back)", "mm4"),
)


@dataclass
class RegionNodes:
    """Where the regions of a segmentation are in the scene.

    Attributes
    ----------
    source : vtkMRMLSegmentationNode
        What was divided.
    segmentation : vtkMRMLSegmentationNode
        One segment for each region of each femur.
    table, geometry : vtkMRMLTableNode
        Volumes and densities of the regions; angles, lengths and sections.
    marks : dict of str to vtkMRMLMarkupsNode
        By side and kind, as ``left:points``, ``left:neck axis``, ``left:head_neck``.
    """

    source: Any
    segmentation: Any = None
    table: Any = None
    geometry: Any = None
    marks: dict[str, Any] = field(default_factory=dict)


def find_regions(scene, source) -> RegionNodes | None:
    """The regions that a segmentation was divided into before, or None."""
    nodes = scene.GetNodesByClass("vtkMRMLSegmentationNode")
    nodes.UnRegister(None)
    for number in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(number)
        if node.GetNodeReference(DIVIDED) is not source:
            continue
        marks = [node.GetNthNodeReference(MARK, n) for n in range(node.GetNumberOfNodeReferences(MARK))]
        return RegionNodes(
            source,
            node,
            node.GetNodeReference(REGION_TABLE),
            node.GetNodeReference(GEOMETRY_TABLE),
            {kind_of(mark): mark for mark in marks if mark is not None and kind_of(mark)},
        )
    return None


def describe_regions(sides) -> tuple[SegmentDescription, ...]:
    """The segments of divided femora, five for each, and a sixth for what could not be divided.

    Parameters
    ----------
    sides : sequence of str
        'left' and 'right', one or both; the labels of the second are 10 higher.

    Examples
    --------
    >>> [s.name for s in describe_regions(["left"])][:2]
    ['Left femur, head', 'Left femur, neck']
    """
    return tuple(
        SegmentDescription(
            label=label + _SECOND_FEMUR * number,
            segment_id=f"{name}_{side}",
            name=f"{side.capitalize()} femur, {name}",
            color=tuple(part / 255 for part in COLORS[label]),
            side=side,
        )
        for number, side in enumerate(sides)
        for label, name in REGIONS.items()
    )


def region_steps(adapter: Adapter, nodes: RegionNodes, result: RegionsResult) -> Iterator[None]:
    """Write a division into ``nodes``; nodes that are missing are made, beside what was divided.

    A generator of steps short enough for a window, whose views should not be drawn within them.

    Parameters
    ----------
    adapter : Adapter
    nodes : RegionNodes
        Only its source is needed.
    result : RegionsResult
        On the grid of the source, in its own coordinates.
    """
    scene, name = adapter.scene, nodes.source.GetName()
    _write_segmentation(adapter, nodes, result)
    yield
    if nodes.table is None:
        nodes.table = create_table_node(scene, f"{name} regions")
    write_table(nodes.table, _COLUMNS, [row for femur in result.femora for row in _region_rows(femur)])
    if nodes.geometry is None:
        nodes.geometry = create_table_node(scene, f"{name} geometry")
    columns = (Column("side", "", "Side"), Column("measure", "", "Measure"), Column("value", "", "Value"),
               Column("unit", "", "Unit"))
    write_table(nodes.geometry, columns, [row for femur in result.femora for row in _geometry_rows(femur)])
    yield
    yield from _write_marks(scene, nodes, result)
    _refer(nodes)
    place_beside(nodes.source, nodes.segmentation, nodes.table, nodes.geometry, *nodes.marks.values())
    definition = result.femora[0].division.definition
    for node in (nodes.segmentation, nodes.table):
        node.SetAttribute(NECK_ATTRIBUTE, definition.neck)
        node.SetAttribute(DISTAL_ATTRIBUTE, definition.distal)


def _write_marks(scene, nodes: RegionNodes, result: RegionsResult) -> Iterator[None]:
    """One of them at every step."""
    marks = {}
    for femur in result.femora:
        own = {kind: node for kind, node in nodes.marks.items() if kind.partition(":")[0] == femur.side}
        for kind, node in write_marks(scene, marks_of(femur), own, nodes.source):
            marks[kind] = node
            yield
    for kind, node in nodes.marks.items():
        if kind not in marks and node.GetScene() is not None:
            scene.RemoveNode(node)
    nodes.marks = marks


def _write_segmentation(adapter: Adapter, nodes: RegionNodes, result: RegionsResult) -> None:
    described = describe_regions([femur.side for femur in result.femora])
    labels = result.labels.array.copy()
    for number, femur in enumerate(result.femora[1:], start=1):
        part = labels[femur.femur.window]
        part[femur.femur.mask.array] += _SECOND_FEMUR * number
    # What could not be divided is a segment only where there is some.
    described = tuple(s for s in described if s.label % 10 != UNDIVIDED or (labels == s.label).any())
    if nodes.segmentation is None:
        name = f"{nodes.source.GetName()} regions"
        nodes.segmentation = create_segmentation_on(adapter.scene, nodes.source, described, name)
    else:
        set_segments(nodes.segmentation, described)
    box = bounding_box(labels > 0)
    write_labels(nodes.segmentation, labels[box], described, [side.start for side in box])
    adapter.update_surface(nodes.segmentation)


def _refer(nodes: RegionNodes) -> None:
    own = nodes.segmentation
    modified = own.StartModify()
    own.SetNodeReferenceID(DIVIDED, nodes.source.GetID())
    own.SetNodeReferenceID(REGION_TABLE, nodes.table.GetID())
    own.SetNodeReferenceID(GEOMETRY_TABLE, nodes.geometry.GetID())
    own.RemoveNodeReferenceIDs(MARK)
    for node in nodes.marks.values():
        own.AddNodeReferenceID(MARK, node.GetID())
    own.EndModify(modified)


def _region_rows(femur) -> list[list]:
    thickness = {} if femur.thickness is None else femur.thickness.summary()
    rows = []
    for name, entry in femur.volumes.items():
        volumes = [entry.get(key) for key in ("volume_mm3", "cortical_mm3", "trabecular_mm3")]
        density = (femur.densities or {}).get(name, {}).get("integral", {})
        rows.append(
            [
                femur.side,
                name.replace("_", " "),
                *(None if v is None else v / 1000 for v in volumes),
                thickness.get(name, {}).get("mean_mm"),
                density.get("vbmd_mg_cm3"),
                density.get("bmc_mg"),
                entry.get("reason", ""),
            ]
        )
    return rows


def _geometry_rows(femur) -> list[list]:
    values = femur.geometry
    rows = []
    for key, title, unit in _MEASURES:
        if key == "anteversion_deg":
            title = f"{title} (to the {values['anteversion_reference']})"
        rows.append([femur.side, title, values[key], unit])
    section = values["narrow_neck"] or {}
    rows += [[femur.side, title, section.get(key), unit] for key, title, unit in _SECTION]
    if "cortex" in section:
        rows.append([femur.side, "Narrow neck, cortical thickness", section["cortex"]["mean_thickness_mm"], "mm"])
    return rows
