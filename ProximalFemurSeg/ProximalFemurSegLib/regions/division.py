"""Cut a femur into head, neck, trochanter, intertrochanter and shaft by planes through its landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..postprocessing import bounding_box, label_components
from ..volume import Volume
from .definition import (
    BELOW_LESSER_MM,
    HEAD,
    INTERTROCHANTER,
    NECK,
    REGIONS,
    SHAFT,
    SLAB_MM,
    TROCHANTER,
    UNDIVIDED,
    RegionDefinition,
)
from .landmarks import FemurLandmarks


@dataclass(frozen=True, eq=False)
class Plane:
    """A cut.

    Attributes
    ----------
    origin, normal : numpy.ndarray
        (3,) RAS mm and unit vector.
    """

    origin: np.ndarray
    normal: np.ndarray

    def height(self, points) -> np.ndarray:
        """mm of (..., 3) points above the plane, on the side its normal points to."""
        return np.asarray(points) @ self.normal - float(self.origin @ self.normal)

    def describe(self) -> dict:
        """In plain values."""
        return {
            "origin_ras_mm": [round(float(x), 3) for x in self.origin],
            "normal_ras": [round(float(x), 5) for x in self.normal],
        }


@dataclass(frozen=True, eq=False)
class Division:
    """A femur in regions.

    Attributes
    ----------
    labels : Volume
        uint8 on the mask's grid: 1 head, 2 neck, 3 trochanter, 4 intertrochanter, 5 shaft, 6 what could not be divided.
        Every voxel of the mask has exactly one.
    planes : dict of str to Plane
        'head_neck', 'neck_base' (normals down the neck), 'trochanter', 'distal' (normals up the shaft); those known.
    refused : dict of str to str
        Region to why it could not be told.
    definition : RegionDefinition
    """

    labels: Volume
    planes: dict[str, Plane]
    refused: dict[str, str]
    definition: RegionDefinition


def cutting_planes(
    landmarks: FemurLandmarks, definition: RegionDefinition
) -> tuple[dict[str, Plane], dict[str, str]]:
    """The planes between the regions, and the regions that lack one, with the reason."""
    planes, refused = {}, {}
    head, neck = landmarks.position("head_center"), landmarks.neck
    if neck is None:
        for name in ("head", "neck", "trochanter", "intertrochanter"):
            refused[name] = landmarks.reason("head_center") or landmarks.reason("neck_center")
    else:
        near, far = _neck_extent(landmarks, definition)
        planes["head_neck"] = Plane(head + near * neck.axis, neck.axis)
        if far is None:
            for name in ("neck", "trochanter", "intertrochanter"):
                refused[name] = landmarks.reason("neck_base")
        else:
            planes["neck_base"] = Plane(head + far * neck.axis, neck.axis)
    _add_shaft_planes(landmarks, definition, planes, refused)
    return planes, refused


def _neck_extent(landmarks: FemurLandmarks, definition: RegionDefinition) -> tuple[float, float | None]:
    """mm along the neck axis from the head's centre to both ends of the neck."""
    neck, radius = landmarks.neck, landmarks.head_radius
    if definition.neck in SLAB_MM:
        half = SLAB_MM[definition.neck] / 2
        return neck.minimum_mm - half, neck.minimum_mm + half
    leaves = float(np.sqrt(max(radius**2 - neck.radius_mm**2, 0.0)))
    if landmarks.base_mm is None:
        return leaves, None
    return min(leaves, landmarks.base_mm), landmarks.base_mm


