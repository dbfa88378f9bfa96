"""A layout of the module's own: three slices, the 3D view and the table of results."""

from __future__ import annotations

LAYOUT_ID = 7341
"""Far from Slicer's own numbers and from those that its documentation uses in examples."""

_SLICE = (
    '<item><view class="vtkMRMLSliceNode" singletontag="{name}"><property name="orientation" action="default">'
    '{orientation}</property><property name="viewlabel" action="default">{name[0]}</property>'
    '<property name="viewcolor" action="default">{color}</property></view></item>'
)
_RED = _SLICE.format(name="Red", orientation="Axial", color="#F34A33")
_GREEN = _SLICE.format(name="Green", orientation="Coronal", color="#6EB04B")
_YELLOW = _SLICE.format(name="Yellow", orientation="Sagittal", color="#EDD54C")
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


def show_layout(layout_manager, table_node) -> None:
    """Arrange the views so, and show a table in the table view.

    Parameters
    ----------
    layout_manager : qSlicerLayoutManager
    table_node : vtkMRMLTableNode or None
    """
    node = layout_manager.layoutLogic().GetLayoutNode()
    if not node.IsLayoutDescription(LAYOUT_ID):
        node.AddLayoutDescription(LAYOUT_ID, LAYOUT)
    layout_manager.setLayout(LAYOUT_ID)
    if table_node is not None:
        view = layout_manager.tableWidget(0).tableView().mrmlTableViewNode()
        view.SetTableNodeID(table_node.GetID())
