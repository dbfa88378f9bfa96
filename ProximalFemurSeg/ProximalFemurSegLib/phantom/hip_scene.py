"""A whole patient around the hips, of the project's own making."""

from __future__ import annotations

import numpy as np
import torch

from . import soft_tissues
from .body_index import CHUNK, NEAR, Body, BodyIndex, Lattice, Neighbourhood, Paint
from .body_shape import BodyShape
from .cortex import slow_variation
from .distance_grid import DistanceGrid
from .femur_shape import ParametricFemur
from .pelvic_organs import bowel_loops, pelvic_organs
from .pelvis_shape import PelvisSolid
from .scene_parameters import SceneParameters, draw_scene
from .signed_distance import (
    coordinates,
    ellipsoid,
    half_space,
    length,
    smooth_intersection,
    smooth_union,
    sphere,
    tapered_capsule,
    tube,
)
from .tissues import Tissue

_CELL = 4.0  # mm, edge of the cells that are looked up where they hold one tissue only
_MIXED = 255  # a cell with more than one tissue
_BOTTOM, _TOP = -350.0, 180.0  # mm, heights between which the patient is modelled


def leg_rotation(flexion: float, adduction: float, rotation: float) -> np.ndarray:
    """(3, 3) turn of a left leg about its hip, degrees of flexion, adduction and external rotation."""
    f, a, r = np.deg2rad([flexion, adduction, rotation])
    flex = np.array([[1, 0, 0], [0, np.cos(f), -np.sin(f)], [0, np.sin(f), np.cos(f)]])
    adduct = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    turn = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return adduct @ flex @ turn


