"""4x4 matrices between VTK and numpy."""

from __future__ import annotations

import numpy as np
import vtk

from ..errors import BadInputError


def numpy_from_matrix(matrix) -> np.ndarray:
    """The (4, 4) float64 array of a vtkMatrix4x4."""
    values = np.zeros(16)
    matrix.DeepCopy(values, matrix)
    return values.reshape(4, 4)


def matrix_from_numpy(array):
    """The vtkMatrix4x4 of a (4, 4) array."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.ascontiguousarray(array, dtype=np.float64).ravel())
    return matrix


def matrix_to_world(node) -> np.ndarray:
    """(4, 4), from a node's own RAS mm to the scene's world, through all of its parent transforms.

    Raises
    ------
    BadInputError
        If one of them bends space.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise BadInputError(
            f"'{node.GetName()}' is under the non-linear transform '{parent.GetName()}'; harden that transform or take "
            "it out of it."
        )
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return numpy_from_matrix(matrix)
