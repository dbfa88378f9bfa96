"""The outline of the trunk and the thighs, with or without the fat under the skin."""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator

from .signed_distance import capsule, smooth_subtraction, smooth_union, tube

# Heights in mm and the half width, front and back of the trunk's muscles and bones there, for an average man.
_TRUNK = np.array([
    [-115, 118, 34, -96],
    [-85, 148, 56, -118],
    [-50, 160, 70, -126],
    [-10, 161, 74, -126],
    [30, 153, 76, -122],
    [65, 147, 82, -117],
    [100, 144, 90, -114],
    [130, 139, 96, -114],
    [170, 132, 98, -116],
    [220, 132, 98, -118],
])  # fmt: skip
# Heights below the head's centre, offset of the thigh's middle from the shaft axis (medial, back) and half width and
# depth.
_THIGH = np.array([
    [-40, 8, 14, 78, 84],
    [-80, 12, 11, 82, 84],
    [-140, 12, 10, 80, 80],
    [-220, 10, 9, 73, 73],
    [-330, 6, 8, 60, 62],
    [-420, 4, 6, 55, 58],
])  # fmt: skip


def _superellipse(u: torch.Tensor, v: torch.Tensor, a: torch.Tensor, b: torch.Tensor, power: float) -> torch.Tensor:
    """First-order distance to |u/a|^n + |v/b|^n = 1."""
    x, y = (u / a).abs().clamp_min(1e-3), (v / b).abs().clamp_min(1e-3)
    level = (x**power + y**power) ** (1.0 / power)
    slope = torch.sqrt(((x / level) ** (power - 1.0) / a) ** 2 + ((y / level) ** (power - 1.0) / b) ** 2)
    return (level - 1.0) / slope


class BodyShape:
    """Trunk and thighs.

    Parameters
    ----------
    scene : SceneParameters
    thigh_point : callable
        (side, lateral, anterior, height) relative to a femur's shaft axis to RAS mm.
    lateral_reach : float
        mm from the midline to the greater trochanters' outer side.
    """

    def __init__(self, scene, thigh_point, lateral_reach: float):
        self.scene = scene
        self.thigh_point = thigh_point
        self.reach = lateral_reach

    def __call__(self, points: torch.Tensor, fat: bool) -> torch.Tensor:
        """Signed distance in mm of (n, 3) RAS points to the skin, or without ``fat`` to the muscles' outer fascia."""
        s = self.scene
        k, m = s.size, s.muscularity
        z = points[..., 2]
        heights = _TRUNK[:, 0] * k
        # What lies beside the trochanters belongs to the muscles; the average man's reach is 157 mm.
        width = _TRUNK[:, 1] * k
        near = np.exp(-(((_TRUNK[:, 0] + 35.0) / 45.0) ** 2))
        width = width + near * (max(self.reach + 6.0, 150.0 * k) - 161.0 * k)
        front, back = _TRUNK[:, 2] * k, _TRUNK[:, 3] * k * (0.5 + 0.5 * m)
        if fat:
            up = np.clip((_TRUNK[:, 0] + 20.0) / 120.0, 0.0, 1.0)
            width = width + s.fat_hip * (1.0 - 0.45 * up)
            front = front + s.fat_belly * (0.45 + 0.55 * up) + 14.0 * s.fat * up
            back = back - s.fat_buttock * (1.0 - 0.55 * up)
        values = [PchipInterpolator(heights, v) for v in (width, 0.5 * (front - back), 0.5 * (front + back))]
        w, d, c = (_table(z, f, heights[0], heights[-1]) for f in values)
        trunk = _superellipse(points[..., 0], points[..., 1] - c, w, d, 2.7)
        floor = -82.0 * k - (0.3 * s.fat_buttock if fat else 0.0)
        trunk = -smooth_union(-trunk, z - floor, 30.0)
        body = trunk
        extra = s.fat_thigh if fat else 0.0
        for side in ("left", "right"):
            path, girth = [], []
            for height, medial, behind, half_width, half_depth in _THIGH:
                more = extra * (1.15 if height > -150 else 0.85)
                path.append(self.thigh_point(side, -medial * k - 0.25 * extra, -behind * k - 0.1 * extra, height * k))
                girth.append([half_width * k * m + more, half_depth * k * m + more])
            thigh = tube(points, np.stack(path), np.array(girth), (1.0, 0.0, 0.0), 12.0)
            body = smooth_union(body, thigh, 26.0)
        if fat:
            # The cleft between the buttocks and on between the thighs.
            deepest = self._back(-30.0 * k)
            line = np.array([[0, deepest - 30, 70 * k], [0, deepest - 8, 20 * k], [0, deepest, -40 * k],
                             [0, deepest + 10, -120 * k]])  # fmt: skip
            cleft = tube(points, line, np.array([[2, 14], [3, 36], [4, 62], [10, 90]]), (1.0, 0.0, 0.0), 8.0)
            body = smooth_subtraction(body, cleft, 10.0)
        return body

    def _back(self, height: float) -> float:
        s = self.scene
        back = np.interp(height, _TRUNK[:, 0] * s.size, _TRUNK[:, 3] * s.size * (0.5 + 0.5 * s.muscularity))
        return float(back - s.fat_buttock)

    def arm(self, points: torch.Tensor, side: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Signed distances in mm to the skin of a forearm and hand beside the hip, and to its two bones."""
        s = self.scene
        sign = -1.0 if side == "left" else 1.0
        away = self.reach + s.fat_hip + 42.0 + 10.0 * s.fat
        path = np.array([[sign * (away + 10), -38, 200], [sign * away, -22, 90], [sign * (away - 4), -8, -20],
                         [sign * (away - 8), 2, -90], [sign * (away - 14), 6, -180]])  # fmt: skip
        girth = np.array([[42, 46], [36, 40], [24, 30], [17, 42], [10, 36]]) + 4.0 * s.fat
        skin = tube(points, path, girth, (1.0, 0.0, 0.0), 10.0)
        bones = None
        for shift in (-13.0, 13.0):
            bone = capsule(points, path[0] + [0, shift, 0], path[2] + [0, shift, 4], 8.0)
            bones = bone if bones is None else torch.minimum(bones, bone)
        for finger in (-24.0, -8.0, 8.0, 24.0):
            bones = torch.minimum(
                bones, capsule(points, path[3] + [0, 0.6 * finger, 30], path[4] + [0, finger, 0], 4.5)
            )
        return skin, bones


def _table(z: torch.Tensor, curve, low: float, high: float) -> torch.Tensor:
    """Read a curve of the height from a fine table; constant beyond its ends."""
    count = int(high - low) + 2
    table = torch.as_tensor(curve(np.linspace(low, high, count)), dtype=z.dtype, device=z.device)
    place = ((z - float(low)) * float((count - 1) / (high - low))).clamp(0.0, float(count - 1))
    index = place.floor().clamp_max(float(count - 2))
    fraction = place - index
    index = index.long()
    return torch.lerp(table[index], table[index + 1], fraction)
