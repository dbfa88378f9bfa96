"""How near every voxel is to the surface of the bone: what losses that look after the border weigh voxels with."""

from __future__ import annotations

import math

import torch

_REACH = 4.0  # in sigma; beyond, the weight is below exp(-8)


def border_voxels(target: torch.Tensor) -> torch.Tensor:
    """Voxels on both sides of the surface: those with a face to a voxel of another class.

    Parameters
    ----------
    target : torch.Tensor
        (B, D, H, W) int.

    Returns
    -------
    torch.Tensor
        (B, D, H, W) bool.
    """
    border = torch.zeros_like(target, dtype=torch.bool)
    for axis in range(1, target.ndim):
        size = target.shape[axis]
        differs = target.narrow(axis, 1, size - 1) != target.narrow(axis, 0, size - 1)
        border.narrow(axis, 1, size - 1).logical_or_(differs)
        border.narrow(axis, 0, size - 1).logical_or_(differs)
    return border


def nearness_to_border(target: torch.Tensor, sigma_mm: float, spacing_mm=(1.0, 1.0, 1.0)) -> torch.Tensor:
    """exp(-d^2 / 2 sigma^2), with d the distance in mm to the nearest border voxel.

    The smallest sum of squares is found axis by axis, and so is the largest product of Gaussians: no distance transform
    is needed, and the result is exact down to exp(-8).

    Parameters
    ----------
    target : torch.Tensor
        (B, D, H, W) int.
    sigma_mm : float
        Width.
    spacing_mm : sequence of float
        Voxel size along (D, H, W).

    Returns
    -------
    torch.Tensor
        (B, D, H, W) float32: 1 on the border; 0 everywhere in a sample without a border.
    """
    near = border_voxels(target).to(torch.float32)
    for axis, step in enumerate(spacing_mm, start=1):
        size, source = near.shape[axis], near
        near = source.clone()
        for shift in range(1, min(size - 1, math.floor(_REACH * sigma_mm / step)) + 1):
            factor = math.exp(-((shift * step) ** 2) / (2 * sigma_mm**2))
            low, high = (source.narrow(axis, start, size - shift) * factor for start in (0, shift))
            for start, part in ((shift, low), (0, high)):
                place = near.narrow(axis, start, size - shift)
                torch.maximum(place, part, out=place)
    return near
