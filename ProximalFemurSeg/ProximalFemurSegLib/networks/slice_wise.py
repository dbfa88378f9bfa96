"""Run a planar network over the slices of a volume: each slice is seen with its neighbours as channels."""

from __future__ import annotations

import torch
from torch import nn

from . import blocks

# Slices in one pass when nothing is learned: more would only take memory.
SLICES_AT_ONCE = 4


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

    def pixels_at_once(self, rows: int, columns: int) -> int:
        """Pixels whose feature maps are in memory at one time, of slices of that size, where nothing is learned."""
        return SLICES_AT_ONCE * rows * columns

    def margins(self, shape) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """How much of an image of a shape (D, H, W) is only looked at if nothing is made up around it.

        Returns
        -------
        tuple of (int, int)
            Voxels before and behind what `forward` with ``inside`` gives logits for, along each axis.

        Raises
        ------
        BadInputError
            If nothing is left of such an image.
        """
        reach = self.slices // 2
        blocks.require(
            shape[0] > 2 * reach, f"{self.name} sees {self.slices} slices at once, more than the {shape[0]} given."
        )
        return ((reach, reach), *self._planar_margins(shape[1:]))

    def _planar_margins(self, size) -> tuple[tuple[int, int], tuple[int, int]]:
        return (0, 0), (0, 0)

    def forward(self, x: torch.Tensor, inside: bool = False) -> torch.Tensor:
        """Image (B, 1, D, H, W) to logits (B, classes, D, H, W), or only of what lies inside the `margins`."""
        blocks.check_input(self.name, x.shape, 1, self.size_multiple)
        if inside:
            self.margins(x.shape[2:])
            return self._inside(x[:, 0].unfold(1, self.slices, 1).movedim(-1, 2))
        stacked = adjacent_slices(x, self.slices).contiguous(memory_format=torch.channels_last)
        if self.training:
            logits = self._slices(stacked)
        else:
            logits = torch.cat([self._slices(part) for part in stacked.split(SLICES_AT_ONCE)])
        return logits.reshape(x.shape[0], x.shape[2], *logits.shape[1:]).transpose(1, 2)

    def _inside(self, stacked: torch.Tensor) -> torch.Tensor:
        """(B, D, slices, H, W) to logits (B, classes, D, H', W')."""
        planar = stacked.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.planar(planar).unflatten(0, stacked.shape[:2]).transpose(1, 2)

    def _slices(self, stacked: torch.Tensor) -> torch.Tensor:
        """(N, slices, H, W) to logits (N, classes, H, W)."""
        return self.planar(stacked)
