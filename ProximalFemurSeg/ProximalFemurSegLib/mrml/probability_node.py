"""The probability map as a scalar volume node on the input's grid, displayed as an overlay."""

from __future__ import annotations

import numpy as np

from ..errors import BadInputError
from .matrices import matrix_from_numpy
from .volume_node import local_affine, set_voxels

COLOR_NODE_ID = "vtkMRMLColorTableNodeIron"
"""Black, red, yellow, white: brightness rises with the probability, so it also reads without colour vision."""


def create_probability_node(scene, input_node, probability: np.ndarray, name: str):
    """Add a probability map to the scene, lying exactly on the input volume.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where to add it.
    input_node : vtkMRMLScalarVolumeNode
        The volume that was segmented: its IJK-to-RAS matrix and its parent transform are taken over.
    probability : numpy.ndarray
        (K, J, I) probabilities 0 to 1 on the input's grid; shared with the node where it is float32.
    name : str
        Name of the node; made unique.

    Returns
    -------
    vtkMRMLScalarVolumeNode
        With a display node: colour table, window 0 to 1, everything below the threshold (0.5 to begin with) hidden.

    Raises
    ------
    BadInputError
        If the map has another number of voxels than the input.
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    # Before it has voxels: a display node with a window of its own choice would look at each of them.
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(COLOR_NODE_ID)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, 1.0)
    show_above(node, 0.5)
    try:
        update_probability_node(node, input_node, probability)
    except BadInputError:
        scene.RemoveNode(display)
        scene.RemoveNode(node)
        raise
    return node


def update_probability_node(node, input_node, probability: np.ndarray) -> None:
    """Give an existing probability node new voxels on the input's grid; its display stays as the user set it."""
    shape = tuple(reversed(input_node.GetImageData().GetDimensions()))
    if tuple(probability.shape) != shape:
        raise BadInputError(
            f"The probability map has {_size(probability.shape)} voxels and the volume '{input_node.GetName()}' "
            f"{_size(shape)}; the volume was changed after the run began: press Apply again."
        )
    set_voxels(node, np.asarray(probability, dtype=np.float32))
    node.SetIJKToRASMatrix(matrix_from_numpy(local_affine(input_node)))
    node.SetAndObserveTransformNodeID(input_node.GetTransformNodeID())


def show_above(node, threshold: float) -> None:
    """Hide the overlay where the probability is below ``threshold`` (0 to 1)."""
    display = node.GetDisplayNode()
    if display is None:
        return
    modified = display.StartModify()
    display.SetAutoThreshold(False)
    display.SetApplyThreshold(True)
    display.SetThreshold(float(threshold), 1.0)
    display.EndModify(modified)


def _size(shape) -> str:
    return " x ".join(str(n) for n in reversed(tuple(shape)))
