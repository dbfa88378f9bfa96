"""Scalar volume nodes as volumes, and back: the same voxels, never a copy where none is needed."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from ..errors import BadInputError
from ..volume import Grid, Volume
from .matrices import matrix_from_numpy, matrix_to_world, numpy_from_matrix

_AXIS_TOLERANCE = 1e-3
"""How far from 90 degrees two voxel axes may be, as the cosine between them: DICOM's own rounding stays below it."""


def array_from_node(node) -> np.ndarray:
    """The voxels of a scalar volume node, sharing its memory.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        The volume.

    Returns
    -------
    numpy.ndarray
        (K, J, I) voxels; writing into it writes into the node (call ``node.GetImageData().Modified()`` afterwards).

    Raises
    ------
    BadInputError
        If the node is empty, has several values per voxel, or is a single slice.
    """
    image = node.GetImageData()
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        raise BadInputError(f"The volume {_name(node)} holds no voxels; load its image data again.")
    if scalars.GetNumberOfComponents() != 1:
        raise BadInputError(
            f"The volume {_name(node)} has {scalars.GetNumberOfComponents()} values per voxel; "
            "choose a volume of single values (use Vector to Scalar Volume for a colour image)."
        )
    shape = tuple(reversed(image.GetDimensions()))
    if min(shape) < 2:
        raise BadInputError(f"The volume {_name(node)} is a single slice; choose a three-dimensional volume.")
    return numpy_support.vtk_to_numpy(scalars).reshape(shape)


def local_affine(node) -> np.ndarray:
    """(4, 4) float64 IJK to RAS mm of the node itself, its parent transforms left out."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return numpy_from_matrix(matrix)


def world_affine(node) -> np.ndarray:
    """(4, 4) float64 IJK to RAS mm in the scene's world: the node's own matrix under all of its parent transforms.

    Raises
    ------
    BadInputError
        If a parent transform bends space, or shears the voxels: then no grid of straight, perpendicular axes
        describes where they lie.
    """
    affine = matrix_to_world(node) @ local_affine(node)
    _check_axes(affine, node)
    return affine


def grid_from_node(node) -> Grid:
    """The grid of a volume node in the scene's world (see :func:`world_affine`)."""
    image = node.GetImageData()
    if image is None:
        raise BadInputError(f"The volume {_name(node)} holds no voxels; load its image data again.")
    return Grid(tuple(reversed(image.GetDimensions())), world_affine(node))


def volume_from_node(node) -> Volume:
    """A scalar volume node as a volume in the scene's world, sharing the node's memory.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        Any IJK-to-RAS matrix with perpendicular axes: oblique, flipped, permuted or left-handed. Linear parent
        transforms are composed into the grid; the node stays as it is.

    Returns
    -------
    Volume
        ``metadata["modality"]`` is set where the scene knows it (see :func:`modality_of`).

    Raises
    ------
    BadInputError
        If the node is empty, not three-dimensional, not of single values, or under a transform that no grid follows.
    """
    array = array_from_node(node)
    modality = modality_of(node)
    metadata = {} if modality is None else {"modality": modality}
    return Volume(array, Grid(array.shape, world_affine(node)), name=node.GetName() or "", metadata=metadata)


def modality_of(node):
    """'CT' or 'MR' as DICOM said when the volume was loaded, None where the scene does not know.

    The subject hierarchy keeps the series' modality; where there is no such item, Hounsfield units mean CT.
    """
    item = subject_hierarchy_item(node)
    if item is not None:
        hierarchy, item_id = item
        attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
        modality = (hierarchy.GetItemAttribute(item_id, attribute) or "").upper()
        if modality in ("CT", "MR"):
            return modality
    units = node.GetVoxelValueUnits() if hasattr(node, "GetVoxelValueUnits") else None
    if units is not None and units.GetCodeValue() == "[hnsf'U]":
        return "CT"
    return None


def is_dicom_series(node) -> bool:
    """True if a volume was loaded through Slicer's DICOM database, which notes whose instances it holds."""
    return node is not None and bool(node.GetAttribute("DICOM.instanceUIDs"))


def subject_hierarchy_item(node):
    """(subject hierarchy node, item id) of a node, or None where the scene has no hierarchy or no item for it."""
    scene = node.GetScene()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene) if scene is not None else None
    item_id = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    return (hierarchy, item_id) if item_id else None


def node_from_volume(volume: Volume, scene, name: str | None = None, class_name: str = "vtkMRMLScalarVolumeNode"):
    """Add a volume to the scene; the new node shares the array's memory.

    Parameters
    ----------
    volume : Volume
        Its array is shared where VTK can hold its type as it lies in memory (not bool, float16, big-endian or
        strided arrays: those are converted).
    scene : vtkMRMLScene
        Where to add it.
    name : str, optional
        Name of the node; ``volume.name`` if left out.
    class_name : str
        ``vtkMRMLScalarVolumeNode`` or ``vtkMRMLLabelMapVolumeNode``.

    Returns
    -------
    vtkMRMLScalarVolumeNode
        With default display nodes.
    """
    node = scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name or volume.name or "Volume"))
    set_voxels(node, volume.array)
    node.SetIJKToRASMatrix(matrix_from_numpy(volume.grid.affine))
    node.CreateDefaultDisplayNodes()
    return node


def set_voxels(node, array: np.ndarray) -> None:
    """Make ``array`` (K, J, I) the voxels of a volume node, shared as :func:`node_from_volume` shares them."""
    image = image_from_array(array)
    node.SetAndObserveImageData(image)


def image_from_array(array: np.ndarray):
    """A vtkImageData of unit spacing that shares the memory of a (K, J, I) array, and keeps it alive."""
    voxels = vtk_compatible(array)
    scalars = numpy_support.numpy_to_vtk(voxels.ravel(), deep=False)
    scalars.SetName("ImageScalars")
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(voxels.shape))
    image.GetPointData().SetScalars(scalars)
    return image


def vtk_compatible(array: np.ndarray) -> np.ndarray:
    """The array itself if VTK can hold it as it is, else a converted copy."""
    if array.dtype == bool:
        # The same bytes: a mask need not be copied to become one of 0 and 1.
        array = np.ascontiguousarray(array).view(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _check_axes(affine: np.ndarray, node) -> None:
    axes = affine[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not np.all(np.isfinite(affine)) or np.any(lengths <= 0):
        raise BadInputError(f"The volume {_name(node)} has a voxel size of zero; correct its spacing.")
    cosines = np.abs((axes / lengths).T @ (axes / lengths) - np.eye(3))
    if cosines.max() > _AXIS_TOLERANCE:
        raise BadInputError(
            f"The voxel axes of the volume {_name(node)} are not perpendicular (a shearing transform, or a tilted "
            "gantry); resample the volume to straight axes first."
        )


def _name(node) -> str:
    return f"'{node.GetName()}'"
