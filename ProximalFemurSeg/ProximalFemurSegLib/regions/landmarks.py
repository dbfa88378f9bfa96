"""The landmarks of a proximal femur, found on its mask alone; each with how sure it is, or why it is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import BadInputError
from ..volume import Volume
from . import definition
from .bone_field import BoneField
from .condyles import find_condyles
from .femur_frame import FemurFrame, side_of
from .fovea import find_fovea, fovea_direction
from .head_sphere import HeadSphere, find_head
from .neck_sections import NeckAxis, follow_axis
from .shaft_axis import ShaftLine, cut_height, find_shaft
from .trochanters import find_greater_trochanter_tip, find_lesser_trochanter, find_vastus_ridge

NAMES = {
    "head_center": "Centre of the head",
    "fovea": "Fovea",
    "neck_center": "Middle of the smallest section of the neck",
    "neck_base": "Neck axis at the base of the neck",
    "neck_base_inferior": "Lower midline of the base of the neck",
    "greater_trochanter_tip": "Tip of the greater trochanter",
    "vastus_ridge": "Vastus ridge",
    "lesser_trochanter": "Tip of the lesser trochanter",
    "lesser_trochanter_lower": "Shaft axis at the lower edge of the lesser trochanter",
    "shaft_proximal": "Shaft axis, upper end of the stretch it was fitted to",
    "shaft_distal": "Shaft axis, lower end of that stretch",
    "condyle_medial": "Back of the medial condyle",
    "condyle_lateral": "Back of the lateral condyle",
}
_FIRST_ANGLE = np.deg2rad(50.0)  # between neck axis and shaft: a neck-shaft angle of 130 degrees to begin with
_CLEAR_SIDE = 0.25
_TRIALS = (82.0, 68.0, 56.0)  # mm from the head's centre: where shaft is looked for, the surest place first
_WIDEST_NECK = 0.92  # of the head's radius
_UNSURE = 0.5
_SMOOTH_MM, _SMOOTH_VOXELS = 1.3, 1.1
_NECK_MM = 1.8


@dataclass(frozen=True, eq=False)
class Landmark:
    """A named place.

    Attributes
    ----------
    name : str
        One of `NAMES`.
    position : numpy.ndarray or None
        (3,) RAS mm; None if it was not found.
    confidence : float
        0 (not found) to 1. One that was placed by hand has 1.
    reason : str
        Why it was not found, or why the confidence is low.
    placed : bool
        By hand.
    """

    name: str
    position: np.ndarray | None
    confidence: float = 1.0
    reason: str = ""
    placed: bool = False


@dataclass(frozen=True, eq=False)
class FemurLandmarks:
    """All that is known about where a femur's parts lie.

    Attributes
    ----------
    side : str
        'left' or 'right'.
    side_certain : bool
    points : dict of str to Landmark
        Every one of `NAMES`, found or not.
    head_radius : float or None
        mm.
    shaft : ShaftLine or None
        The axis of the shaft; None if less than 20 mm of it are in view and it was not placed by hand.
    frame : FemurFrame or None
        The bone's own axes; without a shaft axis those of what little of it is there, or None.
    neck : NeckAxis or None
    base_mm : float or None
        mm from the head's centre along the neck axis to where the neck ends in the adaptive mode.
    shaft_length_mm : float
        mm of whole shaft below the lesser trochanter.
    lowest_whole : float or None
        mm along the frame's proximal axis from its origin: sections below are cut.
    messages : list of str
        Sentences for the user.
    field : BoneField
        What it was all found on.
    """

    side: str
    side_certain: bool
    points: dict[str, Landmark]
    head_radius: float | None
    shaft: ShaftLine | None
    frame: FemurFrame | None
    neck: NeckAxis | None
    base_mm: float | None
    shaft_length_mm: float
    lowest_whole: float | None
    field: BoneField
    messages: list[str] = field(default_factory=list)

    def position(self, name: str) -> np.ndarray | None:
        """(3,) RAS mm, or None if it was not found."""
        return self.points[name].position

    def reason(self, name: str) -> str:
        """Why a landmark is missing."""
        return self.points[name].reason

    @property
    def condylar_axis(self) -> np.ndarray | None:
        """(2, 3) RAS mm: the back of the medial and of the lateral condyle, or None where the knee is not in view."""
        places = [self.position("condyle_medial"), self.position("condyle_lateral")]
        return None if any(place is None for place in places) else np.stack(places)

    @property
    def placed(self) -> dict[str, np.ndarray]:
        """Those placed by hand."""
        return {name: mark.position for name, mark in self.points.items() if mark.placed}

    def describe(self) -> dict:
        """Name to RAS mm, confidence and reason, in plain values."""
        return {
            name: {
                "title": NAMES[name],
                "ras_mm": None if mark.position is None else [round(float(x), 3) for x in mark.position],
                "confidence": round(mark.confidence, 2),
                "reason": mark.reason,
                "placed_by_hand": mark.placed,
            }
            for name, mark in self.points.items()
        }


class _Finder:
    """One search; every step sees what the steps before it found, and what the user placed instead."""

    def __init__(self, bone: BoneField, side: str, placed: Mapping):
        self.field, self.asked_side, self.placed = bone, side, dict(placed)
        # What areas and outlines are read from: smooth enough that they hardly know how the voxels lie.
        sigma = max(_SMOOTH_MM, _SMOOTH_VOXELS * max(bone.grid.spacing))
        self.smooth = bone.once("smooth", lambda: bone.smoother(sigma))
        # Of the neck both ends move with its areas, and where it meets the trochanter they jump: smoother still.
        self.around_neck = bone.once("neck", lambda: bone.smoother(max(_NECK_MM, sigma)))
        self.surface = bone.surface()
        self.marks: dict[str, Landmark] = {}
        self.messages: list[str] = []
        self.head = self.shaft = self.frame = self.neck = self.base_mm = None
        self.rough: ShaftLine | None = None
        self.side, self.certain = "left", False
        self.length, self.lowest = 0.0, None
        self.lower_height = None

    def put(self, name, position, confidence=1.0, reason=""):
        """Keep what was found, unless the user placed it."""
        if name in self.placed:
            self.marks[name] = Landmark(name, np.array(self.placed[name], dtype=np.float64), 1.0, "", True)
        elif position is None:
            self.marks[name] = Landmark(name, None, 0.0, reason)
        else:
            confidence = float(np.clip(confidence, 0.05, 1.0))
            self.marks[name] = Landmark(name, np.asarray(position), confidence, reason if confidence < _UNSURE else "")
        return self.marks[name].position

    def find_head(self):
        found = self.field.once("head", lambda: find_head(self.field, self.surface))
        reason = "No surface like the sphere of a femoral head is in view."
        if found is None:
            if self.put("head_center", None, reason=reason) is None:
                return
            distance = np.linalg.norm(self.surface[0] - self.placed["head_center"], axis=1)
            found = HeadSphere(np.asarray(self.placed["head_center"]), float(np.percentile(distance, 2)), 5.0, 0.0)
            self.messages.append("The radius of the head is the distance from the placed centre to the nearest bone.")
        share = f"Only {found.coverage:.0%} of the head's sphere is surface of the mask."
        sure = min(1.0, found.coverage / 0.6) * float(np.exp(-((found.residual_mm / 1.5) ** 2)))
        center = self.put("head_center", found.center, sure, share)
        self.head = replace(found, center=center)

    def find_axis(self):
        head = self.head
        upper, lower = self.placed.get("shaft_proximal"), self.placed.get("shaft_distal")
        if upper is not None and lower is not None:
            direction = np.asarray(upper, dtype=np.float64) - lower
            length = float(np.linalg.norm(direction))
            if length < 5.0:
                raise BadInputError("The two points of the shaft axis lie within 5 mm: place them further apart.")
            direction = direction / length * (1.0 if direction[2] >= 0 else -1.0)
            self.rough = ShaftLine(np.asarray(lower, dtype=np.float64), direction, 0.0, length, 0.0)
            return
        for away in _TRIALS:
            line = find_shaft(self.field, self.surface, head, away_mm=away)
            if line is not None and line.direction[2] > 0.5 and line.residual_mm < 4.0:
                self.rough = line
                return

    def name_side(self):
        evidence = 0.0
        if self.rough is not None:
            shape, evidence = side_of(self.head.center, self.rough)
        else:
            middle = self.surface[0].mean(axis=0)
            shift = self.head.center[0] - middle[0]
            shape, evidence = ("left" if shift >= 0 else "right"), min(abs(shift) / 40.0, 0.9)
        self.certain = evidence > _CLEAR_SIDE
        self.side = shape if self.asked_side == "auto" else self.asked_side
        if self.asked_side not in ("auto", shape) and self.certain:
            raise BadInputError(
                f"The mask was said to be a {self.asked_side} femur, but its head lies on the side of a {shape} one; "
                "check the orientation of the image, or leave the side to the program."
            )
        if self.asked_side == "auto" and not self.certain:
            self.messages.append(f"The femur may be the {self.side} one, which is not certain; the side can be given.")

    def bottom(self, line: ShaftLine) -> float:
        """mm along a line, from the place beside the head's centre: where whole sections begin."""
        points, normals, _ = self.surface
        end = cut_height(points, normals, line.direction) + 2.0 - float(line.point @ line.direction)
        return end - float(line.height(self.head.center))

    def find_shaft_and_lesser_trochanter(self):
        missing = "Too little of the shaft is in view to tell its direction."
        line = self.rough
        lesser = None
        if line is not None:
            for _ in range(3):
                frame = FemurFrame.build(self.head.center, line, self.side)
                lesser = find_lesser_trochanter(self.smooth, frame, self.head.radius, self.bottom(line))
                if "shaft_proximal" in self.placed or lesser is None or lesser.lower_height is None:
                    break
                finer = find_shaft(self.field, self.surface, self.head, below=-lesser.lower_height)
                if finer is None:
                    break
                line = finer
            self.rough = line
            self.frame = FemurFrame.build(self.head.center, line, self.side)
            self.lowest = self.bottom(line)
        by_hand = "shaft_proximal" in self.placed and "shaft_distal" in self.placed
        tip = None if lesser is None else lesser.tip
        clear = 0.0 if lesser is None else lesser.prominence_mm / 4.0
        small = "It hardly stands out of the shaft."
        none = missing if line is None else "Nothing stands out of the shaft behind and medially in view."
        self.put("lesser_trochanter", tip, clear, small if lesser is not None else none)
        lower = None if lesser is None else lesser.lower_height
        if lower is not None and lower < self.lowest:
            lower = None
        at = None if lower is None else self.frame.to_patient((0.0, 0.0, lower))
        cut = none if lesser is None else "The bone ends before the lesser trochanter has sunk into the shaft."
        if at is not None and not lesser.sinks:
            clear, small = 0.3, "The shaft below is as wide; the place follows from the bone's proportions."
        at = self.put("lesser_trochanter_lower", at, clear, cut if at is None else small)
        if at is not None and self.frame is not None:
            lower = float(self.frame.to_local(at)[2])
            # On the axis, however it was placed: only its height along the shaft means something.
            at = self.frame.to_patient((0.0, 0.0, lower))
            self.marks["lesser_trochanter_lower"] = replace(self.marks["lesser_trochanter_lower"], position=at)
        self.lower_height = lower if at is not None else None
        if line is not None:
            self.length = max(0.0, (self.lower_height if self.lower_height is not None else 0.0) - self.lowest)
            if self.lower_height is None:
                self.length = line.length_mm if line.length_mm >= 30.0 and lesser is None else 0.0
        enough = by_hand or (line is not None and self.length >= definition.MINIMUM_SHAFT_MM)
        if enough:
            self.shaft = line
            sure = 1.0 if by_hand else min(1.0, self.length / 40.0) * float(np.exp(-line.residual_mm / 3.0))
            few = f"Only {self.length:.0f} mm of shaft are in view."
            self.put("shaft_proximal", line.at(line.high), sure, few)
            self.put("shaft_distal", line.at(line.low), sure, few)
            return
        if line is not None:
            missing = (
                f"Only {self.length:.0f} mm of whole shaft are in view below the lesser trochanter, and "
                f"{definition.MINIMUM_SHAFT_MM:.0f} mm are needed for its axis; scan further down, or place the axis."
            )
        self.put("shaft_proximal", None, reason=missing)
        self.put("shaft_distal", None, reason=missing)

    def find_neck(self):
        head = self.head
        if self.frame is not None:
            frame = self.frame
            proximal = frame.proximal
            first = -np.sin(_FIRST_ANGLE) * frame.medial - np.cos(_FIRST_ANGLE) * proximal
        else:
            proximal = np.array([0.0, 0.0, 1.0])
            points = self.surface[0]
            away = np.linalg.norm(points - head.center, axis=1)
            first = points[(away > 1.15 * head.radius) & (away < 3.0 * head.radius)].mean(axis=0) - head.center
        given = self.placed.get("neck_center")
        if given is not None:
            first = np.asarray(given, dtype=np.float64) - head.center
        if not np.all(np.isfinite(first)) or np.linalg.norm(first) < 1e-3:
            neck = None
        else:
            neck = follow_axis(self.around_neck, head.center, head.radius, first, proximal, fixed=given is not None)
        reason = "No closed section of a neck is met beside the head."
        if neck is not None and neck.radius_mm > _WIDEST_NECK * head.radius:
            neck, reason = None, "The bone does not get narrower beside the head."
        if neck is None:
            self.put("neck_center", None, reason=reason)
            self.put("neck_base", None, reason=reason)
            self.put("neck_base_inferior", None, reason=reason)
            return
        self.neck = neck
        sure = 0.3 if neck.on_border else 1.0
        waist = "The neck has no waist: its smallest section lies at the end of the stretch that was searched."
        self.put("neck_center", head.center + neck.minimum_mm * neck.axis, sure, waist)
        base = neck.base_mm(self.around_neck, definition.BASE_FACTOR)
        at = None if base is None else head.center + base * neck.axis
        at = self.put("neck_base", at, sure, waist if at is not None else "The neck does not widen within view.")
        if at is not None:
            self.base_mm = float((at - head.center) @ neck.axis)
            at = head.center + self.base_mm * neck.axis
            self.marks["neck_base"] = replace(self.marks["neck_base"], position=at)
        self.put(
            "neck_base_inferior",
            None if at is None else self.leave_bone(at, -neck.sections.up),
            sure,
            "The base of the neck was not found.",
        )

    def leave_bone(self, start, direction) -> np.ndarray | None:
        """Where a ray that starts in the bone leaves it."""
        steps = np.arange(0.0, 70.0, 0.25)
        values = self.field.sample(start + steps[:, None] * direction)
        out = np.flatnonzero(values < 0.5)
        if len(out) == 0 or out[0] == 0:
            return None
        low, high = values[out[0] - 1], values[out[0]]
        return start + (steps[out[0]] - 0.25 * (0.5 - high) / max(low - high, 1e-6)) * direction

    def find_greater_trochanter(self):
        missing = "Without the direction of the shaft it cannot be told what is highest."
        if self.frame is None:
            self.put("greater_trochanter_tip", None, reason=missing)
            self.put("vastus_ridge", None, reason=missing)
            return
        found = find_greater_trochanter_tip(self.surface, self.frame, self.head.radius)
        sure = 0.0 if found is None else (1.0 if found[1] else 0.4)
        tip = self.put(
            "greater_trochanter_tip",
            None if found is None else found[0],
            sure if self.shaft is not None else 0.6 * sure,
            "No bone is in view lateral of the neck." if found is None else "It does not stand out above the neck.",
        )
        ridge = None
        if tip is not None:
            height = float(self.frame.to_local(tip)[2])
            crossing = None
            if self.neck is not None and self.frame.medial @ self.neck.axis < -0.2:
                down = self.neck.axis @ self.frame.proximal / -(self.neck.axis @ self.frame.medial)
                crossing = float(self.frame.offset_mm * down)
            ridge = find_vastus_ridge(self.smooth, self.frame, self.head.radius, height, crossing)
        self.put(
            "vastus_ridge",
            None if ridge is None else ridge[0],
            0.0 if ridge is None else min(1.0, ridge[1] / 1.5),
            "The lateral outline of greater trochanter and shaft is not wholly in view."
            if ridge is None
            else "The lateral outline has hardly a corner there; the place follows from the bone's proportions.",
        )

    def find_fovea(self):
        fovea = None
        if self.neck is not None:
            # Without a shaft the leg is taken to lie straight.
            anterior = np.array([0.0, 1.0, 0.0]) if self.frame is None else self.frame.anterior
            expected = fovea_direction(self.neck.axis, self.neck.sections.up, anterior)
            fovea = find_fovea(self.surface, self.head.center, self.head.radius, expected)
        self.put(
            "fovea",
            None if fovea is None else fovea[0],
            0.0 if fovea is None else min(1.0, fovea[1] / 1.5),
            "The head shows no dent." if fovea is None else "The dent is shallow.",
        )

    def find_condyles(self):
        places, reason = None, "The knee is not in view."
        if self.frame is not None:
            places, reason = find_condyles(self.surface, self.frame, self.head.radius)
        for number, name in enumerate(("condyle_medial", "condyle_lateral")):
            self.put(name, None if places is None else places[number], reason=reason)

    def run(self) -> FemurLandmarks:
        self.find_head()
        if self.head is not None:
            self.find_axis()
            self.name_side()
            self.find_shaft_and_lesser_trochanter()
            self.find_neck()
            self.find_greater_trochanter()
            self.find_fovea()
            self.find_condyles()
        for name in NAMES:
            if name not in self.marks:
                self.put(name, None, reason="It needs the head, which was not found.")
        points = {name: self.marks[name] for name in NAMES}
        return FemurLandmarks(
            self.side,
            self.certain,
            points,
            None if self.head is None else self.head.radius,
            self.shaft,
            self.frame,
            self.neck,
            self.base_mm,
            self.length,
            self.lowest,
            self.field,
            self.messages,
        )


