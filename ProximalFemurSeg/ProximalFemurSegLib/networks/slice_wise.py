"""Run a planar network over the slices of a volume: each slice is seen with its neighbours as channels."""

from __future__ import annotations

import torch
from torch import nn

from . import blocks

# Slices in one pass when nothing is learned: more would only take memory.
_SLICES_AT_ONCE = 4


def adjacent_slices(x: torch.Tensor, slices: int) -> torch.Tensor:
    """Each slice with its neighbours as channels; beyond the ends the last slice is repeated.

    Parameters
    ----------
    x : torch.Tensor
        (B, 1, D, H, W).
    slices : int
        Odd number of channels, the slice itself in the middle.

    Returns
    -------
    torch.Tensor
        (B * D, slices, H, W).
    """
    depth = x.shape[2]
    reach = slices // 2
    index = torch.arange(depth, device=x.device)[:, None] + torch.arange(-reach, reach + 1, device=x.device)
    stacked = x[:, 0, index.clamp(0, depth - 1)]  # (B, D, slices, H, W)
    return stacked.reshape(-1, slices, *x.shape[3:])


class SliceWise(nn.Module):
    """A planar network as one of volumes: (B, 1, D, H, W) to logits (B, classes, D, H, W).

    Parameters
    ----------
    name : str
        For error messages.
    planar : torch.nn.Module
        Maps (N, slices, H, W) to logits (N, classes, H, W).
    slices : int
        Adjacent slices that are its channels (the MR papers: 3).
    multiple : int
        H and W must be multiples of it.
    """

    def __init__(self, name: str, planar: nn.Module, slices: int, multiple: int):
        super().__init__()
        blocks.check_positive_int(name, slices=slices)
        blocks.require(slices % 2 == 1, f"{name}: slices must be odd, so that one is in the middle, not {slices}.")
        self.name, self.planar, self.slices = name, planar, slices
        self._multiple = multiple

    @property
    def size_multiple(self) -> tuple[int, int, int]:
        """Each of (D, H, W) must be a multiple of this."""
        return (1, self._multiple, self._multiple)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Image (B, 1, D, H, W) to logits (B, classes, D, H, W)."""
        blocks.check_input(self.name, x.shape, 1, self.size_multiple)
        stacked = adjacent_slices(x, self.slices).contiguous(memory_format=torch.channels_last)
        if self.training:
            logits = self._slices(stacked)
        else:
            logits = torch.cat([self._slices(part) for part in stacked.split(_SLICES_AT_ONCE)])
        return logits.reshape(x.shape[0], x.shape[2], *logits.shape[1:]).transpose(1, 2)

    def _slices(self, stacked: torch.Tensor) -> torch.Tensor:
        """(N, slices, H, W) to logits (N, classes, H, W)."""
        return self.planar(stacked)
