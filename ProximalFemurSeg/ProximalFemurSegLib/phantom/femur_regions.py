"""Where the regions of a proximal femur lie, from its landmarks: the phantoms' own truth for head, neck, trochanter,
intertrochanter and shaft.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import numpy as np
import torch
from scipy import ndimage

from .cortex import femur_axes

HEAD, NECK, TROCHANTER, INTERTROCHANTER, SHAFT = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class NeckSection:
    """The neck along its axis: the smallest section and where the neck ends.

    Attributes
    ----------
    axis : tuple of float
        Unit vector from the head centre down the neck.
    minimum_mm : float
        Distance from the head centre to the smallest section.
    radius_mm : float
        Of a circle with the smallest section's area.
    base_mm : float
        Distance from the head centre to the first station lateral of the minimum whose area is 1.3 times the minimum.
    """

    axis: tuple[float, float, float]
    minimum_mm: float
    radius_mm: float
    base_mm: float


def measure_neck(
    distance: Callable[[torch.Tensor], torch.Tensor], head_center: np.ndarray, toward: np.ndarray, head_radius: float
) -> NeckSection:
    """Find the smallest section of a neck by sections at right angles to its axis.

    The axis starts through `toward` and is re-aimed at the centroid of the smallest section, damped, six times: a free
    search over tilt and station runs away to sections that leave the bone.

    Parameters
    ----------
    distance : callable
        Signed distance in mm of (..., 3) points to the periosteal surface, negative inside.
    head_center, toward : numpy.ndarray
        (3,) mm; `toward` lies somewhere in the neck.
    head_radius : float
        mm.
    """
    step, half = 0.75, 36.0
    ticks = torch.arange(-half, half + step / 2, step)
    stations = np.arange(0.75 * head_radius, 2.0 * head_radius, 1.0)
    axis = (toward - head_center) / np.linalg.norm(toward - head_center)

    def sections(axis):
        helper = np.array([0.0, 1.0, 0.0]) if abs(axis[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
        u = np.cross(axis, helper)
        u /= np.linalg.norm(u)
        v = np.cross(axis, u)
        centers = torch.as_tensor(head_center + stations[:, None] * axis, dtype=torch.float32)
        plane = ticks[:, None, None] * torch.as_tensor(u, dtype=torch.float32)
        plane = plane + ticks[None, :, None] * torch.as_tensor(v, dtype=torch.float32)
        inside = (distance(centers[:, None, None] + plane) < 0).numpy()
        areas, middles = [], []
        for mask in inside:
            parts, _ = ndimage.label(mask)
            center = parts[len(ticks) // 2, len(ticks) // 2]
            part = parts == center if center else np.zeros_like(mask)
            areas.append(part.sum() * step**2 if center else np.inf)
            rows, columns = np.nonzero(part)
            middle = float(ticks[rows].mean()) * u + float(ticks[columns].mean()) * v if center else np.zeros(3)
            middles.append(np.asarray(middle))
        return np.array(areas), middles

    for _ in range(6):
        areas, middles = sections(axis)
        best = int(np.argmin(np.where(stations <= 1.7 * head_radius, areas, np.inf)))
        aim = stations[best] * axis + middles[best]
        axis = axis + 0.6 * (aim / np.linalg.norm(aim) - axis)
        axis /= np.linalg.norm(axis)
    areas, _ = sections(axis)
    best = int(np.argmin(np.where(stations <= 1.7 * head_radius, areas, np.inf)))
    wide = np.flatnonzero(areas[best:] >= 1.3 * areas[best])
    base = stations[best + wide[0]] if len(wide) else stations[best] + 0.45 * head_radius
    radius = min(float(np.sqrt(areas[best] / np.pi)), 0.95 * head_radius)
    return NeckSection(tuple(axis.tolist()), float(stations[best]), radius, float(base))


def femur_region(
    points: torch.Tensor,
    landmarks: dict[str, np.ndarray],
    head_radius: float,
    side: str,
    neck_radius: float,
    base_radius: float | None = None,
) -> torch.Tensor:
    """Region of each point, as if it were in the bone.

    Head and neck part where the neck leaves the head's sphere; the neck ends at 'neck_base'; trochanter and
    intertrochanter part at the plane that holds shaft axis x neck axis, the lower midline point of the base cut and the
    vastus ridge; the shaft begins at 'lesser_trochanter_lower'.

    Parameters
    ----------
    points : torch.Tensor
        (..., 3) RAS mm.
    landmarks : dict
        RAS mm.
    head_radius, neck_radius : float
        mm; the neck's is that of its smallest section.
    side : str
        'left' or 'right'.
    base_radius : float, optional
        Radius in mm of the section at the neck's base; the neck's times the root of 1.3 if left out.

    Returns
    -------
    torch.Tensor
        uint8: 1 head, 2 neck, 3 trochanter, 4 intertrochanter, 5 shaft.
    """
    _, axes = femur_axes(landmarks, side)
    proximal = axes[2]
    center = np.asarray(landmarks["head_center"], dtype=np.float64)
    base = np.asarray(landmarks["neck_base"], dtype=np.float64)
    neck = (base - center) / np.linalg.norm(base - center)
    base_radius = neck_radius * np.sqrt(1.3) if base_radius is None else base_radius

    down = -proximal - neck * float(-proximal @ neck)
    down /= np.linalg.norm(down)
    base_floor = base + base_radius * down
    across = np.cross(proximal, neck)
    across /= np.linalg.norm(across)
    normal = np.cross(across, np.asarray(landmarks["vastus_ridge"]) - base_floor)
    normal *= np.sign(normal @ proximal) / np.linalg.norm(normal)

    def height(direction, start):
        direction = torch.as_tensor(direction, dtype=points.dtype, device=points.device)
        start = torch.as_tensor(start, dtype=points.dtype, device=points.device)
        return (points - start) @ direction

    along = height(neck, center)
    region = torch.full(points.shape[:-1], INTERTROCHANTER, dtype=torch.uint8, device=points.device)
    region[height(normal, base_floor) > 0] = TROCHANTER
    region[height(proximal, landmarks["lesser_trochanter_lower"]) < 0] = SHAFT
    # Only the bone around the neck's axis is head or neck: behind the head's plane lies all the rest.
    radial = height(neck, center).square().neg().add_((points - torch.as_tensor(center).to(points)).square().sum(-1))
    region[(along < float(np.linalg.norm(base - center))) & (radial < (1.6 * head_radius) ** 2)] = NECK
    region[along < float(np.sqrt(max(head_radius**2 - neck_radius**2, 0.0)))] = HEAD
    return region
