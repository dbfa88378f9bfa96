"""Landmarks, axes and planes as a file of 3D Slicer's Markups (.mrk.json), RAS mm."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import BadInputError
from ..report import write_json
from .marks import FemurMarks, Mark, name_of, plane_axes

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_TO_RAS = {"RAS": np.ones(3), "LPS": np.array([-1.0, -1.0, 1.0])}


def write_markups(femora: Sequence[FemurMarks], path: Path) -> None:
    """Write the marks of one or two femora: a point list, lines and planes of each.

    Parameters
    ----------
    femora : sequence of FemurMarks
    path : pathlib.Path
        Should end in ``.mrk.json``, by which Slicer knows the file.
    """
    markups = []
    for femur in femora:
        markups.append(_markup("Fiducial", f"{femur.side} femur landmarks", femur.points))
        for title, ends in femur.lines.items():
            markups.append(_markup("Line", f"{femur.side} femur {title}", ends))
        for plane in femur.planes:
            markups.append(_plane(plane, f"{femur.side} femur {plane.label}", femur.plane_size_mm))
    write_json({"@schema": _SCHEMA, "markups": markups}, path)


def _markup(kind: str, name: str, marks: Sequence[Mark]) -> dict:
    return {
        "type": kind,
        "name": name,
        "coordinateSystem": "RAS",
        "coordinateUnits": "mm",
        "controlPoints": [_point(number, mark) for number, mark in enumerate(marks, start=1)],
    }


def _point(number: int, mark: Mark) -> dict:
    point = {"id": str(number), "label": mark.label, "description": mark.note}
    if mark.numbers is None:
        return {**point, "positionStatus": "missing"}
    return {**point, "position": list(mark.numbers[:3]), "positionStatus": "defined"}


def _plane(mark: Mark, name: str, size: float) -> dict:
    columns, frame = plane_axes(mark.numbers[3:]).T, np.eye(4)
    frame[:3, :3], frame[:3, 3] = columns, mark.numbers[:3]
    return {
        **_markup("Plane", name, [mark]),
        "planeType": "pointNormal",
        "sizeMode": "absolute",
        "center": list(mark.numbers[:3]),
        "normal": list(mark.numbers[3:]),
        "objectToBase": np.eye(4).ravel().tolist(),
        "baseToNode": frame.ravel().tolist(),
        "orientation": columns.ravel().tolist(),
        "size": [size, size, 0.0],
    }


def read_markups(path: Path) -> list[Mark]:
    """The marks in a file of Slicer's Markups.

    Parameters
    ----------
    path : pathlib.Path
        Point lists and lines whose points are labelled as landmarks, planes whose point is labelled as one.

    Raises
    ------
    BadInputError
        A file that cannot be read, is none of this kind, or holds no mark that is known.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        marks = [mark for markup in data["markups"] for mark in _marks_in(markup)]
    except OSError as error:
        raise BadInputError(f"'{path}' cannot be read ({error.strerror}); check the name of the landmarks.") from None
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        raise BadInputError(
            f"'{path}' is no markups file: save a point list, a line or a plane from 3D Slicer as .mrk.json."
        ) from None
    if not marks:
        raise BadInputError(
            f"'{path}' names no landmark: label its points as they are in landmarks.mrk.json, 'vastus ridge' for one."
        )
    return marks


def _marks_in(markup: dict):
    to_ras = _TO_RAS[str(markup.get("coordinateSystem", "LPS")).upper()]
    if markup.get("coordinateUnits", "mm") != "mm":
        raise ValueError("only mm are read")
    normal = to_ras * np.array(markup["normal"], dtype=float) if markup["type"] == "Plane" else None
    for point in markup["controlPoints"]:
        name = name_of(point.get("label", ""))
        if name is None or point.get("positionStatus", "defined") != "defined":
            continue
        place = to_ras * np.array(point["position"], dtype=float)
        if normal is not None:
            place = np.concatenate([to_ras * np.array(markup["center"], dtype=float), normal])
        yield Mark(name, tuple(place.tolist()), point.get("description", ""))
