"""A simulated MR scanner: spoiled gradient echo (FLASH) contrast, coil, chemical shift, fold-over, motion, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .ct_scanner import len_tissues, occupancy
from .random_fields import gaussian_blur, smooth_noise
from .tissues import Tissue

# T1 ms, T2* ms, proton density of water, share of fat: about what is measured at 3 T.
# Sources: Gold et al. AJR 2004;183:343 and Stanisz et al. MRM 2005;54:507 (muscle, cartilage, marrow, fat, blood);
# Wehrli and Fernandez-Seara, Ann Biomed Eng 2005;33:79 (cortical bone has next to no signal at these echo times).
_MR_TABLE = {
    Tissue.AIR: (1000.0, 20.0, 0.0, 0.0),
    Tissue.SKIN: (900.0, 15.0, 0.6, 0.1),
    Tissue.FAT: (370.0, 35.0, 0.95, 0.92),
    Tissue.MUSCLE: (1400.0, 28.0, 0.80, 0.04),
    Tissue.CORTICAL_BONE: (300.0, 0.5, 0.15, 0.0),
    Tissue.TRABECULAR_BONE: (450.0, 14.0, 0.85, 0.60),
    Tissue.CARTILAGE: (1200.0, 25.0, 0.80, 0.0),
    Tissue.JOINT_FLUID: (3500.0, 120.0, 0.98, 0.0),
    Tissue.URINE: (4000.0, 200.0, 1.0, 0.0),
    Tissue.BOWEL: (1200.0, 30.0, 0.8, 0.1),
    Tissue.BOWEL_GAS: (1000.0, 1.0, 0.02, 0.0),
    Tissue.VESSEL: (1800.0, 30.0, 0.75, 0.0),
    Tissue.TENDON: (600.0, 2.0, 0.4, 0.0),
    Tissue.ORGAN: (1500.0, 40.0, 0.82, 0.0),
    Tissue.TABLE: (1000.0, 1.0, 0.0, 0.0),
    Tissue.METAL: (1000.0, 0.1, 0.0, 0.0),
    Tissue.FEMUR_CORTICAL: (300.0, 0.5, 0.15, 0.0),
    Tissue.FEMUR_TRABECULAR: (420.0, 12.0, 0.9, 0.65),
    Tissue.FEMUR_YELLOW_MARROW: (365.0, 30.0, 0.95, 0.90),
    Tissue.CYST: (2600.0, 80.0, 0.97, 0.0),
    Tissue.CYST_FOCUS: (900.0, 3.0, 0.4, 0.0),
}


@dataclass(frozen=True)
class FlashSequence:
    """A spoiled gradient echo: repetition and echo time in ms, flip angle in degrees (SciRep-2018's by default)."""

    repetition_ms: float = 31.0
    echo_ms: float = 4.92
    flip_deg: float = 25.0

    def signal(self, t1_ms, t2_star_ms, density):
        """Steady-state signal of the Ernst equation with T2* decay; arrays broadcast."""
        flip = np.deg2rad(self.flip_deg)
        e1 = np.exp(-self.repetition_ms / np.asarray(t1_ms, dtype=np.float64))
        steady = np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1)
        return density * steady * np.exp(-self.echo_ms / np.asarray(t2_star_ms, dtype=np.float64))


# T2 ms (not T2*) that a train of spin echoes sees. Sources as above, and de Bazelaire et al. Radiology 2004;230:652
# (pelvis at 1.5 and 3 T); fat appears longer in a train of echoes than in a single one. Flowing blood gives no signal.
_SPIN_ECHO_T2 = {
    Tissue.SKIN: 30.0,
    Tissue.FAT: 140.0,
    Tissue.MUSCLE: 35.0,
    Tissue.TRABECULAR_BONE: 80.0,
    Tissue.CARTILAGE: 42.0,
    Tissue.JOINT_FLUID: 700.0,
    Tissue.URINE: 1500.0,
    Tissue.BOWEL: 70.0,
    Tissue.VESSEL: 8.0,
    Tissue.TENDON: 5.0,
    Tissue.ORGAN: 80.0,
    Tissue.FEMUR_TRABECULAR: 85.0,
    Tissue.FEMUR_YELLOW_MARROW: 120.0,
    Tissue.CYST: 300.0,
    Tissue.CYST_FOCUS: 10.0,
}


