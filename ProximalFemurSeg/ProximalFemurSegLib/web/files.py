"""Files on their way from the browser and back."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..errors import BadInputError
from ..report import write_segmentation
from ..volume import Volume
from ..volume_io import FORMATS, read_labels, read_volume

SAMPLES = Path(__file__).resolve().parents[2] / "Resources" / "SampleData"
_SAMPLE_CASES = {"HipMR": "hip-mr", "HipCT": "hip-ct"}


def sample_cases() -> tuple[str, ...]:
    """Names of the sample cases that are here; a package that was installed without them has none."""
    return tuple(name for name, stem in _SAMPLE_CASES.items() if (SAMPLES / f"{stem}.nii.gz").is_file())


def read_sample(name: str) -> Volume:
    """The image of a sample case."""
    return read_volume(SAMPLES / f"{_SAMPLE_CASES[name]}.nii.gz")


def read_sample_truth(name: str) -> Volume:
    """The exact truth of a sample case, as labels."""
    return read_labels(SAMPLES / f"{_SAMPLE_CASES[name]}-truth.nii.gz")


def read_upload(name: str, content: bytes, read) -> Volume:
    """A file that the browser sent.

    Parameters
    ----------
    name : str
        As the browser gives it; its folders do not count.
    content : bytes
    read : callable
        ``volume_io.read_volume`` or ``volume_io.read_labels``.

    Raises
    ------
    BadInputError
        If it cannot be read.
    """
    name = PureWindowsPath(PurePosixPath(name).name).name
    if not name.lower().endswith(FORMATS):
        raise BadInputError(f"'{name}' is no image that can be read here: choose one of {', '.join(FORMATS)}.")
    with tempfile.TemporaryDirectory(prefix="proximal-femur-seg-") as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            return read(path)
        except BadInputError as error:
            # Where it lay for a moment says nothing to whoever sent it.
            raise BadInputError(str(error).replace(str(path), name)) from None


def zip_of_result(result, image: Volume) -> bytes:
    """The files of the ``segment`` command in an archive.

    Parameters
    ----------
    result : SegmentationResult
        As of ``mrml.shown_result``.
    image : Volume
        What was segmented.
    """
    archive = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="proximal-femur-seg-") as folder:
        write_segmentation(result, image, folder)
        with zipfile.ZipFile(archive, "w") as files:
            for path in sorted(Path(folder).iterdir()):
                files.write(path, path.name)
    return archive.getvalue()
