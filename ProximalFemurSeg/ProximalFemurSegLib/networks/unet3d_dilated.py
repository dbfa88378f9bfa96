"""The 3D U-Net with parallel dilated convolutions at its centre (SciRep-2018, "3D CNN-dilated", Fig. 6)."""

from __future__ import annotations

from torch import nn

from . import blocks
from .unet3d import UNet3D


class UNet3DDilated(UNet3D):
    """`UNet3D` whose centre layer is replaced by parallel dilated convolutions, concatenated.

    Each branch is one padded 3x3x3 convolution with its own dilation rate and as many maps as the centre layer of the
    plain network (2^L F); the concatenation, ``len(rates) * 2^L F`` maps, goes straight into the first up-convolution.
    With F 32, L 4 and rates {1, 2, 4, 8} the centre has 4 (27 * 256 + 1) 512 = 14,157,824 parameters, the first
    up-convolution 27 * 2048 * 256 + 256 = 14,156,032, and the network 40,039,682. (F 16, L 3: 2,489,858.)

    On a 48x256x256 image four poolings leave 3x16x16 at the centre: along the slice axis the outer taps of every rate
    above 2 fall on the zero padding, in the plane rate 8 reaches half the field of view either way.

    Parameters
    ----------
    base_features, levels, in_channels, classes, dropout, norm
        As for `UNet3D`.
    rates : sequence of int
        Dilation rates; the paper tries (1, 2), (1, 4), (1, 8), (1, 2, 4) and, the best, (1, 2, 4, 8).

    Raises
    ------
    BadInputError
        If an option is impossible or the size of an image does not fit.
    """

    name = "unet3d-dilated"

    def __init__(self, base_features: int = 32, levels: int = 4, in_channels: int = 1, classes: int = 2,
                 dropout: float = 0.0, rates=(1, 2, 4, 8), norm: str = "none"):
        object.__setattr__(self, "rates", blocks.checked_rates(self.name, rates))
        super().__init__(base_features, levels, in_channels, classes, dropout, norm)

    def _make_centre(self, inputs: int, outputs: int) -> tuple[nn.Module, int]:
        return blocks.ParallelDilated(inputs, outputs, self.rates, self.norm), len(self.rates) * outputs
