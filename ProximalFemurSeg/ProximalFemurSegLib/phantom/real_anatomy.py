"""Phantoms over real geometry from outside: a shape model, femur meshes and label maps in a folder.

The folder is searched for what it holds, so that its layout does not matter much: a .npz with `mean`, `faces`, `modes`
and `sd` is a shape model of left femora; a .npz with `vertices` and `faces` is a femur; a .nii.gz beside a
`labels.json` is a label map of pelvis and thighs. Preparing them takes a minute or two; `cache` keeps the result.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from ..errors import BadInputError
from .cortex import draw_cortex, slow_variation
from .distance_field import mesh_distance_field
from .femur_regions import measure_neck
from .label_world import FEMUR_NAME, LabelWorld, upright, world_from_labels
from .mesh_femur import MeshFemur, MeshShape
from .shape_model import LPS_TO_RAS, ShapeModel, fit_sphere
from .tissues import Tissue

_CUT_END_MM = 15.0  # more than the thickest cortex
PROXIMAL_LENGTH = 200.0  # mm of bone kept below the head centre


@dataclass(frozen=True, eq=False)
class Hip:
    """Where a label map's own femur lies: the frame to put another one in."""

    head_center: np.ndarray
    head_radius: float
    rotation: np.ndarray


@dataclass(frozen=True, eq=False)
class Person:
    """A label map with its hips."""

    world: LabelWorld
    hips: dict[str, Hip]


class AnatomyLibrary:
    """Real shapes to build phantoms from.

    Parameters
    ----------
    shapes : list of MeshShape
        Left femora.
    people : list of Person
        Surroundings.
    """

    def __init__(self, shapes: list[MeshShape], people: list[Person]):
        self.shapes, self.people = shapes, people

    @classmethod
    def load(
        cls,
        folder: str | Path,
        model_samples: int = 40,
        seed: int = 0,
        meshes: bool = True,
        exclude: tuple[str, ...] = ("femora_whole",),
        announce=lambda text: None,
    ) -> AnatomyLibrary:
        """Prepare everything found under a folder.

        Parameters
        ----------
        folder : path
        model_samples : int
            Femora to draw from each shape model.
        seed : int
            Of these draws.
        meshes : bool
            Whether to take the single meshes too.
        exclude : tuple of str
            Sub-folders to leave out.
        announce : callable
            Called with a line of text per step.

        Raises
        ------
        BadInputError
            If the folder holds no shape model, or no usable label map.
        """
        folder = Path(folder)
        models, mesh_files = [], []
        for path in sorted(folder.rglob("*.npz")):
            if any(part in exclude for part in path.relative_to(folder).parts):
                continue
            with np.load(path) as data:
                keys = set(data.files)
            if {"mean", "faces", "modes", "sd"} <= keys:
                models.append(path)
            elif {"vertices", "faces"} <= keys:
                mesh_files.append(path)
        if not models:
            raise BadInputError(
                f"{folder} holds no femur shape model (an .npz with mean, faces, modes and sd); "
                "name a folder that does, or leave --anatomy out for the built-in geometry."
            )
        model = ShapeModel.load(models[0])
        shapes = []
        for number in range(model_samples):
            announce(f"shape {number + 1} of {model_samples}")
            shapes.append(shape_from_model(model, np.random.default_rng([seed, number])))
        if meshes:
            for path in mesh_files:
                announce(path.name)
                shapes.append(shape_from_mesh(model, path))
        people = []
        for path in sorted(folder.rglob("labels.json")):
            names = {int(value): text for value, text in json.loads(path.read_text()).items()}
            for image in sorted(path.parent.glob("*.nii.gz")):
                announce(image.name)
                person = person_from_labels(model, image, names)
                if person is not None:
                    people.append(person)
        if not people:
            raise BadInputError(
                f"{folder} holds no usable label map of pelvis and femora (a .nii.gz beside a labels.json); "
                "name a folder that does, or leave --anatomy out for the built-in geometry."
            )
        return cls(shapes, people)


def shape_from_model(model: ShapeModel, rng: np.random.Generator) -> MeshShape:
    """Draw a femur from the model."""
    coefficients = np.clip(rng.normal(size=len(model.sd)) * 1.1, -2.5, 2.5)
    vertices = model.shape(coefficients)
    landmarks, radius = model.landmarks(vertices)
    return _mesh_shape(f"model {np.round(coefficients, 2).tolist()}", vertices, model.faces, landmarks, radius)


