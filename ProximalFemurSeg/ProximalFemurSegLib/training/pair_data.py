"""Training samples from prepared pairs: random crops with the papers' augmentations."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from ..errors import BadInputError
from ..inference.normalisation import CT_HIGHEST_HU, CT_LOWEST_HU
from .augmentation import Augmentation
from .pair_cases import OUTER, TARGET

_USUAL = Augmentation()
# 0 HU as it is after ``ct-window``.
_WATER = -(CT_HIGHEST_HU + CT_LOWEST_HU) / (CT_HIGHEST_HU - CT_LOWEST_HU)


@lru_cache(maxsize=64)
def _open(path: str):
    """Image and labels of a case, left on disk, and up to 5000 places within the bone."""
    image = np.load(f"{path}.image.npy", mmap_mode="r")
    labels = np.load(f"{path}.labels.npy", mmap_mode="r")
    bone = np.argwhere(np.asarray(labels) & TARGET)
    return image, labels, bone[:: max(1, len(bone) // 5000)].astype(np.int32)


def _cut(array: np.ndarray, start, size, fill) -> torch.Tensor:
    """array[start:start + size] as float32, with the fill value where that lies outside."""
    result = torch.full(tuple(size), float(fill))
    low = [max(0, a) for a in start]
    high = [min(n, a + s) for n, a, s in zip(array.shape, start, size)]
    if all(b > a for a, b in zip(low, high)):
        part = np.array(array[tuple(slice(a, b) for a, b in zip(low, high))], dtype=np.float32)
        result[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start))] = torch.from_numpy(part)
    return result


def _cut_slices(array: np.ndarray, start, size, fill) -> torch.Tensor:
    """As `_cut`, but beyond the first and the last slice these are repeated, as planar networks have it."""
    slices = np.clip(np.arange(start[0], start[0] + size[0]), 0, array.shape[0] - 1)
    first = int(slices[0])
    part = _cut(array, (first, *start[1:]), (int(slices[-1]) - first + 1, *size[1:]), fill)
    return part[torch.from_numpy(slices - first)]


def _scaled(array: torch.Tensor, shape) -> torch.Tensor:
    if tuple(array.shape) == tuple(shape):
        return array
    return functional.interpolate(array[None, None], size=tuple(shape), mode="trilinear", align_corners=False)[0, 0]


def _wrong_outline(whole: torch.Tensor, rng) -> torch.Tensor:
    """The whole bone with an outline up to about a voxel off, as the network before finds it."""
    width = int(rng.integers(0, 2)) * 2 + 1
    if width == 1:
        return whole > 0.5
    soft = functional.avg_pool3d(whole[None, None], width, stride=1, padding=width // 2, count_include_pad=False)[0, 0]
    return soft > rng.uniform(0.3, 0.7)


def vary_intensity(pixels: torch.Tensor, change: Augmentation, rng, normalisation: str) -> torch.Tensor:
    """Another brightness and contrast, and noise, within the limits of the normalisation."""
    if normalisation == "ct-window" and change.bone_contrast > 0:
        factor = float(np.exp(rng.normal(0, change.bone_contrast)))
        pixels = torch.where(pixels > _WATER, _WATER + (pixels - _WATER) * factor, pixels)
    pixels = pixels * float(np.exp(rng.normal(0, change.gain))) + rng.normal(0, change.offset)
    source = torch.Generator().manual_seed(int(rng.integers(2**62)))
    pixels = pixels + rng.uniform(0, change.noise) * torch.randn(pixels.shape, generator=source)
    low, high = (-1.0, 1.0) if normalisation == "ct-window" else (-1.5, 2.0)
    return pixels.clamp(low, high)


def open_cases(folder, names) -> list[str]:
    """Where prepared cases lie, without the ending of their files.

    Raises
    ------
    BadInputError
        If there are no names or a case is missing.
    """
    names = list(names)
    if not names:
        raise BadInputError("There are no cases to take samples from.")
    paths = [str(Path(folder) / name) for name in names]
    for path in paths:
        if not Path(f"{path}.image.npy").is_file():
            raise BadInputError(f"The prepared case {path} is missing; prepare the pairs first.")
    return paths


def shuffled(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch goes through so many samples."""
    # A third number, so that the order shares no random numbers with the sample of that index.
    return np.random.default_rng([seed, epoch, 1]).permutation(count)


