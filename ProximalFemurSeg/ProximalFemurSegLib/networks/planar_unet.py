"""The 2D U-Net of the MR papers, padded or not, that sees a few adjacent slices as channels."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from . import blocks

_DROPOUT_LEVEL = 3  # arXiv-v1: between the third and the fourth contracting level


class UpConv(nn.Module):
    """Up-sampling and a 2x2 convolution with ReLU, which halves the maps (arXiv-v1, section II.A).

    Padded, n becomes 2n; unpadded 2n - 1.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, padded: bool):
        super().__init__()
        self.padded = padded
        self.convolution = blocks.with_relu(nn.Conv2d(inputs, outputs, 2), norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inputs, H, W) to (B, outputs, 2H, 2W), or one row and column fewer."""
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return self.convolution(functional.pad(x, (0, 1, 0, 1)) if self.padded else x)


class PlanarUNet(nn.Module):
    """Two 3x3 convolutions per level, 2x2 max-pooling, `UpConv`; skip connections are cropped where nothing is padded.

    Parameters
    ----------
    base_features, levels, slices, classes : int
        F, L, channels of the image, number of classes.
    dropout : float
        Probability of dropping a feature map on entering the fourth contracting level (the centre if there are fewer).
    norm : str
        ``none``, ``batch`` or ``instance``.
    padded : bool
        Whether convolutions keep the size.
    rates : sequence of int
        Dilation rates of parallel convolutions that stand in for the centre; none is the plain centre.
    """

    def __init__(self, base_features: int, levels: int, slices: int, classes: int, dropout: float, norm: str,
                 padded: bool = True, rates=()):
        super().__init__()
        self.levels, self.padded = levels, padded
        maps = [base_features * 2 ** level for level in range(levels + 1)]
        self.down = nn.ModuleList(
            blocks.two_convs(inputs, outputs, norm, dims=2, padded=padded)
            for inputs, outputs in zip([slices, *maps], maps[:-1])
        )
        self.dropout = nn.Dropout2d(dropout)
        if rates:
            self.centre = blocks.ParallelDilated(maps[-2], maps[-1], rates, norm, dims=2)
        else:
            self.centre = blocks.two_convs(maps[-2], maps[-1], norm, dims=2, padded=padded)
        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        inputs = maps[-1] * max(1, len(rates))
        for outputs in reversed(maps[:-1]):
            self.up.append(UpConv(inputs, outputs, norm, padded))
            self.merge.append(blocks.two_convs(2 * outputs, outputs, norm, dims=2, padded=padded))
            inputs = outputs
        self.logits = nn.Conv2d(base_features, classes, 1)
        blocks.init_glorot(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, slices, H, W) to logits (B, classes, H', W')."""
        skips = []
        for number, level in enumerate(self.down):
            x = level(self.dropout(x) if number == _DROPOUT_LEVEL else x)
            skips.append(x)
            x = blocks.max_pool(x)
        x = self.centre(self.dropout(x) if self.levels <= _DROPOUT_LEVEL else x)
        for up, merge in zip(self.up, self.merge):
            x = up(x)
            x = merge(torch.cat([_middle(skips.pop(), x.shape[2:]), x], dim=1))
        return self.logits(x)


def _middle(x: torch.Tensor, size) -> torch.Tensor:
    """The middle of a map: crop and copy."""
    top, left = ((n - m) // 2 for n, m in zip(x.shape[2:], size))
    return x[:, :, top : top + size[0], left : left + size[1]]