def shape_from_mesh(model: ShapeModel, path: Path) -> MeshShape:
    """Read a femur; landmarks come from the model laid over it."""
    with np.load(path) as data:
        vertices, faces = data["vertices"].astype(np.float64) * LPS_TO_RAS, data["faces"]
    top = vertices[vertices[:, 2] > vertices[:, 2].max() - 60.0]
    # The head is the medial part of the upper end: on a left femur to the right of the rest, and the other way round.
    shaft = vertices[vertices[:, 2] < vertices[:, 2].max() - 60.0].mean(axis=0)
    if np.abs(top[:, 0].max() - shaft[0]) < np.abs(top[:, 0].min() - shaft[0]):
        vertices, top = vertices * [-1, 1, 1], top * [-1, 1, 1]
    head = top[(top[:, 0] > top[:, 0].max() - 30.0) & (top[:, 2] > top[:, 2].max() - 45.0)]
    center, radius = fit_sphere(head)
    fit = model.fit(vertices, center, radius)
    landmarks, radius = model.landmarks(fit.to_bone(model.shape(fit.coefficients)))
    # The bone's own surface says better than the model where the head is.
    offset = vertices - landmarks["head_center"]
    away = offset @ (landmarks["neck_center"] - landmarks["head_center"])
    near = (np.abs(np.linalg.norm(offset, axis=1) - radius) < 3.0) & (away < 0)
    center, radius = fit_sphere(vertices[near])
    landmarks["head_center"] = center
    return _mesh_shape(path.name, vertices, faces, landmarks, radius)


def _mesh_shape(name, vertices, faces, landmarks, radius) -> MeshShape:
    center = landmarks["head_center"]
    vertices = vertices - center
    landmarks = {key: mark - center for key, mark in landmarks.items()}
    # A short bone goes on as the last section that its cut end is far from: near it, all depths would be small ones,
    # and the shaft below without a canal.
    lowest = max(-PROXIMAL_LENGTH, float(vertices[:, 2].min()) + _CUT_END_MM)
    field = mesh_distance_field(vertices, faces, lowest_z=lowest)
    neck = measure_neck(field, np.zeros(3), landmarks["neck_center"], radius)
    landmarks["neck_center"] = neck.minimum_mm * np.array(neck.axis)
    landmarks["neck_base"] = neck.base_mm * np.array(neck.axis)
    return MeshShape(name, field, landmarks, radius, neck.radius_mm, -lowest)


def person_from_labels(model: ShapeModel, path: Path, names: dict[int, str]) -> Person | None:
    """Read a label map, find its hips, and take the femora out; None if its femoral heads are not round."""
    from ..volume_io import read_volume

    volume = read_volume(path)
    world = world_from_labels(path.name.split(".")[0], volume.array, volume.grid.affine, names)
    femur_value = next(value for value, text in names.items() if FEMUR_NAME in text.lower())
    array, origin, spacing = upright(volume.array == femur_value, volume.grid.affine)
    parts, count = ndimage.label(array)
    sizes = ndimage.sum_labels(array, parts, range(1, count + 1))
    largest = np.argsort(sizes)[-2:] + 1
    middles = [origin[0] + np.mean(np.nonzero(parts == part)[0]) * spacing[0] for part in largest]
    hips = {}
    for part, middle in zip(largest, middles):
        side = "right" if middle > np.mean(middles) else "left"
        mask = parts == part
        surface = mask & ~ndimage.binary_erosion(mask)
        points = origin + np.argwhere(surface) * spacing
        mirror = np.array([1.0 if side == "left" else -1.0, 1.0, 1.0])
        points = points * mirror
        top = points[points[:, 2] > points[:, 2].max() - 60.0]
        head = top[top[:, 0] > top[:, 0].max() - 30.0]
        head = head[head[:, 2] > head[:, 2].max() - 40.0]
        center, radius = fit_sphere(head)
        fit = model.fit(points, center, float(np.clip(radius, 18, 30)))
        landmarks, radius = model.landmarks(fit.to_bone(model.shape(fit.coefficients)))
        offset = points - landmarks["head_center"]
        spread = np.abs(np.linalg.norm(offset[offset @ np.array([0.6, 0, 0.8]) > 0.3 * radius], axis=1) - radius)
        if np.median(spread) > 2.5:
            return None
        hips[side] = Hip(landmarks["head_center"] * mirror, radius, fit.rotation)
    return Person(world, hips)


def draw_rotation(rng: np.random.Generator, spread_deg: float) -> np.ndarray:
    """A small random rotation (3, 3): flexion, abduction and rotation, each normal with this spread in degrees."""
    x, y, z = np.deg2rad(np.clip(rng.normal(size=3), -2.2, 2.2) * spread_deg)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


