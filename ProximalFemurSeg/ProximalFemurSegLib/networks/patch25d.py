"""The 2.5D CNN of ISMRM-2017: an axial, a coronal and a sagittal patch around every voxel are its three channels."""

from __future__ import annotations

import torch
from torch import nn

from . import blocks
from .mirrored_patches import mirrored_index
from .patch2d import AFTER, BEFORE, PATCH, PyramidalCNN

_VOXELS_AT_ONCE = 512
# For each channel the two array axes (of D, H, W) along which its patch's rows and columns run.
PLANES = ((0, 2), (1, 2), (0, 1))


def three_plane_patches(extended: torch.Tensor, voxels: torch.Tensor) -> torch.Tensor:
    """Patches around voxels.

    Parameters
    ----------
    extended : torch.Tensor
        (D + 31, H + 31, W + 31), the image with a mirrored border of 16 voxels before and 15 behind every axis.
    voxels : torch.Tensor
        (N, 3) int, in the image without the border.

    Returns
    -------
    torch.Tensor
        (N, 3, 32, 32): axial, coronal and sagittal for an image whose D runs through coronal slices.
    """
    offset = torch.arange(PATCH, device=voxels.device)
    channels = []
    for rows, columns in PLANES:
        index = [voxels[:, axis, None, None] + BEFORE for axis in range(3)]
        index[rows] = voxels[:, rows, None, None] + offset[:, None]
        index[columns] = voxels[:, columns, None, None] + offset
        channels.append(extended[index[0], index[1], index[2]])
    return torch.stack(channels, dim=1)


class Patch25D(nn.Module):
    """`PyramidalCNN` on three orthogonal patches of every voxel, in the voxels of the image.

    The channels are added before the first ReLU and come from three planes, so neighbouring voxels share no more than
    the first convolution: there is no dense network that equals this one, and every voxel costs a whole patch. An image
    of 512 x 512 x 60 has 16 million of them. So, unless told otherwise, it looks at every fourth voxel of a row and of
    a column and interpolates the logits between them; ``every=(1, 1, 1)`` looks at all.

    In training, a few voxels drawn at random stand for the image: only their logits depend on the weights, those of all
    others are zero.

    Parameters
    ----------
    base_features, classes, dropout
        As for `PyramidalCNN` (ISMRM-2017: dropout 0.5; L2 on the kernels is the recipe's ``weight_decay``).
    every : tuple of int
        Of which voxels along (D, H, W) the patches are looked at in inference.
    voxels : int
        Voxels of an image that are looked at in one training step (ISMRM-2017: batches of 256).

    Raises
    ------
    BadInputError
        If an option is impossible.
    """

    name = "patch25d"
    size_multiple = (1, 1, 1)

    def __init__(self, base_features: int = 32, classes: int = 2, dropout: float = 0.5, every=(1, 4, 4),
                 voxels: int = 256):
        super().__init__()
        blocks.check_positive_int(self.name, base_features=base_features, classes=classes, voxels=voxels)
        blocks.check_fraction(self.name, dropout=dropout)
        every = tuple(every) if isinstance(every, (tuple, list)) else (every,)
        blocks.require(len(every) == 3, f"{self.name}: every must name three steps, along depth, height and width.")
        for step in every:
            blocks.check_positive_int(self.name, every=step)
        self.every, self.voxels, self.classes = every, voxels, classes
        self.cnn = PyramidalCNN(base_features, 3, classes, dropout)

    def pixels_at_once(self, rows: int, columns: int) -> int:
        """Pixels of the patches whose feature maps are in memory at one time, where nothing is learned."""
        return _VOXELS_AT_ONCE * PATCH**2

    def forward(self, x: torch.Tensor, inside: bool = False) -> torch.Tensor:
        """Image (B, 1, D, H, W) to logits (B, classes, D, H, W).

        With ``inside``, the three patches of one voxel each, (B, 3, 1, 32, 32), to its logits, (B, classes, 1, 1, 1).
        """
        if inside:
            shape = (3, 1, PATCH, PATCH)
            blocks.require(
                tuple(x.shape[1:]) == shape,
                f"{self.name}: the patches of a voxel have the shape {shape}, not {tuple(x.shape[1:])}.",
            )
            return self.cnn.patches(x[:, :, 0])[:, :, None, None, None]
        blocks.check_input(self.name, x.shape, 1, self.size_multiple)
        return torch.stack([self._logits(image[0]) for image in x])

    def _logits(self, image: torch.Tensor) -> torch.Tensor:
        extended = image
        for axis, size in enumerate(image.shape):
            extended = extended.index_select(axis, mirrored_index(size, BEFORE, AFTER, image.device))
        if self.training:
            flat = torch.randint(image.numel(), (min(self.voxels, image.numel()),), device=image.device)
            d, h, w = image.shape
            chosen = torch.stack([flat // (h * w), flat // w % h, flat % w], dim=1)
            logits = self.cnn.patches(three_plane_patches(extended, chosen))
            result = logits.new_zeros(image.numel(), self.classes).index_copy(0, flat, logits)
            return result.T.reshape(self.classes, *image.shape)
        axes = [_sampled(size, step, image.device) for size, step in zip(image.shape, self.every)]
        chosen = torch.cartesian_prod(*axes).reshape(-1, 3)
        parts = [self.cnn.patches(three_plane_patches(extended, part)) for part in chosen.split(_VOXELS_AT_ONCE)]
        coarse = torch.cat(parts).float().T.reshape(self.classes, *map(len, axes))
        for axis, (positions, size) in enumerate(zip(axes, image.shape), start=1):
            coarse = _interpolate(coarse, axis, positions, size)
        return coarse


def _sampled(size: int, step: int, device) -> torch.Tensor:
    """Every step-th index, and the last one."""
    index = torch.arange(0, size, step, device=device)
    return index if int(index[-1]) == size - 1 else torch.cat([index, index.new_tensor([size - 1])])


def _interpolate(values: torch.Tensor, axis: int, positions: torch.Tensor, size: int) -> torch.Tensor:
    """Linear interpolation along an axis, from values at some indices to all of them."""
    if len(positions) == size:
        return values
    wanted = torch.arange(size, device=values.device)
    upper = torch.searchsorted(positions, wanted).clamp(1, len(positions) - 1)
    low, high = positions[upper - 1], positions[upper]
    share = ((wanted - low) / (high - low)).reshape([-1 if n == axis else 1 for n in range(values.ndim)])
    return torch.lerp(values.index_select(axis, upper - 1), values.index_select(axis, upper), share)
