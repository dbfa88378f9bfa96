"""The uncertainty as a scalar volume node that is laid over the slices."""

from __future__ import annotations

import numpy as np

from ..inference.uncertainty import uncertainty
from .matrices import matrix_from_numpy
from .volume_node import local_affine, set_voxels

COLOR_NODE_ID = "vtkMRMLColorTableNodeFileViridis.txt"
_FALLBACK_COLOR_NODE_ID = "vtkMRMLColorTableNodeOcean"
_LEAST_SHOWN = 0.1


def put_uncertainty(scene, input_node, probabilities, node=None):
    """Write the uncertainty of a result into a volume node.

    Parameters
    ----------
    scene : vtkMRMLScene
    input_node : vtkMRMLScalarVolumeNode
        What was segmented; its geometry and parent transform are taken over.
    probabilities : Probabilities
        On the input's grid.
    node : vtkMRMLScalarVolumeNode, optional
        To write into; a new one is made if left out.

    Returns
    -------
    vtkMRMLScalarVolumeNode
        Entropy in bits, 0 to 1, on the part of the input's grid in which femora were looked for.
    """
    start, volume = uncertainty(probabilities)
    new = node is None
    if new:
        name = scene.GenerateUniqueName(f"{input_node.GetName()} uncertainty")
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    set_voxels(node, volume.array)
    affine = local_affine(input_node)
    affine[:3, 3] = (affine @ np.array([*start[::-1], 1.0]))[:3]
    node.SetIJKToRASMatrix(matrix_from_numpy(affine))
    node.SetAndObserveTransformNodeID(input_node.GetTransformNodeID())
    if new:
        _set_display(scene, node)
    return node


def _set_display(scene, node):
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    # Colours that come from files are only there in desktop Slicer.
    there = scene.GetNodeByID(COLOR_NODE_ID) is not None
    display.SetAndObserveColorNodeID(COLOR_NODE_ID if there else _FALLBACK_COLOR_NODE_ID)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetAutoThreshold(False)
    display.SetApplyThreshold(True)
    display.SetThreshold(_LEAST_SHOWN, 1.0)
