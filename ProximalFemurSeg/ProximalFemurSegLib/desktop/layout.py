"""Layouts of the module's own: three slices, the 3D view and the table of results; two segmentations side by side."""

from __future__ import annotations

from ..presenter import tr as _

LAYOUT_ID, SIDE_BY_SIDE_ID = 7341, 7342
"""Far from Slicer's own numbers and from those that its documentation uses in examples."""

_SLICE = (
    '<item><view class="vtkMRMLSliceNode" singletontag="{name}"><property name="orientation" action="default">'
    '{orientation}</property><property name="viewlabel" action="default">{label}</property>'
    '<property name="viewcolor" action="default">{color}</property></view></item>'
)
_RED = _SLICE.format(name="Red", label="R", orientation="Axial", color="#F34A33")
_GREEN = _SLICE.format(name="Green", label="G", orientation="Coronal", color="#6EB04B")
_YELLOW = _SLICE.format(name="Yellow", label="Y", orientation="Sagittal", color="#EDD54C")
_THREE_D = (
    '<item><view class="vtkMRMLViewNode" singletontag="1"><property name="viewlabel" action="default">1</property>'
    "</view></item>"
)
_TABLE = (
    '<item><view class="vtkMRMLTableViewNode" singletontag="TableView1">'
    '<property name="viewlabel" action="default">T</property></view></item>'
)

LAYOUT = (
    '<layout type="vertical" split="true">'
    f'<item splitSize="800"><layout type="horizontal"><item><layout type="vertical">{_RED}{_GREEN}</layout></item>'
    f'<item><layout type="vertical">{_THREE_D}{_YELLOW}</layout></item></layout></item>'
    f'<item splitSize="200"><layout type="horizontal">{_TABLE}</layout></item>'
    "</layout>"
)

LEFT, RIGHT = ("Red", "Green"), ("RedReference", "GreenReference")
"""Slice views for the result and for its reference."""


def side_by_side() -> str:
    """The layout with a column for the result and one for its reference."""
    # Short, or the bar of a narrow view cuts it off.
    notes = ("", " " + _("ref."))
    columns = "".join(
        '<item><layout type="vertical">'
        + _SLICE.format(name=axial, label=f"R{note}", orientation="Axial", color="#F34A33")
        + _SLICE.format(name=coronal, label=f"G{note}", orientation="Coronal", color="#6EB04B")
        + "</layout></item>"
        for (axial, coronal), note in zip((LEFT, RIGHT), notes)
    )
    return f'<layout type="horizontal" split="true">{columns}</layout>'


def slice_node_id(name: str) -> str:
    """ID of the slice node of a view, by the view's name."""
    return f"vtkMRMLSliceNode{name}"


def register_layouts(layout_manager) -> None:
    """Describe the layouts to Slicer: a scene holds no more than the number of its own, and would open without views.

    Parameters
    ----------
    layout_manager : qSlicerLayoutManager
    """
    node = layout_manager.layoutLogic().GetLayoutNode()
    for number, description in ((LAYOUT_ID, LAYOUT), (SIDE_BY_SIDE_ID, side_by_side())):
        if not node.IsLayoutDescription(number):
            node.AddLayoutDescription(number, description)


def show_layout(layout_manager, table_node) -> None:
    """Arrange the views so, and show a table in the table view.

    Parameters
    ----------
    layout_manager : qSlicerLayoutManager
    table_node : vtkMRMLTableNode or None
    """
    register_layouts(layout_manager)
    layout_manager.setLayout(LAYOUT_ID)
    if table_node is not None:
        view = layout_manager.tableWidget(0).tableView().mrmlTableViewNode()
        view.SetTableNodeID(table_node.GetID())


def show_side_by_side(layout_manager) -> int:
    """Two columns of slices that move together.

    Parameters
    ----------
    layout_manager : qSlicerLayoutManager

    Returns
    -------
    int
        The layout before.
    """
    before = layout_manager.layout
    register_layouts(layout_manager)
    layout_manager.setLayout(SIDE_BY_SIDE_ID)
    for name in (*LEFT, *RIGHT):
        composite = layout_manager.sliceWidget(name).mrmlSliceCompositeNode()
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)
    return before
