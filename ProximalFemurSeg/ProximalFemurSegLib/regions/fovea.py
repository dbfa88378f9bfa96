"""The fovea: the dent in the head where its ligament begins."""

from __future__ import annotations

import numpy as np

_DEPTH_MM = 0.5
_DEEPEST_MM = 0.8
_AREA_MM2 = (15.0, 350.0)
_EXPECTED = np.array([0.88, -0.40, -0.20])  # away from the neck, to the front, up: behind and below the middle
_WITHIN = np.cos(np.deg2rad(40.0))  # of that; dents elsewhere are none


def fovea_direction(neck_axis, up, anterior) -> np.ndarray:
    """(3,) unit vector from the head's centre to where most people's fovea is.

    Parameters
    ----------
    neck_axis, up, anterior : array_like
        (3,) unit vectors: from the head's centre down the neck; at right angles to it up; to the front.
    """
    anterior = np.asarray(anterior) - neck_axis * (np.asarray(anterior) @ neck_axis)
    anterior = anterior / np.linalg.norm(anterior)
    direction = _EXPECTED @ np.stack([-np.asarray(neck_axis), anterior, np.asarray(up)])
    return direction / np.linalg.norm(direction)


def find_fovea(surface, center, radius: float, expected) -> tuple[np.ndarray, float] | None:
    """Find the dent in the medial part of the head.

    Parameters
    ----------
    surface : tuple
        As from `BoneField.surface`.
    center : numpy.ndarray
        (3,) RAS mm of the head.
    radius : float
        mm.
    expected : numpy.ndarray
        (3,) unit vector from `fovea_direction`.

    Returns
    -------
    point : numpy.ndarray
        (3,) RAS mm: its middle, on the surface.
    depth_mm : float
        Below the sphere.
    """
    points, _, areas = surface
    offset = points - center
    distance = np.linalg.norm(offset, axis=1)
    articular = (offset @ expected > _WITHIN * distance) & (np.abs(distance - radius) < 0.2 * radius)
    depth = radius - distance
    dent = np.flatnonzero(articular & (depth > _DEPTH_MM))
    if len(dent) < 5:
        return None
    unit = offset[dent] / distance[dent, None]
    # One dent, not many: around the direction in which most of the missing bone lies.
    weight = areas[dent] * depth[dent]
    deepest = unit[int(np.argmax(depth[dent]))]
    for _ in range(3):
        near = unit @ deepest > np.cos(np.deg2rad(25.0))
        deepest = (unit[near] * weight[near, None]).sum(axis=0)
        deepest /= np.linalg.norm(deepest)
    area, depth_mm = float(areas[dent][near].sum()), float(np.percentile(depth[dent][near], 95))
    if not _AREA_MM2[0] <= area <= _AREA_MM2[1] or depth_mm < _DEEPEST_MM:
        return None
    return center + (radius - depth_mm) * deepest, depth_mm
