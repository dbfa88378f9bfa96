"""One case in the scene: a result against its reference, as a table of metrics and as surfaces coloured by distance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..evaluation.comparison import ComparisonOptions, compare_pair
from ..evaluation.distance_map import color_limit
from .adapter import Adapter
from .compared_parts import Pair, pair_masks, suggest_pairs
from .distance_model import create_distance_model, remove_distance_model
from .hierarchy import place_beside
from .table_node import Column, create_table_node, read_table, write_table

RESULT, REFERENCE, MODEL = "ComparedResult", "ComparedReference", "DistanceModel"
"""Roles in which the table of a comparison refers to the nodes that belong to it; they are saved with the scene."""
MASKS_ATTRIBUTE = "ProximalFemurSeg.ComparedMasks"
"""Attribute of that table: the fingerprint of the masks that were compared."""

COLUMNS = (
    Column("structure", "", "Structure"),
    Column("dice", "", "DSC"),
    Column("precision", "", "Precision"),
    Column("recall", "", "Recall"),
    Column("specificity", "", "Specificity"),
    Column("asd_mm", "mm", "ASD (mm)"),
    Column("msd_mm", "mm", "MSD (mm)"),
    Column("hd95_mm", "mm", "HD95 (mm)"),
    Column("rms_mm", "mm", "RMS distance (mm)"),
    Column("surface_dice", "", "Surface DSC"),
    Column("surface_dice_tolerance_mm", "mm", "Tolerance (mm)"),
    Column("volume_mm3", "mm3", "Volume (mm3)"),
    Column("reference_volume_mm3", "mm3", "Reference volume (mm3)"),
    Column("relative_volume_error_percent", "%", "Volume error (%)"),
    Column("surface_definition", "", "Surface"),
    Column("result_touches", "", "Cut off at"),
    Column("interpolated", "", "From another grid"),
)


@dataclass
class Comparison:
    """What a comparison gave.

    Attributes
    ----------
    values : list of dict
        For each pair of structures its ``structure`` and everything of ``evaluation.evaluate_masks``; what is not
        defined, as a distance to an empty mask, is None.
    table : vtkMRMLTableNode
        The same, one row a structure.
    models : list of vtkMRMLModelNode or None
        For each pair the result's surface with its distance to the reference; None where a mask is empty.
    """

    values: list[dict[str, Any]] = field(default_factory=list)
    table: Any = None
    models: list[Any] = field(default_factory=list)


def compare_nodes(
    adapter: Adapter,
    result_node,
    reference_node,
    pairs: Sequence[Pair] | None = None,
    options: ComparisonOptions = ComparisonOptions(),  # noqa: B008 - frozen
) -> Comparison:
    """Compare a result with its reference and put what came of it into the scene.

    A second comparison of the same two nodes replaces the table and the models of the first.

    Parameters
    ----------
    adapter : Adapter
        The scene.
    result_node, reference_node : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode
        Under any linear transforms.
    pairs : sequence of Pair, optional
        Which structures; default `suggest_pairs`.
    options : ComparisonOptions
        How.

    Raises
    ------
    BadInputError
        If the nodes cannot be compared; the scene is then as it was.
    """
    pairs = suggest_pairs(result_node, reference_node) if pairs is None else list(pairs)
    measured = [compare_pair(*masks, options) for masks in pair_masks(result_node, reference_node, pairs)]
    *_, comparison = comparison_steps(adapter, result_node, reference_node, pairs, measured, options)
    return comparison


def comparison_steps(adapter: Adapter, result_node, reference_node, pairs, measured, options) -> Iterator[Comparison]:
    """Put what was measured of each pair, as of ``compare_pair``, into the scene.

    A generator of steps short enough for a window; after the last one the comparison is complete.
    """
    surfaces = [surface for _, surface in measured]
    comparison = Comparison([{"structure": pair.name, **values} for pair, (values, _) in zip(pairs, measured)])
    comparison.table = _write_values(adapter.scene, comparison.values, result_node, reference_node)
    for model in _write_models(adapter.scene, comparison.table, surfaces, pairs, result_node, options):
        yield comparison
        comparison.models.append(model)
    place_beside(result_node, comparison.table, *comparison.models)
    yield comparison


def find_comparison(scene, result_node, reference_node):
    """The table of an earlier comparison of these nodes, or None."""
    tables = scene.GetNodesByClass("vtkMRMLTableNode")
    tables.UnRegister(None)
    for number in range(tables.GetNumberOfItems()):
        table = tables.GetItemAsObject(number)
        if table.GetNodeReference(RESULT) is result_node and table.GetNodeReference(REFERENCE) is reference_node:
            return table
    return None


def read_values(table) -> list[dict[str, Any]]:
    """What a comparison's table holds, as ``Comparison.values`` as far as it goes into a table."""
    return [{**row, "interpolated": row.get("interpolated") == "yes"} for row in read_table(table)]


def distance_models(table) -> list:
    """The models that belong to a comparison's table."""
    found = [table.GetNthNodeReference(MODEL, n) for n in range(table.GetNumberOfNodeReferences(MODEL))]
    return [node for node in found if node is not None]


def all_distance_models(scene, result_node) -> list:
    """The models of every comparison of a result, with whatever reference."""
    tables = scene.GetNodesByClass("vtkMRMLTableNode")
    tables.UnRegister(None)
    found = [tables.GetItemAsObject(number) for number in range(tables.GetNumberOfItems())]
    return [m for table in found if table.GetNodeReference(RESULT) is result_node for m in distance_models(table)]


def distances_shown(scene, result_node) -> bool:
    """True where a surface coloured by distance stands in the 3D view in place of the result's own."""
    displays = [model.GetDisplayNode() for model in all_distance_models(scene, result_node)]
    return any(display is not None and display.GetVisibility() for display in displays)


def _write_values(scene, values, result_node, reference_node):
    table = find_comparison(scene, result_node, reference_node)
    if table is None:
        table = create_table_node(scene, f"{result_node.GetName()} against {reference_node.GetName()}")
        table.SetNodeReferenceID(RESULT, result_node.GetID())
        table.SetNodeReferenceID(REFERENCE, reference_node.GetID())
    write_table(table, COLUMNS, [[_cell(entry[column.key]) for column in COLUMNS] for entry in values])
    return table


def _cell(value):
    return ", ".join(value) if isinstance(value, list) else value


def _write_models(scene, table, surfaces, pairs, result_node, options):
    for node in distance_models(table):
        remove_distance_model(scene, node)
    table.RemoveNodeReferenceIDs(MODEL)
    made = [surface for surface in surfaces if surface is not None]
    # One scale for all, so that colours can be compared and one legend is enough.
    limit = options.limit_mm or (color_limit(*made) if made else None)
    legend = True
    for pair, surface in zip(pairs, surfaces):
        if surface is None:
            yield None
            continue
        name = f"{result_node.GetName()} distance, {pair.name}"
        node = create_distance_model(scene, surface, name, limit, result_node, legend and pair.shown)
        legend = legend and not pair.shown
        node.GetDisplayNode().SetVisibility(pair.shown)
        table.AddNodeReferenceID(MODEL, node.GetID())
        yield node
