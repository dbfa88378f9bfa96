"""Label maps in the values that this program writes, as segmentations whose segments are known by name."""

from __future__ import annotations

import numpy as np

from .segmentation_node import create_segmentation_node, write_labels
from .segments import describe_segments
from .volume_node import array_from_node

_STRUCTURES = {1: "trabecular bone", 2: "cortical bone"}
_SECOND_FEMUR = 10  # added to the labels of the second femur


def has_own_labels(label_map) -> bool:
    """True if a label map node holds trabecular and cortical bone, and nothing that this program does not write."""
    values = set(np.unique(array_from_node(label_map)).tolist()) - {0}
    return set(_STRUCTURES) <= values <= {v + second for v in _STRUCTURES for second in (0, _SECOND_FEMUR)}


def segmentation_from_own_labels(scene, label_map, sides):
    """Add a segmentation of a label map's structures, which is not shown.

    Parameters
    ----------
    scene : vtkMRMLScene
    label_map : vtkMRMLLabelMapVolumeNode
        See :func:`has_own_labels`; values do not say which femur is which.
    sides : sequence of str or None
        Of the first and the second femur.

    Returns
    -------
    vtkMRMLSegmentationNode
        On the label map's grid, its segments named as those of a result.
    """
    labels = array_from_node(label_map)
    femora = dict(zip((0, _SECOND_FEMUR), sides))
    named = {v + second: (name, side) for second, side in femora.items() for v, name in _STRUCTURES.items()}
    segments = describe_segments({value: entry for value, entry in named.items() if (labels == value).any()})
    node = create_segmentation_node(scene, label_map, segments, f"{label_map.GetName()} structures")
    known = np.isin(labels, [segment.label for segment in segments])
    write_labels(node, np.where(known, labels, 0).astype(np.uint8), segments)
    node.GetDisplayNode().SetVisibility(False)
    return node
