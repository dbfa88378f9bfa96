"""Read a NIfTI file, NIfTI-1 or NIfTI-2, compressed or not.

SimpleITK, which reads every other format here, passes over too much in this one that a measurement must not: it takes
NaN for 0 and a spacing of zero for 1 mm, combines the sform's directions with pixdim's spacing, takes the qform where
the sform is sheared, and fills what a truncated file lacks with whatever lies in memory.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import BadInputError
from .grid_checks import check_dimensions, checked_affine, zero_spacing
from .volume import Grid

# For each length of header the fields' (offset, format); https://nifti.nimh.nih.gov
_FIELDS = {
    348: {
        "magic": (344, "3s"),
        "dim": (40, "8h"),
        "datatype": (70, "h"),
        "pixdim": (76, "8f"),
        "vox_offset": (108, "f"),
        "slope": (112, "2f"),
        "units": (123, "B"),
        "codes": (252, "2h"),
        "quatern": (256, "6f"),
        "srow": (280, "12f"),
    },
    540: {
        "magic": (4, "3s"),
        "dim": (16, "8q"),
        "datatype": (12, "h"),
        "pixdim": (104, "8d"),
        "vox_offset": (168, "q"),
        "slope": (176, "2d"),
        "units": (500, "i"),
        "codes": (344, "2i"),
        "quatern": (352, "6d"),
        "srow": (400, "12d"),
    },
}
_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_COLOURS_AND_COMPLEX = (32, 128, 1792, 2048, 2304)
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # metre, micrometre; anything else is taken as mm
_SPACING_CONTRADICTION = 0.01
_BEST_COMPRESSION = 1032  # deflate cannot do better
_CHUNK = 1 << 20


@dataclass(frozen=True)
class NiftiHeader:
    """The part of a NIfTI header that voxels and their places depend on.

    Parameters
    ----------
    shape : tuple of int
        Extent of every axis, i first.
    datatype : int
        NIfTI's code.
    byte_order : {'<', '>'}
        As :mod:`struct` has it.
    spacing : numpy.ndarray
        (3,) mm.
    qform, sform : numpy.ndarray or None
        (4, 4) voxel centre (i, j, k) to RAS mm; None where the header does not state it.
    sform_is_scanner : bool
        The sform maps to scanner space.
    slope, intercept : float
        value = stored * slope + intercept, unless the slope is 0.
    offset : int
        Byte at which the voxels begin, uncompressed.
    compressed : bool
        The file is gzipped, whatever its name.
    """

    shape: tuple
    datatype: int
    byte_order: str
    spacing: np.ndarray
    qform: np.ndarray | None
    sform: np.ndarray | None
    sform_is_scanner: bool
    slope: float
    intercept: float
    offset: int
    compressed: bool

    @property
    def voxel_bytes(self) -> int:
        """Length of all voxels in bytes; 0 where the type is one that is not read."""
        size = np.dtype(_TYPES[self.datatype]).itemsize if self.datatype in _TYPES else 0
        return int(np.prod(self.shape, dtype=object)) * size


def _open(path, compressed: bool):
    return gzip.open(path, "rb") if compressed else open(path, "rb")


def _is_gzip(path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _qform(quatern, pixdim, spacing, scale) -> np.ndarray:
    """Method 2 of the definition of NIfTI-1."""
    b, c, d = quatern[:3]
    a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing * [1, 1, -1 if pixdim[0] < 0 else 1]
    affine[:3, 3] = np.asarray(quatern[3:]) * scale
    return affine


def read_nifti_header(path) -> NiftiHeader:
    """Parse the header of a NIfTI file in either byte order.

    Raises
    ------
    BadInputError
        Not a NIfTI file, or one that ends within its header.
    """
    path = Path(path)
    wrong = f"'{path}' is not a NIfTI file, whatever its name says: export the image as .nii.gz again."
    compressed = _is_gzip(path)
    try:
        with _open(path, compressed) as file:
            raw = file.read(540)
    except gzip.BadGzipFile:
        raise BadInputError(wrong) from None
    except (EOFError, zlib.error):
        raise BadInputError(f"'{path}' is truncated or damaged in its header: copy or export it again.") from None
    for order in "<>":
        size = struct.unpack(order + "i", raw[:4])[0] if len(raw) >= 4 else 0
        if size in _FIELDS:
            break
    else:
        raise BadInputError(wrong)
    if len(raw) < size:
        raise BadInputError(f"'{path}' is truncated in its header: copy or export it again.")
    field = {name: struct.unpack_from(order + form, raw, at) for name, (at, form) in _FIELDS[size].items()}
    dim = field["dim"]
    if field["magic"][0] not in (b"n+1", b"n+2") or not 0 <= dim[0] <= 7 or min(dim[1 : 1 + dim[0]], default=0) < 0:
        raise BadInputError(wrong)
    qform_code, sform_code = field["codes"]
    scale = _MM_PER_UNIT.get(field["units"][0] & 7, 1.0)
    pixdim = np.asarray(field["pixdim"], dtype=np.float64)
    spacing = pixdim[1:4] * scale
    return NiftiHeader(
        shape=dim[1 : 1 + dim[0]],
        datatype=field["datatype"][0],
        byte_order=order,
        spacing=spacing,
        qform=_qform(field["quatern"], pixdim, spacing, scale) if qform_code > 0 else None,
        sform=np.vstack([np.reshape(field["srow"], (3, 4)) * scale, [0, 0, 0, 1]]) if sform_code > 0 else None,
        sform_is_scanner=sform_code == 1,
        slope=field["slope"][0],
        intercept=field["slope"][1],
        offset=int(field["vox_offset"][0]),
        compressed=compressed,
    )


def nifti_affine(header: NiftiHeader, path) -> tuple[np.ndarray, list[str]]:
    """The affine that a NIfTI header means, and what had to be decided.

    Of sform and qform the one is taken that ITK, and so 3D Slicer, takes: the sform where it is the only one or maps to
    scanner space, else the qform. Without either, voxels lie along the axes of LPS from the origin, as ITK has it.

    Returns
    -------
    affine : numpy.ndarray
        (4, 4) voxel centre (i, j, k) to RAS mm; may be sheared.
    messages : list of str
        One sentence for each thing the user should know.

    Raises
    ------
    BadInputError
        A spacing of zero, or a transform whose voxel size contradicts the header's spacing.
    """
    size = np.abs(header.spacing)
    if not np.all(np.isfinite(size)) or np.any(size == 0):
        raise zero_spacing(path, header.spacing)
    if header.sform is None and header.qform is None:
        return np.diag([*(size * [-1, -1, 1]), 1.0]), [
            "The file does not say how the image lies in the patient; it is taken as axial, from the feet up and with "
            "the patient's right first, so that left and right may be wrong."
        ]
    if header.qform is None or (header.sform is not None and header.sform_is_scanner):
        chosen, other, name = header.sform, header.qform, "sform"
    else:
        chosen, other, name = header.qform, header.sform, "qform"
    stated = np.linalg.norm(chosen[:3, :3], axis=0)
    if not np.all(np.abs(stated - size) <= _SPACING_CONTRADICTION * size):
        raise BadInputError(
            f"'{path}' contradicts itself: its voxels are {_listed(size)} mm by its spacing and {_listed(stated)} mm "
            f"by its {name}; correct the header or export the image again."
        )
    messages = []
    if other is not None and not _largest_distance(chosen, other, header.shape) <= 0.5 * size.min():
        messages.append(
            f"The file's sform and qform place the image differently; the {name} is used, as 3D Slicer does."
        )
    return chosen, messages


def _listed(spacing) -> str:
    return " x ".join(f"{s:.4g}" for s in spacing)


def _largest_distance(one, other, shape) -> float:
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in shape[:3]], indexing="ij")).reshape(3, -1)
    difference = (one - other)[:3]
    return float(np.linalg.norm(difference[:, :3] @ ends + difference[:, 3:], axis=0).max())


def nifti_lacks_voxels(path) -> bool:
    """True if a NIfTI file just written is too short, as after a full disk; a gzip stream's own word is taken."""
    header = read_nifti_header(path)
    expected = header.offset + header.voxel_bytes
    if not header.compressed:
        return Path(path).stat().st_size < expected
    with open(path, "rb") as file:
        file.seek(-4, 2)
        return struct.unpack("<I", file.read(4))[0] != expected % 2**32


