"""A femur made of a ball, a waist, a rod and two knobs: every landmark of it is known by its construction."""

from __future__ import annotations

import numpy as np

from ProximalFemurSegLib.volume import Grid, Volume

RADIUS = 24.0
ANGLE = 125.0  # neck-shaft angle
OFFSET = 42.0
WAIST, WAIST_AT, GROWTH = 15.5, 24.0, 0.72  # the neck's section is pi * (WAIST**2 + GROWTH * (t - WAIST_AT)**2)
SMALLEST_AREA = np.pi * WAIST**2
BASE_AT = WAIST_AT + np.sqrt(0.3 * WAIST**2 / GROWTH)
HEAD_ENDS = np.sqrt(RADIUS**2 - WAIST**2)
SHAFT_RADIUS = 14.0
LESSER_LOWER = -66.0  # height of the knob's lower end
TIP = np.array([-56.0, -8.0, 5.0])
TILT = np.deg2rad(180.0 - ANGLE)
NECK_AXIS = np.array([-np.sin(TILT), 0.0, -np.cos(TILT)])
NECK_LENGTH = OFFSET / np.sin(TILT)


def turn(degrees: float, axis) -> np.ndarray:
    """(3, 3) rotation about an axis (Rodrigues)."""
    x, y, z = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    a = np.deg2rad(degrees)
    return np.eye(3) + np.sin(a) * cross + (1 - np.cos(a)) * cross @ cross


def _capsule(p, start, end, radius):
    start, end = np.asarray(start, float), np.asarray(end, float)
    axis = end - start
    t = np.clip(((p - start) @ axis) / (axis @ axis), 0, 1)
    return np.linalg.norm(p - start - t[..., None] * axis, axis=-1) <= radius


def in_bone(p, bottom: float = -150.0) -> np.ndarray:
    """Whether (..., 3) points are bone: x medial, y anterior, z up the shaft from the head's centre, mm."""
    x, y, z = np.moveaxis(p, -1, 0)
    inside = x**2 + y**2 + z**2 <= RADIUS**2
    t = p @ NECK_AXIS
    across = (p**2).sum(axis=-1) - t**2
    inside |= (across <= WAIST**2 + GROWTH * (t - WAIST_AT) ** 2) & (t > 10) & (t < 46)
    from_axis = np.hypot(x + OFFSET, y)
    inside |= (from_axis <= SHAFT_RADIUS) & (z < -20)
    inside |= _capsule(p, (-53, 0, -36), (-56, -8, -8), 13.0)
    direction = np.array([np.cos(np.deg2rad(50)), -np.sin(np.deg2rad(50))])
    lesser = np.array([-OFFSET, 0.0, -58.0]) + 15.0 * np.append(direction, 0.0)
    inside |= ((p - lesser) ** 2).sum(axis=-1) <= 64.0
    return inside & (z > bottom)


class Bone:
    """The femur on a grid.

    Parameters
    ----------
    side : str
    spacing : float or tuple
        mm along i, j, k.
    pose : numpy.ndarray
        (3, 3) turn of the (left) bone about its head, in the patient.
    direction : numpy.ndarray
        (3, 3) axes of the grid.
    bottom, below : float
        mm above the head's centre where the shaft is cut, and where the grid ends.
    """

    def __init__(
        self,
        side="left",
        spacing=2.0,
        pose=None,
        direction=None,
        center=(12.0, -7.0, 31.0),
        bottom=-150.0,
        below=-150.0,
    ):
        mirror = np.diag([1.0 if side == "left" else -1.0, 1.0, 1.0])
        self.side = side
        self.linear = mirror @ (np.eye(3) if pose is None else pose)
        self.center = np.array(center, dtype=float)
        self.bottom = bottom
        axes = np.eye(3) if direction is None else np.asarray(direction, float)
        corners = np.array([[x, y, z] for x in (-72, 27) for y in (-27, 27) for z in (max(bottom, below) - 4, 27)])
        local = self.patient(corners) @ axes
        low, high = local.min(axis=0) - 3, local.max(axis=0) + 3
        spacing = np.broadcast_to(np.asarray(spacing, float), 3)
        counts = np.ceil((high - low) / spacing).astype(int) + 1
        self.grid = Grid.from_parts(counts[::-1], tuple(spacing), axes @ low, axes)
        index = np.stack(np.meshgrid(*(np.arange(n) for n in self.grid.shape), indexing="ij")[::-1], axis=-1)
        self.local = (self.grid.ijk_to_ras(index) - self.center) @ self.linear
        self.mask = Volume(in_bone(self.local, bottom), self.grid, "bone")

    def patient(self, local) -> np.ndarray:
        """RAS mm of points of the bone's own frame."""
        return self.center + np.asarray(local, float) @ self.linear.T

    def with_array(self, array) -> Volume:
        return self.mask.with_array(array)


def degrees_between(one, other) -> float:
    cosine = np.dot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
