"""Read and write volumes: NIfTI, NRRD, MetaImage, and DICOM series (read only).

Every function raises :class:`~.errors.BadInputError` with one sentence that names the file, what is wrong with it and
what to do about it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .dicom_series import is_dicom, read_dicom_series
from .errors import BadInputError, ProximalFemurSegError
from .grid_checks import check_dimensions, checked_affine
from .metaimage_check import check_metaimage
from .nifti import nifti_lacks_voxels, read_nifti
from .nrrd_check import check_nrrd
from .sitk_conversion import affine_from_sitk, sitk_from_volume, volume_from_sitk
from .volume import Grid, Volume

__all__ = [
    "FORMATS",
    "read_labels",
    "read_mask",
    "read_probability",
    "read_volume",
    "sitk_from_volume",
    "volume_from_sitk",
    "write_volume",
]

_IMAGE_IO = {
    ".nii.gz": "NiftiImageIO",
    ".nii": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
}
FORMATS = tuple(_IMAGE_IO)
_MOST_MISSING = 0.5
_ROUNDING = 1e-3


def read_volume(path, series_uid: str | None = None) -> Volume:
    """Read an image to segment.

    Parameters
    ----------
    path : path-like
        .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd; a folder with a DICOM series (the folders in it are searched too);
        or one DICOM file with several frames.
    series_uid : str, optional
        Which DICOM series, for a folder with several.

    Returns
    -------
    Volume
        Values as the file has them where it stores 8- or 16-bit integers or float32; other integers become int16 where
        they fit, and everything else float32. Up to half of the voxels may be NaN or infinite, as around a resampled
        field of view: they get the smallest finite value. Axes within rounding of right angles are made exactly so.
        ``metadata["messages"]`` lists, in sentences, what had to be decided; ``metadata["modality"]`` is what DICOM
        says ("CT", "MR"), and absent for other formats.

    Raises
    ------
    BadInputError
        Missing, empty, truncated or damaged file, unknown format, not 3D, colour, constant, mostly NaN, zero spacing,
        sheared axes, or a DICOM folder with several series and none chosen.
    """
    path = Path(path)
    volume = _read(path, series_uid)
    if min(volume.array.shape) < 2:
        size = " x ".join(str(n) for n in volume.array.shape[::-1])
        raise BadInputError(f"'{path}' is 2D ({size} voxels), and a volume is needed: give the whole stack of slices.")
    return replace(volume, array=usable_values(volume.array, path, volume.metadata["messages"]))


def read_probability(path) -> Volume:
    """Read a probability map.

    Returns
    -------
    Volume
        float32 from 0 to 1; what lies outside by no more than rounding is brought to the end of the range.

    Raises
    ------
    BadInputError
        As for :func:`read_volume`, except that a constant map is no mistake here; or values that are no probabilities.
    """
    path = Path(path)
    volume = _read(path, None)
    array = volume.array.astype(np.float32)
    lowest, highest = float(array.min()), float(array.max())
    if not (lowest >= -_ROUNDING and highest <= 1 + _ROUNDING):
        raise BadInputError(
            f"'{path}' holds values from {lowest:g} to {highest:g} and is no probability map: give one from 0 to 1."
        )
    return replace(volume, array=np.clip(array, 0, 1, out=array))


def read_labels(path) -> Volume:
    """Read a label map.

    Returns
    -------
    Volume
        Whole numbers, of the smallest of uint8, int16, int32, int64 that holds them.

    Raises
    ------
    BadInputError
        As for :func:`read_volume`, except that a constant map is no mistake here; or fractions among the values.
    """
    path = Path(path)
    volume = _read(path, None)
    return replace(volume, array=_whole_numbers(volume.array, path))


def read_mask(path, label=None) -> Volume:
    """Read a mask.

    Parameters
    ----------
    path : path-like
        As for :func:`read_volume`; a .seg.nrrd with overlapping segments too, without a label.
    label : int or sequence of int, optional
        Which values are bone; any but zero if left out.

    Returns
    -------
    Volume
        bool. An empty mask is a mask.

    Raises
    ------
    BadInputError
        As for :func:`read_labels`; or a label asked of a .seg.nrrd with overlapping segments.
    """
    path = Path(path)
    volume = _read(path, None, merge_layers=label is None)
    array = _whole_numbers(volume.array, path)
    return replace(volume, array=array != 0 if label is None else np.isin(array, label))


def write_volume(volume: Volume, path) -> None:
    """Write a volume so that the file is complete or absent, never half written.

    Parameters
    ----------
    volume : Volume
        bool is written as uint8; integers too wide for the format as the smallest type that holds them.
    path : path-like
        .nii, .nii.gz, .nrrd, .mha or .mhd; missing folders are made, an existing file is replaced. All but .nii and
        .mhd are compressed.

    Raises
    ------
    ProximalFemurSegError
        Unknown format, folder that cannot be written, or disk full.
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix is None:
        raise BadInputError(f"'{path}' has no format that can be written: end the name with {_either(FORMATS)}.")
    if volume.array.dtype.kind in "iu" and volume.array.dtype.itemsize > 4:
        volume = volume.with_array(_smallest_integers(volume.array))
    image = sitk_from_volume(volume)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            writer = sitk.ImageFileWriter()
            writer.SetImageIO(_IMAGE_IO[suffix])
            writer.SetUseCompression(suffix not in (".nii", ".mhd", ".nhdr"))
            written = Path(folder, path.name[: -len(suffix)] + suffix)
            writer.SetFileName(os.fspath(written))
            writer.Execute(image)
            if suffix in (".nii", ".nii.gz") and nifti_lacks_voxels(written):  # unnoticed by SimpleITK
                raise OSError(errno.ENOSPC, "disk full")
            # The header of a pair is moved last, so that it never names voxels that are not there yet.
            for file in Path(folder).iterdir():
                if file != written:
                    os.replace(file, path.parent / file.name)
            os.replace(written, path)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "disk full or not writable"
        raise ProximalFemurSegError(
            f"'{path}' cannot be written ({reason}): free space or choose another folder."
        ) from None


