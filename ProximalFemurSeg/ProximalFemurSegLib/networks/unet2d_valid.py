"""The unpadded 2D U-Net of arXiv-v1 (its CNN#2), arXiv-v2 and SciRep-2018 (its "2D CNN*")."""

from __future__ import annotations

import torch

from . import blocks
from .mirrored_patches import average_patches, mirror_extend
from .planar_unet import PlanarUNet
from .slice_wise import SLICES_AT_ONCE, SliceWise


def valid_output(size: int, levels: int) -> tuple[int, int]:
    """What is left of an axis of an unpadded U-Net.

    Two 3x3 convolutions take 4 from every level, pooling halves (an odd last pixel is left out), up-sampling and an
    unpadded 2x2 convolution make 2n - 1 of n.

    Parameters
    ----------
    size : int
        Pixels of the input.
    levels : int
        L.

    Returns
    -------
    output, offset : int
        Pixels of the output, and the input's pixel over which the first of them lies. 0 and 0 if the input is too
        small.

    Examples
    --------
    >>> valid_output(512, 3), valid_output(512, 4), valid_output(60, 4)
    ((413, 49), (309, 101), (0, 0))
    """
    skips = []
    for _ in range(levels):
        size -= 4
        skips.append(size)
        size //= 2
    size -= 4
    if size < 1:
        return 0, 0
    for skip in reversed(skips):
        size = 2 * size - 1
        offset = 4 + (skip - size) // 2
        size -= 4
        if size < 1:
            return 0, 0
    return size, offset


def smallest_input(levels: int) -> int:
    """Fewest pixels along an axis that leave something of an image.

    Examples
    --------
    >>> smallest_input(3), smallest_input(4)
    (100, 204)
    """
    size = 1
    while valid_output(size, levels)[0] < 1:
        size += 1
    return size


class UNet2DValid(SliceWise):
    r"""Unpadded 2D U-Net over three adjacent slices, for images of any size.

    The network's own output is smaller than its input: 512 pixels leave 413 with three poolings and 309 with four. So a
    slice is extended by mirroring and covered with overlapping patches; a pixel's probability is the mean over the
    patches that hold it (49 patches in arXiv-v1, 9 later). What comes out are logarithms of these means, whose softmax
    they are. In training the extended slice is one patch.

    The layers have as many weights as those of `UNet2D`: F 32, L 3 has 1,925,634 (arXiv-v1's best), F 64, L 4 has
    31,031,810.

    Parameters
    ----------
    base_features : int
        F (the papers: 32 or 64).
    levels : int
        L (the papers: 3 or 4).
    slices, classes, norm
        As for `UNet2D`.
    dropout : float
        Probability of dropping a feature map between the third and the fourth contracting level (arXiv-v1: 0.5).
    patch : int
        Pixels of a patch along each axis (arXiv-v1: 510; later papers: 512).
    patches : int
        Patches along each axis (arXiv-v1: 7; later papers: 3).

    Raises
    ------
    BadInputError
        If an option is impossible; for a patch that is too small the sentence says from which size on it works.
    """

    def __init__(self, base_features: int = 32, levels: int = 3, slices: int = 3, classes: int = 2,
                 dropout: float = 0.0, norm: str = "none", patch: int = 512, patches: int = 3):
        name = "unet2d-valid"
        blocks.check_unet(name, dropout, norm, base_features=base_features, levels=levels, classes=classes)
        blocks.check_positive_int(name, patch=patch, patches=patches)
        output, offset = valid_output(patch, levels)
        blocks.require(
            output > 0,
            f"{name}: a patch of {patch} pixels leaves nothing after {levels} unpadded levels; use at least "
            f"{smallest_input(levels)}.",
        )
        planar = PlanarUNet(base_features, levels, slices, classes, dropout, norm, padded=False)
        super().__init__(name, planar, slices, 1)
        self.levels, self.patch, self.patches, self.output, self.offset = levels, patch, patches, output, offset

    def pixels_at_once(self, rows: int, columns: int) -> int:
        """Those of patches, however large the slices are."""
        return SLICES_AT_ONCE * self.patch**2

    def _planar_margins(self, size):
        margins = []
        for pixels in size:
            output, offset = valid_output(pixels, self.levels)
            blocks.require(
                output > 0,
                f"{self.name}: of {pixels} pixels nothing is left after {self.levels} unpadded levels; use at least "
                f"{smallest_input(self.levels)}.",
            )
            margins.append((offset, pixels - offset - output))
        return tuple(margins)

    def _slices(self, stacked: torch.Tensor) -> torch.Tensor:
        if self.training:
            return self._in_one(stacked)
        mean = average_patches(
            stacked,
            lambda part: torch.softmax(self.planar(part).float(), dim=1),
            self.patch,
            self.output,
            self.offset,
            self.patches,
        )
        return mean.clamp_min(torch.finfo(torch.float32).tiny).log()

    def _in_one(self, stacked: torch.Tensor) -> torch.Tensor:
        """Logits of slices that are extended far enough for one pass."""
        needed = [self._input_for(size) for size in stacked.shape[2:]]
        offsets = [valid_output(size, self.levels)[1] for size in needed]
        after = [n - o - size for n, o, size in zip(needed, offsets, stacked.shape[2:])]
        logits = self.planar(mirror_extend(stacked, tuple(offsets), tuple(after)))
        return logits[:, :, : stacked.shape[2], : stacked.shape[3]]

    def _input_for(self, output: int) -> int:
        size = output
        while valid_output(size, self.levels)[0] < output:
            size += 1
        return size
