"""Boxes on grids of any spacing and attitude, for metrics of masks."""

from __future__ import annotations

import numpy as np

from ProximalFemurSegLib.volume import Grid

OBLIQUE = np.linalg.qr(np.array([[3.0, 1, 0.5], [-1, 2, 0.3], [0.2, -0.4, 1]]))[0]


def grid_of(mask, spacing=(1.0, 1.0, 1.0), direction=None):
    """A grid of the mask's shape; spacing is (i, j, k)."""
    return Grid.from_parts(mask.shape, spacing, (-80, 15, 300), direction)


def box(shape, start, stop):
    """A mask of voxels from start up to, but without, stop."""
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop))] = True
    return mask
