"""A simulated CT scanner: Hounsfield units, partial volume, kernel, noise, metal, table and calibration rods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .random_fields import blur_gain, gaussian_blur, smooth_noise
from .tissues import Tissue

AIR_HU = -1000.0


@dataclass(frozen=True)
class CtContrast:
    """What each tissue measures, in HU.

    Attributes
    ----------
    values : tuple of float
        Mean HU by `Tissue` number.
    texture : tuple of float
        Standard deviation in HU of the tissue's own texture, by `Tissue` number.
    marrow : float
        HU of the femoral canal, where there are no trabeculae.
    trabecular_gain : float
        HU that the densest trabecular bone of the femur adds to the marrow.
    trabecular_texture : float
        Relative standard deviation of the trabecular network.
    trabecular_patches : float
        Relative standard deviation of slow changes, over a centimetre, in the density of the trabecular network.
    cortex : float
        HU of compact femoral cortex.
    trabecular_falloff : float
        Power of the relative density: above 1 only the core of the head is dense, as in older people.
    """

    values: tuple[float, ...]
    texture: tuple[float, ...]
    marrow: float
    trabecular_gain: float
    trabecular_texture: float
    cortex: float
    trabecular_falloff: float = 1.0
    trabecular_patches: float = 0.0


@dataclass(frozen=True)
class CtScan:
    """How the scanner sees.

    Attributes
    ----------
    blur_mm : tuple of float
        Sigma of the point spread along (k, j, i) in mm.
    noise_hu : float
        Standard deviation of the noise in the image.
    noise_grain : float
        Width in voxels of the noise's grain; a smooth kernel has a coarse one.
    """

    blur_mm: tuple[float, float, float] = (0.4, 0.45, 0.45)
    noise_hu: float = 20.0
    noise_grain: float = 1.0


def draw_ct_contrast(rng: np.random.Generator, wide: float = 1.0) -> CtContrast:
    """Draw one person's tissues at 80 to 140 kV.

    Parameters
    ----------
    rng : numpy.random.Generator
    wide : float
        1 gives what scanners show; larger values go beyond, to make training robust.

    References
    ----------
    Usual CT numbers: fat -120 to -80, water 0, muscle 35 to 65 (up to 100 with contrast medium), blood 40 to 60
    (with contrast medium up to 250), compact bone 800 to 1800 HU.
    """
    values = np.zeros(len_tissues())
    texture = np.full(len_tissues(), 6.0)

    def put(tissue, low, high, grain=6.0):
        middle, half = (low + high) / 2, (high - low) / 2 * wide
        values[tissue] = rng.uniform(middle - half, middle + half)
        texture[tissue] = grain

    contrast_medium = rng.random() < 0.35
    put(Tissue.SKIN, -20, 60, 10)
    put(Tissue.FAT, -122, -75, 12)
    put(Tissue.MUSCLE, 35, 85 if contrast_medium else 65, 12)
    pelvis = rng.uniform(0.0, 1.0)
    put(Tissue.TRABECULAR_BONE, 30 + 200 * pelvis, 130 + 280 * pelvis, 45)
    put(Tissue.CORTICAL_BONE, 550, 1250, 110)
    put(Tissue.CARTILAGE, 20, 110, 8)
    put(Tissue.JOINT_FLUID, 0, 50, 8)
    put(Tissue.URINE, -5, 200 if rng.random() < 0.1 else 20, 3)
    put(Tissue.BOWEL, -20, 250 if rng.random() < 0.15 else 60, 30)
    put(Tissue.BOWEL_GAS, -1000, -850, 20)
    put(Tissue.VESSEL, 120 if contrast_medium and rng.random() < 0.5 else 30, 300 if contrast_medium else 60, 5)
    put(Tissue.TENDON, 50, 110, 8)
    put(Tissue.ORGAN, 20, 100 if contrast_medium else 60, 10)
    put(Tissue.TABLE, -250, 300, 10)
    values[Tissue.METAL] = rng.uniform(2500, 4000)
    values[Tissue.AIR] = AIR_HU
    texture[Tissue.AIR] = 0.0
    strength = float(np.clip(0.35 + 0.65 * pelvis + rng.normal(0, 0.18), 0.05, 1.25))
    return CtContrast(
        tuple(values.tolist()),
        tuple(texture.tolist()),
        marrow=float(rng.uniform(-90, 10)),
        trabecular_gain=90.0 + 420.0 * strength,
        trabecular_texture=float(rng.uniform(0.08, 0.30)),
        cortex=float(rng.uniform(800, 1500)),
        trabecular_falloff=float(np.exp(rng.uniform(np.log(0.6), np.log(3.0)))),
        trabecular_patches=float(rng.uniform(0.0, 0.3)),
    )


def len_tissues() -> int:
    """One more than the largest tissue number."""
    return max(int(tissue) for tissue in Tissue) + 1


def draw_ct_scan(rng: np.random.Generator, wide: float = 1.0) -> CtScan:
    """Draw kernel and dose."""
    sharp = rng.uniform(0.25, 0.75)
    return CtScan(
        blur_mm=(float(rng.uniform(0.2, 0.6)), float(sharp), float(sharp)),
        noise_hu=float(np.exp(rng.uniform(np.log(6.0), np.log(35.0 * wide)))),
        noise_grain=float(rng.uniform(1.0, 2.2)),
    )


def surroundings_hu(tissue: torch.Tensor, contrast: CtContrast) -> torch.Tensor:
    """HU of the tissues around the femora, (K, J, I), without texture."""
    table = torch.tensor(contrast.values, dtype=torch.float32, device=tissue.device)
    return table[tissue.long()]


def surroundings_texture(tissue: torch.Tensor, contrast: CtContrast) -> torch.Tensor:
    """Standard deviation in HU of the tissues' own texture, (K, J, I)."""
    return torch.tensor(contrast.texture, dtype=torch.float32, device=tissue.device)[tissue.long()]


