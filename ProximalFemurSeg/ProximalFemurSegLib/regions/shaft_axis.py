"""The axis of the shaft: a line through the middles of its cross-sections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bone_field import BoneField
from .head_sphere import HeadSphere

_STATION = 1.5  # mm between sections
_REFERENCE_RADIUS = 24.0  # mm; distances below are those of a bone with a head of this radius
_BELOW_LESSER = 82.0  # mm from the centre of the head: nothing but shaft lies further away
_STRETCH = 80.0  # mm of shaft that are looked at, if so much is there
_FITTED = 60.0  # mm of shaft below the lesser trochanter that make the axis: further down the shaft bows
_CAP_SLOPE = 0.7  # cosine; a surface that looks so straight down is where the bone was cut


@dataclass(frozen=True, eq=False)
class ShaftLine:
    """A line up a shaft.

    Attributes
    ----------
    point : numpy.ndarray
        (3,) RAS mm on the line.
    direction : numpy.ndarray
        (3,) unit vector, proximal.
    low, high : float
        mm along the direction from ``point``: the stretch of whole sections it was fitted to.
    residual_mm : float
        Root mean square distance of the sections' middles from it.
    """

    point: np.ndarray
    direction: np.ndarray
    low: float
    high: float
    residual_mm: float

    @property
    def length_mm(self) -> float:
        """mm of shaft it was fitted to."""
        return self.high - self.low

    def height(self, points):
        """mm up the line of (..., 3) points."""
        return (np.asarray(points, dtype=np.float64) - self.point) @ self.direction

    def at(self, height) -> np.ndarray:
        """RAS mm of the place on the line at a height."""
        return self.point + np.multiply.outer(np.asarray(height, dtype=np.float64), self.direction)

    def project(self, points) -> np.ndarray:
        """Nearest places on the line to (..., 3) points."""
        return self.at(self.height(points))


def fit_line(points, weights=None) -> tuple[np.ndarray, np.ndarray, float]:
    """Orthogonal least squares: a point, a unit direction and the root mean square distance."""
    points = np.asarray(points, dtype=np.float64)
    middle = np.average(points, axis=0, weights=weights)
    _, _, axes = np.linalg.svd(points - middle, full_matrices=False)
    direction = axes[0]
    off = (points - middle) - np.outer((points - middle) @ direction, direction)
    return middle, direction, float(np.sqrt((off**2).sum(axis=1).mean()))


def cut_height(points, normals, direction, reach_mm: float = 30.0) -> float:
    """How high the lower end of a bone reaches where it was cut off, square or oblique: mm along the direction.

    Parameters
    ----------
    points, normals : numpy.ndarray
        (n, 3) surface, RAS mm.
    direction : numpy.ndarray
        (3,) unit vector up the shaft.
    reach_mm : float
        Above the lowest point; what looks down further up is no cut.
    """
    height = points @ direction
    end = height.min()
    cap = (normals @ direction < -_CAP_SLOPE) & (height < end + reach_mm)
    return float(np.percentile(height[cap], 97)) if np.count_nonzero(cap) > 5 else float(end)


def find_shaft(
    field: BoneField, surface, head: HeadSphere, below: float | None = None, away_mm: float = _BELOW_LESSER
) -> ShaftLine | None:
    """The line through the middles of whole sections of the shaft.

    Parameters
    ----------
    field : BoneField
    surface : tuple
        As from ``field.surface()``.
    head : HeadSphere
    below : float, optional
        mm below the head's centre, along the axis, where the shaft begins (the lower edge of the lesser trochanter, if
        it is known by now); else what is far from the head is taken for shaft.
    away_mm : float
        Without ``below``: how far from the head's centre that is, in a bone whose head has a radius of 24 mm.

    Returns
    -------
    ShaftLine or None
        None if there is hardly any bone so far from the head.
    """
    scale = head.radius / _REFERENCE_RADIUS
    index = np.argwhere(field.values >= 0.5)
    bone = field.grid.ijk_to_ras(index[:, ::-1])
    step = max(1, len(bone) // 250_000)
    bone = bone[::step]
    away = np.linalg.norm(bone - head.center, axis=1)
    # With the head's place alone: the stretch of a sphere's shell that lies below it.
    first = away_mm * scale if below is None else below
    lower = (away > max(first, 1.6 * head.radius)) & (bone[:, 2] < head.center[2])
    lower &= away < first + _STRETCH + 15.0
    if np.count_nonzero(lower) * step * field.grid.voxel_volume_mm3 < 2000.0:
        return None
    candidates = bone[lower]
    points, normals, _ = surface
    far = np.linalg.norm(points - head.center, axis=1) < first + _STRETCH + 45.0
    far &= points[:, 2] < head.center[2]
    points, normals = points[far], normals[far]
    truncated = bool((away > first + _STRETCH + 15.0).any())

    line = (candidates.mean(axis=0), np.array([0.0, 0.0, 1.0]))
    low = high = residual = 0.0
    for _ in range(8):
        middle, direction = line
        height = candidates @ direction
        bottom = height.min() if truncated else cut_height(points, normals, direction) + 2.0
        if below is None:
            # The shell's upper end is round: only sections that it does not touch are whole.
            top = -np.inf
            center_height = head.center @ direction
            crossing = middle + direction * (center_height - middle @ direction)
            offset = np.linalg.norm(head.center - crossing)
            reach = offset + 20.0 * scale
            top = center_height - np.sqrt(max(first**2 - max(offset - 20.0 * scale, 0.0) ** 2, 0.0))
            if truncated:
                bottom = center_height - np.sqrt(max((first + _STRETCH + 15.0) ** 2 - reach**2, 0.0)) + 2.0
        else:
            top = head.center @ direction - below
            bottom = max(bottom, top - _FITTED)
        if top - bottom < 6.0:
            return None
        used = (height >= bottom) & (height <= top)
        bins = ((height[used] - bottom) / _STATION).astype(int)
        count = int((top - bottom) / _STATION)
        kept = bins < count
        bins, inside = bins[kept], candidates[used][kept]
        sizes = np.bincount(bins, minlength=count)
        middles = np.stack([np.bincount(bins, inside[:, a], count) for a in range(3)], axis=1)
        middles = middles[sizes > 0] / sizes[sizes > 0, None]
        if len(middles) < 4:
            return None
        point, new, residual = fit_line(middles)
        new = new if new[2] >= 0 else -new
        settled = new @ direction > np.cos(np.deg2rad(0.02))
        line, low, high = (point, new), bottom, top
        if settled:
            break
    point, direction = line
    base = point @ direction
    return ShaftLine(point, direction, low - base, high - base, residual)
