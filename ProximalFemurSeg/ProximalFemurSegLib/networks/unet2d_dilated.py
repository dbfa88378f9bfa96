"""The padded 2D U-Net with parallel dilated convolutions at its centre (SciRep-2018, "2D CNN-dilated")."""

from __future__ import annotations

from . import blocks
from .planar_unet import PlanarUNet
from .slice_wise import SliceWise


class UNet2DDilated(SliceWise):
    """`UNet2D` whose centre is replaced by parallel dilated 3x3 convolutions, concatenated.

    Each branch has as many maps as the plain centre. With F 64, L 4 and rates {1, 2, 4, 8} the centre has
    4 (9 * 512 + 1) 1024 = 18,878,464 parameters, the first 2x2 convolution 4 * 4096 * 512 + 512 = 8,389,120, and the
    network 42,043,906.

    Parameters
    ----------
    base_features, levels, slices, classes, dropout, norm
        As for `UNet2D`.
    rates : sequence of int
        Dilation rates.

    Raises
    ------
    BadInputError
        If an option is impossible or the size of an image does not fit.
    """

    def __init__(self, base_features: int = 64, levels: int = 4, slices: int = 3, classes: int = 2,
                 dropout: float = 0.0, rates=(1, 2, 4, 8), norm: str = "none"):
        blocks.check_unet("unet2d-dilated", dropout, norm, base_features=base_features, levels=levels, classes=classes)
        rates = blocks.checked_rates("unet2d-dilated", rates)
        planar = PlanarUNet(base_features, levels, slices, classes, dropout, norm, rates=rates)
        super().__init__("unet2d-dilated", planar, slices, 2 ** levels)
        self.rates = rates