def _add_shaft_planes(landmarks, definition, planes, refused):
    if landmarks.shaft is None:
        for name in ("trochanter", "intertrochanter", "shaft"):
            refused.setdefault(name, landmarks.reason("shaft_distal"))
        return
    proximal = landmarks.shaft.direction
    lower = landmarks.position("lesser_trochanter_lower")
    if lower is None:
        reason = landmarks.reason("lesser_trochanter_lower")
        refused.setdefault("intertrochanter", reason)
        refused.setdefault("shaft", reason)
    else:
        limit = Plane(lower - BELOW_LESSER_MM[definition.distal] * proximal, proximal)
        if landmarks.lowest_whole is not None and limit.height(landmarks.frame.origin) > -landmarks.lowest_whole + 2.0:
            reason = "The bone ends above the distal limit."
            refused.setdefault("intertrochanter", reason)
            refused.setdefault("shaft", reason)
        else:
            planes["distal"] = limit
    ridge, floor = landmarks.position("vastus_ridge"), landmarks.position("neck_base_inferior")
    if "neck_base" not in planes:
        return
    if ridge is None or floor is None:
        reason = landmarks.reason("vastus_ridge" if ridge is None else "neck_base_inferior")
        refused.setdefault("trochanter", reason)
        refused.setdefault("intertrochanter", reason)
        return
    across = np.cross(proximal, landmarks.neck.axis)
    normal = np.cross(across, ridge - floor)
    length = np.linalg.norm(normal)
    if length < 1e-6:
        refused["trochanter"] = refused["intertrochanter"] = "The vastus ridge and the base of the neck coincide."
        return
    normal = normal / length * (1.0 if normal @ proximal >= 0 else -1.0)
    planes["trochanter"] = Plane(floor, normal)


def divide(mask: Volume, landmarks: FemurLandmarks, definition: RegionDefinition | None = None) -> Division:
    """Divide a femur by its landmarks.

    Parameters
    ----------
    mask : Volume
        bool, the femur that the landmarks belong to.
    landmarks : FemurLandmarks
        From `find_landmarks`, with or without points placed by hand.
    definition : RegionDefinition, optional
        Adaptive neck and the lower edge of the lesser trochanter if left out.

    Returns
    -------
    Division
        Regions are disjoint and together exactly the mask. What cannot be told apart in this field of view is label 6.
    """
    definition = RegionDefinition() if definition is None else definition
    planes, refused = cutting_planes(landmarks, definition)
    labels = np.zeros(mask.grid.shape, np.uint8)
    box = bounding_box(mask.array)
    if box is not None:
        bone = np.ascontiguousarray(mask.array[box])
        index = np.flatnonzero(bone)
        place = np.stack(np.unravel_index(index, bone.shape)[::-1], axis=1) + [s.start for s in box[::-1]]
        region = _regions_of(mask.grid.ijk_to_ras(place), index, bone, mask.grid, planes, refused, landmarks)
        part = np.zeros(bone.shape, np.uint8)
        part.ravel()[index] = region
        labels[box] = part
    return Division(Volume(labels, mask.grid, f"{mask.name} regions".strip()), planes, refused, definition)


def _regions_of(points, index, bone, grid, planes, refused, landmarks) -> np.ndarray:
    region = np.full(len(points), UNDIVIDED, np.uint8)
    rest = np.ones(len(points), bool)
    if "head_neck" in planes:
        along = planes["head_neck"].height(points)
        end = planes["neck_base"].height(points) if "neck_base" in planes else along
        medial = end < 0
        medial &= _on_the_neck(medial, end, index, bone, grid, points, landmarks)
        region[medial & (along < 0)] = HEAD
        rest = ~(medial & ((along < 0) | ("neck_base" in planes)))
        if "neck_base" in planes:
            region[medial & (along >= 0)] = NECK
    if "trochanter" in planes:
        above = planes["trochanter"].height(points) >= 0
        region[rest & above] = TROCHANTER
        if "distal" in planes:
            region[rest & ~above] = INTERTROCHANTER
    if "distal" in planes:
        region[planes["distal"].height(points) < 0] = SHAFT
    for label, name in REGIONS.items():
        if name in refused:
            region[region == label] = UNDIVIDED
    return region


def _on_the_neck(medial, end, index, bone, grid, points, landmarks) -> np.ndarray:
    """Of the bone on the head's side of the neck's base, what belongs to head and neck.

    A high greater trochanter may reach over the plane, too: what hangs together with the head only by way of the
    trochanter is none of it. Specks of noise that touch nothing go by the plane.
    """
    part = np.zeros(bone.shape, bool)
    part.ravel()[index] = medial
    labels, sizes = label_components(part, 26)
    if len(sizes) <= 2:
        return medial
    own = labels.ravel()[index]
    near_head = np.linalg.norm(points - landmarks.position("head_center"), axis=1) < landmarks.head_radius
    core = int(np.bincount(own[near_head & medial], minlength=len(sizes)).argmax()) if near_head.any() else 0
    # A component whose voxels lie against the plane goes on behind it.
    touching = np.unique(own[medial & (end > -1.8 * max(grid.spacing))])
    return ~np.isin(own, touching[(touching != core) & (touching != 0)])
