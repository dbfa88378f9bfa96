"""Read one series of DICOM images as one volume, and refuse what is not one.

GDCM, through SimpleITK, decodes the voxels; what belongs together, in which order and how far apart is settled here,
because a missing slice, two phases in one series or a tilted gantry would otherwise be read without a word.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import BadInputError
from .grid_checks import checked_affine
from .sitk_conversion import affine_from_sitk
from .volume import Grid, Volume

_SOP_CLASSES = b"1.2.840.10008.5.1.4.1.1."
_CT_AND_MR = (b"2\0", b"2.1", b"2.2", b"4\0", b"4.1", b"4.4")
_SAME_PLACE_MM = 1e-2
_UNEVEN = 0.01  # of the slice spacing: taken as rounding
_MISSING = 0.1  # of the slice spacing: more than rounding can explain


@dataclass(frozen=True)
class DicomSlice:
    """What the header of one DICOM image says that its place in a volume depends on."""

    path: Path
    series_uid: str
    description: str
    modality: str
    laterality: str
    size: tuple
    position: np.ndarray | None
    axes: np.ndarray | None
    pixel_spacing: np.ndarray | None
    slope: float
    intercept: float
    bits_stored: int
    signed: bool


@dataclass(frozen=True)
class DicomSeries:
    """The images of one series, in no order.

    Parameters
    ----------
    uid, description, modality : str
        As the headers say.
    slices : tuple of DicomSlice
        At least one.
    """

    uid: str
    description: str
    modality: str
    slices: tuple

    def __str__(self):
        frames = sum(s.size[2] if len(s.size) > 2 else 1 for s in self.slices)
        plural = "slice" if frames == 1 else "slices"
        return f"{self.uid} ({self.modality or 'unknown modality'}, '{self.description}', {frames} {plural})"


def is_dicom(path) -> bool:
    """True if the file has the mark of a DICOM file."""
    with open(path, "rb") as file:
        file.seek(128)
        return file.read(4) == b"DICM"


def _numbers(reader, tag, count):
    if not reader.HasMetaDataKey(tag):
        return None
    try:
        values = np.array([float(v) for v in reader.GetMetaData(tag).split("\\")])
    except ValueError:
        return None
    return values if len(values) == count else None


def _read_slice(reader, path) -> DicomSlice | None:
    reader.SetFileName(os.fspath(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None

    def text(tag):
        return reader.GetMetaData(tag).strip(" \0") if reader.HasMetaDataKey(tag) else ""

    def number(tag, default):
        values = _numbers(reader, tag, 1)
        return default if values is None else float(values[0])

    return DicomSlice(
        path=Path(path),
        series_uid=text("0020|000e"),
        description=text("0008|103e"),
        modality=text("0008|0060"),
        laterality=text("0020|0060"),
        size=tuple(reader.GetSize()),
        position=_numbers(reader, "0020|0032", 3),
        axes=_numbers(reader, "0020|0037", 6),
        pixel_spacing=_numbers(reader, "0028|0030", 2),
        slope=number("0028|1053", 1.0),
        intercept=number("0028|1052", 0.0),
        bits_stored=int(number("0028|0101", 16)),
        signed=number("0028|0103", 0) == 1,
    )


def _files(folder: Path):
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if name.upper() != "DICOMDIR" and path.is_file() and is_dicom(path):
                yield path


def find_series(path) -> list[DicomSeries]:
    """Every image series in a folder and the folders in it, or in one DICOM file.

    Parameters
    ----------
    path : path-like
        Folder or file.

    Returns
    -------
    list of DicomSeries
        Ordered by UID. Structured reports, contours and other objects without voxels are left out.

    Raises
    ------
    BadInputError
        A CT or MR image among the files cannot be read, so that a slice would be missing.
    """
    path = Path(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    groups: dict[str, list[DicomSlice]] = {}
    for file in _files(path) if path.is_dir() else [path]:
        found = _read_slice(reader, file)
        if found is not None:
            groups.setdefault(found.series_uid, []).append(found)
        elif _claims_to_be_ct_or_mr(file):
            raise BadInputError(
                f"'{file}' is truncated, or compressed in a way that cannot be decoded here: copy it again, or export "
                "the series uncompressed."
            )
    return [
        DicomSeries(uid, slices[0].description, slices[0].modality, tuple(slices))
        for uid, slices in sorted(groups.items())
    ]


def _claims_to_be_ct_or_mr(path) -> bool:
    with open(path, "rb") as file:
        head = file.read(1024)
    at = head.find(_SOP_CLASSES)
    kind = head[at + len(_SOP_CLASSES) :][:4] + b"\0"
    return at >= 0 and kind.startswith(_CT_AND_MR)


def _choose(series, path, uid) -> DicomSeries:
    listed = "; ".join(str(s) for s in series)
    if not series:
        raise BadInputError(f"'{path}' holds no DICOM images: give a folder with one DICOM series, or an image file.")
    if uid is not None:
        matching = [s for s in series if s.uid == uid]
        if not matching:
            raise BadInputError(f"'{path}' holds no series {uid}; choose one of: {listed}.")
        return matching[0]
    if len(series) > 1:
        raise BadInputError(f"'{path}' holds {len(series)} series; choose one with --series UID: {listed}.")
    return series[0]


def read_dicom_series(path, series_uid: str | None = None) -> Volume:
    """Read a DICOM series, its slices in order along their normal, values rescaled (HU for CT).

    Parameters
    ----------
    path : path-like
        A folder, or a file with several frames.
    series_uid : str, optional
        Which series, where there are several.

    Returns
    -------
    Volume
        int16 or int32 where every slice's rescaled values are whole, else float32. ``metadata`` has ``modality``,
        ``series_uid``, ``series_description``, ``laterality`` and ``messages``.

    Raises
    ------
    BadInputError
        No series, several and none chosen, one slice, slices missing, doubled, unevenly spaced, of different size or
        orientation, a tilted gantry, colour, or no positions.
    """
    path = Path(path)
    series = _choose(find_series(path), path, series_uid)
    messages: list[str] = []
    first = series.slices[0]
    if len(series.slices) == 1 and len(first.size) > 2 and first.size[2] > 1:
        files, affine = [first.path], None
    else:
        files, affine = _stack(series, path, messages)
    image = _decode(files, series, path)
    if affine is None:
        affine = _affine_of_frames(image, first, path)
    array = sitk.GetArrayFromImage(image)
    grid = Grid(array.shape, checked_affine(affine, array.shape, path))
    metadata = {
        "modality": series.modality,
        "series_uid": series.uid,
        "series_description": series.description,
        "laterality": first.laterality,
        "messages": messages,
    }
    return Volume(array, grid, series.description or path.name, path, metadata)


def _affine_of_frames(image: sitk.Image, header: DicomSlice, path) -> np.ndarray:
    # GDCM says 1 x 1 x 1 mm where frames are not evenly spaced or not in order. Refusing that costs the rare scan that
    # is of exactly this spacing; believing it would cost the truth of every measurement.
    if header.pixel_spacing is None and image.GetSpacing() == (1.0, 1.0, 1.0):
        raise BadInputError(
            f"'{path}' has frames that are unevenly spaced, out of order, or of unknown spacing: "
            "export it as single slices, or as NIfTI."
        )
    return affine_from_sitk(image)


def _stack(series: DicomSeries, path, messages):
    """Files in order and the RAS affine of the volume they make."""
    slices = series.slices
    for s in slices:
        if s.position is None or s.axes is None or s.pixel_spacing is None:
            raise BadInputError(
                f"'{s.path}' does not say where its slice lies or how large its pixels are: "
                "export the original series, not screen captures."
            )
    if len(slices) == 1:
        raise BadInputError(f"'{path}' holds a single slice, and a volume is needed: give the folder of the series.")
    sizes = {s.size[:2] for s in slices}
    if len(sizes) > 1:
        listed = ", ".join(f"{a} x {b}" for a, b in sorted(sizes))
        raise BadInputError(f"'{path}' mixes slices of different size ({listed}): separate them into series.")
    axes = np.array([s.axes for s in slices])
    pixels = np.array([s.pixel_spacing for s in slices])
    if not (np.allclose(axes, axes[0], atol=1e-3) and np.allclose(pixels, pixels[0], rtol=1e-3)):
        raise BadInputError(
            f"'{path}' mixes slices of different orientation or pixel size, as a localizer does: give one stack."
        )
    row, column = axes[0].reshape(2, 3)
    normal = np.cross(row, column)
    positions = np.array([s.position for s in slices])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    step = _slice_step(positions, normal, path, messages)
    affine = np.eye(4)
    affine[:3, 0] = row * pixels[0][1]
    affine[:3, 1] = column * pixels[0][0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    return [slices[n].path for n in order], np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _slice_step(positions, normal, path, messages) -> np.ndarray:
    """(3,) mm from one slice to the next, after every reason to refuse the stack."""
    gaps = np.diff(positions @ normal)
    typical = float(np.median(gaps))
    doubled = int((gaps < _SAME_PLACE_MM).sum())
    if doubled:
        raise BadInputError(
            f"'{path}' has {doubled + 1} or more slices at the same place, as from several phases or echoes: "
            "keep one of them in the folder."
        )
    worst = int(np.abs(gaps - typical).argmax())
    deviation = abs(gaps[worst] / typical - 1)
    if deviation > _MISSING:
        raise BadInputError(
            f"'{path}' has slices missing or unevenly spaced: {gaps[worst]:.4g} mm between slices {worst + 1} and "
            f"{worst + 2} where {typical:.4g} mm is usual; export the complete series, or resample it evenly."
        )
    if deviation > _UNEVEN:
        messages.append(
            f"The slices are {gaps.min():.4g} to {gaps.max():.4g} mm apart; their mean, {gaps.mean():.4g} mm, is used."
        )
    return (positions[-1] - positions[0]) / len(gaps)


def _decode(files, series: DicomSeries, path) -> sitk.Image:
    reader = sitk.ImageSeriesReader() if len(files) > 1 else sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    if len(files) > 1:
        reader.SetFileNames([os.fspath(f) for f in files])
    else:
        reader.SetFileName(os.fspath(files[0]))
    reader.SetOutputPixelType(_pixel_type(series.slices, files, path))
    try:
        return reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].split("): ")[-1]
        raise BadInputError(
            f"'{path}' cannot be decoded ({reason.strip('. ')}): export the series again, uncompressed."
        ) from None


def _pixel_type(slices, files, path) -> int:
    """int16 or int32 where every slice's rescaled values are whole, else float32.

    SimpleITK would take the type of the first slice for all, and cut fractions off the others.
    """
    probe = sitk.ImageFileReader()
    probe.SetImageIO("GDCMImageIO")
    probe.SetFileName(os.fspath(files[0]))
    probe.ReadImageInformation()
    if probe.GetNumberOfComponents() > 1:
        raise BadInputError(f"'{path}' holds colour images: export the original grey images.")
    lowest, highest = 0.0, 0.0
    for s in slices:
        if s.slope % 1 or s.intercept % 1:
            return sitk.sitkFloat32
        stored = (-(2 ** (s.bits_stored - 1)), 2 ** (s.bits_stored - 1) - 1) if s.signed else (0, 2**s.bits_stored - 1)
        values = [v * s.slope + s.intercept for v in stored]
        lowest, highest = min(lowest, *values), max(highest, *values)
    return sitk.sitkInt16 if lowest >= -32768 and highest <= 32767 else sitk.sitkInt32
