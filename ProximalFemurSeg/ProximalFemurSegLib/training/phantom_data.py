"""Training samples from baked phantom anatomy: every index its own patient pose, scanner and field of view.

Each data set gives ``sample(index) -> (image (1, D, H, W) float32, target (D, H, W) int64)`` on the network's grid and
with the network's normalisation, the same for the same index.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..errors import BadInputError
from ..inference.compact_bone import scale_bone
from ..phantom import ct_scanner, mr_scanner
from ..phantom.pathology import add_implant, draw_cysts
from ..phantom.random_fields import gaussian_blur, generator, smooth_noise
from .coarse_voxels import coarsen, draw_coarse
from .phantom_cases import DISTANCE_STEP, BakedCase, load_case

CT_LOW, CT_MIDDLE, CT_HALF = -300.0, 500.0, 800.0
PAD = -1.0


@dataclass(frozen=True)
class PatchFrame:
    """A network's grid in the patient.

    Attributes
    ----------
    shape : tuple of int
        (D, H, W) voxels of a sample.
    spacing : tuple of float
        mm along (D, H, W).
    axes : tuple of tuple of int
        For D, H, W: (which baked axis, direction); baked axes are 0 superior, 1 posterior, 2 left.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    axes: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

    @property
    def axial_plane(self) -> tuple[int, int]:
        """The two array axes that are not the superior one."""
        return tuple(n for n, (baked, _) in enumerate(self.axes) if baked != 0)


# Orientations as in models.Preprocessing: 'SPL' and 'AIL'.
SPL = ((0, 1), (1, 1), (2, 1))
AIL = ((1, -1), (0, -1), (2, 1))


@dataclass(frozen=True)
class Variation:
    """How widely samples vary.

    Attributes
    ----------
    rotation_deg : float
        Standard deviation of the turn about each axis; cut at twice this.
    zoom : float
        Isotropic scale from 1/zoom to zoom.
    bend_mm : float
        Amplitude of slow elastic bending.
    wide : float
        0 for what scanners do, 1 to go beyond.
    cut : float
        Probability that the field of view ends within the patch.
    coarse : float
        Probability of thick or coarse voxels.
    metal : float
        Probability of an implant.
    thin : float
        Probability of a thin cortex where it is not thick anyway, as in old age.
    spread : float
        How far the middles of patches lie from the hip's: 1 anywhere along the upper femur, 0 where a scan is centred.
    """

    rotation_deg: float = 8.0
    zoom: float = 1.15
    bend_mm: float = 4.0
    wide: float = 1.0
    cut: float = 0.3
    coarse: float = 0.5
    metal: float = 0.1
    thin: float = 0.6
    spread: float = 1.0


class Patch:
    """Sampled channels of one patch: what `CtSamples` and `MrSamples` make images of."""

    def __init__(self, case: BakedCase, frame: PatchFrame, variation: Variation, rng, center, mirror: bool = False):
        self.case, self.frame = case, frame
        turn = np.clip(rng.normal(size=3), -2, 2) * np.deg2rad(variation.rotation_deg)
        zoom = float(np.exp(rng.uniform(-1, 1) * np.log(variation.zoom)))
        rotation = _rotation(turn)
        linear = np.zeros((3, 3))
        for column, (axis, direction) in enumerate(frame.axes):
            linear[axis, column] = direction * frame.spacing[column] * zoom
        if mirror:
            linear[:, 2] *= -1
        linear = rotation @ linear
        half = (np.array(frame.shape) - 1) / 2
        origin = np.asarray(center) - linear @ half
        d, h, w = (torch.arange(n, dtype=torch.float32) for n in frame.shape)
        matrix = torch.as_tensor(linear, dtype=torch.float32)
        points = torch.as_tensor(origin, dtype=torch.float32) + d[:, None, None, None] * matrix[:, 0]
        points = points + h[:, None, None] * matrix[:, 1]
        points = points + w[:, None] * matrix[:, 2]
        if variation.bend_mm > 0:
            source = generator(rng.integers(2**62))
            extent = np.abs(linear).max(axis=0) * np.array(frame.shape)
            grain = [n * 45.0 / e for n, e in zip(frame.shape, extent)]
            amplitude = variation.bend_mm * rng.uniform(0, 1)
            for axis in range(3):
                points[..., axis] += amplitude * 0.5 * smooth_noise(frame.shape, grain, source)
        # Positions in voxels of the baked case, then only the part of it that is needed.
        points = (points - torch.tensor(case.corner)) / case.spacing
        size = np.array(case.channels.shape[1:])
        flat = points.reshape(-1, 3)
        low = np.clip(np.floor(flat.amin(0).numpy()) - 1, 0, size - 2).astype(int)
        high = np.clip(np.ceil(flat.amax(0).numpy()) + 2, low + 2, size).astype(int)
        box = (slice(None), *(slice(a, b) for a, b in zip(low, high)))
        self.raw = torch.from_numpy(np.array(case.channels[box]))
        local = points - torch.as_tensor(low, dtype=torch.float32)
        count = torch.as_tensor(high - low, dtype=torch.float32)
        self.where = (local / (count - 1) * 2 - 1).flip(-1)[None]
        self.zoom = zoom
        self.thinning = float(rng.uniform(0.25, 1.0)) if rng.random() < variation.thin else 1.0
        # Outside the baked box nothing is known: it counts as outside the field of view.
        self.valid = ((points >= 0) & (points <= torch.as_tensor(size - 1.0, dtype=torch.float32))).all(-1)

    def read(self, *channels: torch.Tensor) -> list[torch.Tensor]:
        """Interpolate (D', H', W') float channels of the box at the patch's points."""
        stacked = torch.stack([c.to(torch.float32) for c in channels])[None]
        read = torch.nn.functional.grid_sample(stacked, self.where, "bilinear", "border", True)[0]
        return list(read)

    def distance(self, channel: int) -> torch.Tensor:
        """The box's periosteal (1) or endosteal (2) distance in mm."""
        outer, inner = ((self.raw[n].to(torch.float32) - 128.0) * DISTANCE_STEP for n in (1, 2))
        if channel == 1:
            return outer
        thickness = inner - outer
        # The shaft's cortex of more than five millimetres stays what it is.
        share = self.thinning + (1.0 - self.thinning) * (thickness / 5.0).clamp(0.0, 1.0)
        return outer + share * thickness


