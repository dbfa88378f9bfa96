"""Surfaces as .vtp, the XML PolyData that VTK, ParaView and 3D Slicer read."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping

import numpy as np

from ..whole_file import write_whole_text

_TYPES = {"f4": "Float32", "f8": "Float64", "i8": "Int64"}
# Slicer takes a model that says nothing for LPS; this is what its own files say it with.
_SPACE = "SPACE"


def write_vtp(path, points: np.ndarray, triangles: np.ndarray, point_data: Mapping[str, np.ndarray]) -> None:
    """Write a surface of triangles.

    Parameters
    ----------
    path : path-like
        Complete or absent, never half written.
    points : numpy.ndarray
        (n, 3) RAS mm; the file says that they are RAS.
    triangles : numpy.ndarray
        (m, 3) indices into the points.
    point_data : mapping
        Name to (n,) values; the first is what is shown by default.

    Raises
    ------
    ValueError
        Values that are not one for each point.
    """
    for name, values in point_data.items():
        if np.shape(values) != (len(points),):
            raise ValueError(f"'{name}' is not one number for each of {len(points)} points.")
    scalars = f' Scalars="{next(iter(point_data))}"' if point_data else ""
    offsets = np.arange(1, len(triangles) + 1, dtype=np.int64) * 3
    space = " ".join(str(ord(letter)) for letter in "RAS") + " 0"
    lines = [
        '<?xml version="1.0"?>',
        '<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
        "<PolyData>",
        "<FieldData>",
        f'<Array type="String" Name="{_SPACE}" NumberOfTuples="1" format="ascii">{space}</Array>',
        "</FieldData>",
        f'<Piece NumberOfPoints="{len(points)}" NumberOfVerts="0" NumberOfLines="0" NumberOfStrips="0" '
        f'NumberOfPolys="{len(triangles)}">',
        f"<PointData{scalars}>",
        *(_array(name, np.asarray(values, dtype="<f4")) for name, values in point_data.items()),
        "</PointData>",
        "<Points>",
        _array("Points", np.asarray(points, dtype="<f4"), 3),
        "</Points>",
        "<Polys>",
        _array("connectivity", np.asarray(triangles, dtype="<i8").ravel()),
        _array("offsets", offsets.astype("<i8")),
        "</Polys>",
        "</Piece>",
        "</PolyData>",
        "</VTKFile>",
        "",
    ]
    write_whole_text(path, "\n".join(lines))


def _array(name: str, values: np.ndarray, components: int = 1) -> str:
    data = np.ascontiguousarray(values).tobytes()
    text = base64.b64encode(struct.pack("<Q", len(data)) + data).decode("ascii")
    kind = _TYPES[values.dtype.str[1:]]
    several = f' NumberOfComponents="{components}"' if components > 1 else ""
    return f'<DataArray type="{kind}" Name="{name}"{several} format="binary">{text}</DataArray>'
