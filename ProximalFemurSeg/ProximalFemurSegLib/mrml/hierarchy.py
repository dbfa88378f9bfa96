"""Results beside their image: in the subject hierarchy, under the study of the input."""

from __future__ import annotations

from .volume_node import subject_hierarchy_item


def place_beside(input_node, *nodes) -> bool:
    """Put nodes under the same parent (study or folder) as the input volume.

    Parameters
    ----------
    input_node : vtkMRMLNode
        The volume that was segmented.
    *nodes : vtkMRMLNode or None
        What came of it; None is passed over.

    Returns
    -------
    bool
        False where the scene has no hierarchy, or the input no item in it: then nothing is done.
    """
    found = subject_hierarchy_item(input_node)
    if found is None:
        return False
    hierarchy, input_item = found
    parent = hierarchy.GetItemParent(input_item)
    for node in nodes:
        if node is None:
            continue
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, parent)
        else:
            hierarchy.CreateItem(parent, node)
    return True