def femur_hu(
    density: torch.Tensor, texture: torch.Tensor, contrast: CtContrast, patches: torch.Tensor | float = 0.0
) -> torch.Tensor:
    """HU of trabecular bone and marrow from the relative density (0 to 1), a unit texture and unit slow changes."""
    uneven = 1.0 + contrast.trabecular_texture * texture + contrast.trabecular_patches * patches
    network = density.clamp_min(0.0) ** contrast.trabecular_falloff * uneven
    return contrast.marrow + contrast.trabecular_gain * network.clamp_min(0.0)


def occupancy(distance: torch.Tensor, voxel_mm: float) -> torch.Tensor:
    """Share of a voxel of that size that lies inside a surface at this signed distance in mm."""
    return (0.5 - distance / voxel_mm).clamp(0.0, 1.0)


def compose_ct(
    surroundings: torch.Tensor,
    periosteal: torch.Tensor,
    endosteal: torch.Tensor,
    density: torch.Tensor,
    spacing: tuple[float, float, float],
    contrast: CtContrast,
    scan: CtScan,
    source: torch.Generator,
    grain_hu: torch.Tensor | None = None,
) -> torch.Tensor:
    """The CT image, (K, J, I) float32 HU, of sampled anatomy.

    Parameters
    ----------
    surroundings : torch.Tensor
        HU around the femora (`surroundings_hu`).
    periosteal, endosteal : torch.Tensor
        Signed distances in mm.
    density : torch.Tensor
        Relative trabecular density.
    spacing : tuple of float
        Voxel size along (k, j, i) in mm.
    contrast, scan
        See there.
    source : torch.Generator
        Of texture and noise.
    grain_hu : torch.Tensor, optional
        Standard deviation in HU of the surroundings' own texture (`surroundings_texture`); guessed from their HU if
        left out.
    """
    shape, device = surroundings.shape, surroundings.device
    # Trabecular bone shows as a pattern of one to three millimetres.
    grain = [1.3 / s for s in spacing]
    texture = smooth_noise(shape, grain, source) + 0.5 * smooth_noise(shape, [3 * g for g in grain], source)
    patches = smooth_noise(shape, [9.0 / s for s in spacing], source)
    if grain_hu is None:
        grain_hu = torch.where(surroundings > 110.0, 40.0, 8.0)
    image = surroundings + grain_hu * (0.7 * texture + 0.7 * patches)
    voxel = float(np.mean(spacing))
    cortex = contrast.cortex * (1.0 + 0.08 * patches)
    inside = occupancy(endosteal, voxel)
    bone = inside * femur_hu(density, texture, contrast, patches) + (1.0 - inside) * cortex
    whole = occupancy(periosteal, voxel)
    image = whole * bone + (1.0 - whole) * image
    image = gaussian_blur(image, [b / s for b, s in zip(scan.blur_mm, spacing)])
    grain = max(scan.noise_grain, 1.0)
    noise = torch.randn(shape, generator=source, device=device)
    if grain > 1.05:
        width = 0.45 * (grain - 1.0)
        # A blur of this width leaves this share of white noise's standard deviation.
        share = blur_gain(width) ** 2
        noise = gaussian_blur(noise, (0.0, width, width)) / share
    return (image + scan.noise_hu * noise).clamp(-1024.0, 3071.0)
