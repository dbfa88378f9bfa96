"""The padded 3D U-Net of arXiv-v2 and SciRep-2018 (their "3D CNN", Fig. 6)."""

from __future__ import annotations

import torch
from torch import nn

from . import blocks


class UNet3D(nn.Module):
    r"""Padded 3D U-Net: two 3x3x3 convolutions per level, 2x2x2 max-pooling, 3x3x3 up-convolutions.

    With F features and L pooling levels the contracting path has F, 2F, ..., 2^(L-1) F maps, the centre 2^L F, the
    expanding path mirrors the contracting one, and a 1x1x1 convolution gives one logit per class. Each up-convolution
    halves the maps; the skip connection is concatenated, so the first convolution after it takes twice its output.

    Weights and biases, F = 32 and L = 4, one input channel, two classes (k = 27):

    ========== ============================== ==========
    level      layers                         parameters
    ========== ============================== ==========
    down 0     1 -> 32 -> 32                      28,576
    down 1     32 -> 64 -> 64                    166,016
    down 2     64 -> 128 -> 128                  663,808
    down 3     128 -> 256 -> 256               2,654,720
    centre     256 -> 512 -> 512              10,617,856
    up 3       512 -> 256; 512 -> 256 -> 256   8,848,128
    up 2       256 -> 128; 256 -> 128 -> 128   2,212,224
    up 1       128 -> 64; 128 -> 64 -> 64        553,152
    up 0       64 -> 32; 64 -> 32 -> 32          138,336
    logits     32 -> 2                                66
    **sum**                                   25,882,882
    ========== ============================== ==========

    (F 16, L 3 has 1,604,866.)

    Parameters
    ----------
    base_features : int
        F, maps in the first layer (the papers: 16 or 32).
    levels : int
        L, number of poolings (the papers: 3 or 4).
    in_channels, classes : int
        Channels of the image and number of classes.
    dropout : float
        Probability of dropping a whole feature map on entering the centre; the 3D papers use none.
    norm : str
        ``none`` (the papers), ``batch`` or ``instance`` after every convolution: what makes short trainings work.

    Raises
    ------
    BadInputError
        If an option is impossible, or the forward pass gets a size that is not a multiple of ``size_multiple``.
    """

    name = "unet3d"

    def __init__(self, base_features: int = 32, levels: int = 4, in_channels: int = 1, classes: int = 2,
                 dropout: float = 0.0, norm: str = "none"):
        super().__init__()
        blocks.check_unet(self.name, dropout, norm, base_features=base_features, levels=levels,
                          in_channels=in_channels, classes=classes)
        self.in_channels, self.classes, self.levels, self.norm = in_channels, classes, levels, norm
        maps = [base_features * 2 ** level for level in range(levels + 1)]
        self.down = nn.ModuleList(
            blocks.two_convs(inputs, outputs, norm) for inputs, outputs in zip([in_channels, *maps], maps[:-1])
        )
        self.dropout = nn.Dropout3d(dropout)
        self.centre, centre_maps = self._make_centre(maps[-2], maps[-1])
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        inputs = centre_maps
        for outputs in reversed(maps[:-1]):
            self.up.append(blocks.up_conv(inputs, outputs, norm))
            self.merge.append(blocks.two_convs(2 * outputs, outputs, norm))
            inputs = outputs
        self.logits = nn.Conv3d(base_features, classes, 1)
        blocks.init_glorot(self)

    def _make_centre(self, inputs: int, outputs: int) -> tuple[nn.Module, int]:
        """The layers between the two paths, and how many maps come out of them."""
        return blocks.two_convs(inputs, outputs, self.norm), outputs

    @property
    def expanding_stages(self) -> list[tuple[nn.Module, int]]:
        """The stages of the expanding path below the full size, the deepest first, and how many maps each gives."""
        return [(stage, stage[-1][0].out_channels) for stage in self.merge[:-1]]

    @property
    def size_multiple(self) -> tuple[int, int, int]:
        """Each of (D, H, W) must be a multiple of this."""
        return (2 ** self.levels,) * 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Image (B, in_channels, D, H, W) to logits (B, classes, D, H, W)."""
        blocks.check_input(self.name, x.shape, self.in_channels, self.size_multiple)
        skips = []
        for level in self.down:
            x = level(x)
            skips.append(x)
            x = blocks.max_pool(x)
        x = self.centre(self.dropout(x))
        for up, merge in zip(self.up, self.merge):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
        return self.logits(x)
