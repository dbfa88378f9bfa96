"""The 3D V-Net of QCT-2021 (Deng et al., Fig. 2): 3x3x3 kernels, batch norm and ReLU."""

from __future__ import annotations

import torch
from torch import nn

from . import blocks


def _conv_norm(inputs: int, outputs: int, norm: str, momentum: float) -> nn.Sequential:
    # No bias: the shift of the normalisation that follows would cancel it.
    return nn.Sequential(nn.Conv3d(inputs, outputs, 3, padding=1, bias=False),
                         blocks.make_norm(norm, outputs, momentum))


class ResidualStage(nn.Module):
    """3x3x3 convolutions, each with normalisation; the stage's entry is added before the last ReLU.

    Parameters
    ----------
    inputs, outputs : int
        Channels the first convolution takes and every convolution gives.
    convs : int
        How many convolutions.
    """

    def __init__(self, inputs: int, outputs: int, convs: int, norm: str, momentum: float):
        super().__init__()
        self.convs = nn.ModuleList(
            _conv_norm(inputs if n == 0 else outputs, outputs, norm, momentum) for n in range(convs)
        )

    def forward(self, x: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
        """(B, inputs, D, H, W) -> (B, outputs, D, H, W); the shortcut has outputs channels, or one (broadcast)."""
        for conv in self.convs[:-1]:
            x = torch.relu(conv(x))
        x = self.convs[-1](x)
        # In mixed precision the image is float32, and a sum with it, and all that follows, would be too.
        return torch.relu(x + shortcut.to(x.dtype))


class VNet(nn.Module):
    """V-Net with 3x3x3 kernels, about 8.6 million parameters.

    QCT-2021 gives the kernel size (3x3x3), batch norm and ReLU in every block, a symmetric architecture and "~8.6M"
    parameters, but no layer table. What is kept from the V-Net of Milletari et al. 2016: 16 to 256 maps over four
    halvings, 2x2x2 convolutions with stride 2 instead of pooling, 2x2x2 transposed convolutions back, concatenated
    skips, a residual stage per level. With Milletari's 1, 2, 3, 3, 3 | 3, 3, 2, 1 convolutions, each right stage
    first reducing its concatenation to the maps of its level, 3x3x3 kernels give 10.03 M. Of the symmetric
    arrangements (left stages mirrored on the right, never fewer convolutions further down) with these kernels, the
    one nearest to 8.6 M is 1, 1, 1, 2, 3 | 2, 1, 1, 1: 8,650,034, 0.6 % more.

    Convolutions carry no bias (the normalisation's shift does that); n maps add 2n for scale and shift:

    ======= ======================== ============================== ==========
    stage   resampling, 2x2x2        3x3x3 convolutions             parameters
    ======= ======================== ============================== ==========
    down 0                           1 -> 16                               464
    down 1  16 -> 32, stride 2       32 -> 32                           31,872
    down 2  32 -> 64, stride 2       64 -> 64                          127,232
    down 3  64 -> 128, stride 2      128 -> 128 -> 128                 951,040
    centre  128 -> 256, stride 2     256 -> 256 -> 256 -> 256        5,572,608
    up 3    256 -> 128, transposed   128 + 128 -> 128 -> 128         1,590,016
    up 2    128 -> 64, transposed    64 + 64 -> 64                     286,976
    up 1    64 -> 32, transposed     32 + 32 -> 32                      71,808
    up 0    32 -> 16, transposed     16 + 16 -> 16                      17,984
    logits                           1x1x1: 16 -> 2                         34
    **sum**                                                          8,650,034
    ======= ======================== ============================== ==========

    The residual shortcut of a left stage is the stage's entry (the one-channel image is broadcast over 16 maps), of a
    right stage the up-sampled maps.

    Batch norm with one or two patches a step: the running statistics have to be a long average (momentum 0.05 or
    less), and the last part of a training should run with the statistics held (`Recipe.freeze_norm`), so that the
    network is trained as it will be used. ``norm="instance"`` normalises every image by itself: in a training with one
    patch a step the same as batch norm, and afterwards still the same, where running statistics are those of other
    images. It needs neither precaution, and real scans fare better with it; in return the result depends on the
    window, and the norm cannot be folded into the convolutions.

    Parameters
    ----------
    base_features : int
        Maps of the first stage; they double at each halving.
    in_channels, classes : int
        Channels of the image and number of classes.
    down_convs : sequence of int
        Convolutions per left stage, the centre last; one halving between two stages.
    up_convs : sequence of int
        Convolutions per right stage, from the deepest up.
    norm : str
        ``batch`` (the paper) or ``instance``.
    momentum : float
        Share of a step in the running statistics of batch norm.

    Raises
    ------
    BadInputError
        If an option is impossible, or the forward pass gets a size that is not a multiple of ``size_multiple``.
    """

    name = "vnet"

    def __init__(self, base_features: int = 16, in_channels: int = 1, classes: int = 2,
                 down_convs=(1, 1, 1, 2, 3), up_convs=(2, 1, 1, 1), norm: str = "batch", momentum: float = 0.05):
        super().__init__()
        blocks.check_positive_int(self.name, base_features=base_features, in_channels=in_channels, classes=classes)
        blocks.require(isinstance(down_convs, (tuple, list)) and len(down_convs) >= 2,
                       f"{self.name}: down_convs must list the convolutions of two stages at least, "
                       f"not {down_convs!r}.")
        blocks.require(isinstance(up_convs, (tuple, list)) and len(up_convs) == len(down_convs) - 1,
                       f"{self.name}: up_convs must list one stage fewer than down_convs ({len(down_convs) - 1}), "
                       f"not {up_convs!r}.")
        for count in (*down_convs, *up_convs):
            blocks.check_positive_int(self.name, **{"the number of convolutions of a stage": count})
        blocks.check_fraction(self.name, momentum=momentum)
        self.in_channels, self.classes = in_channels, classes
        self.levels = len(down_convs) - 1
        maps = [base_features * 2 ** level for level in range(self.levels + 1)]

        def resampler(kind, inputs, outputs):
            return nn.Sequential(kind(inputs, outputs, 2, stride=2, bias=False),
                                 blocks.make_norm(norm, outputs, momentum), nn.ReLU(inplace=True))

        self.enter = ResidualStage(in_channels, base_features, down_convs[0], norm, momentum)
        self.shrink = nn.ModuleList(resampler(nn.Conv3d, a, b) for a, b in zip(maps[:-1], maps[1:]))
        self.down = nn.ModuleList(ResidualStage(m, m, c, norm, momentum) for m, c in zip(maps[1:], down_convs[1:]))
        self.grow = nn.ModuleList(resampler(nn.ConvTranspose3d, 2 * m, m) for m in reversed(maps[:-1]))
        self.up = nn.ModuleList(
            ResidualStage(2 * m, m, c, norm, momentum) for m, c in zip(reversed(maps[:-1]), up_convs)
        )
        self.logits = nn.Conv3d(base_features, classes, 1)
        blocks.init_glorot(self, bias=0.0)

    @property
    def expanding_stages(self) -> list[tuple[nn.Module, int]]:
        """The stages of the expanding path below the full size, the deepest first, and how many maps each gives."""
        return [(stage, stage.convs[-1][0].out_channels) for stage in self.up[:-1]]

    @property
    def size_multiple(self) -> tuple[int, int, int]:
        """Each of (D, H, W) must be a multiple of this (16 for the paper's network)."""
        return (2 ** self.levels,) * 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Image (B, in_channels, D, H, W) to logits (B, classes, D, H, W)."""
        blocks.check_input(self.name, x.shape, self.in_channels, self.size_multiple)
        x = self.enter(x, x if self.in_channels == 1 else x.mean(dim=1, keepdim=True))
        skips = [x]
        for shrink, stage in zip(self.shrink, self.down):
            x = shrink(x)
            x = stage(x, x)
            skips.append(x)
        skips.pop()
        for grow, stage in zip(self.grow, self.up):
            x = grow(x)
            x = stage(torch.cat([skips.pop(), x], dim=1), x)
        return self.logits(x)
