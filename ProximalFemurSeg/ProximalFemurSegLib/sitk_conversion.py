"""Volume (RAS) to SimpleITK image (LPS) and back."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .volume import Grid, Volume

_RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def affine_from_sitk(image: sitk.Image) -> np.ndarray:
    """(4, 4) voxel centre (i, j, k) to RAS mm of a 3D SimpleITK image."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return _RAS_LPS @ affine


def volume_from_sitk(image: sitk.Image, name: str = "", source=None, metadata=None) -> Volume:
    """A Volume with a copy of the voxels of a 3D SimpleITK image.

    Examples
    --------
    >>> image = sitk.Image((2, 3, 4), sitk.sitkInt16)
    >>> image.SetOrigin((10, 20, 30))
    >>> volume = volume_from_sitk(image)
    >>> volume.array.shape, volume.grid.origin.tolist()
    ((4, 3, 2), [-10.0, -20.0, 30.0])
    """
    array = sitk.GetArrayFromImage(image)
    return Volume(array, Grid(array.shape, affine_from_sitk(image)), name, source, dict(metadata or {}))


def sitk_from_volume(volume: Volume) -> sitk.Image:
    """A SimpleITK image with a copy of a Volume's voxels; bool becomes uint8, float16 float32."""
    array = volume.array
    if array.dtype == bool:
        array = array.view(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")))
    affine = _RAS_LPS @ volume.grid.affine
    spacing = np.asarray(volume.grid.spacing)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image
