"""A scene read at the points of a grid: what the simulated scanners work on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..volume import Grid
from .scene import Femur, Scene
from .tissues import Tissue
from .trabecular import trabecular_density

FAR = 30.0  # mm; distances are not followed further out
BONES = (int(Tissue.CORTICAL_BONE), int(Tissue.TRABECULAR_BONE))


@dataclass(frozen=True, eq=False)
class AnatomySample:
    """Tissues and femoral surfaces on a grid, all (K, J, I).

    Attributes
    ----------
    tissue : torch.Tensor
        uint8 `Tissue` around the femora.
    periosteal, endosteal : torch.Tensor
        float32 signed distances in mm to the nearest femur's surfaces, negative inside.
    density : torch.Tensor
        float32, 0 to 1: how dense the trabeculae of the nearest femur are here.
    owner : torch.Tensor
        uint8: which femur is the nearest, 1 for the first of `sides`, 2 for the second.
    sides : tuple of str
    """

    tissue: torch.Tensor
    periosteal: torch.Tensor
    endosteal: torch.Tensor
    density: torch.Tensor
    owner: torch.Tensor
    sides: tuple[str, ...]


def grid_points(grid: Grid, first: int, last: int, device="cpu") -> torch.Tensor:
    """(last - first, J, I, 3) float32 RAS mm of the voxel centres of some slices of a grid."""
    _, rows, columns = grid.shape
    k = torch.arange(first, last, dtype=torch.float64)
    j = torch.arange(rows, dtype=torch.float64)
    i = torch.arange(columns, dtype=torch.float64)
    affine = torch.as_tensor(np.array(grid.affine))
    points = k[:, None, None, None] * affine[:3, 2] + affine[:3, 3]
    points = points + j[:, None, None] * affine[:3, 1]
    points = points + i[:, None] * affine[:3, 0]
    return points.to(torch.float32).to(device)


def sample_scene(scene: Scene, grid: Grid, device="cpu", chunk: int = 1_500_000) -> AnatomySample:
    """Read a scene on a grid, some slices at a time so that memory stays bounded.

    Parameters
    ----------
    scene : Scene
    grid : Grid
        RAS mm.
    device : str or torch.device
    chunk : int
        About how many points are in work at once.
    """
    femora = [scene.femora[side] for side in sorted(scene.femora)]
    parts = []
    step = max(1, chunk // (grid.shape[1] * grid.shape[2]))
    for first in range(0, grid.shape[0], step):
        points = grid_points(grid, first, min(first + step, grid.shape[0]), device)
        parts.append(_sample_points(scene, femora, points))
    tissue, periosteal, endosteal, density, owner = (torch.cat(part) for part in zip(*parts))
    return AnatomySample(tissue, periosteal, endosteal, density, owner, tuple(f.side for f in femora))


def _sample_points(scene: Scene, femora: list[Femur], points: torch.Tensor):
    shape = points.shape[:-1]
    tissue = scene.surroundings(points)
    periosteal = torch.full(shape, FAR, device=points.device)
    endosteal = torch.full(shape, FAR, device=points.device)
    density = torch.zeros(shape, device=points.device)
    owner = torch.zeros(shape, dtype=torch.uint8, device=points.device)
    for number, femur in enumerate(femora, start=1):
        low, high = (torch.as_tensor(b, dtype=points.dtype, device=points.device) for b in femur.bounds)
        # The shaft runs on below the box of a bone that was cut off.
        low = low - torch.tensor([0.0, 0.0, 400.0], device=points.device)
        near = ((points > low) & (points < high)).all(dim=-1)
        if not near.any():
            continue
        candidates = points[near]
        distance = femur.periosteal_distance(candidates)
        closer = distance < periosteal[near]
        where = torch.zeros(shape, dtype=torch.bool, device=points.device)
        where[near] = closer
        candidates, distance = candidates[closer], distance[closer]
        periosteal[where] = distance
        owner[where] = number
        # Thickness and density matter in the bone and just around it only.
        bone = distance < 6.0
        inside = torch.zeros_like(where)
        inside[where] = bone
        endosteal[where] = FAR
        endosteal[inside] = distance[bone] + femur.cortical_thickness(candidates[bone])
        density[inside] = trabecular_density(candidates[bone], femur.landmarks, femur.head_radius)
    # The socket never reaches into the head: what is left between them is cartilage.
    is_bone = (tissue == BONES[0]) | (tissue == BONES[1])
    gap = float(getattr(scene, "minimum_joint_space", 1.0))
    tissue[is_bone & (periosteal < gap)] = int(Tissue.CARTILAGE)
    return tissue, periosteal, endosteal, density, owner
