"""Surfaces of masks, made the way a segmentation node makes them, from arrays alone: for a process without Slicer."""

from __future__ import annotations

import numpy as np
import vtk
from vtk.util import numpy_support

_PASS_BAND, _ITERATIONS = 0.01, 40  # Slicer's smoothing factor of 0.5, its default


def surface_of(mask: np.ndarray, affine: np.ndarray):
    """The smoothed surface of a mask.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool.
    affine : numpy.ndarray
        (4, 4) voxel centre (i, j, k) to mm.

    Returns
    -------
    points : numpy.ndarray
        (N, 3) float32, in the affine's mm.
    triangles : numpy.ndarray
        (M, 3) int64 indices of points, turned outwards.
    normals : numpy.ndarray
        (N, 3) float32.

    Notes
    -----
    Discrete flying edges on voxels, windowed-sinc smoothing and normals with the settings of Slicer's own conversion,
    so that a surface from here and one that Slicer makes of the same mask are the same.
    """
    from ..postprocessing import bounding_box

    box = bounding_box(mask)
    if box is None:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64), np.zeros((0, 3), np.float32)
    # A mask that reaches the border would be left open there.
    part = np.pad(mask[box].astype(np.uint8), 1)
    edges = vtk.vtkDiscreteFlyingEdges3D()
    edges.SetInputData(_image(part, [axis.start - 1 for axis in reversed(box)]))
    edges.ComputeGradientsOff()
    edges.ComputeNormalsOff()
    edges.SetValue(0, 1)
    smoother = vtk.vtkWindowedSincPolyDataFilter()
    smoother.SetInputConnection(edges.GetOutputPort())
    smoother.SetNumberOfIterations(_ITERATIONS)
    smoother.SetPassBand(_PASS_BAND)
    smoother.BoundarySmoothingOff()
    smoother.FeatureEdgeSmoothingOff()
    smoother.NonManifoldSmoothingOn()
    smoother.NormalizeCoordinatesOn()
    moved = vtk.vtkTransformPolyDataFilter()
    moved.SetInputConnection(smoother.GetOutputPort())
    transform = vtk.vtkTransform()
    transform.SetMatrix(np.asarray(affine, dtype=np.float64).ravel())
    moved.SetTransform(transform)
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(moved.GetOutputPort())
    normals.ConsistencyOn()
    normals.SplittingOff()
    normals.Update()
    surface = normals.GetOutput()
    triangles = numpy_support.vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    return (
        numpy_support.vtk_to_numpy(surface.GetPoints().GetData()).astype(np.float32),
        triangles.astype(np.int64),
        numpy_support.vtk_to_numpy(surface.GetPointData().GetNormals()).astype(np.float32),
    )


def polydata(points: np.ndarray, triangles: np.ndarray, normals: np.ndarray | None = None):
    """A vtkPolyData of the arrays of :func:`surface_of`."""
    result = vtk.vtkPolyData()
    positions = vtk.vtkPoints()
    positions.SetData(numpy_support.numpy_to_vtk(np.ascontiguousarray(points, np.float32), deep=True))
    result.SetPoints(positions)
    offsets = np.arange(0, 3 * len(triangles) + 1, 3, dtype=np.int64)
    cells = vtk.vtkCellArray()
    cells.SetData(
        numpy_support.numpy_to_vtkIdTypeArray(offsets, deep=True),
        numpy_support.numpy_to_vtkIdTypeArray(np.ascontiguousarray(triangles, np.int64).ravel(), deep=True),
    )
    result.SetPolys(cells)
    if normals is not None:
        array = numpy_support.numpy_to_vtk(np.ascontiguousarray(normals, np.float32), deep=True)
        array.SetName("Normals")
        result.GetPointData().SetNormals(array)
    return result


def _image(voxels, origin):
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(voxels.shape))
    image.SetOrigin(*origin)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(voxels.ravel(), deep=True))
    return image
