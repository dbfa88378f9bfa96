"""The nodes of a result: made, found again, and never written over once somebody has edited them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import parameters as p
from .hierarchy import place_beside
from .probability_node import create_probability_node, show_above, update_probability_node
from .segmentation_node import (
    create_segmentation_node,
    is_edited,
    mark_automatic,
    place_on_volume,
    set_segments,
    write_labels,
)
from .segments import describe_segments
from .stored_probabilities import store_description
from .table_node import Column, create_table_node, write_table


@dataclass
class ResultNodes:
    """Where a result is in the scene; None where there is no such node.

    Attributes
    ----------
    input : vtkMRMLScalarVolumeNode
        The volume that was segmented.
    probability, endosteal : vtkMRMLScalarVolumeNode
        The maps; the endosteal one of a cascade only.
    segmentation : vtkMRMLSegmentationNode
    table : vtkMRMLTableNode
        The volumes.
    """

    input: Any = None
    probability: Any = None
    endosteal: Any = None
    segmentation: Any = None
    table: Any = None

    @classmethod
    def from_parameter_node(cls, node) -> ResultNodes:
        """The nodes that a parameter node refers to."""
        roles = (p.INPUT, p.PROBABILITY, p.ENDOSTEAL, p.SEGMENTATION, p.TABLE)
        return cls(*(p.get_reference(node, role) for role in roles))

    def to_parameter_node(self, node) -> None:
        """Have a parameter node refer to these nodes, as one modification."""
        modified = node.StartModify()
        p.set_reference(node, p.INPUT, self.input)
        p.set_reference(node, p.PROBABILITY, self.probability)
        p.set_reference(node, p.ENDOSTEAL, self.endosteal)
        p.set_reference(node, p.SEGMENTATION, self.segmentation)
        p.set_reference(node, p.TABLE, self.table)
        node.EndModify(modified)


def load_result(adapter, input_node, result, previous: ResultNodes | None = None) -> ResultNodes:
    """Put a segmentation result into the scene.

    Parameters
    ----------
    adapter : Adapter
        The scene, and what the application around it can do.
    input_node : vtkMRMLScalarVolumeNode
        The volume that was segmented.
    result : SegmentationResult
        On the input's grid.
    previous : ResultNodes, optional
        Nodes to write into. They are left alone (the segmentation hidden), and new ones made, if somebody edited the
        segmentation or if they belong to another input.

    Returns
    -------
    ResultNodes
        With a probability node per map, the segmentation with surfaces, and the table, all beside the input in the
        subject hierarchy.

    Raises
    ------
    BadInputError
        If the input changed its size after the run began; the scene is then as it was.
    """
    *_, nodes = load_steps(adapter, input_node, result, previous)
    return nodes


def load_steps(adapter, input_node, result, previous: ResultNodes | None = None) -> Iterator[ResultNodes]:
    """:func:`load_result` in steps short enough for a window; after the last one the nodes are complete."""
    reused = _reusable(input_node, previous)
    if previous is not None and reused.segmentation is not previous.segmentation:
        hide(previous.segmentation)
    scene, name = adapter.scene, input_node.GetName()
    nodes = ResultNodes(input=input_node, segmentation=reused.segmentation, table=reused.table)
    nodes.probability = _put_map(
        scene, input_node, reused.probability, result.probability.array, f"{name} femur probability"
    )
    if result.endosteal_probability is not None:
        nodes.endosteal = _put_map(
            scene, input_node, reused.endosteal, result.endosteal_probability.array, f"{name} endosteal probability"
        )
    elif reused.endosteal is not None:
        scene.RemoveNode(reused.endosteal)
    store_description(nodes.probability, input_node, result.probabilities)
    yield nodes
    write_segmentation(adapter, nodes, result)
    yield nodes
    write_measurements(adapter, nodes, result.measurements)
    place_beside(input_node, nodes.probability, nodes.endosteal, nodes.segmentation, nodes.table)
    for number in range(len(result.probabilities.regions)):
        # Looked up now, where no child process has done so, it does not hold up the first step of the threshold.
        yield nodes
        result.probabilities.main_part(number)
    yield nodes


def write_segmentation(adapter, nodes: ResultNodes, result) -> None:
    """Write a result's masks into ``nodes.segmentation``, which is made if there is none."""
    segments = describe_segments(result.sides)
    if nodes.segmentation is None:
        name = f"{nodes.input.GetName()} femur segmentation"
        nodes.segmentation = create_segmentation_node(adapter.scene, nodes.input, segments, name)
    else:
        adapter.save_undo(nodes.segmentation)
        nodes.segmentation.CreateDefaultDisplayNodes()
        nodes.segmentation.GetDisplayNode().SetVisibility(True)
        place_on_volume(nodes.segmentation, nodes.input)
        set_segments(nodes.segmentation, segments)
    start, labels = masked_part(result)
    write_labels(nodes.segmentation, labels, segments, start)
    adapter.update_surface(nodes.segmentation)
    mark_automatic(nodes.segmentation, threshold_note(result))
    for node in (nodes.probability, nodes.endosteal):
        if node is not None:
            show_above(node, overall_threshold(result))


def write_measurements(adapter, nodes: ResultNodes, measurements) -> None:
    """Write the volumes into ``nodes.table``, which is made if there is none."""
    if nodes.table is None:
        nodes.table = create_table_node(adapter.scene, f"{nodes.input.GetName()} femur volumes")
    columns = [
        Column("side", "", "Side"),
        Column("structure", "", "Structure"),
        Column("volume_mm3", "mm3", "Volume (mm3)"),
        Column("volume_cm3", "cm3", "Volume (cm3)"),
        Column("incomplete", "", "Incomplete"),
    ]
    rows = [[row[column.key] for column in columns] for row in measurements["volumes"]]
    write_table(nodes.table, columns, rows)
    for key in ("network", "device", "modality"):
        nodes.table.SetAttribute(f"ProximalFemurSeg.{key.capitalize()}", str(measurements.get(key, "")))


def masked_part(result):
    """((k, j, i) where it begins, uint8 labels) of the part of the label map that holds anything."""
    return tuple(axis.start for axis in result.window), result.labels.array[result.window]


def threshold_note(result) -> str:
    """The thresholds of a result, to be remembered with its masks."""
    return json.dumps(result.threshold)


def overall_threshold(result) -> float:
    """The threshold of the outermost mask."""
    return float(result.threshold[result.probabilities.outer_role])


def volume_of(segmentation):
    """The volume on whose grid a segmentation lies, or None."""
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())


def _reusable(input_node, previous) -> ResultNodes:
    """The nodes of an earlier result that may be written into."""
    if previous is None:
        return ResultNodes()
    segmentation = previous.segmentation
    if segmentation is not None and segmentation.GetSegmentation().GetNumberOfSegments() == 0:
        # The user made an empty one for this.
        return ResultNodes(segmentation=segmentation)
    if segmentation is None or is_edited(segmentation) or volume_of(segmentation) is not input_node:
        return ResultNodes()
    return previous


def hide(segmentation) -> None:
    """Take a segmentation out of every view; None is passed over."""
    display = segmentation.GetDisplayNode() if segmentation is not None else None
    if display is not None:
        display.SetVisibility(False)


def _put_map(scene, input_node, node, array, name):
    if node is None:
        return create_probability_node(scene, input_node, array, name)
    update_probability_node(node, input_node, array)
    return node
