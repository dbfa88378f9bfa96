"""A proximal femur of the project's own making: solids joined smoothly, with landmarks known exactly."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from .cortex import CortexParameters, cortical_thickness, slow_variation
from .distance_grid import DistanceGrid
from .femur_parameters import FemurParameters
from .signed_distance import (
    coordinates,
    ellipsoid,
    elliptic,
    smooth_intersection,
    smooth_subtraction,
    smooth_union,
    sphere,
    tapered_capsule,
    transform,
    tube,
)

_REACH = 8.5  # mm within which the tabulated distances are true ones
_BASE_FACTOR = 1.3  # the neck ends where its section has grown by this factor


class FemurSolid:
    """The bone in its own frame: origin at the head's centre, x medial, y anterior, z up the shaft, mm.

    This is the frame of a left femur in RAS; a right one is its mirror image.

    Parameters
    ----------
    parameters : FemurParameters
    """

    def __init__(self, parameters: FemurParameters):
        p = self.parameters = parameters
        self.size = p.head_radius / 24.0
        turn, tilt = np.deg2rad(p.anteversion), np.deg2rad(180.0 - p.neck_shaft_angle)
        self.neck_axis = np.array([-np.sin(tilt) * np.cos(turn), -np.sin(tilt) * np.sin(turn), -np.cos(tilt)])
        self.neck_length = p.offset / np.sin(tilt)
        crossing = self.neck_axis * self.neck_length
        # Medial, anterior and up as seen from the shaft axis along the turned neck.
        self.shaft_frame = np.array(
            [[np.cos(turn), np.sin(turn), 0.0], [-np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]]
        )
        self.crossing = crossing
        self.shaft_origin = np.array([crossing[0], crossing[1], 0.0])
        self.lesser_height = -p.lesser_drop
        self.shaft_top, self.shaft_bottom = self.lesser_height - 18.0, self.lesser_height - 78.0
        self.end = self.lesser_height - p.shaft_length
        self.superior = np.array([0.0, 0.0, 1.0]) - self.neck_axis * self.neck_axis[2]
        self.superior /= np.linalg.norm(self.superior)
        self._build()

    def from_shaft(self, medial: float, anterior: float, height: float) -> np.ndarray:
        """Position in the bone's frame of a point given from the shaft axis along the turned neck."""
        return self.shaft_origin + self.shaft_frame.T @ np.array([medial, anterior, height])

    def bow(self, height):
        """Forward shift in mm of the shaft axis at a height; zero at both ends of the stretch that defines the axis."""
        middle, half = 0.5 * (self.shaft_top + self.shaft_bottom), 0.5 * (self.shaft_top - self.shaft_bottom)
        arc = (half * half - (height - middle) ** 2) / (2.0 * self.parameters.bow_radius)
        if torch.is_tensor(height):
            return torch.where(height > self.shaft_top, torch.zeros_like(arc), arc)
        return 0.0 if height > self.shaft_top else float(arc)

    def _build(self):
        p, k, at = self.parameters, self.size, self.from_shaft
        tip, wide, half = p.trochanter_tip, p.trochanter_width, 0.5 * p.trochanter_depth
        low = self.crossing[2]
        # The vastus ridge, where the trochanter goes over into the shaft.
        self.ridge_height = min(tip - 38.0 * k, low - 6.0 * k)
        middle = 0.5 * (tip + self.ridge_height)

        # (start, end, start radius, end radius): a front and a back column, and the body between them and the shaft.
        self.trochanter_parts = [
            (
                at(-0.16 * p.shaft_radius, 0.05 * half, self.ridge_height - 30.0 * k),
                at(-wide + 13.5 * k, 0.0, middle - 2.0 * k),
                0.8 * p.shaft_radius,
                13.0 * k,
            ),
            (
                at(-wide + 15.0 * k, 0.26 * half, self.ridge_height + 8.0 * k),
                at(-wide + 11.5 * k, 0.28 * half, tip - 19.5 * k),
                11.5 * k,
                8.5 * k,
            ),
            (
                at(-wide + 14.5 * k, -0.44 * half, self.ridge_height + 0.0 * k),
                at(-wide + 10.5 * k, -0.55 * half, tip - 13.0 * k),
                10.5 * k,
                8.0 * k,
            ),
        ]
        # The top: a plate that rises from front to back and leans over the fossa.
        self.plate_start = at(-wide + 11.0 * k, 0.20 * half, tip - 16.0 * k)
        self.tip_end = at(-wide + 9.0 * k + p.overhang, -0.70 * half, tip - 5.5 * k)
        self.tip_radius = 5.5 * k
        self.ridge_start = at(-wide + 9.5 * k, 0.40 * half, self.ridge_height + 4.0 * k)
        self.ridge_end = at(-wide + 8.0 * k, -0.05 * half, self.ridge_height + 2.0 * k)

        # The lesser trochanter: from inside the shaft outward, back and medially.
        direction = np.array([0.72, -0.69, -0.06])
        self.lesser_direction = direction / np.linalg.norm(direction)
        root = np.array([self.crossing[0], self.crossing[1], self.lesser_height])
        self.lesser_start = root + np.array([0.40, -0.35, 0.20]) * p.shaft_radius
        self.lesser_end = root + self.lesser_direction * (1.12 * p.shaft_radius + p.lesser_size - 5.6 * k)
        self.lesser_radii = (10.0 * k, 5.6 * k)

        crest = p.crest
        self.crest_path = np.stack(
            [
                at(-wide + 11.0 * k + p.overhang, -0.72 * half, tip - 9.0 * k),
                at(-wide + 13.5 * k + 0.4 * p.overhang, -0.80 * half - 0.2 * crest, middle - 2.0 * k),
                at(-0.34 * wide, -0.80 * half - 0.3 * crest, self.ridge_height + 3.0 * k),
                at(
                    0.04 * wide,
                    -0.70 * half - 0.3 * crest,
                    0.45 * self.ridge_height + 0.55 * self.lesser_height + 1.0 * k,
                ),
                self.lesser_end - self.lesser_direction * 6.0 * k,
            ]
        )
        self.crest_radii = np.array([5.6, 5.6, 5.0, 4.6, 5.0])[:, None].repeat(2, axis=1) * k + 0.25 * crest - 0.9

        fossa = p.fossa_depth
        self.fossa_center = at(-wide + 23.5 * k + p.overhang, -0.72 * half, tip - 9.0 * k - 0.3 * fossa)
        self.fossa_axes = np.array([7.5 * k, 9.0 * k, 8.0 * k + fossa])

        narrow = 0.985 * p.neck_ratio * p.head_radius
        high, flat = narrow * np.sqrt(p.neck_flattening), narrow / np.sqrt(p.neck_flattening)
        here, stop = p.neck_minimum * p.head_radius, self.neck_length
        stations = [-0.3 * here, 0.4 * here, here, 0.55 * here + 0.45 * stop, stop - 3.0 * k, stop + 8.0 * k]
        self.neck_height = _Profile(stations, np.array([1.06, 1.04, 1.0, 1.16, 1.48, 1.40]) * high)
        self.neck_depth = _Profile(stations, np.array([1.02, 1.02, 1.0, 1.05, 1.16, 1.05]) * flat)
        self.neck_lift = _Profile(stations, np.array([0.0, 0.0, 0.0, -1.8, -5.0, -5.0]) * k)
        self.neck_stop = stop + 4.0 * k

        r, f = p.shaft_radius, np.sqrt(p.shaft_flattening)
        lesser = self.lesser_height
        heights = [
            self.end,
            lesser - 75.0,
            lesser - 40.0,
            lesser - 14.0,
            lesser + 4.0,
            0.5 * (lesser + low),
            low - 2.0,
            low + 12.0,
        ]
        self.shaft_width = _Profile(heights, np.array([0.98 * f, 0.98 * f, f, 1.10 * f, 1.24, 1.36, 1.40, 1.25]) * r)
        self.shaft_depth = _Profile(heights, np.array([1.02 / f, 1 / f, 1 / f, 1.05 / f, 1.11, 1.15, 1.16, 1.02]) * r)
        self.shaft_shift = _Profile(heights, np.array([0.0, 0.0, 0.0, 0.3, 1.4, 2.6, 1.0, 0.0]) * k)

        fovea = np.array([0.93, -0.20, -0.20])
        fovea /= np.linalg.norm(fovea)
        self.fovea_center = fovea * (p.head_radius + 9.0 * k - p.fovea_depth)

    def _shaft(self, points: torch.Tensor) -> torch.Tensor:
        """The shaft, widening toward the trochanters, with the linea aspera behind."""
        p, k = self.parameters, self.size
        medial, anterior, z = coordinates(points, (self.crossing[0], self.crossing[1], 0.0), np.eye(3))
        u = medial - self.shaft_shift(z)
        v = anterior - self.bow(z)
        section = elliptic((u, v), (self.shaft_width(z), self.shaft_depth(z)))
        # The ridge fades out over the metaphysis and does not reach the axis.
        fade = ((self.lesser_height - 6.0 - z) / 30.0).clamp(0.0, 1.0)
        radius = torch.sqrt(u * u + v * v)
        behind = (-v / radius.clamp_min(4.0)).clamp_min(0.0) ** 12
        section = section - p.linea_aspera * behind * fade
        column = smooth_intersection(section, z - float(self.crossing[2] + 10.0 * k), 14.0 * k)
        return smooth_intersection(column, float(self.end) - z, 6.0)

    def _neck(self, points: torch.Tensor) -> torch.Tensor:
        """The neck, narrow beside the head, widening to its base."""
        third = np.cross(self.neck_axis, self.superior)
        t, up, across = coordinates(points, (0.0, 0.0, 0.0), np.stack([self.neck_axis, self.superior, third]))
        section = elliptic((up - self.neck_lift(t), across), (self.neck_height(t), self.neck_depth(t)))
        section = smooth_intersection(section, t - float(self.neck_stop), 12.0 * self.size)
        return smooth_intersection(section, -0.3 * float(self.parameters.head_radius) - t, 6.0)

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        """Roughly a signed distance in mm of (..., 3) points of the bone's frame: exact sign, slope near 1."""
        p, k = self.parameters, self.size
        head = sphere(points, (0.0, 0.0, 0.0), p.head_radius)
        trunk = smooth_union(self._shaft(points), self._neck(points), 9.0 * k)
        block = tapered_capsule(points, self.plate_start, self.tip_end, 8.0 * k, self.tip_radius)
        for start, end, r0, r1 in self.trochanter_parts:
            block = smooth_union(block, tapered_capsule(points, start, end, r0, r1), 9.0 * k)
        bone = smooth_union(trunk, block, 10.0 * k)
        bone = smooth_union(bone, tube(points, self.crest_path, self.crest_radii, (1.0, 0.0, 0.0), 4.0 * k), 10.0 * k)
        bone = smooth_subtraction(bone, ellipsoid(points, self.fossa_center, self.fossa_axes), 6.0 * k)
        lesser = tapered_capsule(points, self.lesser_start, self.lesser_end, *self.lesser_radii)
        bone = smooth_union(bone, lesser, 9.0 * k)
        ridge = tapered_capsule(points, self.ridge_start, self.ridge_end, 4.5 * k, 5.0 * k)
        bone = smooth_union(bone, ridge, 9.0 * k)

        # Uneven where muscles pull, less so on the shaft, not at all on the head: that stays a sphere.
        x, y, z = points.unbind(-1)
        calm = ((z - float(self.lesser_height - 35.0)) / 40.0).clamp(0.0, 1.0) * 0.65 + 0.35
        t = x * float(self.neck_axis[0]) + y * float(self.neck_axis[1]) + z * float(self.neck_axis[2])
        away = ((t / float(p.head_radius) - 0.75) / 0.6).clamp(0.0, 1.0)
        away = away * away * (3.0 - 2.0 * away)
        if p.roughness > 0.0:
            field = slow_variation(points, p.seed, (14.0, 60.0), waves=14)
            bone = bone + p.roughness * field.clamp(-2.5, 2.5) * away * calm
        bone = smooth_union(bone, head, 4.0 * k)
        if p.fovea_depth > 0.0:
            bone = smooth_subtraction(bone, sphere(points, self.fovea_center, 9.0 * k), 3.0 * k)
        return bone

    @property
    def bounds(self) -> np.ndarray:
        """(2, 3) mm, a box that holds the bone with a margin."""
        p, k = self.parameters, self.size
        lateral = self.crossing[0] - p.trochanter_width - 10.0 * k
        back = min(
            -p.head_radius, self.crossing[1] - 0.75 * p.trochanter_depth, self.crossing[1] + self.bow(self.end) - 22
        )
        top = max(p.head_radius, p.trochanter_tip)
        ahead = max(p.head_radius, self.crossing[1] + 0.75 * p.trochanter_depth)
        return np.array([[lateral, back, self.end], [p.head_radius, ahead, top]]) + np.array([[-6.0], [6.0]])


