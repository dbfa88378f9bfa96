"""Whether a compressed stream within a file is whole.

SimpleITK reads a damaged gzip or zlib stream without complaint; its check sums are looked at here.
"""

from __future__ import annotations

import zlib

from .errors import BadInputError

_FORMS = {"gzip": 31, "zlib": 15}
_CHUNK = 1 << 18


def stream_length(path, offset: int, form: str, named=None) -> int:
    """Uncompressed length in bytes of a stream, its check sum verified.

    Parameters
    ----------
    path : path-like
        The file that holds the stream.
    offset : int
        Where in the file it begins.
    form : {'gzip', 'zlib'}
        Its container.
    named : path-like, optional
        The file to name in messages, if the user knows another.

    Raises
    ------
    BadInputError
        Truncated, damaged, or not such a stream.
    """
    named = path if named is None else named
    stream = zlib.decompressobj(_FORMS[form])
    length = 0
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            while not stream.eof:
                chunk = file.read(_CHUNK)
                if not chunk:
                    raise BadInputError(f"'{named}' is truncated: copy or export it again.")
                length += len(stream.decompress(chunk))
    except zlib.error:
        raise BadInputError(f"'{named}' is damaged, its compressed voxels are corrupt: copy it again.") from None
    return length
