"""The bones around the femora: hip bone, sacrum, coccyx and the last two lumbar vertebrae, as signed distances.

Everything is said in half-body coordinates: x lateral from the midline (zero or more on both sides), y anterior, z
superior, mm, the hip centres at (half distance, 0, 0). A point of the patient is mirrored into them by taking |x|.
"""

from __future__ import annotations

import numpy as np
import torch

from .signed_distance import (
    capsule,
    ellipsoid,
    half_space,
    plate,
    smooth_intersection,
    smooth_subtraction,
    smooth_union,
    sphere,
    tapered_capsule,
    tube,
)

_HIP = 88.0  # mm, half the distance of the hip centres that the positions below are written for

# Corners of the iliac wing: position and thickness there.
_WING = {
    "roof": ((88, -4, 36), 22),
    "lower_spine": ((99, 33, 34), 13),
    "upper_spine": ((121, 49, 74), 11),
    "front_crest": ((134, 25, 106), 11),
    "tubercle": ((133, -12, 122), 14),
    "back_crest": ((100, -56, 120), 9),
    "rear_spine": ((47, -90, 80), 15),
    "lower_rear_spine": ((48, -77, 44), 14),
    "notch": ((66, -44, 30), 17),
    "fossa": ((109, -4, 80), 4.5),
    "rear_fossa": ((86, -42, 80), 9),
}
_WING_PLATES = (
    ("roof", "lower_spine", "fossa"),
    ("lower_spine", "upper_spine", "fossa"),
    ("upper_spine", "front_crest", "fossa"),
    ("front_crest", "tubercle", "fossa"),
    ("tubercle", "back_crest", "fossa"),
    ("back_crest", "rear_fossa", "fossa"),
    ("rear_fossa", "roof", "fossa"),
    ("roof", "notch", "rear_fossa"),
    ("notch", "lower_rear_spine", "rear_fossa"),
    ("lower_rear_spine", "rear_spine", "rear_fossa"),
    ("rear_spine", "back_crest", "rear_fossa"),
)
_CREST = ("upper_spine", "front_crest", "tubercle", "back_crest", "rear_spine")


