"""A solid's signed distance, tabulated once on a regular grid and read between the nodes ever after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import numpy as np
import torch
import torch.nn.functional as F

from .signed_distance import length

_CHUNK = 1 << 16  # points per pass: its temporaries stay in the processor's cache


def in_chunks(function: Callable[[torch.Tensor], torch.Tensor], points: torch.Tensor) -> torch.Tensor:
    """Apply a function of (n, 3) points piece by piece; (n,)."""
    if len(points) <= _CHUNK:
        return function(points)
    return torch.cat([function(part) for part in points.split(_CHUNK)])


class DistanceGrid:
    """Signed distance at the nodes of a regular grid, linear between them.

    Parameters
    ----------
    values : torch.Tensor
        (D, H, W) mm at the nodes; axes z, y, x.
    origin : sequence of float
        (3,) mm, x, y, z of node (0, 0, 0).
    spacing : float
        mm.
    """

    def __init__(self, values: torch.Tensor, origin: Sequence[float], spacing: float):
        self.values = values
        self.origin = np.asarray(origin, dtype=np.float64)
        self.spacing = float(spacing)
        self._copies = {str(values.device): values}
        last = np.array(values.shape[::-1], dtype=np.float64) - 1
        self._corners = np.stack([self.origin, self.origin + last * self.spacing])

    @property
    def bounds(self) -> np.ndarray:
        """(2, 3) mm, the corners of the grid."""
        return self._corners.copy()

    @classmethod
    def tabulate(
        cls,
        function: Callable[[torch.Tensor], torch.Tensor],
        bounds: np.ndarray,
        spacing: float,
        band: float | None = None,
        device: str | torch.device = "cpu",
    ) -> DistanceGrid:
        """Evaluate ``function`` at the nodes.

        Parameters
        ----------
        function : callable
            (n, 3) points in mm to (n,) signed distances; at most some 10 % off a true distance in slope.
        bounds : numpy.ndarray
            (2, 3) mm.
        spacing : float
            mm.
        band : float, optional
            Evaluate at full resolution only within this distance of the surface, elsewhere four times coarser.
        device : str or torch.device

        Returns
        -------
        DistanceGrid
        """
        bounds = np.asarray(bounds, dtype=np.float64)
        step = 4 if band is not None else 1
        cells = np.ceil((bounds[1] - bounds[0]) / (spacing * step) - 1e-6).astype(int)
        coarse = in_chunks(function, cls._nodes(bounds[0], spacing * step, cells + 1, device))
        coarse = coarse.reshape(*(int(n) + 1 for n in cells[::-1]))
        if band is None:
            return cls(coarse, bounds[0], spacing)
        shape = tuple(int(n) * step + 1 for n in cells[::-1])
        values = F.interpolate(coarse[None, None], size=shape, mode="trilinear", align_corners=True)[0, 0]
        # A node up to half a coarse cell's diagonal away from a coarse node may be that much nearer to the surface.
        near = (values.abs() < band + 0.6 * np.sqrt(3.0) * step * spacing).reshape(-1).nonzero()[:, 0]
        values = values.reshape(-1)
        values[near] = in_chunks(function, cls._points(near, shape, bounds[0], spacing))
        return cls(values.reshape(shape), bounds[0], spacing)

    @staticmethod
    def _points(index: torch.Tensor, shape: Sequence[int], origin: np.ndarray, spacing: float) -> torch.Tensor:
        _, height, width = shape
        i = index % width
        j = torch.div(index, width, rounding_mode="floor") % height
        k = torch.div(index, width * height, rounding_mode="floor")
        parts = [n.to(torch.float32) * float(spacing) + float(o) for n, o in zip((i, j, k), origin)]
        return torch.stack(parts, dim=-1)

    @staticmethod
    def _nodes(origin: np.ndarray, spacing: float, counts: np.ndarray, device) -> torch.Tensor:
        axes = [
            torch.arange(int(n), dtype=torch.float32, device=device) * float(spacing) + float(o)
            for n, o in zip(counts, origin)
        ]
        z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
        return torch.stack([x, y, z], dim=-1).reshape(-1, 3)

    def _on(self, device: torch.device) -> torch.Tensor:
        if str(device) not in self._copies:
            self._copies[str(device)] = self.values.to(device)
        return self._copies[str(device)]

    def _sample(self, volumes: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Read (C, D, H, W) volumes at (n, 3) points; (C, n), clamped at the border."""
        lower, upper = self._corners
        where = points * points.new_tensor(2.0 / (upper - lower)) - points.new_tensor((upper + lower) / (upper - lower))
        read = F.grid_sample(
            volumes[None], where[None, None, None], mode="bilinear", padding_mode="border", align_corners=True
        )
        return read[0, :, 0, 0]

    def clamped(self, points: torch.Tensor) -> torch.Tensor:
        """Signed distance in mm of (n, 3) points; beyond the grid, the border's value."""
        return self._sample(self._on(points.device).to(points.dtype)[None], points)[0]

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        """Signed distance in mm of (..., 3) points; beyond the grid, the border's value plus the way to the border."""
        flat = points.reshape(-1, 3)
        low, high = (flat.new_tensor(corner) for corner in self._corners)
        out = torch.empty(len(flat), dtype=points.dtype, device=points.device)
        for start in range(0, len(flat), _CHUNK):
            part = flat[start : start + _CHUNK]
            beyond = part - torch.minimum(torch.maximum(part, low), high)
            out[start : start + _CHUNK] = self.clamped(part) + length(*beyond.unbind(-1))
        return out.reshape(points.shape[:-1])

    def smoothed(self, rounds: int = 1) -> DistanceGrid:
        """The same solid with its edges worn down: each round averages neighbouring nodes 1:2:1 along every axis."""
        values = self.values[None, None]
        for _ in range(rounds):
            for axis in (2, 3, 4):
                pad = [0, 0, 0, 0, 0, 0]
                pad[2 * (4 - axis)] = pad[2 * (4 - axis) + 1] = 1
                wide = F.pad(values, pad, mode="replicate")
                n = values.shape[axis]
                values = 0.25 * (wide.narrow(axis, 0, n) + wide.narrow(axis, 2, n)) + 0.5 * wide.narrow(axis, 1, n)
        return DistanceGrid(values[0, 0].contiguous(), self.origin, self.spacing)

    def redistanced(self, reach: float, rounds: int = 5) -> DistanceGrid:
        """The same surface with true distances within ``reach`` mm of it.

        Every node walks to its nearest point of the surface: it drops onto the tangent plane there, back onto the
        surface along the gradient, and so on; this converges wherever the nearest point is unique. Nodes for which it
        does not keep their old value.

        Parameters
        ----------
        reach : float
            mm.
        rounds : int

        Returns
        -------
        DistanceGrid
        """
        values, h = self.values, self.spacing
        flat = values.reshape(-1)
        near = (flat.abs() < 1.1 * reach + h).nonzero()[:, 0]
        z, y, x = torch.gradient(values, spacing=h)
        field = torch.stack([values, x, y, z])
        result = flat.clone()
        for part in near.split(_CHUNK):
            start = self._points(part, values.shape, self.origin, h)
            old = flat[part]
            place = start
            for n in range(rounds):
                read = self._sample(field, place)
                gradient = read[1:].T
                squared = gradient.square().sum(dim=-1).clamp_min(1e-2)
                if n == 0:
                    place = start - gradient * (old / squared)[:, None]
                    continue
                normal = gradient / torch.sqrt(squared)[:, None]
                drop = ((start - place) * normal).sum(dim=-1)
                step = read[0] / torch.sqrt(squared)
                place = start - normal * (drop + step)[:, None]
            read = self._sample(field, place)
            distance = torch.linalg.vector_norm(start - place, dim=-1)
            landed = read[0].abs() < 0.15 * h
            plausible = (distance - old.abs()).abs() < 0.25 * old.abs() + 0.75 * h
            sign = torch.where(old < 0.0, -1.0, 1.0)
            result[part] = torch.where(landed & plausible, distance * sign, old)
        return DistanceGrid(result.reshape(values.shape), self.origin, h)
