"""Cut a femur into head, neck, trochanter, intertrochanter and shaft by planes through its landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from ..errors import BadInputError
from ..postprocessing import bounding_box, label_components
from ..volume import Volume
from .cut_voxels import CutVoxels, cut_voxels
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

PLANES = {
    "head_neck": "Cut between head and neck",
    "neck_end": "End of the neck, at its base",
    "trochanter": "Cut between trochanter and intertrochanter",
    "distal": "Upper end of the shaft",
}
_NEEDS = {
    "head": ("head_neck",),
    "neck": ("head_neck", "neck_end"),
    "trochanter": ("head_neck", "neck_end", "trochanter"),
    "intertrochanter": ("head_neck", "neck_end", "trochanter", "distal"),
    "shaft": ("distal",),
}


@dataclass(frozen=True, eq=False)
class Plane:
    """A cut.

    Attributes
    ----------
    origin, normal : numpy.ndarray
        (3,) RAS mm and unit vector.
    placed : bool
        By hand.
    """

    origin: np.ndarray
    normal: np.ndarray
    placed: bool = False

    @classmethod
    def by_hand(cls, name: str, place) -> Plane:
        """A plane that the user placed.

        Parameters
        ----------
        name : str
            One of `PLANES`, for the message.
        place : Plane or array_like
            (2, 3) if it is no plane: a point in RAS mm and a normal of any length, to either side.

        Raises
        ------
        BadInputError
            If it is neither, or has no direction.
        """
        try:
            parts = (place.origin, place.normal) if isinstance(place, Plane) else place
            origin, normal = (np.asarray(part, dtype=np.float64).reshape(3) for part in parts)
        except (TypeError, ValueError):
            origin = normal = np.zeros(3)
        length = float(np.linalg.norm(normal))
        if not (np.isfinite(length) and length > 1e-9 and np.isfinite(origin).all()):
            raise BadInputError(f"The plane '{name}' is none: give a point and a normal, RAS in mm.")
        return cls(origin, normal / length, True)

    def height(self, points) -> np.ndarray:
        """mm of (..., 3) points above the plane, on the side its normal points to."""
        return np.asarray(points) @ self.normal - float(self.origin @ self.normal)

    def turned_to(self, direction) -> Plane:
        """The same plane, its normal to the side of a direction."""
        return self if float(self.normal @ direction) >= 0 else replace(self, normal=-self.normal)

    def describe(self) -> dict:
        """In plain values."""
        return {
            "origin_ras_mm": [round(float(x), 3) for x in self.origin],
            "normal_ras": [round(float(x), 5) for x in self.normal],
            "placed_by_hand": self.placed,
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
        'head_neck', 'neck_end' (normals down the neck), 'trochanter', 'distal' (normals up the shaft); those known.
    refused : dict of str to str
        Region to why it could not be told.
    definition : RegionDefinition
    cut : CutVoxels
        Voxels that a cut passes through; a label has the voxels whose centres it holds, a volume counts their parts.
    """

    labels: Volume
    planes: dict[str, Plane]
    refused: dict[str, str]
    definition: RegionDefinition
    cut: CutVoxels = field(default_factory=CutVoxels)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(7,) sums over the regions, by label, of an array in the labels' shape."""
        return self.cut.sums(self.labels.array, values)


def cutting_planes(
    landmarks: FemurLandmarks, definition: RegionDefinition, placed: Mapping | None = None
) -> tuple[dict[str, Plane], dict[str, str]]:
    """The planes between the regions, and the regions that lack one, with the reason.

    Parameters
    ----------
    landmarks : FemurLandmarks
    definition : RegionDefinition
    placed : mapping of str to Plane, optional
        Planes that the user placed or turned: they are taken as they are.
    """
    planes, missing = {}, {}
    _add_neck_planes(landmarks, definition, planes, missing)
    _add_distal_plane(landmarks, definition, planes, missing)
    _add_trochanter_plane(landmarks, planes, missing)
    for name, plane in (placed or {}).items():
        if name not in PLANES:
            raise BadInputError(f"There is no plane '{name}': choose from {', '.join(PLANES)}.")
        plane = Plane.by_hand(name, plane)
        planes[name] = plane.turned_to(_outward(name, landmarks, plane))
    refused = {}
    for region, needed in _NEEDS.items():
        lacking = [name for name in needed if name not in planes]
        if lacking:
            refused[region] = missing[lacking[0]]
    return planes, refused


def _outward(name: str, landmarks: FemurLandmarks, plane: Plane) -> np.ndarray:
    """To which side the normal of a plane points: down the neck, or up the shaft."""
    head = landmarks.position("head_center")
    if name in ("head_neck", "neck_end"):
        return np.array([0.0, 0.0, -1.0]) if head is None else plane.origin - head
    return np.array([0.0, 0.0, 1.0]) if landmarks.frame is None else landmarks.frame.proximal


def _add_neck_planes(landmarks: FemurLandmarks, definition: RegionDefinition, planes, missing):
    head, neck = landmarks.position("head_center"), landmarks.neck
    if neck is None:
        missing["head_neck"] = landmarks.reason("head_center") or landmarks.reason("neck_center")
        missing["neck_end"] = missing["head_neck"]
        return
    near, far = _neck_extent(landmarks, definition)
    planes["head_neck"] = Plane(head + near * neck.axis, neck.axis)
    if far is None:
        missing["neck_end"] = landmarks.reason("neck_base")
    else:
        planes["neck_end"] = Plane(head + far * neck.axis, neck.axis)


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