def _suffix(path: Path) -> str | None:
    name = path.name.lower()
    return next((s for s in FORMATS if name.endswith(s)), None)


def _either(words) -> str:
    return ", ".join(words[:-1]) + " or " + words[-1]


def _read(path: Path, series_uid, merge_layers: bool = False) -> Volume:
    if not path.exists():
        raise BadInputError(f"'{path}' does not exist: check the path.")
    try:
        if path.is_dir():
            return read_dicom_series(path, series_uid)
        if path.stat().st_size == 0:
            raise BadInputError(f"'{path}' is empty (0 bytes): copy or export it again.")
        suffix = _suffix(path)
        if suffix is not None:
            return _read_file(path, suffix, merge_layers)
        if is_dicom(path):
            return read_dicom_series(path, series_uid)
    except OSError as error:
        raise BadInputError(f"'{path}' cannot be read ({error.strerror or error}): check it and its folder.") from None
    raise BadInputError(
        f"'{path}' is of no known format: give a {_either(FORMATS)} file, or a folder with a DICOM series."
    )


def _read_file(path: Path, suffix: str, merge_layers: bool) -> Volume:
    name = path.name[: -len(suffix)]
    if suffix in (".nii", ".nii.gz"):
        array, grid, messages = read_nifti(path)
        return Volume(array, grid, name, path, {"messages": messages})
    {".mha": check_metaimage, ".mhd": check_metaimage, ".nrrd": check_nrrd, ".nhdr": check_nrrd}[suffix](path)
    image = _decode(path, suffix, merge_layers)
    array = sitk.GetArrayFromImage(image)
    if array.ndim == 4:
        array = array.any(axis=3).view(np.uint8)
    grid = Grid(array.shape, checked_affine(affine_from_sitk(image), array.shape, path))
    return Volume(array, grid, name, path, {"messages": []})


def _decode(path: Path, suffix: str, merge_layers: bool) -> sitk.Image:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_IMAGE_IO[suffix])
    reader.SetFileName(os.fspath(path))
    try:
        reader.ReadImageInformation()
        check_dimensions(reader.GetSize(), path)
        _check_components(path, reader, merge_layers)
        if reader.GetDimension() > 3:
            reader.SetExtractSize([*reader.GetSize()[:3], *[0] * (reader.GetDimension() - 3)])
        return reader.Execute()
    except RuntimeError as error:
        if "pacing" in str(error):
            problem = "has a voxel spacing of zero: set the true spacing and save again"
        elif "determinant" in str(error):
            problem = "has axes that do not span a volume: set the true directions and save again"
        else:
            problem = f"is truncated, damaged, or not a {suffix} file: copy or export it again"
        raise BadInputError(f"'{path}' {problem}.") from None


def _check_components(path: Path, reader, merge_layers: bool) -> None:
    count = reader.GetNumberOfComponents()
    if count > 1 and path.name.lower().endswith(".seg.nrrd"):
        if not merge_layers:
            raise BadInputError(
                f"'{path}' has overlapping segments in {count} layers, where a label may mean several: "
                "export the segment you want as a label map."
            )
    elif count > 1 or reader.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise BadInputError(f"'{path}' holds colours or vectors, not one value per voxel: export a grey image.")


def _smallest_integers(array: np.ndarray) -> np.ndarray:
    lowest, highest = int(array.min()), int(array.max())
    for kind in (np.uint8, np.int16, np.int32):
        if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max:
            return array.astype(kind, copy=False)
    return array


def _whole_numbers(array: np.ndarray, path) -> np.ndarray:
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (np.rint(array) == array) & (np.abs(array) < 2**31)
        if not whole.all():
            value = array[~whole][0]
            raise BadInputError(
                f"'{path}' holds values such as {value:g} and is no mask: give a label map, or threshold it first."
            )
        array = array.astype(np.int32)
    return _smallest_integers(array) if array.dtype.itemsize > 1 else array


def usable_values(array: np.ndarray, path, messages: list) -> np.ndarray:
    """The values of an image as :func:`read_volume` gives them, whatever they came from.

    Parameters
    ----------
    array : numpy.ndarray
        As stored; may be changed in place.
    path : path-like
        Named in messages.
    messages : list of str
        Gets a sentence where something had to be decided.

    Raises
    ------
    BadInputError
        Constant, or mostly NaN.
    """
    if array.dtype.kind in "iu" and array.dtype.itemsize > 2:
        small = -32768 <= array.min() and array.max() <= 32767
        array = array.astype(np.int16 if small else np.float32)
    elif array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
        finite = np.isfinite(array)
        missing = 1 - np.count_nonzero(finite) / array.size
        if missing > _MOST_MISSING:
            raise BadInputError(
                f"'{path}' is {100 * missing:.0f} % NaN or infinite: export it again with values in every voxel."
            )
        if missing:
            array[~finite] = array[finite].min()
            share = f"{100 * missing:.2g} %" if missing >= 1e-4 else "A few"
            messages.append(f"{share} of the voxels are NaN or infinite; they get the smallest value of the image.")
    if array.min() == array.max():
        raise BadInputError(f"'{path}' has the same value ({array.flat[0]:g}) in every voxel: export it again.")
    return array
