"""The uncertainty as a scalar volume node that is laid over the slices."""

from __future__ import annotations

import numpy as np

from ..inference.uncertainty import uncertainty
from .color_legend import add_legend
from .matrices import matrix_from_numpy
from .volume_node import array_from_node, local_affine, set_voxels

COLOR_NODE_ID = "vtkMRMLColorTableNodeFileViridis.txt"
_FALLBACK_COLOR_NODE_ID = "vtkMRMLColorTableNodeOcean"
_ATTRIBUTE = "ProximalFemurSeg.Uncertainty"
_ENTROPY, _SPREAD, _FORMER = "entropy", "spread", "former"
# Bits: what is shown from, and where the colours end. Networks seldom contradict each other flatly.
_SHOWN = {_ENTROPY: (0.1, 1.0), _SPREAD: (0.02, 0.5)}


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
        Entropy in bits, 0 to 1, or the spread between several weights, on the part of the input's grid in which
        femora were looked for.
    """
    start, volume = uncertainty(probabilities)
    if node is None:
        name = scene.GenerateUniqueName(f"{input_node.GetName()} uncertainty")
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    set_voxels(node, volume.array)
    affine = local_affine(input_node)
    affine[:3, 3] = (affine @ np.array([*start[::-1], 1.0]))[:3]
    node.SetIJKToRASMatrix(matrix_from_numpy(affine))
    node.SetAndObserveTransformNodeID(input_node.GetTransformNodeID())
    kind = _ENTROPY if probabilities.spread is None else _SPREAD
    if node.GetAttribute(_ATTRIBUTE) != kind:
        node.SetAttribute(_ATTRIBUTE, kind)
        _set_display(scene, node, *_SHOWN[kind])
    return node


def stored_spread(node, probabilities):
    """The spread between several weights that the scene holds of a result, or None.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode or None
        From :func:`put_uncertainty`.
    probabilities : Probabilities
        The result.
    """
    if not _is_spread(node):
        return None
    values = array_from_node(node)
    window = tuple(axis.stop - axis.start for axis in probabilities.window)
    return values if values.shape == window else None


def mark_former(node) -> None:
    """The map in a node, if there is one, is of an earlier result from now on."""
    if node is not None:
        node.SetAttribute(_ATTRIBUTE, _FORMER)


def is_of_former_result(node) -> bool:
    """True if the map in a node was marked so and not made anew."""
    return node is not None and node.GetAttribute(_ATTRIBUTE) == _FORMER


def is_of_result(node) -> bool:
    """True if a node holds a map of the present result."""
    return node is not None and node.GetImageData() is not None and not is_of_former_result(node)


def _is_spread(node) -> bool:
    return node is not None and node.GetImageData() is not None and node.GetAttribute(_ATTRIBUTE) == _SPREAD


def _set_display(scene, node, least, most):
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    # Colours that come from files are only there in desktop Slicer.
    there = scene.GetNodeByID(COLOR_NODE_ID) is not None
    display.SetAndObserveColorNodeID(COLOR_NODE_ID if there else _FALLBACK_COLOR_NODE_ID)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, most)
    display.SetAutoThreshold(False)
    display.SetApplyThreshold(True)
    display.SetThreshold(least, 1.0)
    # Whoever lays it over the slices shows the legend, too.
    add_legend(display, "bit", visible=False)