@dataclass(frozen=True)
class SpinEchoSequence:
    """A train of spin echoes, T1-, density- or T2-weighted: repetition and effective echo time in ms."""

    repetition_ms: float = 4000.0
    echo_ms: float = 90.0

    def signal(self, t1_ms, t2_ms, density):
        """Signal after full refocusing; arrays broadcast."""
        recovered = 1 - np.exp(-self.repetition_ms / np.asarray(t1_ms, dtype=np.float64))
        return density * recovered * np.exp(-self.echo_ms / np.asarray(t2_ms, dtype=np.float64))


@dataclass(frozen=True)
class MrContrast:
    """Signal of every tissue, water and fat apart, by `Tissue` number; muscle is about 1.

    Attributes
    ----------
    water, fat : tuple of float
    texture : float
        Relative standard deviation of the tissues' own texture.
    red_marrow : float
        0 to 1: how much red marrow darkens neck and shaft against the yellow head and trochanter.
    trabecular_darkening : float
        Share of the signal that dense trabeculae take away.
    """

    water: tuple[float, ...]
    fat: tuple[float, ...]
    texture: float
    red_marrow: float
    trabecular_darkening: float


@dataclass(frozen=True)
class MrScan:
    """How the scanner sees.

    Attributes
    ----------
    noise : float
        Standard deviation of the complex noise, in units of the muscle's signal.
    bias : float
        Logarithmic amplitude of the coil's sensitivity over the field of view.
    blur_mm : tuple of float
        Sigma of the point spread along (k, j, i).
    fat_shift : float
        Chemical shift in voxels along the columns.
    ghost : float
        Share of the signal that motion repeats along the rows.
    fold_over : float
        Share of the signal from beyond the field of view that folds in along the rows; 0 if none.
    """

    noise: float = 0.06
    bias: float = 0.4
    blur_mm: tuple[float, float, float] = (0.5, 0.15, 0.15)
    fat_shift: float = 0.8
    ghost: float = 0.0
    fold_over: float = 0.0


def draw_sequence(rng: np.random.Generator) -> FlashSequence | SpinEchoSequence:
    """Any gradient or spin echo in use."""
    if rng.random() < 0.65:
        return FlashSequence(
            float(np.exp(rng.uniform(np.log(8), np.log(60)))), float(rng.uniform(1.5, 9.0)), float(rng.uniform(8, 60))
        )
    if rng.random() < 0.3:  # T1-weighted
        return SpinEchoSequence(float(rng.uniform(450, 800)), float(rng.uniform(8, 20)))
    return SpinEchoSequence(float(rng.uniform(2000, 6000)), float(rng.uniform(30, 130)))