class ParametricScene:
    """Both femora and everything around them, RAS mm, the origin midway between the hip centres.

    Parameters
    ----------
    seed : int, optional
        Of the patient.
    parameters : SceneParameters, optional
        Instead of a seed.
    spacing : float
        Of the femora's tables of distances, mm.
    device : str or torch.device
        Where the scene is computed; points on any device may be asked later.

    Attributes
    ----------
    femora : dict of str to ParametricFemur
        'left' and 'right'.
    bounds : numpy.ndarray
        (2, 3) RAS mm of the modelled part of the patient.

    Raises
    ------
    ValueError
        If neither or both of seed and parameters are given.
    """

    def __init__(
        self,
        seed: int | None = None,
        parameters: SceneParameters | None = None,
        spacing: float = 1.2,
        device: str | torch.device = "cpu",
    ):
        if (seed is None) == (parameters is None):
            raise ValueError("A scene is made from a seed or from parameters, one of the two.")
        self.parameters = s = draw_scene(int(seed)) if parameters is None else parameters
        self.device = torch.device(device)
        self._rng = np.random.default_rng(s.seed)
        half = s.hip_half_distance
        self.femora = {
            side: ParametricFemur(
                getattr(s, side),
                side,
                center=(sign * half, 0.0, 0.0),
                rotation=leg_rotation(*getattr(s, f"{side}_pose")),
                cortex=s.cortex,
                spacing=spacing,
                device=device,
            )
            for side, sign in (("left", -1.0), ("right", 1.0))
        }
        radius = max(f.head_radius for f in self.femora.values())
        self.pelvis = PelvisSolid(
            half,
            s.size,
            s.sex == "female",
            s.pelvic_tilt,
            radius + s.joint_space,
            s.inclination,
            s.socket_anteversion,
        )
        self._bodies: list[Body] = []
        self._make_outline()
        self._make_bones()
        self._make_joints()
        self._make_soft_tissues()
        self._make_organs()
        self._index()

    # ------------------------------------------------------------------ where things are

    def _thigh_point(self, side: str, lateral: float, anterior: float, height: float) -> np.ndarray:
        femur = self.femora[side]
        solid = femur.solid
        return femur.to_patient(
            np.array([solid.crossing[0] - lateral, solid.crossing[1] + solid.bow(height) + anterior, height])
        )

    def _position(self, side: str, node: tuple) -> np.ndarray:
        kind, a, b, c = node
        s = self.parameters
        if kind == "T":
            girth = s.size * (0.4 + 0.6 * s.muscularity)
            return self._thigh_point(side, a * girth, b * girth, c * s.size)
        x, y, z = self.pelvis.at(a, b, c)
        return np.array([-x if side == "left" else x, y, z])

    def _seed(self) -> int:
        return int(self._rng.integers(2**31))

    def _tabulate(self, function, bounds, spacing, uneven=0.0, wavelengths=(25.0, 80.0), smooth=0, band=None):
        """Table of a distance, roughened a little so that no two patients are alike."""
        seed = self._seed()

        def solid(points):
            distance = function(points)
            return distance + uneven * slow_variation(points, seed, wavelengths, waves=6).clamp(-2.5, 2.5)

        grid = DistanceGrid.tabulate(solid if uneven else function, bounds, spacing, band, device=self.device)
        return (grid.smoothed(smooth) if smooth else grid).clamped

    def _add(self, kind: str, grid, bounds: np.ndarray, tissue: int = 0):
        self._bodies.append(Body(kind, grid, np.asarray(bounds, dtype=np.float64), int(tissue)))

    # ------------------------------------------------------------------ making the patient

    def _make_outline(self):
        s = self.parameters
        reach = max(abs(f.landmarks["vastus_ridge"][0]) for f in self.femora.values())
        shape = BodyShape(s, self._thigh_point, reach)
        wide = reach + s.fat_hip + 60.0
        deep = np.array([-130.0 * s.size - s.fat_buttock - 25.0, 105.0 * s.size + s.fat_belly + 45.0])
        bounds = np.array([[-wide, deep[0], _BOTTOM], [wide, deep[1], _TOP]])
        # The tables end with the patient; beyond them the outline goes on as it was at the border.
        self._skin = self._tabulate(lambda p: shape(p, fat=True), bounds, 5.0, uneven=2.0, wavelengths=(60.0, 200.0))
        self._fascia = self._tabulate(lambda p: shape(p, fat=False), bounds, 5.0, uneven=2.5, wavelengths=(30.0, 120.0))
        self.bounds = bounds
        if s.arms:
            for side in ("left", "right"):
                sign = -1.0 if side == "left" else 1.0
                x = np.sort([sign * (reach + s.fat_hip - 30.0), sign * (reach + s.fat_hip + 130.0)])
                box = np.array([[x[0], -95.0, -210.0], [x[1], 65.0, _TOP]])
                for part, kind in enumerate(("arm", "arm bone")):
                    grid = self._tabulate(lambda p, side=side, part=part: shape.arm(p, side)[part], box, 3.0)
                    self._add(kind, grid, box)
                self.bounds = np.stack([np.minimum(self.bounds[0], box[0]), np.maximum(self.bounds[1], box[1])])

        k = s.size

        def cavity(points):
            belly = ellipsoid(points, (0.0, 16.0 * k, 112.0 * k), (112.0 * k, 66.0 * k, 96.0 * k))
            above = tube(points, np.array([[0, 20 * k, 112 * k], [0, 22 * k, 260 * k]]),
                         np.array([[112, 68], [114, 74]]) * k, (1.0, 0.0, 0.0))  # fmt: skip
            small = ellipsoid(points, (0.0, -16.0 * k, 16.0 * k), (49.0 * k, 47.0 * k, 58.0 * k))
            return smooth_union(torch.minimum(belly, above), small, 45.0 * k)

        box = np.array([[-130 * k, -80 * k, -55 * k], [130 * k, 110 * k, _TOP]])
        self._cavity = self._tabulate(cavity, box, 4.0, uneven=1.5)
        self._cavity_bounds = box

    def _mirrored(self, grid):
        """Read a table of the half-body for the whole body."""

        def read(points):
            x, y, z = points.unbind(-1)
            return grid(torch.stack([x.abs(), y, z], dim=-1))

        return read

    def _make_bones(self):
        k, pelvis = self.parameters.size, self.pelvis
        wide = pelvis.half + 62.0 * k
        half = np.array([[-4.0, -122.0 * k, -100.0 * k], [wide, 82.0 * k, 146.0 * k]])
        both = np.array([[-wide, half[0, 1], half[0, 2]], [wide, half[1, 1], half[1, 2]]])
        hip = self._tabulate(pelvis.hip_bone, half, 2.0, uneven=0.7, wavelengths=(15.0, 60.0), smooth=1, band=9.0)
        self._add("hip bone", self._mirrored(hip), both)
        spine = np.array([[-4.0, -125.0 * k, -60.0 * k], [64.0 * k, 22.0 * k, _TOP]])
        whole = np.array([[-64.0 * k, spine[0, 1], spine[0, 2]], [64.0 * k, spine[1, 1], spine[1, 2]]])
        solid = lambda p: torch.minimum(pelvis.sacrum(p), pelvis.vertebrae(p))  # noqa: E731
        back = self._tabulate(solid, spine, 2.0, uneven=0.6, wavelengths=(15.0, 50.0), smooth=1, band=9.0)
        self._add("spine", self._mirrored(back), whole)
        self._add("disc", self._mirrored(self._tabulate(pelvis.discs, spine, 3.0)), whole)
        self._add("canal", self._mirrored(self._tabulate(pelvis.canal, spine, 3.0)), whole)
        front = np.array([[-18.0 * k, 18.0 * k, -60.0 * k], [18.0 * k, 70.0 * k, 20.0 * k]])
        self._add("symphysis", pelvis.symphysis, front)

    def _make_joints(self):
        k, pelvis = self.parameters.size, self.pelvis
        self._openings = {}
        for side, sign in (("left", -1.0), ("right", 1.0)):
            femur = self.femora[side]
            mirror = np.array([sign, 1.0, 1.0])
            opening = pelvis.opening * mirror
            center = femur.center
            across = np.cross(opening, [0.0, 1.0, 0.0])
            across /= np.linalg.norm(across)
            frame = np.stack([opening, across, np.cross(opening, across)])
            self._openings[side] = opening
            reach = pelvis.socket_radius + 18.0 * k
            box = np.stack([center - reach, center + reach])
            self._add("fossa", self._tabulate(lambda p, m=mirror: pelvis.fossa(p * p.new_tensor(m)), box, 2.0), box)

            def labrum(points, center=center, frame=frame):
                along, u, v = coordinates(points, center, frame)
                return length(length(u, v) - (pelvis.socket_radius + 0.8), (along - 3.5) * 0.6) - 2.3

            self._add("labrum", self._tabulate(labrum, box, 2.0), box)
            pit = femur.to_patient(femur.solid.fovea_center * 0.80)
            notch = center + np.array([-0.15 * sign, 0.1, -1.0]) * (pelvis.socket_radius + 1.0)
            ligament = lambda p, a=pit, b=notch: tapered_capsule(p, a, b, 2.2, 3.6)  # noqa: E731
            self._add("ligament", self._tabulate(ligament, box, 2.0), box)
            grown = np.stack([femur.bounds[0] - 10.0, femur.bounds[1] + 10.0])
            self._add(f"femur {side}", femur.periosteal_distance, grown)

    def _make_strand(self, side: str, strand, spacing: float, scale: float, uneven: float, kind: str, tissue: int = 0):
        path = np.stack([self._position(side, node) for node in strand.nodes])
        girth = np.array(strand.girths, dtype=np.float64) * scale
        sign = -1.0 if side == "left" else 1.0
        toward = np.array(strand.toward) * [sign, 1.0, 1.0]
        margin = girth.max() + 8.0
        box = np.stack([path.min(axis=0) - margin, path.max(axis=0) + margin])
        box[0, 2], box[1, 2] = max(box[0, 2], _BOTTOM), min(box[1, 2], _TOP)
        blend = min(12.0, float(girth.mean()))
        grid = self._tabulate(lambda p: tube(p, path, girth, toward, blend), box, spacing, uneven, band=8.0)
        self._add(kind, grid, box, tissue)

    def _make_soft_tissues(self):
        s = self.parameters
        girth = s.size * s.muscularity * 1.14
        for side in ("left", "right"):
            for strand in soft_tissues.MUSCLES:
                own = girth * float(np.exp(self._rng.normal(0.0, 0.04)))
                self._make_strand(side, strand, 3.0, own, 1.3, "muscle")
            vessel = s.size * float(np.exp(self._rng.normal(0.0, 0.08)))
            for strand in soft_tissues.ARTERIES + soft_tissues.VEINS:
                self._make_strand(side, strand, 2.0, vessel, 0.0, "bundle", Tissue.VESSEL)
            for strand in soft_tissues.NERVES:
                self._make_strand(side, strand, 2.0, s.size, 0.0, "bundle", Tissue.TENDON)
        gap = self._seed()
        self._gap = DistanceGrid.tabulate(
            lambda p: (s.muscle_gap * torch.exp(0.55 * slow_variation(p, gap, (25.0, 90.0), 8))).clamp_max(NEAR - 0.5),
            self.bounds,
            12.0,
            device=self.device,
        ).clamped
        shell = self._seed()
        self._cortex = DistanceGrid.tabulate(
            lambda p: s.pelvic_cortex * torch.exp(0.22 * slow_variation(p, shell, (20.0, 70.0), waves=8).clamp(-2, 2)),
            self.bounds,
            10.0,
            device=self.device,
        ).clamped

    def _make_organs(self):
        for organ in pelvic_organs(self.parameters, self._rng):
            self._add(organ.kind, self._tabulate(organ.distance, organ.bounds, 3.0, organ.uneven), organ.bounds)
        loops = bowel_loops(self.parameters, self._rng, self._cavity_bounds)
        self._add("bowel", self._tabulate(loops.distance, loops.bounds, 3.0, band=5.0), loops.bounds)
        if any(loops.gas):
            filled = self._tabulate(loops.gas_distance, loops.bounds, 3.0, band=5.0)
            rise = 9.0 * self.parameters.size

            def floating(points):
                # Gas rises to the front of a lumen: the loop moved forward leaves the rear part out.
                behind = points - points.new_tensor([0.0, rise, 0.0])
                return torch.maximum(filled(points) + 3.0, filled(behind) - 1.0)

            self._add("gas", floating, loops.bounds)

    # ------------------------------------------------------------------ asking

    def _index(self):
        """Know for every block the bodies nearby, and for every cell whether it holds a single tissue."""
        self._near = BodyIndex(self._bodies, self.bounds, self.device)
        self._cells = Lattice(self.bounds, _CELL)
        safe = 1.2 * self._cells.half_diagonal
        table = torch.empty(len(self._cells), dtype=torch.uint8, device=self.device)
        for numbers in torch.arange(len(self._cells), device=self.device).split(CHUNK):
            paint = self._compose(self._cells.centers(numbers), margins=True)
            table[numbers] = torch.where(paint.margin < safe, paint.label.new_tensor(_MIXED), paint.label)
        self._tables = {str(self.device): table}

    def surroundings(self, points: torch.Tensor) -> torch.Tensor:
        """uint8 `Tissue` at (..., 3) RAS points, as if the femora were not there (their place is filled with what
        surrounds them).

        Above and below the modelled part (`bounds`) the patient goes on as at its border.
        """
        flat = points.reshape(-1, 3).to(torch.float32)
        if str(flat.device) not in self._tables:
            self._tables[str(flat.device)] = self._tables[str(self.device)].to(flat.device)
        table = self._tables[str(flat.device)]
        (left, back, _), (right, front, _) = self.bounds.tolist()
        out = torch.empty(len(flat), dtype=torch.uint8, device=points.device)
        for start in range(0, len(flat), CHUNK):
            part = flat[start : start + CHUNK]
            x, y, _ = part.unbind(-1)
            label = table[self._cells.number(part)]
            outside = (x < left) | (x > right) | (y < back) | (y > front)
            out[start : start + CHUNK] = torch.where(outside, label.new_tensor(int(Tissue.AIR)), label)
        for mixed in (out == _MIXED).nonzero()[:, 0].split(CHUNK):
            x, y, z = flat[mixed].unbind(-1)
            part = torch.stack([x, y, z.clamp(_BOTTOM + 0.5, _TOP - 0.5)], dim=-1)
            out[mixed] = self._compose(part).label
        return out.reshape(points.shape[:-1])

    def _compose(self, points: torch.Tensor, margins: bool = False) -> Paint:
        """Lay tissue over tissue at (n, 3) points, the hardest last."""
        s = self.parameters
        near = self._near.at(points)
        paint = Paint(points, Tissue.AIR, margins)
        skin, fascia = self._skin(points), self._fascia(points)
        paint.lay(skin, Tissue.SKIN)
        paint.lay(skin + s.skin, Tissue.FAT)
        cavity = torch.maximum(self._cavity(points), fascia)

        bowel = torch.maximum(near.least("bowel"), cavity + 1.0)
        paint.lay(bowel, Tissue.BOWEL)
        paint.lay(torch.maximum(near.least("gas"), bowel + 2.0), Tissue.BOWEL_GAS)

        # Muscles press on each other: each has what is nearest to it, and fat lies where two are about equally near.
        first, second = near.two_least("muscle")
        wall = self._belly_wall(points)
        second = torch.minimum(second, torch.maximum(first, wall))
        first = torch.minimum(first, wall)
        muscle = torch.maximum(first, 0.5 * (first - second + self._gap(points)))
        paint.lay(torch.maximum(muscle, fascia + 0.7), Tissue.MUSCLE)

        bladder, rectum = near.least("bladder"), near.least("rectum")
        paint.lay(bladder, Tissue.MUSCLE)
        paint.lay(bladder + 2.5 + 2.5 * (1.0 - s.bladder), Tissue.URINE)
        paint.lay(near.least("organ"), Tissue.ORGAN)
        paint.lay(rectum, Tissue.MUSCLE)
        paint.lay(rectum + 3.0, Tissue.BOWEL)

        for body, chosen, value in near.each("bundle"):
            distance = near.far()
            distance[chosen] = value
            paint.lay(torch.maximum(distance - 1.3, skin + s.skin), Tissue.FAT)
            paint.lay(torch.maximum(distance, skin + s.skin), body.tissue)

        if s.arms:
            arm, bone = near.least("arm"), near.least("arm bone")
            paint.lay(arm, Tissue.SKIN)
            paint.lay(arm + s.skin, Tissue.FAT)
            paint.lay(arm + s.skin + 3.0 + 6.0 * s.fat, Tissue.MUSCLE)
            paint.lay(bone, Tissue.CORTICAL_BONE)
            paint.lay(bone + 3.0, Tissue.TRABECULAR_BONE)
        self._lay_bones(paint, near)
        return paint

    def _belly_wall(self, points: torch.Tensor) -> torch.Tensor:
        """Signed distance to the wall of the belly: in front and at the sides, down to the groin."""
        k = self.parameters.size
        x, y, z = points.unbind(-1)
        thick = 10.0 * k
        wall = (self._cavity(points) - 0.5 * thick).abs() - 0.5 * thick
        groin = ((x.abs() - 27.0 * k) * 0.8 - z) * 0.78
        return torch.maximum(torch.maximum(wall, groin), -40.0 * k - y)

    def _lay_bones(self, paint: Paint, near: Neighbourhood) -> None:
        s, points = self.parameters, near.points
        hip, fossa = near.least("hip bone"), near.least("fossa")
        for side, femur in self.femora.items():
            distance = near.least(f"femur {side}")
            opening = half_space(points, femur.center, self._openings[side])
            self._lay_joint(paint, near, femur, distance, opening, hip, fossa)
            hip = torch.maximum(hip, s.joint_space - distance)
        hip = torch.maximum(hip, -fossa)
        spine = near.least("spine")
        paint.lay(near.least("symphysis"), Tissue.CARTILAGE)
        paint.lay(near.least("disc"), Tissue.CARTILAGE)
        # Between sacrum and hip bone.
        paint.lay(torch.maximum(spine, hip - 2.2), Tissue.CARTILAGE)
        spine = torch.maximum(spine, 2.2 - hip)
        canal = near.least("canal")
        paint.lay(canal, Tissue.FAT)
        paint.lay(canal + 2.5, Tissue.JOINT_FLUID)
        shell = self._cortex(points)
        for bone in (spine, hip):
            paint.lay(bone, Tissue.CORTICAL_BONE)
            paint.lay(bone + shell, Tissue.TRABECULAR_BONE)

    def _lay_joint(
        self,
        paint: Paint,
        near: Neighbourhood,
        femur: ParametricFemur,
        distance: torch.Tensor,
        opening: torch.Tensor,
        hip: torch.Tensor,
        fossa: torch.Tensor,
    ) -> None:
        """Capsule, cartilage, fluid, labrum and ligament of one hip.

        ``distance`` is to the femur, ``opening`` mm out of the socket's mouth, ``hip`` and ``fossa`` to the hip bone
        before its hollowing and to the hollow in the socket's floor.
        """
        s, points = self.parameters, near.points
        n = femur.solid.neck_axis @ femur._axes
        along = coordinates(points, femur.center, n[None])[0]
        stop = 0.92 * femur.cuts["neck_end"]
        beside = sphere(points, femur.center, femur.head_radius + 0.9 * femur.cuts["neck_end"])
        sleeve = torch.maximum(torch.maximum(along - stop, 1.0 - opening), beside)
        paint.lay(smooth_intersection(distance - 4.6, sleeve, 6.0), Tissue.TENDON)
        paint.lay(torch.maximum(distance - 1.6, sleeve), Tissue.FAT)
        paint.lay(torch.maximum(distance - 0.7, sleeve), Tissue.JOINT_FLUID)
        inside = torch.maximum(distance - s.joint_space, opening - 3.0)
        inside = torch.maximum(inside, beside)
        paint.lay(inside, Tissue.CARTILAGE)
        paint.lay(torch.maximum(fossa, beside), Tissue.FAT)
        paint.lay(torch.maximum(inside, distance - 0.56 * s.joint_space), Tissue.JOINT_FLUID)
        cap = torch.maximum(along - 0.55 * femur.head_radius, distance - 0.46 * s.joint_space)
        paint.lay(torch.maximum(cap, beside), Tissue.CARTILAGE)
        paint.lay(near.least("ligament"), Tissue.TENDON)
        paint.lay(near.least("labrum"), Tissue.TENDON)