class RealScene:
    """A scene of real shapes (the `Scene` protocol): one person's surroundings, another's femora, gently warped.

    Parameters
    ----------
    library : AnatomyLibrary
    seed : int
    shape : int, optional
        Index of the femur shape; drawn if left out.
    """

    def __init__(self, library: AnatomyLibrary, seed: int, shape: int | None = None):
        rng = np.random.default_rng([seed, 77])
        self.library, self.seed = library, seed
        self.person = library.people[int(rng.integers(len(library.people)))]
        number = int(rng.integers(len(library.shapes))) if shape is None else shape
        chosen = library.shapes[number]
        hips = self.person.hips
        self._middle = np.mean([hip.head_center for hip in hips.values()], axis=0)
        own_radius = np.mean([hip.head_radius for hip in hips.values()])
        # Women's and men's heads differ by a quarter; the whole body is scaled so that head and socket fit.
        size = float(np.clip(rng.normal(1.0, 0.06), 0.86, 1.15))
        bone_scale = size * float(np.clip(24.0 / chosen.head_radius, 0.9, 1.1)) ** 0.7
        self.world_scale = bone_scale * chosen.head_radius / own_radius
        # The joint space: how much smaller the head is than the socket's imprint of the old one.
        self.joint_gap = float(rng.uniform(-0.3, 2.0))
        self.minimum_joint_space = float(rng.uniform(0.6, 2.5))
        self.femora = {}
        cortex_rng = np.random.default_rng([seed, 78])
        osteoporosis = float(cortex_rng.beta(1.3, 2.0))
        for side, hip in hips.items():
            self.femora[side] = MeshFemur(
                chosen,
                side,
                (hip.head_center - self._middle) * self.world_scale,
                draw_rotation(rng, 5.0) @ hip.rotation,
                bone_scale * (own_radius * self.world_scale - self.joint_gap) / (own_radius * self.world_scale),
                draw_cortex(np.random.default_rng([seed, 79]), osteoporosis),
            )
        self._shell = float(rng.uniform(0.9, 2.0))
        self._cavity_seed = int(rng.integers(2**31))
        self._fat_seed = int(rng.integers(2**31))
        self._muscle_fat = float(rng.uniform(0.0, 1.3))
        self._cartilage = float(rng.uniform(1.0, 3.5))
        self._skin = float(rng.uniform(1.0, 2.5))

    def surroundings(self, points: torch.Tensor) -> torch.Tensor:
        """uint8 `Tissue` at (..., 3) RAS points without the femora."""
        world = self.person.world
        middle = torch.as_tensor(self._middle, dtype=points.dtype, device=points.device)
        local = points / self.world_scale + middle
        tissue = world.tissue.nearest(local).clone()
        depth, bone = world.depth(local), world.bone(local)

        shape = points.shape[:-1]
        in_cavity = world.cavity.nearest(local) > 0
        cavity = in_cavity & (tissue == int(Tissue.FAT))
        blobs = slow_variation(points[cavity], self._cavity_seed, (25.0, 90.0))
        second = slow_variation(points[cavity], self._cavity_seed + 1, (15.0, 50.0))
        inner = torch.full(blobs.shape, int(Tissue.FAT), dtype=torch.uint8, device=points.device)
        inner[blobs > 0.1] = int(Tissue.BOWEL)
        inner[(blobs > 0.5) & (second > 0.9)] = int(Tissue.BOWEL_GAS)
        inner[(blobs < -0.4) & (second > 0.2)] = int(Tissue.ORGAN)
        inner[(blobs < -0.9) & (second < 0.2)] = int(Tissue.URINE)
        inner[second < -1.5] = int(Tissue.VESSEL)
        tissue[cavity] = inner
        # What the map calls "body" between the muscles is fat, vessels, small muscles and tendons.
        loose = (tissue == int(Tissue.FAT)) & (depth > 10.0) & ~in_cavity & (world.wall.nearest(local) < 9.0)
        field = slow_variation(points[loose], self._fat_seed, (12.0, 45.0), waves=14)
        filling = torch.full(field.shape, int(Tissue.FAT), dtype=torch.uint8, device=points.device)
        filling[field > 1.2 - self._muscle_fat] = int(Tissue.MUSCLE)
        filling[field < -1.8] = int(Tissue.VESSEL)
        tissue[loose] = filling

        near_head = torch.zeros(shape, dtype=torch.bool, device=points.device)
        for femur in self.femora.values():
            center = torch.as_tensor(femur.landmarks["head_center"], dtype=points.dtype, device=points.device)
            near_head |= (points - center).square().sum(-1) < (femur.head_radius + 6.0) ** 2
        joint = near_head & (bone < 6.0) & (bone >= 0)
        tissue[joint & (bone < self._cartilage)] = int(Tissue.CARTILAGE)
        tissue[joint & (bone >= self._cartilage)] = int(Tissue.JOINT_FLUID)

        shell = self._shell * (1 + 0.35 * slow_variation(points[bone < 0], self._fat_seed + 5, (20.0, 80.0)))
        within = bone[bone < 0]
        tissue[bone < 0] = torch.where(
            -within * self.world_scale < shell.clamp_min(0.5), int(Tissue.CORTICAL_BONE), int(Tissue.TRABECULAR_BONE)
        ).to(torch.uint8)
        tissue[(depth >= 0) & (depth < self._skin)] = int(Tissue.SKIN)
        tissue[depth < 0] = int(Tissue.AIR)
        return tissue