def _add_distal_plane(landmarks: FemurLandmarks, definition: RegionDefinition, planes, missing):
    lower = landmarks.position("lesser_trochanter_lower")
    if landmarks.shaft is None or lower is None:
        name = "shaft_distal" if landmarks.shaft is None else "lesser_trochanter_lower"
        missing["distal"] = landmarks.reason(name)
        return
    proximal = landmarks.shaft.direction
    limit = Plane(lower - BELOW_LESSER_MM[definition.distal] * proximal, proximal)
    if landmarks.lowest_whole is not None and limit.height(landmarks.frame.origin) > -landmarks.lowest_whole + 2.0:
        missing["distal"] = "The bone ends above the distal limit."
    else:
        planes["distal"] = limit


def _add_trochanter_plane(landmarks: FemurLandmarks, planes, missing):
    ridge, floor = landmarks.position("vastus_ridge"), landmarks.position("neck_base_inferior")
    lacking = {
        "shaft_distal": landmarks.shaft is None,
        "neck_center": landmarks.neck is None,
        "vastus_ridge": ridge is None,
        "neck_base_inferior": floor is None,
    }
    for name, lacks in lacking.items():
        if lacks:
            missing["trochanter"] = landmarks.reason(name)
            return
    proximal = landmarks.shaft.direction
    normal = np.cross(np.cross(proximal, landmarks.neck.axis), ridge - floor)
    length = float(np.linalg.norm(normal))
    if length < 1e-6:
        missing["trochanter"] = "The vastus ridge and the base of the neck coincide."
    else:
        planes["trochanter"] = Plane(floor, normal / length).turned_to(proximal)


def divide(
    mask: Volume,
    landmarks: FemurLandmarks,
    definition: RegionDefinition | None = None,
    placed: Mapping | None = None,
) -> Division:
    """Divide a femur by its landmarks.

    Parameters
    ----------
    mask : Volume
        bool, the femur that the landmarks belong to.
    landmarks : FemurLandmarks
        From `find_landmarks`, with or without points placed by hand.
    definition : RegionDefinition, optional
        Adaptive neck and the lower edge of the lesser trochanter if left out.
    placed : mapping of str to Plane, optional
        Planes placed by hand.

    Returns
    -------
    Division
        Regions are disjoint and together exactly the mask. What cannot be told apart in this field of view is label 6.
    """
    definition = RegionDefinition() if definition is None else definition
    planes, refused = cutting_planes(landmarks, definition, placed)
    labels = np.zeros(mask.grid.shape, np.uint8)
    index = np.flatnonzero(mask.array)
    place = np.stack(np.unravel_index(index, mask.array.shape)[::-1], axis=1)
    points = mask.grid.ijk_to_ras(place)
    medial, cut_here = _on_the_neck(points, index, mask, planes, landmarks)
    labels.ravel()[index] = _regions_of(points, planes, refused, medial)
    which, parts = cut_voxels(points, mask.grid, planes, refused, cut_here)
    return Division(
        Volume(labels, mask.grid, f"{mask.name} regions".strip()),
        planes,
        refused,
        definition,
        CutVoxels(index[which], parts),
    )


def _regions_of(points, planes, refused, medial) -> np.ndarray:
    region = np.full(len(points), UNDIVIDED, np.uint8)
    rest = np.ones(len(points), bool)
    if "head_neck" in planes:
        along = planes["head_neck"].height(points)
        region[medial & (along < 0)] = HEAD
        rest = ~(medial & ((along < 0) | ("neck_end" in planes)))
        if "neck_end" in planes:
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


def _on_the_neck(points, index, mask, planes, landmarks) -> tuple[np.ndarray, np.ndarray]:
    """Of the bone on the head's side of the neck's base, what belongs to head and neck; and that with its border.

    A high greater trochanter may reach over the plane, too: what hangs together with the head only by way of the
    trochanter is none of it. Specks of noise that touch nothing go by the plane.
    """
    nowhere = np.zeros(len(points), bool)
    if "head_neck" not in planes or len(points) == 0:
        return nowhere, nowhere
    end = planes["neck_end" if "neck_end" in planes else "head_neck"].height(points)
    medial = end < 0
    box = bounding_box(mask.array)
    part = np.zeros(mask.array.shape, bool)
    part.ravel()[index] = medial
    labels, sizes = label_components(part[box], 26)
    head = landmarks.position("head_center")
    if len(sizes) <= 2 or head is None:
        return medial, ~nowhere
    own = labels[mask.array[box]]
    near_head = np.linalg.norm(points - head, axis=1) < landmarks.head_radius
    core = int(np.bincount(own[near_head & medial], minlength=len(sizes)).argmax()) if near_head.any() else 0
    # A component whose voxels lie against the plane goes on behind it.
    touching = np.unique(own[medial & (end > -1.8 * max(mask.grid.spacing))])
    others = touching[(touching != core) & (touching != 0)]
    if len(others) == 0:
        return medial, ~nowhere
    medial &= ~np.isin(own, others)
    own_part = np.zeros(part[box].shape, bool)
    own_part[mask.array[box]] = medial
    border = ndimage.binary_dilation(own_part, np.ones((3, 3, 3), bool))[mask.array[box]]
    return medial, border & ((end >= 0) | medial)
