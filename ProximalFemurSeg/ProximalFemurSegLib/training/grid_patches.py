"""Training samples of the patch networks: the patches around the points of a grid, each once in an epoch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from ..networks.mirrored_patches import mirrored_index
from ..networks.patch2d import AFTER, BEFORE, PATCH
from ..networks.patch25d import PLANES
from .augmentation import Augmentation
from .pair_cases import TARGET
from .pair_data import _open, open_cases, shuffled, vary_intensity

_PHANTOMS_AT_ONCE = 16


class PairImages:
    """The images of prepared pairs, all of them in every round.

    Parameters
    ----------
    folder : path
        Where `pair_cases.prepare_pairs` kept the cases.
    names : sequence of str
        The cases.
    """

    def __init__(self, folder, names):
        self._paths = open_cases(folder, names)
        self.rounds = 1

    def shapes(self, number: int):
        """(D, H, W) of the images of a round."""
        return [_open(path)[0].shape for path in self._paths]

    def image(self, number: int, place: int):
        """One of them, and its labels, bool; both on disk."""
        image, labels, _ = _open(self._paths[place])
        return image, labels, TARGET


class PhantomImages:
    """Simulated images, a few new ones in every round.

    Parameters
    ----------
    samples : object
        With ``sample(index) -> (image (1, D, H, W), target (D, H, W))``.
    shape : tuple of int
        Of these images.
    epoch : int
        How many make an epoch.
    """

    def __init__(self, samples, shape, epoch: int):
        self._samples, self._shape = samples, tuple(shape)
        self._count = min(_PHANTOMS_AT_ONCE, epoch)
        self.rounds = -(-epoch // self._count)
        self._kept: dict[int, tuple] = {}
        self._round = -1

    def shapes(self, number: int):
        """(D, H, W) of the images of a round."""
        return [self._shape] * self._count

    def image(self, number: int, place: int):
        """One of them, and its labels; kept while the round lasts."""
        if number != self._round:
            self._round, self._kept = number, {}
        if place not in self._kept:
            image, target = self._samples.sample(number * self._count + place)
            self._kept[place] = (np.asarray(image[0], np.float16), np.asarray(target, np.uint8))
        return (*self._kept[place], 0xFF)


@lru_cache(maxsize=4)
def _ends(shapes: tuple, stride: int) -> np.ndarray:
    """Where the points of each image end, counting through all of them."""
    return np.cumsum([d * -(-h // stride) * -(-w // stride) for d, h, w in shapes])


class GridPatches:
    """``sample(index)`` gives the patch around one point of a grid in the slices, and the class of that voxel.

    Points are every ``stride``-th row and column of every slice (arXiv-v1, section II.A: 8), starting with the first.
    A round goes through all points of all images once, in an order of its own; beyond the border, rows and columns are
    mirrored as at inference. As in the paper, the images are seen as they are and mirrored; here every other patch,
    drawn anew each time.

    Parameters
    ----------
    images : PairImages or PhantomImages
        What the patches are cut from.
    planes : bool
        An axial, a coronal and a sagittal patch (`networks.patch25d`), else patches of three adjacent slices
        (`networks.patch2d`).
    stride : int
        Rows and columns from point to point.
    seed : int
        Of the order and the changes.
    augmentation : Augmentation or None
        Flips, brightness and noise; patches are not scaled.
    normalisation : str
        Of the network, whose limits hold after the changes.
    slices : int
        Adjacent slices of a patch.
    """

    def __init__(self, images, planes: bool, stride: int = 8, seed: int = 0, augmentation: Augmentation | None = None,
                 normalisation: str = "mr-percentile", slices: int = 3):
        self._images, self._planes, self._stride, self._seed = images, planes, stride, seed
        self._change, self._normalisation, self._reach = augmentation, normalisation, slices // 2
        self._order = (-1, None)

    def __len__(self):
        return int(sum(self._round_ends(number)[-1] for number in range(self._images.rounds)))

    def _round_ends(self, number: int) -> np.ndarray:
        return _ends(tuple(self._images.shapes(number)), self._stride)

    def point(self, index: int):
        """Round, number of the image, and voxel (k, j, i) of a sample."""
        ends = self._round_ends(0)
        number, place = divmod(index, int(ends[-1]))
        if self._order[0] != number:
            self._order = number, shuffled(int(ends[-1]), self._seed, number).astype(np.uint32)
        flat = int(self._order[1][place])
        image = int(np.searchsorted(ends, flat, side="right"))
        flat -= int(ends[image - 1]) if image else 0
        _, h, w = self._images.shapes(number)[image]
        rows, columns = -(-h // self._stride), -(-w // self._stride)
        k, rest = divmod(flat, rows * columns)
        j, i = divmod(rest, columns)
        return number, image, (k, j * self._stride, i * self._stride)

    def sample(self, index: int):
        """Patch (1, slices, 32, 32) or, of three planes, (3, 1, 32, 32); class (1, 1, 1)."""
        number, place, voxel = self.point(index)
        image, labels, bits = self._images.image(number, place)
        rng = np.random.default_rng([self._seed, index])
        flip = self._change is not None and self._change.flip and rng.random() < 0.5
        index_of = [_around(at, size, flip and axis == 2) for axis, (at, size) in enumerate(zip(voxel, image.shape))]
        if self._planes:
            alone = [np.array([n]) for n in voxel]
            parts = [_read(image, [(index_of if a in axes else alone)[a] for a in range(3)]) for axes in PLANES]
            patch = np.stack([part.reshape(1, PATCH, PATCH) for part in parts])
        else:
            slices = np.clip(np.arange(voxel[0] - self._reach, voxel[0] + self._reach + 1), 0, image.shape[0] - 1)
            patch = _read(image, [slices, *index_of[1:]])[None]
        patch = torch.from_numpy(np.ascontiguousarray(patch, np.float32))
        if self._change is not None:
            patch = vary_intensity(patch, self._change, rng, self._normalisation)
        target = np.full((1, 1, 1), (int(labels[voxel]) & bits) > 0, np.int64)
        return patch.numpy(), target


def _around(at: int, size: int, flip: bool) -> np.ndarray:
    """Indices of a patch along an axis; its 17th is the voxel, also where it runs the other way."""
    if flip:
        return _mirrored(size)[at + 1 : at + 1 + PATCH][::-1]
    return _mirrored(size)[at : at + PATCH]


@lru_cache(maxsize=32)
def _mirrored(size: int) -> np.ndarray:
    # One more behind than a patch needs: turned round, it reaches as far that way.
    return mirrored_index(size, BEFORE, AFTER + 1).numpy()


def _read(image, where) -> np.ndarray:
    """image[i, j, k] of three arrays of indices, of a file no more than the box around them."""
    low = [int(index.min()) for index in where]
    box = np.asarray(image[tuple(slice(a, int(index.max()) + 1) for a, index in zip(low, where))])
    return box[np.ix_(*(index - a for a, index in zip(low, where)))]
