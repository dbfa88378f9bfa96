"""Angles, lengths and sections that orthopaedics reads from a proximal femur."""

from __future__ import annotations

import numpy as np

from ..volume import Volume
from .bone_field import BoneField
from .landmarks import FemurLandmarks
from .neck_sections import cut_sections

_ALPHA_TOLERANCE_MM = 0.5  # the contour has left the head's circle where it lies further outside


def _angle(one, other) -> float:
    cosine = np.dot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def neck_shaft_angle(neck_axis, proximal) -> float:
    """Angle in degrees between neck and shaft, as clinics read it (about 125).

    Parameters
    ----------
    neck_axis : array_like
        (3,) from the head's centre down the neck.
    proximal : array_like
        (3,) up the shaft.
    """
    return 180.0 - _angle(neck_axis, -np.asarray(proximal, dtype=np.float64))


def anteversion(neck_axis, proximal, side: str, condylar_axis=None) -> float:
    """Angle in degrees by which the neck points forward of a reference, seen along the shaft.

    Parameters
    ----------
    neck_axis : array_like
        (3,) from the head's centre down the neck, RAS.
    proximal : array_like
        (3,) up the shaft.
    side : str
        'left' or 'right'.
    condylar_axis : array_like, optional
        (2, 3) RAS mm: the back of the medial and of the lateral condyle. Without, the reference is the patient's
        frontal plane, so that the leg's rotation is in the angle.
    """
    proximal = np.asarray(proximal, dtype=np.float64) / np.linalg.norm(proximal)
    inward = np.array([1.0 if side == "left" else -1.0, 0.0, 0.0])
    if condylar_axis is not None:
        inner, outer = np.asarray(condylar_axis, dtype=np.float64)
        inward = inner - outer
    inward = inward - proximal * (inward @ proximal)
    inward /= np.linalg.norm(inward)
    forward = np.cross(proximal, inward) * (1.0 if side == "left" else -1.0)
    toward_head = -np.asarray(neck_axis, dtype=np.float64)
    return float(np.degrees(np.arctan2(toward_head @ forward, toward_head @ inward)))


def closest_approach(point, direction, other_point, other_direction) -> tuple[np.ndarray, float]:
    """Where a line comes nearest to another one, and the distance in mm."""
    a, b = np.asarray(direction, dtype=np.float64), np.asarray(other_direction, dtype=np.float64)
    offset = np.asarray(point, dtype=np.float64) - other_point
    cosine = a @ b
    t = (cosine * (b @ offset) - a @ offset) / max(1.0 - cosine**2, 1e-9)
    place = point + t * a
    across = place - other_point
    return place, float(np.linalg.norm(across - b * (across @ b)))


def alpha_angle(field: BoneField, head_center, radius: float, neck_axis, forward) -> float | None:
    """Alpha angle in degrees, on the plane that holds the neck's axis and looks down on the front of the neck.

    The angle between the neck's axis and the line from the head's centre to where the front contour first lies more
    than half a mm outside the head's circle.

    Parameters
    ----------
    field : BoneField
    head_center : array_like
        (3,) RAS mm.
    radius : float
        Of the head, mm.
    neck_axis : array_like
        (3,) from the head's centre down the neck.
    forward : array_like
        (3,) towards the side whose contour is read (anterior for the usual alpha angle).

    Returns
    -------
    float or None
        None if the contour never leaves the circle.

    References
    ----------
    Noetzli et al., J Bone Joint Surg Br 2002;84:556.
    """
    axis = np.asarray(neck_axis, dtype=np.float64) / np.linalg.norm(neck_axis)
    forward = np.asarray(forward, dtype=np.float64) - axis * (axis @ forward)
    forward /= np.linalg.norm(forward)
    angles = np.deg2rad(np.arange(130.0, 9.5, -0.5))
    reach = np.arange(0.6 * radius, 1.5 * radius, 0.2)
    rays = np.cos(angles)[:, None] * axis + np.sin(angles)[:, None] * forward
    values = field.sample(np.asarray(head_center) + reach[None, :, None] * rays[:, None])
    outside = values < 0.5
    index = np.where(outside.any(axis=1), outside.argmax(axis=1), len(reach) - 1)
    second = np.maximum(index, 1)
    rows = np.arange(len(angles))
    low, high = values[rows, second - 1], values[rows, second]
    edge = reach[second - 1] + 0.2 * np.clip((low - 0.5) / np.maximum(low - high, 1e-6), 0, 1)
    excess = edge - (radius - field.sigma_mm**2 / radius) - _ALPHA_TOLERANCE_MM
    # One ray outside is a bump of the mask; three degrees of them are the end of the sphere.
    leaving = np.convolve(excess > 0, np.ones(6), mode="valid") == 6
    if not leaving.any():
        return None
    first = int(leaving.argmax())
    if first == 0:
        return float(np.degrees(angles[0]))
    share = -excess[first - 1] / max(excess[first] - excess[first - 1], 1e-9)
    return float(np.degrees(angles[first - 1] + np.clip(share, 0, 1) * (angles[first] - angles[first - 1])))