class PelvisSolid:
    """Hip bone and lower spine of one person.

    Parameters
    ----------
    hip_half_distance : float
        mm from the midline to a hip centre.
    size : float
        1 for an average adult man.
    female : bool
        Lower and wider, with a wider pubic arch.
    tilt : float
        Degrees by which the pelvis is tipped forward about the axis through both hip centres.
    socket_radius : float
        mm, of the bony socket.
    inclination, anteversion : float
        Degrees, of the socket's opening: from the horizontal plane, and forward.
    """

    def __init__(self, hip_half_distance, size, female, tilt, socket_radius, inclination=42.0, anteversion=18.0):
        self.half = float(hip_half_distance)
        self.size = float(size)
        self.female = bool(female)
        self.socket_radius = float(socket_radius)
        angle = np.deg2rad(tilt)
        # Tipping forward brings the front (y) down.
        self._turn = np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
        a, b = np.deg2rad(inclination), np.deg2rad(anteversion)
        self.opening = np.array([np.sin(a) * np.cos(b), np.sin(b), -np.cos(a) * np.cos(b)])
        self.opening /= np.linalg.norm(self.opening)
        self.hip = np.array([self.half, 0.0, 0.0])

    def at(self, x: float, y: float, z: float) -> np.ndarray:
        """Where the point (x, y, z) of the average pelvis lies in this one."""
        k = self.size
        height = 0.94 if self.female else 1.0
        if self.female and z < -20.0:
            x = x + 6.0 * min(1.0, (-z - 20.0) / 40.0) * min(1.0, x / 20.0)
        # The width follows the hip distance near the midline, the bone's size around the hip.
        lateral = self.half + (x - _HIP) * k if x > _HIP else x * self.half / _HIP
        return self._turn @ np.array([lateral, y * k, z * k * height])

    def hip_bone(self, points: torch.Tensor) -> torch.Tensor:
        """Signed distance in mm of (..., 3) half-body points to one hip bone, its socket not yet hollowed out."""
        k, at = self.size, self.at
        wing = None
        for names in _WING_PLATES:
            corners = np.stack([at(*_WING[name][0]) for name in names])
            part = plate(points, corners, [_WING[name][1] * k for name in names])
            wing = part if wing is None else smooth_union(wing, part, 1.0 * k)
        crest = tube(
            points,
            np.stack([at(*_WING[name][0]) for name in _CREST]),
            np.array([[5, 6], [5, 6], [7, 7], [5, 6], [7, 8]]) * k,
            (1.0, 0.0, 0.0),
            3.0 * k,
        )
        bone = smooth_union(wing, crest, 5.0 * k)

        # The wall of the socket is thin toward the pelvis and thick above, where the weight rests.
        wall = sphere(points, self.hip + np.array([4.0, -2.0, 4.5]) * k, self.socket_radius + 9.0 * k)
        rim = half_space(points, self.hip + self.opening * 2.0, self.opening)
        wall = smooth_intersection(wall, rim, 4.0 * k)
        bone = smooth_union(bone, wall, 9.0 * k)

        ischium = tapered_capsule(points, at(80, -24, -14), at(72, -32, -42), 15.0 * k, 12.0 * k)
        tuber = tapered_capsule(points, at(73, -33, -44), at(62, -35, -62), 11.5 * k, 14.0 * k)
        bone = smooth_union(bone, smooth_union(ischium, tuber, 8.0 * k), 8.0 * k)
        spine = tapered_capsule(points, at(70, -32, -6), at(51, -46, -15), 9.0 * k, 2.8 * k)
        bone = smooth_union(bone, spine, 6.0 * k)
        ramus = tube(
            points,
            np.stack([at(60, -28, -70), at(42, 2, -62), at(22, 24, -46), at(13, 33, -32)]),
            np.array([[6, 9], [5, 8.5], [5, 9], [6, 9]]) * k,
            (1.0, 0.2, 0.0),
            4.0 * k,
        )
        bone = smooth_union(bone, ramus, 7.0 * k)
        upper = tube(
            points,
            np.stack([at(80, 18, -2), at(62, 28, 1), at(42, 36, 1), at(18, 39, -9)]),
            np.array([[15, 13], [10, 8.5], [8.5, 7.5], [11, 9]]) * k,
            (0.0, 0.0, 1.0),
            5.0 * k,
        )
        bone = smooth_union(bone, upper, 8.0 * k)
        body = ellipsoid(points, at(13, 37, -20), np.array([13.0, 9.0, 20.0]) * k)
        bone = smooth_union(bone, body, 6.0 * k)
        bone = smooth_union(bone, sphere(points, at(27, 44, -3), 4.5 * k), 4.0 * k)
        return smooth_intersection(bone, 2.2 * k - points[..., 0], 3.0 * k)

    def fossa(self, points: torch.Tensor) -> torch.Tensor:
        """The hollow in the socket's floor, open toward the notch below."""
        down = np.array([-0.76, 0.03, -0.65])
        floor = ellipsoid(
            points, self.hip + down * (self.socket_radius - 7.0), np.array([11.5, 12.5, 14.5]) * self.size
        )
        notch = capsule(
            points,
            self.hip + down * (self.socket_radius - 4.0),
            self.hip + np.array([-0.1, 0.12, -1.0]) * (self.socket_radius + 8.0),
            7.5 * self.size,
        )
        return smooth_union(floor, notch, 6.0)

    def symphysis(self, points: torch.Tensor) -> torch.Tensor:
        """The disc between the pubic bones, as far as it fills the gap between them."""
        return ellipsoid(points, self.at(0, 37, -20), np.array([6.0, 8.5, 19.0]) * self.size)

    def sacrum(self, points: torch.Tensor) -> torch.Tensor:
        """Sacrum and coccyx."""
        k, at = self.size, self.at
        path = np.stack([at(0, -38, 86), at(0, -56, 62), at(0, -70, 38), at(0, -76, 16), at(0, -74, -2),
                         at(0, -66, -17), at(0, -55, -30)])  # fmt: skip
        semi = np.array([[17, 28], [14, 38], [12, 34], [9.5, 27], [7, 17], [5, 9], [3, 5]]) * k
        bone = tube(points, path, semi, (0.0, 1.0, 0.3), 5.0 * k)
        wing = tapered_capsule(points, at(18, -42, 83), at(45, -60, 64), 16.0 * k, 15.0 * k)
        bone = smooth_union(bone, wing, 8.0 * k)
        crest = plate(points, np.stack([at(0, -66, 88), at(0, -96, 70), at(0, -92, 20)]), [8 * k, 5 * k, 5 * k])
        bone = smooth_union(bone, crest, 8.0 * k)
        canal = tube(points, np.stack([at(0, -62, 100), at(0, -72, 66), at(0, -84, 38), at(0, -86, 14)]),
                     np.array([[7, 11], [6, 9], [4, 6], [2.5, 4]]) * k, (0.0, 1.0, 0.3))  # fmt: skip
        bone = smooth_subtraction(bone, canal, 2.0)
        for height, depth, lateral in ((60, -57, 22), (38, -70, 19), (18, -76, 16)):
            hole = capsule(points, at(lateral, depth + 22, height - 3), at(lateral, depth - 25, height + 2), 3.8 * k)
            bone = smooth_subtraction(bone, hole, 3.0)
        return bone

    def vertebrae(self, points: torch.Tensor) -> torch.Tensor:
        """The two lowest lumbar vertebrae with their arches."""
        k, at = self.size, self.at
        bone = None
        for (y, z), (back, up) in (((-24, 112), (-72, 106)), ((-14, 149), (-66, 144))):
            center = at(0, y, z)
            body = ellipsoid(points, center, np.array([27.0, 19.0, 60.0]) * k)
            axis = self._turn @ np.array([0.0, -0.30 if z < 130 else -0.12, 1.0])
            body = smooth_intersection(body, (half_space(points, center, axis).abs() - 13.0 * k), 4.0 * k)
            arch = tube(
                points,
                np.stack([at(17, y - 14, z + 4), at(19, y - 34, z + 1), at(0, back + 20, up), at(0, back - 8, up - 6)]),
                np.array([[6, 5], [9, 6], [9, 4], [7, 3.5]]) * k,
                (0.0, 0.0, 1.0),
                4.0 * k,
            )
            side = tapered_capsule(points, at(19, y - 28, z + 3), at(42, y - 32, z + 5), 5.0 * k, 3.2 * k)
            joint = capsule(points, at(21, y - 38, z + 14), at(20, y - 40, z - 18), 6.5 * k)
            part = smooth_union(smooth_union(body, arch, 4.0 * k), smooth_union(side, joint, 4.0 * k), 4.0 * k)
            bone = part if bone is None else torch.minimum(bone, part)
        return bone

    def discs(self, points: torch.Tensor) -> torch.Tensor:
        """The space between the vertebral bodies; a disc where no bone is."""
        k, at = self.size, self.at
        path = np.stack([at(0, -34, 88), at(0, -24, 112), at(0, -14, 149), at(0, -10, 170)])
        return tube(points, path, np.full((4, 2), 1.0) * np.array([18.0, 26.0]) * k, (0.0, 1.0, 0.3))

    def canal(self, points: torch.Tensor) -> torch.Tensor:
        """The spinal canal above the sacrum."""
        k, at = self.size, self.at
        path = np.stack([at(0, -64, 92), at(0, -52, 114), at(0, -44, 150), at(0, -42, 180)])
        return tube(points, path, np.full((4, 2), 1.0) * np.array([8.0, 11.0]) * k, (0.0, 1.0, 0.3))
