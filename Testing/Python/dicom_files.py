"""DICOM series written with pydicom, slice by slice."""

from __future__ import annotations

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
STORED = np.random.default_rng(0).integers(0, 3000, (6, 5, 7)).astype(np.uint16)


def write_slice(path, pixels, position, axes, **tags):
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = tags.pop("SOPClassUID", CT)
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = pydicom.dataset.Dataset()
    data.file_meta = meta
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID = "1.2.3"
    data.SeriesInstanceUID = "1.2.3.4"
    data.SeriesDescription = "hip"
    data.Modality = "CT"
    data.Rows, data.Columns = pixels.shape[:2]
    data.PixelSpacing = [0.8, 0.7]  # between rows, then between columns
    data.ImagePositionPatient = [f"{float(v):.8g}" for v in position]
    data.ImageOrientationPatient = [f"{float(v):.8g}" for v in axes]
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.RescaleSlope, data.RescaleIntercept = "1", "-1024"
    for name, value in tags.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.PixelData = np.ascontiguousarray(pixels).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def write_series(
    folder, stored=STORED, axes=(1, 0, 0, 0, 1, 0), step=2.5, first=(-30.5, 12.25, 100), places=None, **tags
):
    """One file for each slice, in names that do not sort as the slices lie; returns the places along the normal."""
    normal = np.cross(np.asarray(axes[:3], float), np.asarray(axes[3:], float))
    places = np.arange(len(stored)) * step if places is None else np.asarray(places, float)
    for n, place in enumerate(places):
        write_slice(folder / f"IM{(n * 5 + 2) % 7}_{n}", stored[n], np.asarray(first) + place * normal, axes, **tags)
    return places


def write_volume_as_series(volume, folder, modality="MR", **tags):
    """A series of a volume, its values rounded: an MR from 0 to 4095, a CT from -1024 HU to 3071 HU."""
    lps = np.diag([-1.0, -1.0, 1.0])
    axes = lps @ volume.grid.direction
    i, j, k = volume.grid.spacing
    first = lps @ volume.grid.origin
    # The normal of the slices is that of their axes; where the volume runs the other way, the slices do, too.
    forward = np.sign(np.dot(np.cross(axes[:, 0], axes[:, 1]), axes[:, 2]))
    zero, uid = {"MR": (0, MR), "CT": (-1024, CT)}[modality]
    stored = np.clip(np.rint(volume.array.astype(np.float64) - zero), 0, 4095).astype(np.uint16)
    write_series(folder, stored, (*axes[:, 0], *axes[:, 1]), forward * k, first, PixelSpacing=[j, i],
                 RescaleIntercept=str(zero), SOPClassUID=uid, Modality=modality, **tags)