class PairSamples:
    """``sample(index)`` gives a part of a prepared pair; the same index, the same part.

    An epoch has as many samples as the length says, and goes once through all cases, or all of their slabs, in an order
    of its own.

    Parameters
    ----------
    folder : path
        Where `pair_cases.prepare_pairs` kept the cases.
    names : sequence of str
        The cases to take.
    stage : models.Stage
        Which network the samples are for.
    shape : tuple of int
        (D, H, W) of a sample; whatever of it a case does not have is padding.
    seed : int
        Of all samples.
    augmentation : Augmentation or None
        None gives case number ``index`` modulo their number, cropped around the middle of its bone, unchanged: for
        validation.
    slab : tuple of int or None
        Slices of a slab, and neighbouring ones before it that are only looked at (and so many behind it), together
        `shape`'s: then an epoch goes through all slabs of all cases. None cuts a crop at random.

    Raises
    ------
    BadInputError
        If there are no names or a case is missing.
    """

    def __init__(self, folder, names, stage, shape, seed: int = 0, augmentation: Augmentation | None = _USUAL,
                 slab: tuple[int, int] | None = None):
        self.names = list(names)
        self.paths = open_cases(folder, self.names)
        self.frame, self.shape, self.seed, self.augmentation = stage.preprocessing, tuple(shape), seed, augmentation
        self._items = [(number, None) for number in range(len(self.paths))]
        if slab is not None:
            self._items = [(number, first - slab[1]) for number, path in enumerate(self.paths)
                           for first in _slab_starts(_open(path)[0].shape[0], slab[0])]
        self._order = (-1, None)

    def __len__(self):
        return len(self._items)

    def _item(self, index: int):
        """Which case, and the first slice where that is fixed."""
        epoch, place = divmod(index, len(self._items))
        if self.augmentation is None:
            return self._items[place]
        if self._order[0] != epoch:
            self._order = epoch, shuffled(len(self._items), self.seed, epoch)
        return self._items[int(self._order[1][place])]

    def sample(self, index: int):
        """Image (1, D, H, W) float32 and target (D, H, W) int64."""
        outside, change = self.frame.outside, self.augmentation
        rng = np.random.default_rng([self.seed, index])
        number, first = self._item(index)
        image, labels, bone = _open(self.paths[number])
        size = np.array(image.shape)
        if change is None:
            centre, scale = (bone.min(axis=0) + bone.max(axis=0)) // 2, 1.0
        else:
            near = rng.random() < change.bone_share
            centre = bone[int(rng.integers(len(bone)))] if near else rng.integers(size)
            # What is cut small is shown large: a box of n / scale voxels fills n.
            scale = float(np.exp(rng.uniform(-1, 1) * np.log(change.scale)))
        box = np.maximum(np.round(np.array(self.shape) / scale), 1).astype(int)
        start = np.asarray(centre) - box // 2
        start = np.clip(start, np.minimum(0, size - box), np.maximum(0, size - box))
        cut = _cut
        if first is not None:
            cut, start[0], box[0] = _cut_slices, first, self.shape[0]
        pixels = cut(image, start, box, outside)
        bits = cut(labels, start, box, 0).to(torch.uint8)
        blank = _scaled((pixels == outside).float(), self.shape) > 0.5
        pixels = _scaled(pixels, self.shape)
        target = _scaled(((bits & TARGET) > 0).float(), self.shape) > 0.5
        whole = _scaled(((bits & OUTER) > 0).float(), self.shape)
        if change is not None:
            if change.flip and self.frame.canonical_side is None and rng.random() < 0.5:
                pixels, target, whole, blank = (a.flip(2) for a in (pixels, target, whole, blank))
            pixels = vary_intensity(pixels, change, rng, self.frame.normalisation)
        if self.frame.blank_outside:
            blank = blank | ~(whole > 0.5 if change is None else _wrong_outline(whole, rng))
        pixels[blank] = outside
        return pixels[None].numpy(), target.to(torch.int64).numpy()


def _slab_starts(size: int, slab: int) -> list[int]:
    """First slices of slabs side by side; the last one reaches back where the slices do not come out even."""
    return [min(first, max(0, size - slab)) for first in range(0, size, slab)]


def split_subjects(subjects, held_out: float = 0.15, seed: int = 0) -> tuple[list[str], list[str]]:
    """Split subjects at random into those to train on and those to validate on, at least one of each.

    Raises
    ------
    BadInputError
        If there are fewer than two subjects.
    """
    subjects = sorted(set(subjects))
    if len(subjects) < 2:
        raise BadInputError("At least two subjects are needed: one to train on and one to validate on.")
    order = np.random.default_rng(seed).permutation(len(subjects))
    count = min(len(subjects) - 1, max(1, round(held_out * len(subjects))))
    return sorted(subjects[n] for n in order[count:]), sorted(subjects[n] for n in order[:count])