def _read_voxels(path, header: NiftiHeader) -> np.ndarray:
    """(bytes,) uint8, every byte there and, where compressed, the stream's check sum verified."""
    expected = header.voxel_bytes
    stored = Path(path).stat().st_size
    found = 0
    if header.offset + expected <= stored * (_BEST_COMPRESSION if header.compressed else 1):
        voxels = np.empty(expected, np.uint8)
        view = memoryview(voxels)
        try:
            with _open(path, header.compressed) as file:
                file.seek(header.offset)
                while count := file.readinto(view[found : found + _CHUNK]):
                    found += count
                while header.compressed and file.read(_CHUNK):
                    pass  # the check sum comes after whatever follows the voxels
        except EOFError:
            pass
        except (zlib.error, gzip.BadGzipFile):
            raise BadInputError(f"'{path}' is damaged, its compressed voxels are corrupt: copy it again.") from None
        else:
            if found == expected:
                return voxels
    raise BadInputError(f"'{path}' is truncated ({found} of {expected} bytes of voxels): copy or export it again.")


def read_nifti(path) -> tuple[np.ndarray, Grid, list[str]]:
    """Voxels, grid and messages of a NIfTI file with one 3D volume.

    Returns
    -------
    array : numpy.ndarray
        (K, J, I) in the type stored, or float32 where slope and intercept apply.
    grid : Grid
        Where the voxels lie.
    messages : list of str
        What had to be decided.

    Raises
    ------
    BadInputError
        Not NIfTI, not 3D, colours, truncated, damaged, zero spacing, contradictory or sheared axes.
    """
    path = Path(path)
    header = read_nifti_header(path)
    vectors = len(header.shape) == 5 and header.shape[3] == 1 and header.shape[4] > 1
    if vectors or header.datatype in _COLOURS_AND_COMPLEX:
        raise BadInputError(f"'{path}' holds colours or vectors, not one value per voxel: export a grey image.")
    shape = check_dimensions(header.shape, path)
    if header.datatype not in _TYPES:
        raise BadInputError(f"'{path}' stores voxels as NIfTI type {header.datatype}: convert it to float or integer.")
    affine, messages = nifti_affine(header, path)
    grid = Grid(shape[::-1], checked_affine(affine, shape[::-1], path))
    array = _read_voxels(path, header).view(header.byte_order + _TYPES[header.datatype]).reshape(grid.shape)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    scaled = np.isfinite([header.slope, header.intercept]).all() and header.slope != 0
    if scaled and (header.slope, header.intercept) != (1, 0):
        array = array.astype(np.float32)
        array *= np.float32(header.slope)
        array += np.float32(header.intercept)
    return array, grid, messages
