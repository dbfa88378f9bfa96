"""What makes single cases hard: bone cysts and metal."""

from __future__ import annotations

import numpy as np
import torch

from .tissues import Tissue


def draw_cysts(endosteal: torch.Tensor, spacing, rng: np.random.Generator) -> torch.Tensor | None:
    """One to three cysts with hypointense foci within trabecular bone, as in the one case of SciRep-2018.

    Parameters
    ----------
    endosteal : torch.Tensor
        (K, J, I) signed distance in mm to the endosteal surface.
    spacing : tuple of float
        mm along (k, j, i).
    rng : numpy.random.Generator

    Returns
    -------
    torch.Tensor or None
        (K, J, I) uint8 `Tissue`, 0 where there is no cyst; None if there is no room for one.
    """
    deep = torch.nonzero(endosteal < -3.0)
    if len(deep) < 50:
        return None
    cyst = torch.zeros(endosteal.shape, dtype=torch.uint8)
    axes = [torch.arange(n, dtype=torch.float32) * s for n, s in zip(endosteal.shape, spacing)]
    for _ in range(int(rng.integers(1, 4))):
        center = deep[int(rng.integers(len(deep)))].to(torch.float32) * torch.tensor(spacing)
        radius = rng.uniform(2.5, 8.0)
        squared = (
            (axes[0] - center[0]).square()[:, None, None]
            + (axes[1] - center[1]).square()[:, None]
            + (axes[2] - center[2]).square()
        )
        cyst[squared < radius**2] = int(Tissue.CYST)
        cyst[squared < (0.35 * radius) ** 2] = int(Tissue.CYST_FOCUS)
    cyst[endosteal > -0.5] = 0
    return cyst


def add_implant(
    image: torch.Tensor,
    periosteal: torch.Tensor,
    spacing,
    detector_axes: tuple[int, int],
    rng: np.random.Generator,
    source: torch.Generator,
) -> torch.Tensor:
    """A CT image with a nail, screw or plate in or near the bone, and its streaks in the plane of the detector.

    Parameters
    ----------
    image : torch.Tensor
        (K, J, I) HU.
    periosteal : torch.Tensor
        (K, J, I) signed distance in mm; both ends of the implant lie less than 2 mm outside the bone.
    spacing : tuple of float
        mm along (k, j, i).
    detector_axes : tuple of int
        The two array axes that span an axial plane.
    rng, source
        Random numbers.
    """
    inside = torch.nonzero(periosteal < 2.0)
    if len(inside) < 100:
        return image
    ends = inside[torch.randint(len(inside), (2,), generator=source)].to(torch.float32)
    spacing = torch.tensor(spacing, dtype=torch.float32)
    axis = (ends[1] - ends[0]) * spacing
    length = axis.norm().clamp_min(1.0)
    axes = [torch.arange(n, dtype=torch.float32) for n in image.shape]
    offset = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).sub_(ends[0]).mul_(spacing)
    along = (offset @ (axis / length)).clamp(0, float(length))
    distance = (offset - along[..., None] * (axis / length)).norm(dim=-1)
    radius, strength, lines = rng.uniform(2.0, 8.0), rng.uniform(60, 500), float(rng.integers(3, 9))
    first, second = detector_axes
    angle = torch.atan2(offset[..., second], offset[..., first])
    streak = torch.cos(lines * angle + rng.uniform(0, 6.3)) * torch.exp(-distance / rng.uniform(15, 45))
    return torch.where(distance < radius, torch.full_like(image, 3000.0), image + strength * streak)
