"""Phantom anatomy baked to files, so that training reads it instead of evaluating geometry at every step.

A case is one hip as a left one (right hips are mirrored): tissues and femoral distances on a grid of 1.25 mm whose axes
run superior, posterior, left. A body is a whole pelvis, not mirrored, at 3 mm. Images are made from them anew at every
step, with fresh contrast, noise, pose, scale and field of view.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..phantom.anatomy_sample import sample_scene
from ..phantom.scene import Scene
from ..phantom.tissues import Tissue
from ..volume import Grid
from ..whole_file import whole_file, write_whole_text

HIP_SPACING, BODY_SPACING = 1.25, 3.0  # mm
HIP_BOX = ((-150.0, 75.0), (-90.0, 90.0), (-95.0, 85.0))  # superior, posterior, left of the head centre, mm
DISTANCE_STEP = 0.1  # mm per count of an 8-bit distance
CHANNELS = ("tissue", "periosteal", "endosteal", "density", "owner")


@dataclass(frozen=True, eq=False)
class BakedCase:
    """Channels (5, D, H, W) uint8 on a grid whose axes run superior, posterior, left.

    Attributes
    ----------
    channels : numpy.ndarray
        Tissue; periosteal and endosteal distance, 0.1 mm a count, 128 at the surface; density, 0 to 255; owner (0 none,
        1 this hip's femur or the left one of a body, 2 the other).
    corner : tuple of float
        Position in mm of the first voxel in (superior, posterior, left) from the head centre, or the middle between
        both in a body.
    spacing : float
        mm.
    name : str
    """

    channels: np.ndarray
    corner: tuple[float, float, float]
    spacing: float
    name: str


def _grid(box, spacing: float, center: np.ndarray, mirror: bool) -> Grid:
    shape = tuple(int(round((high - low) / spacing)) + 1 for low, high in box)
    affine = np.zeros((4, 4))
    # Columns of the affine are the i, j, k axes: left (-R), posterior (-A), superior.
    left = 1.0 if mirror else -1.0
    affine[:3, 0] = (left * spacing, 0, 0)
    affine[:3, 1] = (0, -spacing, 0)
    affine[:3, 2] = (0, 0, spacing)
    affine[:3, 3] = center + np.array([left * box[2][0], -box[1][0], box[0][0]])
    affine[3, 3] = 1
    return Grid(shape, affine)


def _encode(sample, own: int | None) -> np.ndarray:
    def distance(values):
        return (values / DISTANCE_STEP + 128).round().clamp(0, 255).to(torch.uint8)

    owner = sample.owner.clone()
    if own is not None:
        owner = torch.where(owner == own, 1, torch.where(owner > 0, 2, 0)).to(torch.uint8)
    tissue, periosteal, endosteal = sample.tissue.clone(), sample.periosteal, sample.endosteal
    if own is not None:
        # The other hip's femur is part of the surroundings of this one.
        other = owner == 2
        tissue[other & (periosteal < 0)] = int(Tissue.FEMUR_CORTICAL)
        tissue[other & (endosteal < 0)] = int(Tissue.FEMUR_TRABECULAR)
        periosteal = torch.where(other, torch.full_like(periosteal, 30.0), periosteal)
        endosteal = torch.where(other, torch.full_like(endosteal, 30.0), endosteal)
    density = (sample.density * 255).round().to(torch.uint8)
    return torch.stack([tissue, distance(periosteal), distance(endosteal), density, owner]).cpu().numpy()


def bake_hip(scene: Scene, side: str, name: str) -> BakedCase:
    """One hip, as a left one."""
    center = np.asarray(scene.femora[side].landmarks["head_center"])
    grid = _grid(HIP_BOX, HIP_SPACING, center, mirror=side == "right")
    sample = sample_scene(scene, grid)
    own = sample.sides.index(side) + 1
    return BakedCase(_encode(sample, own), tuple(low for low, _ in HIP_BOX), HIP_SPACING, f"{name}-{side}")


def bake_body(scene: Scene, name: str, box=((-190.0, 270.0), (-170.0, 150.0), (-235.0, 235.0))) -> BakedCase:
    """A whole pelvis with both femora; owner 1 is the left one."""
    centers = [np.asarray(femur.landmarks["head_center"]) for femur in scene.femora.values()]
    sample = sample_scene(scene, _grid(box, BODY_SPACING, np.mean(centers, axis=0), mirror=False))
    own = sample.sides.index("left") + 1 if "left" in sample.sides else None
    channels = _encode(sample, None)
    if own == 2:
        owner = channels[4]
        channels[4] = np.where(owner > 0, 3 - owner, 0)
    return BakedCase(channels, tuple(low for low, _ in box), BODY_SPACING, name)


def save_case(case: BakedCase, folder: Path) -> Path:
    """Write a case as .npy with a .json beside it; complete or absent."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case.name}.npy"
    with whole_file(path) as unfinished:
        np.save(unfinished, case.channels)
        # The header first: where the voxels are, it is too.
        write_whole_text(path.with_suffix(".json"), json.dumps({"corner": case.corner, "spacing": case.spacing}))
    return path


def load_case(path: Path) -> BakedCase:
    """Open a case; its channels stay on disk until they are read."""
    header = json.loads(path.with_suffix(".json").read_text())
    return BakedCase(np.load(path, mmap_mode="r"), tuple(header["corner"]), header["spacing"], path.stem)
