"""Landmarks, axes and planes of a femur as marks that a user can see and move, and what was moved."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import BadInputError
from .division import PLANES, Plane
from .landmarks import NAMES
from .measure import FemurRegions

LINES = {
    "neck axis": ("head_center", "neck_center"),
    "shaft axis": ("shaft_proximal", "shaft_distal"),
    "condylar axis": ("condyle_medial", "condyle_lateral"),
}
_PLANE_HALF = 1.3  # of the head's radius
_MOVED_MM, _TURNED = 0.02, 1e-3
_NOTE = re.compile(r"(?:(left|right) femur, )?(automatic at|placed by hand at|not found:)(.*)", re.DOTALL)
AUTOMATIC, PLACED, MOVED = "automatic", "placed", "moved"
_STATES = {"automatic at": AUTOMATIC, "placed by hand at": PLACED}


@dataclass(frozen=True, eq=False)
class Mark:
    """A point or a plane.

    Attributes
    ----------
    name : str
        One of ``landmarks.NAMES`` or ``division.PLANES``.
    numbers : tuple of float or None
        RAS mm: x, y, z; of a plane a point of it and its normal. None where it was not found.
    note : str
        Side, and where it was found or placed, or why it is missing. It goes with the mark into files and scenes, so
        that a mark that was moved there is known from one that was not.
    """

    name: str
    numbers: tuple[float, ...] | None
    note: str

    @property
    def label(self) -> str:
        """What the user reads beside it."""
        return label_of(self.name)


@dataclass(frozen=True, eq=False)
class FemurMarks:
    """The marks of one femur.

    Attributes
    ----------
    side : str
        'left' or 'right'.
    points : tuple of Mark
        Every landmark, found or not.
    lines : dict of str to tuple
        Name to the two points that it runs through.
    planes : tuple of Mark
        Those known.
    plane_size_mm : float
        Edge of the square in which a plane is shown.
    """

    side: str
    points: tuple[Mark, ...]
    lines: dict[str, tuple[Mark, Mark]]
    planes: tuple[Mark, ...]
    plane_size_mm: float


def label_of(name: str) -> str:
    """The label of a landmark or a plane."""
    return name.replace("_", " ") + (" plane" if name in PLANES else "")


def name_of(label: str) -> str | None:
    """The landmark or the plane that a label names, however it is spaced and capitalised; None if it names none."""
    return _BY_LABEL.get(_plain(label))


def _plain(label: str) -> str:
    return re.sub(r"[\s_-]+", " ", label).strip().lower()


_BY_LABEL = {_plain(label_of(name)): name for name in (*NAMES, *PLANES)}


def marks_of(femur: FemurRegions) -> FemurMarks:
    """The marks of a divided femur."""
    marks, side = femur.landmarks, femur.side
    points = {}
    for name, mark in marks.points.items():
        if mark.position is None:
            points[name] = Mark(name, None, f"{side} femur, not found: {mark.reason}")
        else:
            numbers = tuple(float(x) for x in mark.position)
            points[name] = Mark(name, numbers, _note(side, numbers, mark.placed))
    planes = []
    for name, plane in femur.division.planes.items():
        # Shown about the place of the axis that it cuts, not about any point of it.
        origin = _middle(name, plane, femur)
        numbers = tuple(float(x) for x in (*origin, *plane.normal))
        planes.append(Mark(name, numbers, _note(side, numbers, plane.placed)))
    lines = {title: (points[a], points[b]) for title, (a, b) in LINES.items()}
    lines = {title: ends for title, ends in lines.items() if all(end.numbers is not None for end in ends)}
    radius = marks.head_radius or 24.0
    return FemurMarks(side, tuple(points.values()), lines, tuple(planes), 2 * _PLANE_HALF * radius)


def _middle(name: str, plane: Plane, femur: FemurRegions) -> np.ndarray:
    marks = femur.landmarks
    if plane.placed or name != "trochanter":
        return plane.origin
    return 0.5 * (marks.position("vastus_ridge") + marks.position("neck_base_inferior"))


def _note(side: str, numbers, placed: bool) -> str:
    how = "placed by hand at" if placed else "automatic at"
    return f"{side} femur, {how} " + " ".join(f"{x:.5f}" for x in numbers)


def plane_axes(normal) -> np.ndarray:
    """(3, 3) of rows: two unit vectors in a plane, and its normal; right-handed."""
    normal = np.asarray(normal, dtype=np.float64)
    first = np.cross(np.eye(3)[int(np.argmin(np.abs(normal)))], normal)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(normal, first), normal])


def state_of(mark: Mark) -> str:
    """How a mark that came back from a file or a scene got its place.

    Returns
    -------
    str
        `AUTOMATIC`: it lies where the program found it. `PLACED`: where it was placed before. `MOVED`: elsewhere than
        its note says, or its note says nothing.
    """
    found = _NOTE.match(mark.note.strip())
    state = None if found is None else _STATES.get(found[2])
    if state is None:
        return MOVED
    try:
        before = [float(word) for word in found[3].split()]
    except ValueError:
        return MOVED
    return state if same_place(mark.numbers, before) else MOVED


def same_place(numbers, others) -> bool:
    """True if two marks' numbers are one place; a plane that slid along itself, or was turned over, is the same."""
    if len(numbers) != len(others):
        return False
    one, other = np.asarray(numbers, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if len(one) == 6:
        normal = one[3:] / max(np.linalg.norm(one[3:]), 1e-9)
        turned = np.linalg.norm(np.cross(normal, other[3:]))
        return bool(turned < _TURNED and abs(normal @ (one[:3] - other[:3])) < _MOVED_MM)
    return bool(np.linalg.norm(one - other) < _MOVED_MM)


def side_in(note: str) -> str | None:
    """The side that a note names."""
    found = _NOTE.match(note.strip())
    return None if found is None else found[1]


def placed_marks(marks: Iterable[Mark]) -> dict:
    """What the user placed, as `measure_regions` takes it.

    Parameters
    ----------
    marks : iterable of Mark
        As they came back from a file or a scene. Of a mark that comes twice, the one that was moved last counts.

    Returns
    -------
    dict
        Name to place (RAS mm) or `Plane`; by side where the marks name theirs.

    Raises
    ------
    BadInputError
        Marks of which some name their side and others do not; or a plane without a direction.
    """
    marks = [mark for mark in marks if mark.numbers is not None]
    sides = {side_in(mark.note) for mark in marks}
    if None in sides and len(sides) > 1:
        raise BadInputError("Some of the landmarks say which femur they belong to and others do not.")
    found = {side: {} for side in sides}
    for mark in sorted((m for m in marks if state_of(m) != AUTOMATIC), key=lambda m: state_of(m) != MOVED):
        numbers = np.array(mark.numbers, dtype=np.float64)
        if mark.name in PLANES:
            place = Plane.by_hand(mark.name, numbers.reshape(2, 3))
        else:
            place = numbers
        found[side_in(mark.note)].setdefault(mark.name, place)
    for side, own in found.items():
        found[side] = _with_partners(own, [m for m in marks if side_in(m.note) == side])
    return found[None] if None in found else found


def _with_partners(placed: dict, marks) -> dict:
    """Of an axis that is placed by two points, and of which one was moved, the other where it is."""
    for first, second in (LINES["shaft axis"], LINES["condylar axis"]):
        for one, other in ((first, second), (second, first)):
            if one in placed and other not in placed:
                still = [m.numbers for m in marks if m.name == other]
                if still:
                    placed[other] = np.array(still[0], dtype=np.float64)
    return placed
