"""Finding, among many solids, those that matter at a point, and painting one tissue over another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

FAR = 12.0  # mm; stands for "not near"
NEAR = 5.5  # mm; up to this distance of a body it is always found
_BITS = 62  # bodies per word of the index
CHUNK = 1 << 16  # points per pass: its temporaries stay in the processor's cache


@dataclass
class Body:
    """One solid of a scene.

    Attributes
    ----------
    kind : str
        Bodies of one kind are asked together.
    distance : callable
        (n, 3) points in mm to (n,) signed distances in mm.
    bounds : numpy.ndarray
        (2, 3) mm of a box that holds the body and some mm around it.
    tissue : int
    """

    kind: str
    distance: Callable[[torch.Tensor], torch.Tensor]
    bounds: np.ndarray
    tissue: int = 0


class Lattice:
    """Cubes of equal size that fill a box, numbered.

    Parameters
    ----------
    bounds : numpy.ndarray
        (2, 3) mm.
    edge : float
        mm.
    """

    def __init__(self, bounds: np.ndarray, edge: float):
        self.origin = np.asarray(bounds[0], dtype=np.float64)
        self.edge = float(edge)
        self.counts = tuple(int(n) for n in np.ceil((np.asarray(bounds[1]) - self.origin) / edge - 1e-6))

    def __len__(self) -> int:
        return int(np.prod(self.counts))

    @property
    def half_diagonal(self) -> float:
        """mm from a cube's centre to its corner."""
        return 0.5 * float(np.sqrt(3.0)) * self.edge

    def number(self, points: torch.Tensor) -> torch.Tensor:
        """Number of the cube that holds each of (n, 3) points; the nearest one for points outside."""
        i, j, k = (
            ((p - float(o)) * (1.0 / self.edge)).floor().clamp(0, n - 1).long()
            for p, o, n in zip(points.unbind(-1), self.origin, self.counts)
        )
        return (k * self.counts[1] + j) * self.counts[0] + i

    def centers(self, numbers: torch.Tensor) -> torch.Tensor:
        """(n, 3) mm, the centres of the cubes with these numbers."""
        nx, ny, _ = self.counts
        ijk = (
            numbers % nx,
            torch.div(numbers, nx, rounding_mode="floor") % ny,
            torch.div(numbers, nx * ny, rounding_mode="floor"),
        )
        parts = [(n.to(torch.float32) + 0.5) * self.edge + float(o) for n, o in zip(ijk, self.origin)]
        return torch.stack(parts, dim=-1)

    def within(self, bounds: np.ndarray, device: torch.device) -> torch.Tensor:
        """Numbers of the cubes that touch a box."""
        ranges = []
        for low, high, origin, count in zip(*np.asarray(bounds), self.origin, self.counts):
            first = max(0, int(np.floor((low - origin) / self.edge)))
            last = min(count - 1, int(np.floor((high - origin) / self.edge)))
            ranges.append(torch.arange(first, last + 1, device=device))
        k, j, i = torch.meshgrid(ranges[2], ranges[1], ranges[0], indexing="ij")
        return ((k * self.counts[1] + j) * self.counts[0] + i).reshape(-1)


class BodyIndex:
    """Which bodies are near which cubes of space.

    Parameters
    ----------
    bodies : list of Body
    bounds : numpy.ndarray
        (2, 3) mm of the space indexed.
    device : torch.device
    edge : float
        mm, of the cubes.
    """

    def __init__(self, bodies: list[Body], bounds: np.ndarray, device: torch.device, edge: float = 6.0):
        self.bodies = bodies
        self.lattice = Lattice(bounds, edge)
        words = (len(bodies) + _BITS - 1) // _BITS
        near = [torch.zeros(len(self.lattice), dtype=torch.int64, device=device) for _ in range(words)]
        # Distances may be a little off.
        reach = 1.1 * self.lattice.half_diagonal + NEAR
        for number, body in enumerate(bodies):
            cubes = self.lattice.within(body.bounds, device)
            if len(cubes):
                value = torch.cat([body.distance(c) for c in self.lattice.centers(cubes).split(CHUNK)])
                near[number // _BITS][cubes[value < reach]] |= 1 << (number % _BITS)
        self._copies = {str(device): near}

    def at(self, points: torch.Tensor) -> Neighbourhood:
        """What is near (n, 3) points."""
        device = points.device
        if str(device) not in self._copies:
            first = next(iter(self._copies.values()))
            self._copies[str(device)] = [word.to(device) for word in first]
        cubes = self.lattice.number(points)
        return Neighbourhood(self.bodies, points, [word[cubes] for word in self._copies[str(device)]])


class Neighbourhood:
    """The bodies near some points."""

    def __init__(self, bodies: list[Body], points: torch.Tensor, near: list[torch.Tensor]):
        self._bodies, self.points, self._near = bodies, points, near

    def each(self, kind: str) -> Iterator[tuple[Body, torch.Tensor, torch.Tensor]]:
        """Bodies of a kind that are near any point: the body, the numbers of those points, its distances there."""
        for number, body in enumerate(self._bodies):
            if body.kind == kind:
                chosen = (self._near[number // _BITS] & (1 << (number % _BITS))).nonzero()[:, 0]
                if len(chosen):
                    yield body, chosen, body.distance(self.points[chosen])

    def far(self) -> torch.Tensor:
        """(n,) all `FAR`."""
        return torch.full((len(self.points),), FAR, dtype=self.points.dtype, device=self.points.device)

    def least(self, *kinds: str) -> torch.Tensor:
        """(n,) mm, distance to the union of all bodies of these kinds; `FAR` where none is near."""
        distance = self.far()
        for kind in kinds:
            for _, chosen, value in self.each(kind):
                distance[chosen] = torch.minimum(distance[chosen], value)
        return distance

    def two_least(self, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
        """(n,) mm each, distances to the nearest and to the second nearest body of a kind."""
        first, second = self.far(), self.far()
        for _, chosen, value in self.each(kind):
            nearest = first[chosen]
            second[chosen] = torch.minimum(second[chosen], torch.maximum(nearest, value))
            first[chosen] = torch.minimum(nearest, value)
        return first, second


class Paint:
    """Tissues laid over one another, later ones covering earlier ones.

    Parameters
    ----------
    points : torch.Tensor
        (n, 3).
    ground : int
        Tissue to begin with.
    margins : bool
        Whether to follow how far around each point its tissue surely does not change.

    Attributes
    ----------
    label : torch.Tensor
        (n,) uint8.
    margin : torch.Tensor or None
        (n,) mm, a lower bound.
    """

    def __init__(self, points: torch.Tensor, ground: int, margins: bool):
        self.label = torch.full((len(points),), int(ground), dtype=torch.uint8, device=points.device)
        self.margin = None
        if margins:
            self.margin = torch.full((len(points),), 4.0 * FAR, dtype=points.dtype, device=points.device)

    def lay(self, distance: torch.Tensor, tissue: int) -> None:
        """Paint the inside of a solid given by (n,) signed distances in mm."""
        inside = distance < 0.0
        self.label = torch.where(inside, self.label.new_tensor(int(tissue)), self.label)
        if self.margin is not None:
            # Deep inside nothing of what is covered can come up; elsewhere this boundary is one more.
            boundary = torch.minimum(self.margin, distance.abs())
            self.margin = torch.where(inside, -distance, boundary)
