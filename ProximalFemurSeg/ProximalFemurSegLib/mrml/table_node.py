"""The measurements as a table node, one row a structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import vtk


@dataclass(frozen=True)
class Column:
    """A column of a results table.

    Attributes
    ----------
    key : str
        Name of the column in the table node and in a CSV written from it.
    unit : str
        Unit of its values, empty where they have none.
    title : str
        What the user reads above it; the key if left out.
    """

    key: str
    unit: str = ""
    title: str = ""


def create_table_node(scene, name: str):
    """Add an empty table to the scene, its name made unique."""
    return scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))


def write_table(node, columns: Sequence[Column], rows: Sequence[Sequence]) -> None:
    """Replace a table's content.

    Parameters
    ----------
    node : vtkMRMLTableNode
        From :func:`create_table_node`, or any table of the scene.
    columns : sequence of Column
        A column is numeric where every value in it is a number, else text.
    rows : sequence of sequence
        Values in the order of the columns; None where there is no value.
    """
    modified = node.StartModify()
    try:
        table = vtk.vtkTable()
        for index, column in enumerate(columns):
            table.AddColumn(_array(column.key, [row[index] for row in rows]))
        node.SetAndObserveTable(table)
        node.SetUseColumnTitleAsColumnHeader(True)
        for column in columns:
            node.SetColumnUnitLabel(column.key, column.unit)
            # A table view writes the unit behind the title itself.
            title = column.title or column.key
            ending = f" ({column.unit})"
            node.SetColumnTitle(column.key, title[: -len(ending)] if title.endswith(ending) else title)
    finally:
        node.EndModify(modified)


def read_table(node) -> list[dict]:
    """The rows of a table node as dictionaries of column name to number or text."""
    table = node.GetTable()
    names = [table.GetColumnName(c) for c in range(table.GetNumberOfColumns())]
    rows = []
    for r in range(table.GetNumberOfRows()):
        rows.append({name: _plain(table.GetValue(r, c)) for c, name in enumerate(names)})
    return rows


def _array(name, values):
    numeric = bool(values) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    array = vtk.vtkDoubleArray() if numeric else vtk.vtkStringArray()
    array.SetName(name)
    for value in values:
        array.InsertNextValue(float(value) if numeric else _text(value))
    return array


def _text(value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _plain(variant):
    return variant.ToDouble() if variant.IsNumeric() else variant.ToString()
