"""The pieces that several networks share: convolutions, normalisation, initialisation, size checks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..errors import BadInputError


def require(condition: bool, sentence: str) -> None:
    """Raise `BadInputError` with the sentence unless the condition holds."""
    if not condition:
        raise BadInputError(sentence)


def check_positive_int(network: str, **values) -> None:
    """Refuse constructor options that are not whole numbers of at least 1."""
    for name, value in values.items():
        ok = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        require(ok, f"{network}: {name} must be a whole number of at least 1, not {value!r}.")


def check_fraction(network: str, **values) -> None:
    """Refuse constructor options that are not in [0, 1)."""
    for name, value in values.items():
        ok = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1
        require(ok, f"{network}: {name} must lie in [0, 1), not {value!r}.")


def checked_rates(network: str, rates) -> tuple[int, ...]:
    """Dilation rates as a tuple; refuses none, repeated ones, and what is no rate."""
    rates = tuple(rates) if isinstance(rates, (tuple, list)) else (rates,)
    require(len(rates) > 0, f"{network}: rates must name at least one dilation rate.")
    for rate in rates:
        check_positive_int(network, rates=rate)
    require(len(set(rates)) == len(rates), f"{network}: the rates {rates} name one rate twice.")
    return rates


def check_input(network: str, shape, in_channels: int, multiple: tuple) -> None:
    """Refuse a tensor that the network cannot take, with a sentence that says which sizes work.

    Parameters
    ----------
    network : str
        Name used in the sentence.
    shape : sequence of int
        (B, C, D, H, W), or (B, C, H, W) for a planar network.
    in_channels : int
        Number of channels the first layer expects.
    multiple : tuple of int
        Each spatial size must be a positive multiple of its entry.

    Raises
    ------
    BadInputError
        If the number of axes, channels, or a spatial size does not fit.
    """
    shape = tuple(int(n) for n in shape)
    axes = "(batch, channel, depth, height, width)" if len(multiple) == 3 else "(batch, channel, height, width)"
    require(len(shape) == len(multiple) + 2, f"{network} takes {axes} tensors, not one of shape {shape}.")
    require(shape[1] == in_channels, f"{network} was built for {in_channels} input channel(s), not {shape[1]}.")
    sizes = shape[2:]
    if any(n < 1 or n % m for n, m in zip(sizes, multiple)):
        nearest = tuple(max(1, -(-n // m)) * m for n, m in zip(sizes, multiple))
        raise BadInputError(
            f"{network} cannot take an image of size {'x'.join(map(str, sizes))}: each size must be a multiple of "
            f"{'x'.join(map(str, multiple))}; the next size that works is {'x'.join(map(str, nearest))}."
        )


def init_glorot(module: nn.Module, bias: float = 0.10) -> nn.Module:
    """Xavier (Glorot) uniform kernels and one constant bias, as the MR papers initialise (arXiv-v2 Table 1:
    weights Xavier, bias .10). Normalisation layers keep scale 1 and shift 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, bias)
    return module


NORMS = ("batch", "instance")


def check_unet(network: str, dropout, norm, **counts) -> None:
    """Refuse impossible options of a U-Net; ``counts`` are those that must be whole numbers of at least 1."""
    check_positive_int(network, **counts)
    check_fraction(network, dropout=dropout)
    require(norm in ("none", *NORMS), f"{network}: norm must be none, {' or '.join(NORMS)}, not {norm!r}.")


class InstanceNorm(nn.Module):
    """Normalises every map of every image by itself, with a learned scale and shift; nothing is remembered.

    A network that is trained on one image at a time is the same with batch norm that uses the batch's statistics, and
    as fast: so that is what a batch of one is computed with (torch's own instance norm leaves channels last).

    Parameters
    ----------
    channels : int
        Number of maps.
    """

    eps = 1e-5

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, ...) to the same."""
        if x.shape[0] == 1 and x[0, 0].numel() > 1:
            return functional.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return functional.instance_norm(x, None, None, self.weight, self.bias, eps=self.eps)


def make_norm(norm: str, channels: int, momentum: float = 0.1, dims: int = 3) -> nn.Module:
    """Batch or (affine) instance normalisation over volumes, or over slices where ``dims`` is 2.

    Raises
    ------
    BadInputError
        If the name is neither ``batch`` nor ``instance``.
    """
    if norm == "batch":
        return (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(channels, momentum=momentum)
    if norm == "instance":
        return InstanceNorm(channels)
    raise BadInputError(f"There is no normalisation named {norm!r}; choose one of {', '.join(NORMS)}.")


def with_relu(convolution: nn.Module, norm: str = "none") -> nn.Sequential:
    """A convolution and ReLU, on request with a normalisation between them (the MR papers have none)."""
    dims = convolution.weight.ndim - 2
    between = [] if norm == "none" else [make_norm(norm, convolution.out_channels, momentum=0.05, dims=dims)]
    return nn.Sequential(convolution, *between, nn.ReLU(inplace=True))


def conv_relu(
    inputs: int, outputs: int, dilation: int = 1, norm: str = "none", dims: int = 3, padded: bool = True
) -> nn.Sequential:
    """A 3x3x3 (or, with ``dims`` 2, 3x3) convolution and ReLU; padded, the size of the image stays."""
    convolution = nn.Conv2d if dims == 2 else nn.Conv3d
    return with_relu(convolution(inputs, outputs, 3, padding=dilation * padded, dilation=dilation), norm)


def two_convs(inputs: int, outputs: int, norm: str = "none", dims: int = 3, padded: bool = True) -> nn.Sequential:
    """Two convolutions with ReLU: one level of a U-Net."""
    return nn.Sequential(
        conv_relu(inputs, outputs, norm=norm, dims=dims, padded=padded),
        conv_relu(outputs, outputs, norm=norm, dims=dims, padded=padded),
    )


def up_conv(inputs: int, outputs: int, norm: str = "none") -> nn.Sequential:
    """A padded 3x3x3 up-convolution with stride 2 and ReLU: each size doubles.

    The stride-2 transposed convolution is zero-interleaved up-sampling and the convolution in one step: the same
    number of weights as up-sampling first and convolving after, an eighth of the multiplications.
    """
    return with_relu(nn.ConvTranspose3d(inputs, outputs, 3, stride=2, padding=1, output_padding=1), norm)


def max_pool(x: torch.Tensor) -> torch.Tensor:
    """Max-pooling over pairs along every axis, of volumes or slices: sizes halve, an odd last voxel is left out."""
    # Autocast on a CPU would pool in float32, converting there and back; the largest of numbers needs no such care.
    with torch.autocast("cpu", enabled=False):
        return functional.max_pool3d(x, 2) if x.ndim == 5 else functional.max_pool2d(x, 2)


class ParallelDilated(nn.Module):
    """Padded 3x3x3 (or 3x3) convolutions with different dilation rates side by side, concatenated (SciRep-2018 Fig. 6).

    Parameters
    ----------
    inputs : int
        Channels in.
    outputs : int
        Channels of each branch; the result has ``len(rates) * outputs`` channels.
    rates : sequence of int
        Dilation rates; the padding equals the rate, so the size stays.
    norm : str
        As for `with_relu`.
    dims : int
        3 for volumes, 2 for slices.
    """

    def __init__(self, inputs: int, outputs: int, rates, norm: str = "none", dims: int = 3):
        super().__init__()
        self.rates = tuple(rates)
        self.branches = nn.ModuleList(conv_relu(inputs, outputs, r, norm, dims) for r in self.rates)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, inputs, ...) -> (B, len(rates) * outputs, ...)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)
