"""Whether a MetaImage (.mha, .mhd) has all its voxels; SimpleITK decodes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .compressed_stream import stream_length
from .errors import BadInputError

_BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}
_LONGEST_HEADER = 1 << 16


def _read_header(path) -> tuple[dict, int]:
    fields = {}
    length = 0
    with open(path, "rb") as file:
        while length < _LONGEST_HEADER and "ElementDataFile" not in fields:
            line = file.readline(_LONGEST_HEADER)
            key, equals, value = line.partition(b"=")
            if not equals:
                break
            length += len(line)
            fields[key.strip().decode("latin-1")] = value.strip().decode("utf-8", "replace")
    return fields, length


def check_metaimage(path) -> None:
    """Refuse a MetaImage that lacks voxels or whose compressed voxels are damaged.

    Raises
    ------
    BadInputError
        Not a MetaImage, or its voxel file is missing, truncated or damaged.
    """
    path = Path(path)
    fields, offset = _read_header(path)
    try:
        expected = int(np.prod([int(n) for n in fields["DimSize"].split()], dtype=object))
        expected *= _BYTES.get(fields["ElementType"], 0) * int(fields.get("ElementNumberOfChannels", 1))
        data = fields["ElementDataFile"]
        header_size = int(fields.get("HeaderSize", 0))
    except (KeyError, ValueError):
        raise BadInputError(
            f"'{path}' is not a MetaImage, or its header is truncated or damaged: copy or export it again."
        ) from None
    if data.upper() == "LIST" or "%" in data:  # one file for each slice: SimpleITK stops at the first that is missing
        return
    voxels = path
    if data.upper() != "LOCAL":
        voxels, offset = path.parent / data, max(0, header_size)
        if not voxels.is_file():
            raise BadInputError(f"'{path}' keeps its voxels in '{data}', which is not beside it: copy both files.")
    if fields.get("CompressedData", "False").upper() == "TRUE":
        found = stream_length(voxels, offset, "zlib", path)
    else:
        found = voxels.stat().st_size - offset
    if found < expected:
        raise BadInputError(
            f"'{path}' is truncated ({max(0, found)} of {expected} bytes of voxels): copy or export it again."
        )
