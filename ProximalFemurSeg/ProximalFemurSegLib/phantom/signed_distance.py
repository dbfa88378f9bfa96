"""Solids as signed distances: primitives, and ways to join them smoothly.

Every primitive takes (..., 3) points in mm, floating point on any device, and gives (...,) signed distances in mm,
negative inside. Shapes are described in plain numbers or numpy arrays. Products are written out rather than left to
matrix multiplication, so that the same points give the same bytes whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

_TINY = 1e-9


def coordinates(points: torch.Tensor, origin: Sequence[float], axes: np.ndarray) -> list[torch.Tensor]:
    """Coordinates of points along the rows of ``axes`` ((n, 3)) from ``origin`` ((3,) mm); n tensors (...,)."""
    x, y, z = points.unbind(-1)
    axes = np.asarray(axes, dtype=np.float64)
    shift = axes @ np.asarray(origin, dtype=np.float64)
    return [x * float(row[0]) + y * float(row[1]) + z * float(row[2]) - float(s) for row, s in zip(axes, shift)]


def transform(points: torch.Tensor, origin: Sequence[float], axes: np.ndarray) -> torch.Tensor:
    """Points in the frame of ``origin`` and the rows of ``axes``; (..., 3) mm."""
    return torch.stack(coordinates(points, origin, axes), dim=-1)


def orthonormal_frame(direction: Sequence[float], toward: Sequence[float]) -> np.ndarray:
    """(3, 3) with rows: ``direction`` made unit, the part of ``toward`` at right angles to it, and their cross
    product."""
    w = np.asarray(direction, dtype=np.float64)
    w = w / np.linalg.norm(w)
    u = np.asarray(toward, dtype=np.float64)
    u = u - w * (u @ w)
    if np.linalg.norm(u) < 1e-6:
        u = np.eye(3)[int(np.argmin(np.abs(w)))]
        u = u - w * (u @ w)
    u /= np.linalg.norm(u)
    return np.stack([w, u, np.cross(w, u)])


def length(*components: torch.Tensor) -> torch.Tensor:
    """Euclidean length of the vector with these components."""
    total = components[0] * components[0]
    for component in components[1:]:
        total = total + component * component
    return torch.sqrt(total)


def sphere(points: torch.Tensor, center: Sequence[float], radius: float) -> torch.Tensor:
    """Exact."""
    return length(*coordinates(points, center, np.eye(3))) - float(radius)


def elliptic(components: Sequence[torch.Tensor], semi_axes: Sequence) -> torch.Tensor:
    """First-order distance to an ellipse or ellipsoid: exact on the surface and, for equal semi-axes, everywhere."""
    scaled = [c / a for c, a in zip(components, semi_axes)]
    k0 = length(*scaled)
    k1 = length(*[s / a for s, a in zip(scaled, semi_axes)])
    # At the centre 0 * (0 - 1) / 0; the limit along the shortest axis is minus its length.
    shortest = semi_axes[0]
    for a in semi_axes[1:]:
        shortest = torch.minimum(shortest, a) if torch.is_tensor(shortest) else min(shortest, a)
    distance = k0 * (k0 - 1.0) / k1.clamp_min(_TINY)
    return torch.where(k0 > 1e-4, distance, torch.zeros_like(k0) - shortest)


def ellipsoid(
    points: torch.Tensor, center: Sequence[float], semi_axes: Sequence[float], axes: np.ndarray | None = None
) -> torch.Tensor:
    """Ellipsoid with ``semi_axes`` (3,) mm along the rows of ``axes`` (the coordinate axes if left out); exact on the
    surface, to first order near it."""
    frame = np.eye(3) if axes is None else axes
    return elliptic(coordinates(points, center, frame), [float(a) for a in semi_axes])


def capsule(points: torch.Tensor, start: Sequence[float], end: Sequence[float], radius: float) -> torch.Tensor:
    """All points within ``radius`` of a segment; exact."""
    return tapered_capsule(points, start, end, radius, radius)


def tapered_capsule(
    points: torch.Tensor, start: Sequence[float], end: Sequence[float], start_radius: float, end_radius: float
) -> torch.Tensor:
    """Convex hull of two spheres, neither inside the other; exact.

    Raises
    ------
    ValueError
        If one sphere lies inside the other.
    """
    start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    span = float(np.linalg.norm(end - start))
    if span <= abs(start_radius - end_radius):
        raise ValueError("One end of the tapered capsule lies inside the other.")
    frame = orthonormal_frame(end - start, (0.0, 0.0, 1.0))
    u, v, w = coordinates(points, start, frame)
    rho = length(v, w)
    # Follow the slanted side's normal down to the axis: there lies the centre of the sphere that touches.
    sine = (start_radius - end_radius) / span
    tangent = sine / np.sqrt(1.0 - sine * sine)
    foot = (u - rho * float(tangent)).clamp(0.0, span)
    return length(u - foot, rho) - (float(start_radius) + foot * float((end_radius - start_radius) / span))


def tube(
    points: torch.Tensor,
    path: np.ndarray,
    semi_axes: np.ndarray,
    toward: Sequence[float] | np.ndarray,
    blend: float = 0.0,
) -> torch.Tensor:
    """Solid along a polyline with an elliptic cross-section that varies linearly from node to node.

    Parameters
    ----------
    points : torch.Tensor
        (..., 3) mm.
    path : numpy.ndarray
        (n, 3) mm, n >= 2.
    semi_axes : numpy.ndarray
        (n, 2) mm: along ``toward`` and across it.
    toward : numpy.ndarray
        (3,), or (n - 1, 3) one per segment; made perpendicular to each segment.
    blend : float
        Reach in mm of the smooth union of successive segments.

    Returns
    -------
    torch.Tensor
        (...,) mm; first-order accurate near the surface where the taper is gentle.
    """
    path, semi_axes = np.asarray(path, dtype=np.float64), np.asarray(semi_axes, dtype=np.float64)
    toward = np.broadcast_to(np.asarray(toward, dtype=np.float64), (len(path) - 1, 3))
    distance = None
    for start, end, (a0, b0), (a1, b1), direction in zip(path[:-1], path[1:], semi_axes[:-1], semi_axes[1:], toward):
        span = float(np.linalg.norm(end - start))
        u, v, w = coordinates(points, start, orthonormal_frame(end - start, direction))
        foot = u.clamp(0.0, span)
        fraction = foot / span
        a = float(a0) + fraction * float(a1 - a0)
        b = float(b0) + fraction * float(b1 - b0)
        part = elliptic((v, w, u - foot), (a, b, torch.minimum(a, b)))
        distance = part if distance is None else smooth_union(distance, part, blend)
    return distance


def half_space(points: torch.Tensor, origin: Sequence[float], normal: Sequence[float]) -> torch.Tensor:
    """Everything behind the plane through ``origin`` whose unit ``normal`` points outward; exact."""
    normal = np.asarray(normal, dtype=np.float64)
    return coordinates(points, origin, (normal / np.linalg.norm(normal))[None])[0]


def slab(points: torch.Tensor, origin: Sequence[float], normal: Sequence[float], thickness: float) -> torch.Tensor:
    """Everything within half of ``thickness`` of a plane; exact."""
    return half_space(points, origin, normal).abs() - 0.5 * float(thickness)


def box(
    points: torch.Tensor,
    center: Sequence[float],
    half_sizes: Sequence[float],
    rounding: float = 0.0,
    axes: np.ndarray | None = None,
) -> torch.Tensor:
    """Box with ``half_sizes`` (3,) mm along the rows of ``axes`` and edges rounded to ``rounding`` mm; exact."""
    frame = np.eye(3) if axes is None else axes
    outside = [c.abs() - (float(h) - float(rounding)) for c, h in zip(coordinates(points, center, frame), half_sizes)]
    inner = torch.maximum(torch.maximum(outside[0], outside[1]), outside[2]).clamp_max(0.0)
    return length(*[c.clamp_min(0.0) for c in outside]) + inner - float(rounding)


def plate(points: torch.Tensor, corners: np.ndarray, thicknesses: Sequence[float]) -> torch.Tensor:
    """Triangle thickened to a rounded plate.

    Parameters
    ----------
    points : torch.Tensor
        (..., 3) mm.
    corners : numpy.ndarray
        (3, 3) mm, one corner per row.
    thicknesses : sequence of float
        Full thickness in mm at each corner; linear between.

    Returns
    -------
    torch.Tensor
        (...,) mm; exact for equal thicknesses.
    """
    corners = np.asarray(corners, dtype=np.float64)
    edge = corners[1] - corners[0]
    frame = orthonormal_frame(edge, corners[2] - corners[0])
    flat = (corners - corners[0]) @ frame.T  # third coordinate is zero
    u, v, w = coordinates(points, corners[0], frame)
    # Nearest point of the triangle: the point itself if it projects inside, else the nearest over the three sides.
    best_u, best_v, best = u, v, None
    inside = None
    for k in range(3):
        (au, av), (bu, bv) = flat[k, :2], flat[(k + 1) % 3, :2]
        du, dv = bu - au, bv - av
        fraction = (((u - float(au)) * float(du) + (v - float(av)) * float(dv)) / float(du * du + dv * dv)).clamp(0, 1)
        pu, pv = float(au) + fraction * float(du), float(av) + fraction * float(dv)
        squared = (u - pu) ** 2 + (v - pv) ** 2
        left = (v - float(av)) * float(du) - (u - float(au)) * float(dv) >= 0.0
        inside = left if inside is None else inside & left
        if best is None:
            best, best_u, best_v = squared, pu, pv
        else:
            nearer = squared < best
            best = torch.where(nearer, squared, best)
            best_u, best_v = torch.where(nearer, pu, best_u), torch.where(nearer, pv, best_v)
    best_u, best_v = torch.where(inside, u, best_u), torch.where(inside, v, best_v)
    slope = np.linalg.solve(np.column_stack([flat[:, :2], np.ones(3)]), 0.5 * np.asarray(thicknesses, dtype=np.float64))
    half = best_u * float(slope[0]) + best_v * float(slope[1]) + float(slope[2])
    return length(u - best_u, v - best_v, w) - half


def smooth_union(a: torch.Tensor, b: torch.Tensor, reach: float) -> torch.Tensor:
    """Union whose crease is filled where the two surfaces are within ``reach`` mm of each other."""
    if reach <= 0.0:
        return torch.minimum(a, b)
    h = (1.0 - (a - b).abs() / float(reach)).clamp_min(0.0)
    return torch.minimum(a, b) - h * h * (0.25 * float(reach))


def smooth_intersection(a: torch.Tensor, b: torch.Tensor, reach: float) -> torch.Tensor:
    """Intersection whose edge is rounded off over ``reach`` mm."""
    return -smooth_union(-a, -b, reach)


def smooth_subtraction(a: torch.Tensor, b: torch.Tensor, reach: float) -> torch.Tensor:
    """``a`` without ``b``, the rim rounded off over ``reach`` mm."""
    return smooth_intersection(a, -b, reach)