class _Profile:
    """A smooth curve through given values (monotone cubic), constant beyond its ends, read from a fine table."""

    def __init__(self, positions, values):
        self.low, self.high = float(positions[0]), float(positions[-1])
        count = int((self.high - self.low) / 0.5) + 2
        self.table = PchipInterpolator(positions, values)(np.linspace(self.low, self.high, count)).astype(np.float32)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        table = torch.as_tensor(self.table, dtype=x.dtype, device=x.device)
        steps = len(table) - 1
        place = ((x - self.low) * float(steps / (self.high - self.low))).clamp(0.0, float(steps))
        index = place.floor().clamp_max(float(steps - 1))
        fraction = place - index
        index = index.long()
        return torch.lerp(table[index], table[index + 1], fraction)


class ParametricFemur:
    """A femur in the patient, made from parameters.

    Parameters
    ----------
    parameters : FemurParameters
    side : str
        'left' or 'right'.
    center : sequence of float
        RAS mm of the head's centre.
    rotation : numpy.ndarray, optional
        (3, 3) turn about the head's centre, said for a left femur; a right one is turned as its mirror image. Identity
        if left out: shaft axis along superior.
    cortex : CortexParameters, optional
    spacing : float
        Of the table of distances, mm. The surface is the table's zero level, some hundredths of a mm from the
        solid's.
    device : str or torch.device
        Where the table is computed; points on any device may be asked later.
    """

    def __init__(self, parameters, side, center=(0.0, 0.0, 0.0), rotation=None, cortex=None, spacing=1.2, device="cpu"):
        if side not in ("left", "right"):
            raise ValueError(f"The side of a femur is 'left' or 'right', not {side!r}.")
        self.parameters: FemurParameters = parameters
        self.side = side
        self.cortex: CortexParameters = CortexParameters() if cortex is None else cortex
        self.center = np.asarray(center, dtype=np.float64)
        mirror = np.diag([1.0 if side == "left" else -1.0, 1.0, 1.0])
        turn = np.eye(3) if rotation is None else np.asarray(rotation, dtype=np.float64)
        self._axes = (mirror @ turn).T  # rows: the bone's axes in RAS
        self.head_radius = float(parameters.head_radius)
        self.solid = FemurSolid(parameters)
        rough = DistanceGrid.tabulate(self.solid, self.solid.bounds, spacing, band=_REACH + 1.5, device=device)
        self.distances = rough.redistanced(_REACH)
        self._measure()
        self.landmarks = {name: self.to_patient(point) for name, point in self._local_landmarks.items()}
        corners = np.array(np.meshgrid(*self._tight_bounds().T)).reshape(3, -1).T
        corners = np.array([self.to_patient(c) for c in corners])
        self.bounds = np.stack([corners.min(axis=0), corners.max(axis=0)])

    def to_local(self, points: torch.Tensor) -> torch.Tensor:
        """(..., 3) RAS points in the bone's own frame, mm."""
        return transform(points, self.center, self._axes)

    def to_patient(self, point: np.ndarray) -> np.ndarray:
        """RAS mm of (3,) in the bone's own frame."""
        return self.center + self._axes.T @ np.asarray(point, dtype=np.float64)

    def periosteal_distance(self, points: torch.Tensor) -> torch.Tensor:
        """Signed distance in mm of (..., 3) RAS points to the periosteal surface, negative inside the bone."""
        return self.distances(self.to_local(points))

    def cortical_thickness(self, points: torch.Tensor) -> torch.Tensor:
        """Thickness in mm of the cortex nearest to (..., 3) RAS points."""
        return cortical_thickness(points, self.landmarks, self.head_radius, self.side, self.cortex)

    def region(self, points: torch.Tensor) -> torch.Tensor:
        """uint8 region of (..., 3) RAS points: 1 head, 2 neck, 3 trochanter, 4 intertrochanter, 5 shaft.

        Plane by plane: below the lesser trochanter's lower edge the shaft; else the head up to where a sphere of the
        head's radius has shrunk to the neck's narrow section; the neck up to the first section 1.3 times the narrow
        one; trochanter and intertrochanter parted by the plane through the neck base's lower point and the vastus
        ridge, at right angles to the plane of neck and shaft.
        """
        local = self.to_local(points)
        x, y, z = local.unbind(-1)
        n, cut = self.solid.neck_axis, self.cuts
        t = x * float(n[0]) + y * float(n[1]) + z * float(n[2])
        above = coordinates(local, cut["divide_origin"], cut["divide_normal"][None])[0]
        region = torch.where(above >= 0.0, 3, 4)
        region = torch.where(t < cut["neck_end"], 2, region)
        region = torch.where(t < cut["head_end"], 1, region)
        region = torch.where(z < cut["distal"], 5, region)
        return region.to(torch.uint8)

    def _surface_along(self, start: np.ndarray, direction: np.ndarray, furthest: float = 80.0) -> np.ndarray:
        """First point of the surface met from inside, walking from ``start``."""
        steps = np.arange(0.0, furthest, 0.1)
        line = torch.as_tensor(start + steps[:, None] * direction, dtype=torch.float32)
        distance = self.distances(line).numpy()
        outside = np.nonzero(distance >= 0.0)[0]
        if len(outside) == 0:
            raise ValueError("The parameters give a bone without a surface where one is expected.")
        if outside[0] == 0:
            return np.array(start, dtype=np.float64)
        low, high = distance[outside[0] - 1], distance[outside[0]]
        # The table is linear between its nodes, ten steps apart, so this is where it crosses zero.
        return start + (steps[outside[0] - 1] + 0.1 * low / (low - high)) * direction

    @cached_property
    def neck_sections(self) -> tuple[np.ndarray, np.ndarray]:
        """Stations in mm from the head's centre along the neck axis, and the areas in mm2 of the sections there."""
        s, step = self.solid, 0.5
        stations = np.arange(0.75 * self.head_radius, s.neck_length + 2.0, 0.5)
        half = 1.7 * self.head_radius
        across = torch.arange(-half, half + step / 2, step, dtype=torch.float32)
        third = np.cross(s.neck_axis, s.superior)
        v, w = torch.meshgrid(across, across, indexing="ij")
        areas = np.empty(len(stations))
        middle = len(across) // 2
        for number, station in enumerate(stations):
            plane = [float(station * s.neck_axis[i]) + v * float(s.superior[i]) + w * float(third[i]) for i in range(3)]
            distance = self.distances(torch.stack(plane, dim=-1)).numpy()
            inside, _ = ndimage.label(distance < 0.0)
            own = inside == inside[middle, middle]
            # Rim pixels count by the part of them that is bone.
            rim = ndimage.binary_dilation(own) & (distance > -step)
            cover = np.where(rim, np.clip(0.5 - distance / step, 0.0, 1.0), own)
            areas[number] = cover.sum() * step * step
        return stations, areas

    def _measure(self):
        """Landmarks and the planes between regions, from the bone's own sections."""
        s = self.solid
        stations, areas = self.neck_sections
        last = int(np.searchsorted(stations, 1.45 * self.head_radius))
        narrowest = int(np.argmin(areas[:last]))
        self.narrow_area = float(areas[narrowest])
        neck_end = _first_reaching(stations[narrowest:], areas[narrowest:], _BASE_FACTOR * self.narrow_area)
        neck_end = s.neck_length if neck_end is None else neck_end
        radius = min(np.sqrt(self.narrow_area / np.pi), 0.95 * self.head_radius)
        head_end = float(np.sqrt(self.head_radius**2 - radius**2))

        base = s.neck_axis * neck_end
        below_base = self._surface_along(base, -s.superior)
        tip = self._surface_along(s.tip_end, np.array([0.0, 0.0, 1.0]))
        lesser = self._surface_along(s.lesser_start, s.lesser_direction)
        lateral = -s.shaft_frame[0]
        ridge = self._surface_along(s.from_shaft(0.0, 0.0, s.ridge_height), lateral)
        across = np.cross([0.0, 0.0, 1.0], s.neck_axis)
        normal = np.cross(across, below_base - ridge)
        normal *= np.sign(normal[2]) / np.linalg.norm(normal)
        self.cuts = {
            "head_end": head_end,
            "neck_end": neck_end,
            "divide_origin": below_base,
            "divide_normal": normal,
            "distal": self._lower_edge_of_lesser_trochanter(),
        }
        axis = [np.array([s.crossing[0], s.crossing[1], z]) for z in (s.shaft_top, s.shaft_bottom)]
        self._local_landmarks = {
            "head_center": np.zeros(3),
            "neck_center": s.neck_axis * float(stations[narrowest]),
            "neck_base": base,
            "greater_trochanter_tip": tip,
            "lesser_trochanter": lesser,
            "vastus_ridge": ridge,
            "shaft_proximal": axis[0],
            "shaft_distal": axis[1],
        }

    def _lower_edge_of_lesser_trochanter(self) -> float:
        """Height in the bone's frame where the lesser trochanter has sunk into the shaft: stands out by less than a
        mm over what the shaft does 12 mm further down."""
        s = self.solid
        outward = s.lesser_direction.copy()
        outward[2] = 0.0
        outward /= np.linalg.norm(outward)
        heights = s.lesser_height - np.arange(0.0, 26.0, 0.5)

        def reach(z):
            start = np.array([s.crossing[0], s.crossing[1], z])
            return float(np.linalg.norm(self._surface_along(start, outward) - start))

        outline = np.array([reach(z) for z in heights])
        shaft = float(np.median(outline[-8:]))
        sunk = np.nonzero(outline - shaft < 1.0)[0]
        return float(heights[sunk[0]])

    def _tight_bounds(self) -> np.ndarray:
        inside = (self.distances.values < 0.5 * self.distances.spacing).nonzero().cpu().numpy()[:, ::-1]
        low = self.distances.origin + (inside.min(axis=0) - 1) * self.distances.spacing
        high = self.distances.origin + (inside.max(axis=0) + 1) * self.distances.spacing
        return np.stack([low, high])


def _first_reaching(stations: np.ndarray, areas: np.ndarray, limit: float) -> float | None:
    """Where, between two stations, the areas first reach a limit; None where they do not."""
    wide = np.nonzero(areas >= limit)[0]
    if len(wide) == 0:
        return None
    last = max(int(wide[0]), 1)
    share = (limit - areas[last - 1]) / (areas[last] - areas[last - 1])
    return float(stations[last - 1] + share * (stations[last] - stations[last - 1]))
