"""Every network architecture, by name.

All of them map an image (B, C, D, H, W) to logits (B, classes, D, H, W) of the same size; softmax is the caller's.
D is the slice axis of the paper's acquisition, H the rows, W the columns. ``network.size_multiple`` says what each
spatial size must be a multiple of.
"""

from __future__ import annotations

import importlib
import inspect

from ..errors import BadInputError

_ARCHITECTURES = {
    "patch25d": ("patch25d", "Patch25D"),
    "patch2d": ("patch2d", "Patch2D"),
    "unet2d": ("unet2d", "UNet2D"),
    "unet2d-dilated": ("unet2d_dilated", "UNet2DDilated"),
    "unet2d-valid": ("unet2d_valid", "UNet2DValid"),
    "unet3d": ("unet3d", "UNet3D"),
    "unet3d-dilated": ("unet3d_dilated", "UNet3DDilated"),
    "vnet": ("vnet", "VNet"),
}


def architectures() -> tuple[str, ...]:
    """The names that `build_network` knows."""
    return tuple(_ARCHITECTURES)


def build_network(architecture: str, **options):
    """Build a network with fresh weights.

    Parameters
    ----------
    architecture : str
        One of `architectures`.
    **options
        Keyword arguments of that network's class, for example ``base_features=16, levels=3``.

    Returns
    -------
    torch.nn.Module
        Maps (B, C, D, H, W) to logits of the same size.

    Raises
    ------
    BadInputError
        If the name or an option is unknown, or an option impossible.
    """
    if architecture not in _ARCHITECTURES:
        raise BadInputError(
            f"There is no network architecture named {architecture!r}; choose one of {', '.join(_ARCHITECTURES)}."
        )
    module, name = _ARCHITECTURES[architecture]
    network_class = getattr(importlib.import_module(f".{module}", __name__), name)
    known = [n for n in inspect.signature(network_class.__init__).parameters if n != "self"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise BadInputError(
            f"The network {architecture} has no option {', '.join(unknown)}; its options are {', '.join(known)}."
        )
    return network_class(**options)


def use_channels_last(network):
    """Lay a network's kernels out for convolutions over channels-last images, in place; returns the network."""
    import torch

    for parameter in network.parameters():
        if parameter.ndim in (4, 5):
            layout = torch.channels_last if parameter.ndim == 4 else torch.channels_last_3d
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return network


def parameter_count(network) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