def _rotation(angles) -> np.ndarray:
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        result = turn @ result
    return result


def _cut_field(shape, rng, probability: float) -> torch.Tensor:
    """True where a field of view that ends within the patch has no voxels."""
    outside = torch.zeros(shape, dtype=torch.bool)
    for axis in range(3):
        if rng.random() < probability / 2:
            margin = int(shape[axis] * rng.uniform(0.05, 0.45))
            view = outside.transpose(0, axis)
            if rng.random() < 0.5:
                view[:margin] = True
            else:
                view[-margin:] = True
    return outside


def _noise_kept(factors) -> float:
    """Factor on the noise of an image that is made coarser, or most of it would average away."""
    return float(np.sqrt(np.prod(factors))) ** 0.7


class CtSamples:
    """CT patches for the periosteal or endosteal network.

    Parameters
    ----------
    folder : path
        Of baked hips.
    shape : tuple of int
        (D, H, W) of a sample.
    target : str
        'periosteal' or 'endosteal'.
    seed : int
        Of all samples; use another for validation.
    names : callable, optional
        Takes a case's name and says whether it belongs to this set.
    blank_outside : bool
        Blank everything outside a slightly wrong periosteal region, as the second network of the cascade finds it.
    bone_hu : float, optional
        What compact bone is made to have, as at run time (`inference.compact_bone`).
    """

    def __init__(self, folder, shape, target="periosteal", seed=0, variation=Variation(), names=None,
                 spacing=(1.0, 0.8, 0.8), blank_outside=False, bone_hu=None):
        self.paths, self.bone_hu = find_cases(folder, names), bone_hu
        self.frame = PatchFrame(tuple(shape), spacing, SPL)
        self.target, self.seed, self.variation, self.blank_outside = target, seed, variation, blank_outside

    def sample(self, index: int):
        """Image (1, D, H, W) and target (D, H, W)."""
        rng = np.random.default_rng([self.seed, index])
        source = generator(rng.integers(2**62))
        case = load_case(self.paths[int(rng.integers(len(self.paths)))])
        center = _hip_center(rng, self.variation.spread, self.blank_outside)
        patch = Patch(case, self.frame, self.variation, rng, center)
        contrast = ct_scanner.draw_ct_contrast(rng, 1.0 + 0.2 * self.variation.wide)
        surroundings, periosteal, endosteal, density = patch.read(
            ct_scanner.surroundings_hu(patch.raw[0], contrast), patch.distance(1), patch.distance(2),
            patch.raw[3].to(torch.float32) / 255,
        )
        spacing = tuple(s * patch.zoom for s in self.frame.spacing)
        scan = ct_scanner.draw_ct_scan(rng, 1.0 + self.variation.wide)
        coarse = draw_coarse(rng, spacing, self.variation.coarse)
        scan = replace(scan, noise_hu=scan.noise_hu * _noise_kept(coarse))
        image = ct_scanner.compose_ct(surroundings, periosteal, endosteal, density, spacing, contrast, scan, source)
        if rng.random() < self.variation.metal:
            image = add_implant(image, periosteal, self.frame.spacing, self.frame.axial_plane, rng, source)
        image = coarsen(image, coarse)
        if self.bone_hu is not None:
            image = scale_bone(image, contrast.cortex, self.bone_hu)
        if rng.random() < 0.5:
            image = image + rng.uniform(-10, 10)
            image = image * rng.uniform(0.98, 1.02)
        image = ((image.clamp(CT_LOW, CT_MIDDLE + CT_HALF) - CT_MIDDLE) / CT_HALF)
        outside = _cut_field(self.frame.shape, rng, self.variation.cut) | ~patch.valid
        truth = periosteal < 0
        if self.target == "endosteal":
            truth = truth & (endosteal < 0)
        blanked = torch.zeros_like(truth)
        if self.blank_outside:
            wrong = rng.normal(0, 0.15) + rng.uniform(0, 0.3) * smooth_noise(self.frame.shape, (10, 10, 10), source)
            blanked = periosteal > wrong
        image[outside | blanked] = PAD
        # Bone that the blanking took by mistake is still to be found; bone beyond the field of view is not.
        target = truth & ~outside
        return image[None].numpy(), target.to(torch.int64).numpy()