def section_properties(cover, ticks) -> dict[str, float]:
    """Area, widths and second moments of a section.

    Parameters
    ----------
    cover : array_like
        (h, w) share of each pixel that belongs to the section; rows run along its first direction.
    ticks : array_like
        (h,) mm of the pixels, the same in both directions.

    Returns
    -------
    dict
        area_mm2; height_mm and width_mm (extent along rows and columns); moment_mm4 about the axis across (bending up
        and down), moment_across_mm4 about the other; section_modulus_mm3 of the first.
    """
    cover, ticks = np.asarray(cover, dtype=np.float64), np.asarray(ticks, dtype=np.float64)
    step = float(ticks[1] - ticks[0])
    pixel = step**2
    area = cover.sum() * pixel
    rows, columns = cover.sum(axis=1), cover.sum(axis=0)
    up = ticks - (rows @ ticks) / rows.sum()
    across = ticks - (columns @ ticks) / columns.sum()
    # Each pixel's own moment, too.
    moment = (rows @ up**2) * pixel + area * step**2 / 12
    moment_across = (columns @ across**2) * pixel + area * step**2 / 12
    height, width = _extent(cover.max(axis=1)) * step, _extent(cover.max(axis=0)) * step
    furthest = max(_reach(up, cover.max(axis=1), step), _reach(-up, cover.max(axis=1), step))
    return {
        "area_mm2": float(area),
        "height_mm": float(height),
        "width_mm": float(width),
        "moment_mm4": float(moment),
        "moment_across_mm4": float(moment_across),
        "section_modulus_mm3": float(moment / max(furthest, 1e-9)),
    }


def _extent(cover) -> float:
    return float(np.clip(cover, 0, 1).sum())


def _reach(place, cover, step) -> float:
    used = np.flatnonzero(cover > 0)
    last = used[np.argmax(place[used])]
    return float(place[last] + step * (np.clip(cover[last], 0, 1) - 0.5))


def narrow_neck(landmarks: FemurLandmarks, endosteal: Volume | None = None) -> dict | None:
    """Section of the neck where it is smallest: of the whole bone and, with an endosteal mask, of its cortex alone.

    Parameters
    ----------
    landmarks : FemurLandmarks
    endosteal : Volume, optional
        bool, of the same femur.

    Returns
    -------
    dict or None
        `section_properties` of the whole section, and with an endosteal mask under 'cortex' those of the cortex, with
        'mean_thickness_mm'. None without a neck.
    """
    neck = landmarks.neck
    if neck is None:
        return None
    radius = landmarks.head_radius
    arguments = (
        landmarks.position("head_center") + neck.minimum_mm * neck.axis,
        neck.axis,
        neck.sections.up,
        [0.0],
        1.6 * radius,
        0.5,
    )
    stack = cut_sections(landmarks.field, *arguments)
    if not stack.closed[0]:
        return None
    whole = section_properties(stack.cover[0], stack.ticks)
    if endosteal is None or not endosteal.array.any():
        return whole
    inner = cut_sections(BoneField(endosteal, fill=False), *arguments)
    inside = np.minimum(inner.cover[0], stack.cover[0])
    cortex = section_properties(stack.cover[0] - inside, stack.ticks)
    # As thick as a ring of the same areas.
    inner_area = float(inside.sum()) * stack.step**2
    cortex["mean_thickness_mm"] = float(np.sqrt(whole["area_mm2"] / np.pi) - np.sqrt(inner_area / np.pi))
    return {**whole, "cortex": cortex}


def measure_geometry(landmarks: FemurLandmarks, endosteal: Volume | None = None) -> dict:
    """Everything of this module for one femur; None where the landmarks for it are missing.

    Parameters
    ----------
    landmarks : FemurLandmarks
    endosteal : Volume, optional
        bool, of the same femur.

    Returns
    -------
    dict
        Angles in degrees, lengths in mm, areas in mm2, moments in mm4. The anteversion is told from the back of the
        condyles where the landmarks hold them, else from the image's frontal plane, and says so.
    """
    neck, shaft, radius = landmarks.neck, landmarks.shaft, landmarks.head_radius
    condylar_axis = landmarks.condylar_axis
    head = landmarks.position("head_center")
    values = {
        "head_diameter_mm": None if radius is None else 2 * radius,
        "neck_shaft_angle_deg": None,
        "anteversion_deg": None,
        "anteversion_reference": "posterior condyles" if condylar_axis is not None else "frontal plane of the image",
        "femoral_offset_mm": None if shaft is None or head is None else landmarks.frame.offset_mm,
        "neck_length_mm": None,
        "neck_width_mm": None,
        "alpha_angle_deg": None,
        "neck_minimum_from_head_center_mm": None,
        "neck_base_from_head_center_mm": landmarks.base_mm,
        "narrow_neck": narrow_neck(landmarks, endosteal),
    }
    if neck is None:
        return values
    values["neck_minimum_from_head_center_mm"] = neck.minimum_mm
    if values["narrow_neck"] is not None:
        values["neck_width_mm"] = values["narrow_neck"]["height_mm"]
    if shaft is not None:
        values["neck_shaft_angle_deg"] = neck_shaft_angle(neck.axis, shaft.direction)
        values["anteversion_deg"] = anteversion(neck.axis, shaft.direction, landmarks.side, condylar_axis)
        crossing, _ = closest_approach(head, neck.axis, shaft.point, shaft.direction)
        values["neck_length_mm"] = float((crossing - head) @ neck.axis)
    if landmarks.frame is not None:
        values["alpha_angle_deg"] = alpha_angle(
            landmarks.field, head, radius, neck.axis, landmarks.frame.anterior
        )
    return values
