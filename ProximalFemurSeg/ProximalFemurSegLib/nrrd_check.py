"""Whether the compressed voxels of an NRRD are whole; SimpleITK decodes them, and finds all other damage itself."""

from __future__ import annotations

from pathlib import Path

from .compressed_stream import stream_length
from .errors import BadInputError

_LONGEST_HEADER = 1 << 20


def check_nrrd(path) -> None:
    """Refuse an NRRD whose gzipped voxels are truncated or damaged.

    Raises
    ------
    BadInputError
        Not an NRRD, or its voxel file is missing, truncated or damaged.
    """
    path = Path(path)
    fields = {}
    with open(path, "rb") as file:
        if not file.read(4) == b"NRRD":
            raise BadInputError(f"'{path}' is not an NRRD file, whatever its name says: export the image again.")
        while file.tell() < _LONGEST_HEADER:
            line = file.readline(_LONGEST_HEADER)
            if not line.strip():  # the blank line before the voxels, or the end of a detached header
                break
            key, _, value = line.decode("latin-1").partition(":")
            fields[key.strip().lower()] = value.strip()
        offset = file.tell()
    data = fields.get("data file", fields.get("datafile"))
    voxels = path
    if data is not None:
        if data.upper().startswith("LIST") or "%" in data:
            return
        voxels, offset = path.parent / data, 0
        if not voxels.is_file():
            raise BadInputError(f"'{path}' keeps its voxels in '{data}', which is not beside it: copy both files.")
    skips = [fields.get(name, "0") for name in ("line skip", "lineskip", "byte skip", "byteskip")]
    if fields.get("encoding") in ("gzip", "gz") and set(skips) == {"0"}:
        stream_length(voxels, offset, "gzip", path)