def draw_mr_contrast(
    rng: np.random.Generator, wide: float = 0.0, sequence: FlashSequence | SpinEchoSequence | None = None
) -> MrContrast:
    """Draw one person's signals.

    Parameters
    ----------
    rng : numpy.random.Generator
    wide : float
        0 gives T1-weighted FLASH; up to 1 mixes in other sequences and arbitrary contrast, to make training robust.
    sequence : FlashSequence or SpinEchoSequence, optional
        SciRep-2018's if left out, or any if ``wide``.
    """
    if sequence is None:
        sequence = draw_sequence(rng) if wide > 0 else FlashSequence()
    spin_echo = isinstance(sequence, SpinEchoSequence)
    count = len_tissues()
    water, fat = np.zeros(count), np.zeros(count)
    fat_t1 = rng.uniform(330, 400)
    # A few percent of every tissue's constants differ from person to person.
    for tissue, (t1, t2, density, share) in _MR_TABLE.items():
        t2 = _SPIN_ECHO_T2.get(tissue, t2) if spin_echo else t2
        t1, t2 = t1 * np.exp(rng.normal(0, 0.08)), t2 * np.exp(rng.normal(0, 0.12))
        share = np.clip(share * (1 + rng.normal(0, 0.08)), 0, 0.97)
        # The water of a fatty tissue is that of its cells; its fat is fat.
        water_t1 = t1 if share < 0.3 else 1100.0
        water[tissue] = sequence.signal(water_t1, t2, density * (1 - share))
        fat[tissue] = sequence.signal(fat_t1 if share >= 0.3 else 370.0, max(t2, 12.0), density * share)
    scale = water[Tissue.MUSCLE] + fat[Tissue.MUSCLE]
    water, fat = water / scale, fat / scale
    if wide > 0:
        kind = rng.random()
        if kind < 0.2 * wide:  # fat suppressed
            fat *= rng.uniform(0.05, 0.5)
        elif kind < 0.45 * wide:  # any contrast at all; compact bone stays dark, marrow differs from it
            total = rng.uniform(0.15, 3.0, size=count)
            for tissue in (Tissue.CORTICAL_BONE, Tissue.FEMUR_CORTICAL, Tissue.AIR, Tissue.BOWEL_GAS, Tissue.TENDON):
                total[tissue] = rng.uniform(0.0, 0.12)
            marrow = rng.uniform(0.7, 3.2)
            for tissue in (Tissue.FEMUR_TRABECULAR, Tissue.FEMUR_YELLOW_MARROW, Tissue.TRABECULAR_BONE):
                total[tissue] = marrow * rng.uniform(0.85, 1.15)
            share = fat / np.maximum(water + fat, 1e-6)
            water, fat = total * (1 - share), total * share
    return MrContrast(
        tuple(water.tolist()),
        tuple(fat.tolist()),
        texture=float(rng.uniform(0.02, 0.10)),
        red_marrow=float(rng.uniform(0.0, 0.8)),
        trabecular_darkening=float(rng.uniform(0.05, 0.35)),
    )


def draw_mr_scan(rng: np.random.Generator, wide: float = 0.0) -> MrScan:
    """Draw coil, noise and artefacts; fold-over in about 3 of 86 scans as in SciRep-2018, more often if `wide`."""
    return MrScan(
        noise=float(np.exp(rng.uniform(np.log(0.04), np.log(0.11 + 0.20 * wide)))),
        bias=float(rng.uniform(0.15, 0.6 + 0.6 * wide)),
        blur_mm=(float(rng.uniform(0.3, 0.7)), *(float(rng.uniform(0.05, 0.2 + 0.3 * wide)),) * 2),
        fat_shift=float(rng.uniform(-1.5, 1.5) * (1 + wide)),
        ghost=float(rng.uniform(0.02, 0.10)) if rng.random() < 0.15 + 0.15 * wide else 0.0,
        fold_over=float(rng.uniform(0.3, 1.0)) if rng.random() < 3 / 86 + 0.2 * wide else 0.0,
    )


def surroundings_signal(tissue: torch.Tensor, contrast: MrContrast) -> tuple[torch.Tensor, torch.Tensor]:
    """Water and fat signal of the tissues around the femora, each (K, J, I)."""
    water = torch.tensor(contrast.water, dtype=torch.float32, device=tissue.device)
    fat = torch.tensor(contrast.fat, dtype=torch.float32, device=tissue.device)
    index = tissue.long()
    return water[index], fat[index]


def shift_columns(image: torch.Tensor, voxels: float) -> torch.Tensor:
    """Shift (K, J, I) along I by a fraction of voxels; the border is continued."""
    whole = int(np.floor(voxels))
    part = voxels - whole
    columns = torch.arange(image.shape[-1], device=image.device)
    first = image[..., (columns - whole).clamp(0, image.shape[-1] - 1)]
    if part < 1e-3:
        return first
    second = image[..., (columns - whole - 1).clamp(0, image.shape[-1] - 1)]
    return (1 - part) * first + part * second