class MrSamples:
    """MR patches for the bone network: trabecular bone of one hip, left or right.

    Parameters are those of `CtSamples`.
    """

    def __init__(self, folder, shape, seed=0, variation=Variation(metal=0.0), names=None,
                 spacing=(1.5, 0.469, 0.469)):
        self.paths = find_cases(folder, names)
        self.frame = PatchFrame(tuple(shape), spacing, AIL)
        self.seed, self.variation = seed, variation

    def sample(self, index: int):
        """Image (1, D, H, W) and target (D, H, W)."""
        rng = np.random.default_rng([self.seed, index])
        source = generator(rng.integers(2**62))
        wide = self.variation.wide if rng.random() < 0.6 else 0.0
        case = load_case(self.paths[int(rng.integers(len(self.paths)))])
        center = _hip_center(rng, self.variation.spread)
        patch = Patch(case, self.frame, self.variation, rng, center, mirror=rng.random() < 0.5)
        contrast = mr_scanner.draw_mr_contrast(rng, wide)
        water, fat = mr_scanner.surroundings_signal(patch.raw[0], contrast)
        water, fat, periosteal, endosteal, density = patch.read(
            water, fat, patch.distance(1), patch.distance(2), patch.raw[3].to(torch.float32) / 255
        )
        spacing = tuple(s * patch.zoom for s in self.frame.spacing)
        scan = mr_scanner.draw_mr_scan(rng, wide)
        coarse = draw_coarse(rng, spacing, self.variation.coarse)
        gaps = rng.random() < 0.4
        scan = replace(scan, noise=scan.noise * (1.0 if gaps else _noise_kept(coarse)))
        beyond = None
        if scan.fold_over > 0:
            # The thigh or the other hip lies over one end of the rows.
            rows = max(1, int(self.frame.shape[1] * rng.uniform(0.05, 0.25)))
            total = water + fat
            beyond = torch.zeros_like(total)
            if rng.random() < 0.5:
                beyond[:, :rows] = total[:, -rows:].flip(1)
            else:
                beyond[:, -rows:] = total[:, :rows].flip(1)
        cyst = draw_cysts(endosteal, spacing, rng) if rng.random() < 0.06 else None
        image = mr_scanner.compose_mr(
            water, fat, periosteal, endosteal, density, spacing, contrast, scan, source, beyond, cyst
        )
        image = coarsen(image, coarse, gaps)
        outside = _cut_field(self.frame.shape, rng, self.variation.cut) | ~patch.valid
        known = image[~outside]
        if known.numel() < 1000:
            outside, known = torch.zeros_like(outside), image.reshape(-1)
        # Percentiles of the whole scan at run time, of the patch here: jitter covers the difference.
        known = known[:: max(1, known.numel() // 40000)]
        low, high = torch.quantile(known, torch.tensor([0.01, 0.99])).tolist()
        high = low + (high - low) * float(np.exp(rng.normal(0, 0.15)))
        image = ((image - low) / max(high - low, 1e-6) * 2 - 1).clamp(-1.5, 2.0)
        image[outside] = PAD
        target = (endosteal < 0) & (periosteal < 0) & ~outside
        return image[None].numpy(), target.to(torch.int64).numpy()


class LocatorSamples:
    """Whole pelves or parts of them at 4 mm, CT or MR contrast; target 1 left femur, 2 right femur.

    Parameters
    ----------
    folder : path
        Of baked bodies.
    shape : tuple of int
        (D, H, W).
    """

    def __init__(self, folder, shape=(96, 80, 112), seed=0, names=None,
                 variation=Variation(rotation_deg=9.0, zoom=1.15, bend_mm=10.0, coarse=0.0, metal=0.12)):
        self.paths = find_cases(folder, names)
        self.frame = PatchFrame(tuple(shape), (4.0, 4.0, 4.0), SPL)
        self.seed, self.variation = seed, variation

    def sample(self, index: int):
        """Image (1, D, H, W) and target (D, H, W)."""
        rng = np.random.default_rng([self.seed, index])
        source = generator(rng.integers(2**62))
        case = load_case(self.paths[int(rng.integers(len(self.paths)))])
        mirror = rng.random() < 0.5
        center = np.array([rng.uniform(-60, 110), rng.uniform(-20, 20), rng.uniform(-20, 20)])
        patch = Patch(case, self.frame, self.variation, rng, center, mirror)
        ct = rng.random() < 0.55
        spacing = tuple(s * patch.zoom for s in self.frame.spacing)
        owner = torch.nn.functional.grid_sample(
            patch.raw[4].to(torch.float32)[None, None], patch.where, "nearest", "border", True
        )[0, 0]
        femoral = [patch.distance(1), patch.distance(2), patch.raw[3].to(torch.float32) / 255]
        if ct:
            contrast = ct_scanner.draw_ct_contrast(rng, 1.3)
            surroundings, *femoral = patch.read(ct_scanner.surroundings_hu(patch.raw[0], contrast), *femoral)
            scan = ct_scanner.draw_ct_scan(rng, 1.5)
            image = ct_scanner.compose_ct(surroundings, *femoral, spacing, contrast, scan, source)
            if rng.random() < self.variation.metal:
                image = add_implant(image, femoral[0], self.frame.spacing, self.frame.axial_plane, rng, source)
        else:
            contrast = mr_scanner.draw_mr_contrast(rng, 1.0 if rng.random() < 0.75 else 0.0)
            water, fat = mr_scanner.surroundings_signal(patch.raw[0], contrast)
            water, fat, *femoral = patch.read(water, fat, *femoral)
            scan = replace(mr_scanner.draw_mr_scan(rng, 1.0), fold_over=0.0)
            image = mr_scanner.compose_mr(water, fat, *femoral, spacing, contrast, scan, source)
        if rng.random() < 0.4:
            image = gaussian_blur(image, (rng.uniform(0, 1.0),) * 3)
        outside = ~patch.valid
        if rng.random() < 0.65:
            outside = outside | _field_of_view(self.frame.shape, rng, owner, femoral[0])
        known = image[~outside]
        if known.numel() < 200:
            outside, known = ~patch.valid, image[patch.valid]
        if ct:
            image = (image.clamp(CT_LOW, CT_MIDDLE + CT_HALF) - CT_MIDDLE) / CT_HALF
        else:
            low, high = torch.quantile(known, torch.tensor([0.01, 0.99])).tolist()
            image = ((image - low) / max(high - low, 1e-6) * 2 - 1).clamp(-1.5, 2.0)
        image[outside] = PAD
        target = torch.where((femoral[0] < 0) & ~outside, owner.round(), torch.zeros_like(owner)).to(torch.int64)
        if mirror:
            target = torch.where(target > 0, 3 - target, target)
        return image[None].numpy(), target.numpy()


def find_cases(folder, names=None) -> list[Path]:
    """The baked cases of a folder whose name is wanted.

    Raises
    ------
    BadInputError
        If there is none.
    """
    paths = [p for p in sorted(Path(folder).glob("[!.]*.npy")) if names is None or names(p.stem)]
    if not paths:
        raise BadInputError(f"{folder} holds no baked phantom of the kind that is asked for; bake the phantoms first.")
    return paths


def _hip_center(rng, spread: float, near: bool = False) -> np.ndarray:
    """Where a patch is centred, in mm superior, posterior, left of the head centre of a left hip."""
    along = 0.45 + spread * rng.uniform(-0.55, 0.55)
    # From the head down the neck to the shaft; the shaft of a left femur lies to the left, a little behind.
    line = np.array([15.0, 0.0, 8.0]) + along * np.array([-115.0, 12.0, 32.0])
    return line + spread * rng.normal(size=3) * (np.array([15, 10, 10]) if near else np.array([25.0, 18.0, 22.0]))


def _field_of_view(shape, rng, owner, periosteal) -> torch.Tensor:
    """Outside of a box-shaped field of view: part of the pelvis, one hip, or a thin slab."""
    outside = torch.ones(shape, dtype=torch.bool)
    bone = torch.nonzero((owner == float(rng.integers(1, 3))) & (periosteal < 0))
    ranges = []
    for axis, size in enumerate(shape):
        if rng.random() < 0.35 or len(bone) == 0:
            ranges.append((0, size))
            continue
        middle = float(bone[int(rng.integers(len(bone))), axis])
        half = rng.uniform(10, 28)
        ranges.append((int(max(0, middle - half)), int(min(size, middle + half))))
    outside[tuple(slice(a, b) for a, b in ranges)] = False
    return outside
