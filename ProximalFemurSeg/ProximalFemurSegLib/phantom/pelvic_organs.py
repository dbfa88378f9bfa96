"""What fills the small pelvis and the lower belly: bladder, rectum, womb or prostate, bowel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from .scene_parameters import SceneParameters
from .signed_distance import ellipsoid, sphere, tube


@dataclass(frozen=True)
class Organ:
    """A solid of the belly.

    Attributes
    ----------
    kind : str
        'bladder', 'rectum' or 'organ'.
    distance : callable
        (n, 3) RAS points in mm to (n,) signed distances in mm.
    bounds : numpy.ndarray
        (2, 3) mm of a box that holds it with a margin.
    uneven : float
        mm by which its surface waves.
    """

    kind: str
    distance: Callable[[torch.Tensor], torch.Tensor]
    bounds: np.ndarray
    uneven: float


def pelvic_organs(scene: SceneParameters, rng: np.random.Generator) -> list[Organ]:
    """Bladder, rectum, and womb with vagina or prostate with seminal vesicles."""
    return [
        _bladder(scene, rng),
        _rectum(scene, rng),
        _womb(scene, rng) if scene.sex == "female" else _prostate(scene, rng),
    ]


def _bladder(scene, rng) -> Organ:
    k, full = scene.size, scene.bladder
    center = np.array([rng.normal(0, 4), 24.0 + 4.0 * full, 6.0 + 16.0 * full]) * k
    semi = np.array([24.0 + 20.0 * full, 18.0 + 14.0 * full, 11.0 + 24.0 * full]) * k
    bounds = np.stack([center - semi - 10, center + semi + 10])
    return Organ("bladder", lambda p: ellipsoid(p, center, semi), bounds, 1.5)


def _rectum(scene, rng) -> Organ:
    k = scene.size
    sway = [rng.normal(0, 6), rng.normal(0, 8), rng.normal(0, 4)]
    path = np.array([[sway[0], -48, 66], [sway[1], -62, 40], [sway[2], -62, 14], [0, -50, -12], [0, -34, -34],
                     [0, -36, -56]]) * k  # fmt: skip
    girth = np.array([[0.9, 1.1], [1, 1.2], [1.1, 1.3], [1, 1.2], [0.7, 0.9], [0.6, 0.6]]) * rng.uniform(11, 20) * k
    bounds = np.stack([path.min(axis=0) - 36, path.max(axis=0) + 36])
    return Organ("rectum", lambda p: tube(p, path, girth, (0.0, 1.0, 0.0), 8.0), bounds, 1.5)


def _womb(scene, rng) -> Organ:
    k = scene.size
    top = np.array([rng.normal(0, 6), -2.0, 42.0 + 10 * scene.bladder]) * k
    neck = np.array([0.0, -26.0, 6.0]) * k
    path = np.stack([neck + [0, 4, -40 * k], neck, top])
    girth = np.array([[7, 13], [12, 15], [19, 25]]) * k
    bounds = np.array([[-50, -70, -60], [50, 50, 90]]) * k
    return Organ("organ", lambda p: tube(p, path, girth, (0.0, 1.0, -0.6), 6.0), bounds, 1.0)


def _prostate(scene, rng) -> Organ:
    k = scene.size
    center, semi = np.array([0.0, -4.0, -16.0]) * k, np.array([1.25, 0.85, 1.0]) * rng.uniform(17, 25) * k
    path = np.array([[-26, -30, 8], [0, -26, 2], [26, -30, 8]]) * k
    girth = np.full((3, 2), 6.5) * k
    bounds = np.array([[-50, -60, -60], [50, 40, 40]]) * k

    def distance(points):
        return torch.minimum(ellipsoid(points, center, semi), tube(points, path, girth, (0.0, 1.0, 0.0)))

    return Organ("organ", distance, bounds, 1.0)


@dataclass(frozen=True)
class BowelLoops:
    """Loops of bowel that wander through the belly.

    Attributes
    ----------
    paths, girths : list of numpy.ndarray
        (4, 3) and (4, 2) mm per loop.
    gas : list of bool
        Which loops hold gas.
    bounds : numpy.ndarray
        (2, 3) mm.
    """

    paths: list
    girths: list
    gas: list
    bounds: np.ndarray

    def distance(self, points: torch.Tensor, gas_only: bool = False) -> torch.Tensor:
        """Signed distance in mm of (n, 3) points to the nearest loop, 60 at most."""
        distance = torch.full(points.shape[:-1], 60.0, dtype=points.dtype, device=points.device)
        for path, girth, gas in zip(self.paths, self.girths, self.gas):
            if gas_only and not gas:
                continue
            middle = path.mean(axis=0)
            reach = float(np.linalg.norm(path - middle, axis=1).max() + girth.max())
            near = (sphere(points, middle, reach) < distance).nonzero()[:, 0]
            if len(near):
                part = tube(points[near], path, girth, (0.0, 1.0, 0.0), 6.0)
                distance[near] = torch.minimum(distance[near], part)
        return distance

    def gas_distance(self, points: torch.Tensor) -> torch.Tensor:
        """The same for the loops with gas alone."""
        return self.distance(points, gas_only=True)


def bowel_loops(scene: SceneParameters, rng: np.random.Generator, bounds: np.ndarray) -> BowelLoops:
    """Draw the bowel of a patient; the loops are to be cut off at the wall of the belly."""
    k = scene.size
    paths, girths, gas = [], [], []
    for _ in range(int(rng.integers(26, 40))):
        height = rng.uniform(12.0, 178.0)
        room = np.array([72.0, 46.0]) * (1.0 if height > 60 else 0.45 + 0.55 * height / 60)
        nodes = [np.array([rng.uniform(-1, 1) * room[0], 16.0 + rng.uniform(-0.63, 0.9) * room[1], height]) * k]
        step = rng.normal(size=3)
        for _ in range(3):
            step = 0.6 * step / np.linalg.norm(step) + 0.6 * rng.normal(size=3) / np.sqrt(3)
            nodes.append(nodes[-1] + step / np.linalg.norm(step) * 26.0 * k)
        radius = rng.uniform(10.0, 20.0) * k
        paths.append(np.stack(nodes))
        girths.append(np.exp(rng.normal(0.0, 0.12, size=(4, 1))) * radius * np.array([[1.0, 1.1]]))
        gas.append(bool(rng.random() < scene.bowel_gas))
    return BowelLoops(paths, girths, gas, np.asarray(bounds))