def coil_sensitivity(shape, amplitude: float, source: torch.Generator) -> torch.Tensor:
    """A smooth positive field of mean about 1 over (K, J, I): near one side of a surface coil the signal is higher."""
    axes = [torch.linspace(-1, 1, size, device=source.device) for size in shape]
    slope = torch.randn(3, generator=source, device=source.device)
    slope = slope / slope.norm().clamp_min(1e-6)
    linear = slope[0] * axes[0][:, None, None] + slope[1] * axes[1][:, None] + slope[2] * axes[2]
    slow = smooth_noise(shape, [size / 2 for size in shape], source)
    return torch.exp(amplitude * (0.7 * linear + 0.3 * slow))


def compose_mr(
    water: torch.Tensor,
    fat: torch.Tensor,
    periosteal: torch.Tensor,
    endosteal: torch.Tensor,
    density: torch.Tensor,
    spacing: tuple[float, float, float],
    contrast: MrContrast,
    scan: MrScan,
    source: torch.Generator,
    beyond: torch.Tensor | None = None,
    cyst: torch.Tensor | None = None,
) -> torch.Tensor:
    """The MR magnitude image, (K, J, I) float32 with muscle about 1, of sampled anatomy.

    Parameters
    ----------
    water, fat : torch.Tensor
        Signals around the femora (`surroundings_signal`).
    periosteal, endosteal, density : torch.Tensor
        As in `AnatomySample`.
    spacing : tuple of float
        Voxel size along (k, j, i) in mm: slices, rows, columns.
    contrast, scan
        See there.
    source : torch.Generator
        Of texture, coil and noise.
    beyond : torch.Tensor, optional
        (K, J, I) signal of what lies just outside the field of view along the rows' direction, to fold in.
    cyst : torch.Tensor, optional
        (K, J, I) uint8 `Tissue` of cysts within the bone, 0 elsewhere.
    """
    shape, device = water.shape, water.device
    voxel = float(np.mean(spacing))
    grain = [0.9 / s for s in spacing]
    texture = smooth_noise(shape, grain, source)
    patches = smooth_noise(shape, [10.0 / s for s in spacing], source)

    def of(tissue):
        return contrast.water[tissue], contrast.fat[tissue]

    trabecular_water, trabecular_fat = of(Tissue.FEMUR_TRABECULAR)
    yellow_water, yellow_fat = of(Tissue.FEMUR_YELLOW_MARROW)
    # The head and the greater trochanter are fatty; red marrow lingers in neck and shaft.
    red = contrast.red_marrow * (1.0 - density).clamp(0, 1) * (0.6 + 0.3 * patches).clamp(0, 1)
    dark = 1.0 - contrast.trabecular_darkening * density * (1.0 + 0.6 * texture).clamp_min(0)
    marrow_water = (red * trabecular_water + (1 - red) * yellow_water) * dark
    marrow_fat = (red * trabecular_fat * 0.8 + (1 - red) * yellow_fat) * dark
    if cyst is not None:
        for tissue in (Tissue.CYST, Tissue.CYST_FOCUS):
            here = cyst == int(tissue)
            marrow_water[here], marrow_fat[here] = of(tissue)
    cortex_water, cortex_fat = of(Tissue.FEMUR_CORTICAL)
    inside, whole = occupancy(endosteal, voxel), occupancy(periosteal, voxel)
    modulation = 1.0 + contrast.texture * (texture + 1.5 * patches)
    water = whole * (inside * marrow_water + (1 - inside) * cortex_water) + (1 - whole) * water
    fat = whole * (inside * marrow_fat + (1 - inside) * cortex_fat) + (1 - whole) * fat
    signal = (water + shift_columns(fat, scan.fat_shift)) * modulation
    signal = gaussian_blur(signal, [b / s for b, s in zip(scan.blur_mm, spacing)])
    if scan.fold_over > 0 and beyond is not None:
        signal = signal + scan.fold_over * beyond
    if scan.ghost > 0:
        step = max(1, int(shape[1] * 0.17))
        signal = signal + scan.ghost * (torch.roll(signal, step, 1) + torch.roll(signal, -step, 1))
    signal = signal * coil_sensitivity(shape, scan.bias, source)
    real = signal + scan.noise * torch.randn(shape, generator=source, device=device)
    imaginary = scan.noise * torch.randn(shape, generator=source, device=device)
    return torch.sqrt(real.square() + imaginary.square())