def find_landmarks(
    mask: Volume, side: str = "auto", placed: Mapping | None = None, field: BoneField | None = None
) -> FemurLandmarks:
    """Find the landmarks of one femur on its mask.

    All is computed in the patient's mm, never in voxels; a left femur is handled as the mirror image of a right one.

    Parameters
    ----------
    mask : Volume
        bool: the whole bone (periosteal region) of one femur, upright to about 30 degrees, on any grid.
    side : {'auto', 'left', 'right'}
        The side, or from where the head lies.
    placed : mapping of str to (3,) RAS mm, optional
        Landmarks that the user placed or moved: they are taken as they are, and whatever follows from them is found
        anew. The shaft axis follows 'shaft_proximal' and 'shaft_distal' (both are needed), the neck axis
        'head_center' and 'neck_center'.
    field : BoneField, optional
        Of the same mask, if it was made before.

    Returns
    -------
    FemurLandmarks

    Raises
    ------
    BadInputError
        An empty mask, a landmark that does not exist or is no place, or a side that the bone contradicts.
    """
    placed = dict(placed or {})
    unknown = sorted(set(placed) - set(NAMES))
    if unknown:
        raise BadInputError(f"There is no landmark '{unknown[0]}': choose from {', '.join(NAMES)}.")
    for name, place in placed.items():
        if np.shape(place) != (3,) or not np.all(np.isfinite(np.asarray(place, dtype=np.float64))):
            raise BadInputError(f"The landmark '{name}' is not a place: give three numbers, RAS in mm.")
    if ("shaft_proximal" in placed) != ("shaft_distal" in placed):
        raise BadInputError("The shaft axis is placed by two points: give both shaft_proximal and shaft_distal.")
    if side not in ("auto", "left", "right"):
        raise BadInputError(f"There is no side '{side}': choose auto, left or right.")
    if not mask.array.any():
        raise BadInputError(f"'{mask.source or mask.name}' is empty: there is no bone to divide.")
    return _Finder(BoneField(mask) if field is None else field, side, placed).run()
