"""4x4 matrices between VTK and numpy."""

from __future__ import annotations

import numpy as np
import vtk


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
