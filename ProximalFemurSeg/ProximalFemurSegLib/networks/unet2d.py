"""The padded 2D U-Net of SciRep-2018 (its "2D CNN")."""

from __future__ import annotations

from . import blocks
from .planar_unet import PlanarUNet
from .slice_wise import SliceWise


class UNet2D(SliceWise):
    r"""Padded 2D U-Net over three adjacent slices: 3x3 convolutions, 2x2 max-pooling, up-sampling and 2x2 convolutions.

    Weights and biases, F = 64 and L = 4, three slices, two classes (9 weights a 3x3 kernel, 4 a 2x2 one):

    ========== ================================ ==========
    level      layers                           parameters
    ========== ================================ ==========
    down 0     3 -> 64 -> 64                        38,720
    down 1     64 -> 128 -> 128                    221,440
    down 2     128 -> 256 -> 256                   885,248
    down 3     256 -> 512 -> 512                 3,539,968
    centre     512 -> 1024 -> 1024              14,157,824
    up 3       1024 -> 512; 1024 -> 512 -> 512   9,176,576
    up 2       512 -> 256; 512 -> 256 -> 256     2,294,528
    up 1       256 -> 128; 256 -> 128 -> 128       573,824
    up 0       128 -> 64; 128 -> 64 -> 64          143,552
    logits     64 -> 2                                 130
    **sum**                                     31,031,810
    ========== ================================ ==========

    Parameters
    ----------
    base_features : int
        F, maps in the first layer (the paper: 64).
    levels : int
        L, number of poolings (the paper: 3 or 4).
    slices : int
        Adjacent slices seen at once, odd.
    classes : int
        Number of classes.
    dropout : float
        Probability of dropping a feature map on entering the fourth contracting level.
    norm : str
        ``none`` (the paper), ``batch`` or ``instance`` after every convolution.

    Raises
    ------
    BadInputError
        If an option is impossible, or the forward pass gets a size that is not a multiple of ``size_multiple``.
    """

    def __init__(self, base_features: int = 64, levels: int = 4, slices: int = 3, classes: int = 2,
                 dropout: float = 0.0, norm: str = "none"):
        blocks.check_unet("unet2d", dropout, norm, base_features=base_features, levels=levels, classes=classes)
        super().__init__(
            "unet2d", PlanarUNet(base_features, levels, slices, classes, dropout, norm), slices, 2 ** levels
        )
