"""Sections of the neck at right angles to its axis, and the axis itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .bone_field import BoneField

_NEAREST, _FURTHEST = 0.75, 1.7  # of the head's radius: where the smallest section is looked for
_REACH = 2.3  # of the head's radius: how far sections are followed
_WINDOW = 1.6  # of the head's radius, half the width of a section's plane
_LEFT_NECK = 1.5  # times the smallest area so far: the section has left the neck
_ROUNDS = 6
_DAMPING = 0.6
_AIM_MM, _SPREAD_MM = -1.5, 2.0  # where, from the smallest section, and within how much sections decide on the axis
_PARABOLA_MM = 4.6  # to both sides of the smallest section: what its place and area are read from
_NARROWER = 0.95  # of the head's radius: where the search begins again if it ended at the head's side
_BETWEEN, _CLOSER = 10, 2  # where the base is looked for: parts between two sections, and how often they are divided
_IN_PLANE = np.zeros((3, 3, 3), bool)
_IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)


@dataclass(frozen=True, eq=False)
class SectionStack:
    """Sections of one bone by parallel planes.

    Attributes
    ----------
    origin, axis : numpy.ndarray
        (3,) RAS mm where the axis starts; unit vector.
    up, across : numpy.ndarray
        (3,) unit vectors in the planes.
    stations : numpy.ndarray
        (n,) mm along the axis.
    step : float
        mm between pixels.
    cover : numpy.ndarray
        (n, h, w) float32: share of each pixel that belongs to the section around the axis; rows run along ``up``.
    closed : numpy.ndarray
        (n,) bool: the axis passes through bone there, and the section ends inside the plane's window.
    sigma_mm : float
        Blur of the field that they were cut from.
    """

    origin: np.ndarray
    axis: np.ndarray
    up: np.ndarray
    across: np.ndarray
    stations: np.ndarray
    step: float
    cover: np.ndarray
    closed: np.ndarray
    sigma_mm: float

    @property
    def ticks(self) -> np.ndarray:
        """(h,) mm of the pixels from the axis, along either direction."""
        count = self.cover.shape[1]
        return (np.arange(count) - count // 2) * self.step

    @property
    def areas(self) -> np.ndarray:
        """(n,) mm2; infinite where a section is not closed.

        What the blur took is given back: an outline of curvature k moves in by k * sigma^2 / 2, and the curvature of
        any closed outline adds up to 2 pi.
        """
        areas = self.cover.sum(axis=(1, 2), dtype=np.float64) * self.step**2 + np.pi * self.sigma_mm**2
        return np.where(self.closed, areas, np.inf)

    def centroids(self) -> np.ndarray:
        """(n, 2) mm along ``up`` and ``across`` of the sections' middles; 0 where there is none."""
        total = np.maximum(self.cover.sum(axis=(1, 2), dtype=np.float64), 1e-9)
        rows = (self.cover.sum(axis=2) @ self.ticks) / total
        columns = (self.cover.sum(axis=1) @ self.ticks) / total
        return np.stack([rows, columns], axis=1)


