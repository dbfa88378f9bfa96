"""The femoral head as a sphere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .bone_field import BoneField

_RADII = np.arange(15.0, 33.0)  # mm
_CELL = 3.0  # mm
_SAMPLE = 24_000
_TOP_MM = 120.0  # below the top of the bone no head is looked for: condyles are round, too
_SHELL = 0.1  # of the radius: what lies further from the sphere is none of it
_RADIAL = (0.8, 1.0)  # cosines between normal and radius: what turns away more is none of it; what less, wholly
_SETTLED_MM = 1e-3
_SIGMA_MM, _SIGMA_VOXELS = 1.5, 1.5  # blur, for the fit
_NORMALS_MM, _NORMALS_VOXELS = 3.0, 3.0  # blur, for the normals: on terraces of voxels they would lean to the grid


@dataclass(frozen=True, eq=False)
class HeadSphere:
    """A sphere over the articular surface.

    Attributes
    ----------
    center : numpy.ndarray
        (3,) RAS mm.
    radius : float
        mm.
    residual_mm : float
        Median distance of the surface points used from the sphere.
    coverage : float
        Share of the whole sphere's area that the points used stand for.
    """

    center: np.ndarray
    radius: float
    residual_mm: float
    coverage: float


def fit_sphere(points, weights) -> tuple[np.ndarray, float]:
    """Least-squares sphere through (n, 3) points: centre and radius, in the points' unit."""
    points, weights = np.asarray(points, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    middle = np.average(points, axis=0, weights=weights)
    x = points - middle
    design = np.concatenate([2 * x, np.ones((len(x), 1))], axis=1)
    weighted = design * weights[:, None]
    solution = np.linalg.solve(design.T @ weighted, weighted.T @ (x**2).sum(axis=1))
    center = solution[:3]
    return center + middle, float(np.sqrt(max(solution[3] + center @ center, 0.0)))


def guess_sphere(points, normals, areas) -> tuple[np.ndarray, float]:
    """Centre and radius at which most of the surface's normals meet.

    Every surface point votes, for every radius of a head, for the centre that lies so far behind it: on a sphere all
    votes fall into one place, whatever else (trochanter, a piece of pelvis) belongs to the mask.

    Parameters
    ----------
    points, normals : array_like
        (n, 3) RAS mm and outward unit vectors.
    areas : array_like
        (n,) mm2 that each stands for.
    """
    upper = points[:, 2] > points[:, 2].max() - _TOP_MM
    points, normals, areas = points[upper], normals[upper], areas[upper]
    step = max(1, len(points) // _SAMPLE)
    points, normals, areas = points[::step], normals[::step], areas[::step]
    low = points.min(axis=0) - _CELL
    counts = np.ceil((points.max(axis=0) + _CELL - low) / _CELL).astype(int) + 1
    best = (-1.0, None, 0.0)
    for radius in _RADII:
        cell = np.rint((points - radius * normals - low) / _CELL).astype(int)
        kept = ((cell >= 1) & (cell < counts - 1)).all(axis=1)
        votes = np.bincount(np.ravel_multi_index(cell[kept].T, counts), areas[kept], counts.prod()).reshape(counts)
        for axis in range(3):
            votes[tuple(slice(1, -1) if a == axis else slice(None) for a in range(3))] = _three(votes, axis)
        peak = int(votes.argmax())
        if votes.flat[peak] > best[0]:
            best = (float(votes.flat[peak]), low + np.array(np.unravel_index(peak, counts)) * _CELL, float(radius))
    return best[1], best[2]


def _three(votes, axis):
    """Sums of three neighbours along an axis, without the ends."""
    moved = np.moveaxis(votes, axis, 0)
    return np.moveaxis(moved[:-2] + moved[1:-1] + moved[2:], 0, axis)


def find_head(field: BoneField, surface) -> HeadSphere | None:
    """Find the head of a proximal femur.

    Parameters
    ----------
    field : BoneField
    surface : tuple
        As from ``field.surface()``.

    Returns
    -------
    HeadSphere or None
        None if no sphere of a head's size covers enough of its surface.
    """
    center, radius = guess_sphere(*surface)
    if center is None:
        return None
    sigma = max(_SIGMA_MM, _SIGMA_VOXELS * max(field.grid.spacing))
    smooth = field.smoother(sigma, center, radius + 12.0 + 3.0 * sigma)
    points, _, areas = smooth.surface()
    wide = max(_NORMALS_MM, _NORMALS_VOXELS * max(field.grid.spacing))
    normals = field.smoother(wide, center, radius + 14.0 + 3.0 * wide).normals(points)
    head = fit_sphere_to_surface(points, normals, areas, center, radius)
    if head is None:
        return None
    # Blur has drawn the sphere in by this much.
    radius = head.radius + smooth.sigma_mm**2 / head.radius
    return replace(head, radius=radius) if _RADII[0] - 1 < radius < _RADII[-1] + 1 else None


def fit_sphere_to_surface(points, normals, areas, center, radius: float) -> HeadSphere | None:
    """Fit a sphere to the part of a surface that is one.

    Begins with a wide shell around a guess; then weighs the points by how radial their normals are and how near to the
    sphere they lie, and fits again until nothing changes. The weights fade to nothing, slowly: a hard choice of points
    would let the sphere jump when the mask lies on other voxels, and a narrow one slide along a head that is not round.

    Parameters
    ----------
    points, normals, areas : array_like
        As from `BoneField.surface`.
    center : array_like
        (3,) RAS mm.
    radius : float
        mm.

    Returns
    -------
    HeadSphere or None
        None if too little of the surface is a sphere.
    """
    near = np.linalg.norm(points - center, axis=1) < radius + 12.0
    points, normals, areas = points[near], normals[near], areas[near]
    for step in range(60):
        shell = max(6.0 - 0.5 * step, _SHELL * radius)
        loose = max(0.06 - 0.01 * step, 0.0)
        offset = points - center
        distance = np.linalg.norm(offset, axis=1)
        radial = (offset * normals).sum(axis=1) / np.maximum(distance, 1e-9)
        weights = areas * _ramp(radial, _RADIAL[0] - loose, _RADIAL[1] - loose)
        weights *= np.clip(1.0 - ((distance - radius) / shell) ** 2, 0.0, None) ** 2
        if np.count_nonzero(weights) < 30:
            return None
        before = center
        center, radius = fit_sphere(points, weights)
        if not 8.0 < radius < 45.0:
            return None
        if step > 8 and np.linalg.norm(center - before) < _SETTLED_MM:
            break
    away = np.abs(np.linalg.norm(points - center, axis=1) - radius)
    used = (weights > 0.25 * areas) & (away < 0.5 * shell)
    if np.count_nonzero(used) < 30:
        return None
    coverage = float(areas[used].sum() / (4 * np.pi * radius**2))
    return HeadSphere(center, radius, float(np.median(away[used])), coverage)


def _ramp(x, low: float, high: float) -> np.ndarray:
    """0 below, 1 above, smooth between."""
    share = np.clip((x - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)
