"""What a reader changed of the network's masks, as a segmentation of its own."""

from __future__ import annotations

from functools import reduce

import numpy as np

from .hierarchy import place_beside
from .segmentation_node import create_segmentation_node, masks_on_grid, reference_grid, write_labels
from .segments import SegmentDescription

ADDED, REMOVED = 1, 2
_SEGMENTS = (
    SegmentDescription(ADDED, "added", "Added by hand", (0.10, 0.80, 0.30), None),
    SegmentDescription(REMOVED, "removed", "Taken away by hand", (0.85, 0.20, 0.75), None),
)


def changed_voxels(nodes, labels: np.ndarray) -> np.ndarray:
    """Where the bone in the scene differs from that of a label map.

    Parameters
    ----------
    nodes : ResultNodes
        Whose segmentation was edited.
    labels : numpy.ndarray
        (K, J, I) the network's labels on the input's grid; 0 is background.

    Returns
    -------
    numpy.ndarray
        uint8: :data:`ADDED`, :data:`REMOVED` or 0; an exchange of one bone's label for another's is no change.
    """
    masks = masks_on_grid(nodes.segmentation, reference_grid(nodes.segmentation)).values()
    bone = reduce(np.logical_or, [mask.array for mask in masks]) if masks else np.zeros(labels.shape, bool)
    before = labels > 0
    return (ADDED * (bone & ~before) + REMOVED * (before & ~bone)).astype(np.uint8)


def show_changes(adapter, nodes, labels: np.ndarray):
    """Add a segmentation of what was added and what was taken away; outlines alone, so that the image stays visible."""
    name = f"{nodes.segmentation.GetName()} changes"
    node = create_segmentation_node(adapter.scene, nodes.input, _SEGMENTS, name)
    write_labels(node, changed_voxels(nodes, labels), _SEGMENTS)
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(0.5)
    display.SetVisibility3D(False)
    node.SetSaveWithScene(False)
    place_beside(nodes.input, node)
    return node
