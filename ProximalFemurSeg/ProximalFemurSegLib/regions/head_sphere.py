"""The femoral head as a sphere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_RADII = np.arange(15.0, 33.0)  # mm
_CELL = 3.0  # mm
_SAMPLE = 24_000
_TOP_MM = 120.0  # below the top of the bone no head is looked for: condyles are round, too


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


def fit_head(points, normals, areas, sigma_mm: float = 0.0) -> HeadSphere | None:
    """Find the head on the surface of a proximal femur.

    Starts where the normals meet, with a wide shell; then keeps the points whose normal is radial and that lie near the
    sphere, and fits again until nothing changes.

    Parameters
    ----------
    points, normals, areas : array_like
        As from `BoneField.surface`.
    sigma_mm : float
        Blur of the field: the sphere's surface lies ``sigma_mm ** 2 / radius`` too far inside.

    Returns
    -------
    HeadSphere or None
        None if no sphere of a head's size covers enough of its surface.
    """
    center, radius = guess_sphere(points, normals, areas)
    if center is None:
        return None
    near = np.linalg.norm(points - center, axis=1) < radius + 12.0
    points, normals, areas = points[near], normals[near], areas[near]
    used = None
    for step in range(30):
        shell = max(5.0 - 0.75 * step, min(0.1 * radius, max(1.2, 1.2 * sigma_mm)))
        cosine = min(0.9 + 0.015 * step, 0.975)
        offset = points - center
        distance = np.linalg.norm(offset, axis=1)
        radial = (offset * normals).sum(axis=1) / np.maximum(distance, 1e-9)
        kept = (np.abs(distance - radius) < shell) & (radial > cosine)
        if np.count_nonzero(kept) < 30:
            return None
        center, radius = fit_sphere(points[kept], areas[kept])
        settled = step > 8 and used is not None and np.array_equal(kept, used)
        used = kept
        if settled or not 8.0 < radius < 45.0:
            break
    if not _RADII[0] - 1 < radius < _RADII[-1] + 1:
        return None
    coverage = float(areas[used].sum() / (4 * np.pi * radius**2))
    residual = float(np.median(np.abs(np.linalg.norm(points[used] - center, axis=1) - radius)))
    return HeadSphere(center, radius + sigma_mm**2 / radius, residual, coverage)
