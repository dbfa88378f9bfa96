"""The pyramidal CNN of arXiv-v1 (its CNN#1), which looks at one 32x32 patch for every voxel."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from . import blocks
from .mirrored_patches import mirror_extend
from .slice_wise import SliceWise

PATCH = 32
# Of a patch of even size the centre is one of four pixels: 16 lie before it, 15 behind it.
BEFORE, AFTER = PATCH // 2, PATCH // 2 - 1
_POOL = object()


class PyramidalCNN(nn.Module):
    r"""One pair of logits for a patch, or, with the same weights, for every pixel of a slice.

    ============== ======== ============ ==================
    layer          maps     patch        dense: dilation
    ============== ======== ============ ==================
    3x3, 3x3       F, F     30, 28       1
    2x2 max-pool            14           1, stride 1
    3x3, 3x3       2F, 2F   12, 10       2
    2x2 max-pool            5            2, stride 1
    3x3            4F       3            4
    3x3            4F       1            4
    1x1            classes  1            1
    ============== ======== ============ ==================

    Where a patch is pooled with stride 2, the dense network pools with stride 1 and has every later kernel skip a pixel
    more: each pixel then sees exactly the numbers that it would in its own patch, and neighbours share them.

    Parameters
    ----------
    base_features, slices, classes : int
        F, channels of the image, number of classes. The paper gives the kinds of layers, not their widths.
    dropout : float
        Probability of dropping a map after each hidden layer (the paper: 0.5).
    """

    def __init__(self, base_features: int, slices: int, classes: int, dropout: float):
        super().__init__()
        f = base_features
        self.dropout = dropout
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3)
            for inputs, outputs in [(slices, f), (f, f), (f, 2 * f), (2 * f, 2 * f), (2 * f, 4 * f), (4 * f, 4 * f)]
        )
        self.logits = nn.Conv2d(4 * f, classes, 1)
        blocks.init_glorot(self)

    def patches(self, x: torch.Tensor) -> torch.Tensor:
        """(N, slices, 32, 32) to logits (N, classes) of the pixels in the middle, as the paper does it."""
        for layer in self._layers():
            if layer is _POOL:
                x = functional.max_pool2d(x, 2)
            else:
                x = self._hidden(functional.conv2d(x, layer.weight, layer.bias))
        return self.logits(x)[:, :, 0, 0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, slices, H + 31, W + 31) to logits (N, classes, H, W)."""
        dilation = 1
        for layer in self._layers():
            if layer is _POOL:
                with torch.autocast("cpu", enabled=False):
                    x = functional.max_pool2d(x, 2, stride=1, dilation=dilation)
                dilation *= 2
            else:
                x = self._hidden(functional.conv2d(x, layer.weight, layer.bias, dilation=dilation))
        return self.logits(x)

    def _layers(self):
        a, b, c, d, e, f = self.convolutions
        return a, b, _POOL, c, d, _POOL, e, f

    def _hidden(self, x):
        return functional.dropout2d(functional.relu(x), self.dropout, self.training)


class Patch2D(SliceWise):
    """`PyramidalCNN` over the slices of a volume; the border is mirrored.

    With F 32 it has 287,266 parameters.

    Parameters
    ----------
    base_features, slices, classes, dropout
        As for `PyramidalCNN`.

    Raises
    ------
    BadInputError
        If an option is impossible.
    """

    def __init__(self, base_features: int = 32, slices: int = 3, classes: int = 2, dropout: float = 0.5):
        name = "patch2d"
        blocks.check_positive_int(name, base_features=base_features, classes=classes)
        blocks.check_fraction(name, dropout=dropout)
        super().__init__(name, PyramidalCNN(base_features, slices, classes, dropout), slices, 1)

    def _planar_margins(self, size):
        blocks.require(
            min(size) >= PATCH, f"{self.name} looks at {PATCH} x {PATCH} pixels, not at {size[0]} x {size[1]}."
        )
        return (BEFORE, AFTER), (BEFORE, AFTER)

    def _inside(self, stacked: torch.Tensor) -> torch.Tensor:
        if stacked.shape[1] > 1 or stacked.shape[3:] != (PATCH, PATCH):
            return super()._inside(stacked)
        # One voxel's patch, as the paper trains: a quarter of the work of the dense network.
        return self.planar.patches(stacked[:, 0])[:, :, None, None, None]

    def _slices(self, stacked: torch.Tensor) -> torch.Tensor:
        return self.planar(mirror_extend(stacked, (BEFORE, BEFORE), (AFTER, AFTER)))