def plane_axes(axis, proximal) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors at right angles to an axis: up (as far as can be along ``proximal``) and the third."""
    axis = np.asarray(axis, dtype=np.float64)
    up = np.asarray(proximal, dtype=np.float64) - axis * (axis @ proximal)
    if np.linalg.norm(up) < 1e-6:
        helper = np.eye(3)[int(np.argmin(np.abs(axis)))]
        up = helper - axis * (axis @ helper)
    up = up / np.linalg.norm(up)
    return up, np.cross(axis, up)


def cut_sections(field: BoneField, origin, axis, proximal, stations, half: float, step: float) -> SectionStack:
    """Cut a bone by planes at right angles to an axis.

    Only the connected part around the axis counts: planes through the neck also meet the trochanters.

    Parameters
    ----------
    field : BoneField
    origin, axis, proximal : array_like
        (3,) RAS mm and unit vectors.
    stations : array_like
        mm along the axis, evenly spaced.
    half, step : float
        mm: half the window's width, and pixel size.
    """
    origin, axis = np.asarray(origin, dtype=np.float64), np.asarray(axis, dtype=np.float64)
    stations = np.asarray(stations, dtype=np.float64)
    up, across = plane_axes(axis, proximal)
    middle = int(np.ceil(half / step))
    count = 2 * middle + 1
    start = origin + stations[0] * axis - middle * step * (up + across)
    pitch = stations[1] - stations[0] if len(stations) > 1 else 1.0
    values = field.resample(start, np.stack([axis, up, across]), (len(stations), count, count), (pitch, step, step))
    parts, _ = ndimage.label(values >= 0.5, _IN_PLANE)
    own = parts[:, middle, middle]
    inside = (parts == own[:, None, None]) & (own > 0)[:, None, None]
    rim = np.zeros_like(inside)
    rim[:, [0, -1]] = rim[:, :, [0, -1]] = True
    closed = (own > 0) & ~(inside & rim).any(axis=(1, 2))
    # On the rim the field tells how far the surface is from the pixel's centre.
    slope = field.sigma_mm * np.sqrt(2 * np.pi) / step
    fringe = ndimage.binary_dilation(inside, _IN_PLANE) & ((parts == 0) | inside)
    cover = np.where(fringe, np.clip(0.5 + (values - 0.5) * slope, 0.0, 1.0), 0.0).astype(np.float32)
    return SectionStack(origin, axis, up, across, stations, step, cover, closed, field.sigma_mm)


@dataclass(frozen=True, eq=False)
class NeckAxis:
    """The neck's axis and its smallest section.

    Attributes
    ----------
    axis : numpy.ndarray
        (3,) unit vector from the head's centre down the neck.
    minimum_mm : float
        mm from the head's centre to the smallest section.
    minimum_area_mm2 : float
    sections : SectionStack
        Along the axis, half a mm apart, from the head outwards.
    on_border : bool
        The smallest section lies at an end of the stretch that was searched: the neck has no waist there.
    widened_mm2 : float
        What the field's blur along the axis adds to the areas of ``sections`` about the waist.
    """

    axis: np.ndarray
    minimum_mm: float
    minimum_area_mm2: float
    sections: SectionStack
    on_border: bool
    widened_mm2: float = 0.0

    @property
    def radius_mm(self) -> float:
        """Radius of a circle with the smallest section's area."""
        return float(np.sqrt(self.minimum_area_mm2 / np.pi))

    def base_mm(self, field: BoneField, factor: float) -> float | None:
        """mm from the head's centre to where, lateral of the smallest section, the area reaches a multiple of it.

        Parameters
        ----------
        field : BoneField
            That the sections are of; between the two around the place it is cut again, closer and closer, for the
            area jumps where the section meets the greater trochanter.
        factor : float

        Returns
        -------
        float or None
            None if it does not within the stretch that was cut.
        """
        stack, limit = self.sections, factor * self.minimum_area_mm2 + self.widened_mm2
        half = stack.step * (stack.cover.shape[1] // 2)
        beyond = stack.stations >= self.minimum_mm
        stations, areas = stack.stations[beyond], stack.areas[beyond]
        around = None
        for _ in range(_CLOSER + 1):
            if around is not None:
                stations = np.linspace(*stations[around], _BETWEEN + 1)
                areas = cut_sections(field, stack.origin, stack.axis, stack.up, stations, half, stack.step).areas
            wide = np.flatnonzero(areas >= limit)
            if len(wide) == 0 or wide[0] == 0:
                return None if len(wide) == 0 else float(stations[0])
            around = slice(wide[0] - 1, wide[0] + 1)
        (first, last), (low, high) = stations[around], areas[around]
        return float(first + (limit - low) / (high - low) * (last - first)) if np.isfinite(high) else float(last)


def _smallest(stations, areas, radius, nearest=_NEAREST) -> tuple[float, float, bool, float] | None:
    """Station and area of the smallest section, whether it lies at an end, and half the areas' second derivative.

    A parabola through the sections around it.
    """
    searched = (stations >= nearest * radius - 1e-9) & (stations <= _FURTHEST * radius + 1e-9) & np.isfinite(areas)
    candidates = np.flatnonzero(searched)
    if len(candidates) < 3:
        return None
    # Beyond the neck's base there may be smaller sections again, of the shaft alone: they are none of the neck.
    running = np.minimum.accumulate(areas[candidates])
    beyond = np.flatnonzero(areas[candidates] > _LEFT_NECK * running)
    if len(beyond) and beyond[0] >= 3:
        candidates = candidates[: beyond[0] + 1]
    best = candidates[np.argmin(areas[candidates])]
    on_border = best in (candidates[0], candidates[-1])
    near = candidates[np.abs(stations[candidates] - stations[best]) <= _PARABOLA_MM]
    if on_border or len(near) < 4:
        return float(stations[best]), float(areas[best]), on_border, 0.0
    x = stations[near] - stations[best]
    c, b, a = np.polynomial.polynomial.polyfit(x, areas[near], 2)
    if a <= 1e-9:
        return float(stations[best]), float(areas[best]), on_border, 0.0
    place = float(np.clip(-b / (2 * a), x[0], x[-1]))
    return float(stations[best] + place), float(a * place**2 + b * place + c), on_border, float(a)


def follow_axis(field: BoneField, head_center, radius: float, axis, proximal, fixed: bool = False) -> NeckAxis | None:
    """Find the neck's axis: from the head's centre through the middle of the smallest section.

    A free search over tilt and station runs away to steep planes that leave the bone; here the axis is aimed again, six
    times and damped, at the middle of the smallest section that it finds itself.

    Parameters
    ----------
    field : BoneField
    head_center : array_like
        (3,) RAS mm.
    radius : float
        Of the head, mm.
    axis, proximal : array_like
        (3,) unit vectors: first guess of the axis; up the shaft.
    fixed : bool
        Keep the axis as it is, and only measure along it.

    Returns
    -------
    NeckAxis or None
        None if no closed section is met where a neck should be.
    """
    center = np.asarray(head_center, dtype=np.float64)
    axis = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    found = _follow(field, center, radius, axis, proximal, _NEAREST, fixed)
    if found is not None and found.on_border and not fixed:
        # A head that overhangs its neck draws the axis to itself, steeper and steeper: begin beside it.
        again = _follow(field, center, radius, axis, proximal, _NARROWER, fixed)
        found = again if again is not None and not again.on_border else found
    return found


def _follow(field, center, radius, axis, proximal, nearest, fixed) -> NeckAxis | None:
    stations = np.arange(nearest * radius, _FURTHEST * radius + 0.5, 1.0)
    for _ in range(0 if fixed else _ROUNDS):
        stack = cut_sections(field, center, axis, proximal, stations, _WINDOW * radius, 1.2)
        smallest = _smallest(stations, stack.areas, radius, nearest)
        if smallest is None:
            return None
        # Weights that fade out: a section that comes in or drops out must not make the axis jump.
        weights = np.exp(-0.5 * ((stations - smallest[0] - _AIM_MM) / _SPREAD_MM) ** 2) * stack.closed
        if weights.sum() < 1e-3:
            return None
        weights /= weights.sum()
        up, across = weights @ stack.centroids()
        aim = (weights @ stations) * axis + up * stack.up + across * stack.across
        axis = axis + _DAMPING * (aim / np.linalg.norm(aim) - axis)
        axis /= np.linalg.norm(axis)
    fine = np.arange(0.5 * radius, _REACH * radius + 0.25, 0.5)
    stack = cut_sections(field, center, axis, proximal, fine, _WINDOW * radius, 0.75)
    smallest = _smallest(fine, stack.areas, radius, nearest)
    if smallest is None:
        return None
    place, area, on_border, growth = smallest
    # Sections that grow by a * d^2 away from the waist gain a * sigma^2 each by the blur along the axis.
    widened = growth * field.sigma_mm**2
    return NeckAxis(axis, place, area - widened, stack, on_border, widened)
