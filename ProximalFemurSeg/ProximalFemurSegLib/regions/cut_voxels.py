"""Voxels that a cut passes through: they count for the regions on both sides, each by its part.

Counted whole, a cut that runs along the slices would gain or lose a slice of bone at a time, and the volumes would
tell how the grid lies.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .definition import HEAD, INTERTROCHANTER, NECK, REGIONS, SHAFT, TROCHANTER, UNDIVIDED


@dataclass(frozen=True, eq=False)
class CutVoxels:
    """The voxels of a division that lie in more than one region.

    Attributes
    ----------
    index : numpy.ndarray
        (n,) of the flat array.
    parts : numpy.ndarray
        (n, 7) float32: how much of each is in every region; rows sum to 1, column 0 is empty.
    """

    index: np.ndarray = field(default_factory=lambda: np.zeros(0, np.intp))
    parts: np.ndarray = field(default_factory=lambda: np.zeros((0, UNDIVIDED + 1), np.float32))

    def sums(self, labels: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Sum of values over every region.

        Parameters
        ----------
        labels : numpy.ndarray
            uint8, the division's labels.
        values : numpy.ndarray
            Of every voxel, in the labels' shape.

        Returns
        -------
        numpy.ndarray
            (7,) float64, by label.
        """
        labels, values = labels.ravel(), values.ravel()
        bone = np.flatnonzero(labels)
        total = np.bincount(labels[bone], weights=values[bone], minlength=UNDIVIDED + 1)
        cut = values[self.index].astype(np.float64)
        whole = np.bincount(labels[self.index], weights=cut, minlength=UNDIVIDED + 1)
        return total - whole + cut @ self.parts


def voxel_reach(grid, normal) -> float:
    """Half of a voxel's extent in mm along a direction."""
    edges = grid.direction * np.array(grid.spacing)
    return 0.5 * float(np.abs(normal @ edges).sum())


def cut_voxels(points, grid, planes, refused, medial) -> tuple[np.ndarray, np.ndarray]:
    """Find the voxels that cuts pass through, and their parts.

    Parameters
    ----------
    points : numpy.ndarray
        (n, 3) RAS mm of the bone's voxels.
    grid : Grid
    planes : dict of str to Plane
    refused : dict of str to str
        Regions that could not be told: their parts are of what could not be divided.
    medial : numpy.ndarray
        (n,) bool: where the end of the neck cuts; bone of the trochanter that only lies behind its plane is not cut.

    Returns
    -------
    which : numpy.ndarray
        (m,) of the points.
    parts : numpy.ndarray
        (m, 7) float32.
    """
    heights = {name: plane.height(points) for name, plane in planes.items()}
    reach = {name: voxel_reach(grid, plane.normal) for name, plane in planes.items()}
    which = np.zeros(len(points), bool)
    for name, height in heights.items():
        which |= np.abs(height) < reach[name]
    which = np.flatnonzero(which)
    nothing, everything = np.zeros(len(which)), np.ones(len(which))

    def above(name, missing):
        if name not in planes:
            return missing
        return np.clip(0.5 + heights[name][which] / (2 * reach[name]), 0.0, 1.0)

    parts = np.zeros((len(which), UNDIVIDED + 1), np.float32)
    beyond_head, beyond_neck = above("head_neck", everything), above("neck_end", everything)
    if "neck_end" in planes:
        parts[:, HEAD] = (1 - beyond_head) * (1 - beyond_neck)
        parts[:, NECK] = beyond_head * (1 - beyond_neck)
    else:
        parts[:, HEAD] = 1 - beyond_head
    parts[~medial[which]] = 0.0
    rest = 1 - parts.sum(axis=1)
    high = above("trochanter", nothing)
    if "trochanter" in planes:
        parts[:, TROCHANTER] = rest * high
    if {"trochanter", "distal"} <= set(planes):
        parts[:, INTERTROCHANTER] = rest * (1 - high)
    proximal = above("distal", everything)
    parts *= proximal[:, None]
    parts[:, SHAFT] = 1 - proximal
    for label, name in REGIONS.items():
        if name in refused:
            parts[:, label] = 0.0
    parts[:, UNDIVIDED] = 0.0
    parts[:, UNDIVIDED] = np.clip(1 - parts.sum(axis=1), 0.0, 1.0)
    return which, parts
