"""A statistical shape model of the femur: draw bones from it, fit it to bones, carry landmarks along.

Shapes live in a common frame, that of a left femur in RAS mm with the head centre of the mean shape at the origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def fit_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Least-squares sphere through (N, 3) points: centre and radius, in the points' unit."""
    design = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(design, (points**2).sum(axis=1), rcond=None)[0]
    center = solution[:3]
    return center, float(np.sqrt(solution[3] + center @ center))


def fit_similarity(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (3, 3) and translation that best map paired points, weighted (Umeyama 1991)."""
    weights = weights / weights.sum()
    source_mean, target_mean = weights @ source, weights @ target
    a, b = source - source_mean, target - target_mean
    u, s, vt = np.linalg.svd((b * weights[:, None]).T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = float((s * sign).sum() / (weights @ (a**2).sum(axis=1)))
    return scale, rotation, target_mean - scale * rotation @ source_mean


@dataclass(frozen=True, eq=False)
class ShapeFit:
    """How the model lies over a bone: coefficients in standard deviations, and the similarity that places it.

    A point x of the shape lies at ``scale * rotation @ x + translation`` in the bone's own frame.
    """

    coefficients: np.ndarray
    scale: float
    rotation: np.ndarray
    translation: np.ndarray
    residual_mm: float

    def to_bone(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) shape-frame points in the bone's frame."""
        return self.scale * points @ self.rotation.T + self.translation


class ShapeModel:
    """Mean, modes and standard deviations of a left femur whose vertices correspond between shapes.

    Parameters
    ----------
    mean : numpy.ndarray
        (N, 3) mm, left femur, LPS (as the public models come), z towards the head.
    faces : numpy.ndarray
        (M, 3) vertex indices.
    modes : numpy.ndarray
        (N, 3, P) unit-norm modes.
    sd : numpy.ndarray
        (P,) standard deviation of each mode's coefficient in mm.
    """

    def __init__(self, mean: np.ndarray, faces: np.ndarray, modes: np.ndarray, sd: np.ndarray):
        mean = np.asarray(mean, dtype=np.float64) * LPS_TO_RAS
        self.faces = np.asarray(faces, dtype=np.int64)
        self.modes = np.asarray(modes, dtype=np.float64) * LPS_TO_RAS[None, :, None]
        self.sd = np.asarray(sd, dtype=np.float64)
        self._head = self._head_vertices(mean)
        center, _ = fit_sphere(mean[self._head])
        self.mean = mean - center
        self._marks = self._landmark_vertices()

    @classmethod
    def load(cls, path: str | Path) -> ShapeModel:
        """Read a .npz with `mean`, `faces`, `modes` and `sd`."""
        with np.load(path) as data:
            return cls(data["mean"], data["faces"], data["modes"], data["sd"])

    def shape(self, coefficients: np.ndarray) -> np.ndarray:
        """(N, 3) vertices in mm for coefficients given in standard deviations."""
        count = len(coefficients)
        return self.mean + self.modes[:, :, :count] @ (np.asarray(coefficients) * self.sd[:count])

    def landmarks(self, vertices: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
        """Landmarks (mm, in the frame of `vertices`) and head radius of a shape of this model."""
        center, radius = fit_sphere(vertices[self._head])
        marks = {name: vertices[index].mean(axis=0) for name, index in self._marks.items()}
        marks["head_center"] = center
        proximal = marks["shaft_proximal"] - marks["shaft_distal"]
        # The bulge of the lesser trochanter ends about half a head radius below its tip.
        marks["lesser_trochanter_lower"] = (
            marks["lesser_trochanter"] - 0.5 * radius * proximal / np.linalg.norm(proximal)
        )
        return marks, radius

    def fit(self, target: np.ndarray, start: np.ndarray, head_radius: float, iterations: int = 60) -> ShapeFit:
        """Place the model over the surface points of a left femur, complete or cut off along the shaft.

        Parameters
        ----------
        target : numpy.ndarray
            (N, 3) surface points in RAS mm, roughly upright.
        start : numpy.ndarray
            RAS position of the head centre, to about 10 mm.
        head_radius : float
            mm, to about 20 %: sets the first scale.
        iterations : int
            Rounds of closest-point matching; the shape may change in the second half.
        """
        tree = cKDTree(target)
        coefficients = np.zeros(len(self.sd))
        shape = self.mean
        _, model_radius = self.landmarks(shape)
        scale, rotation, translation = head_radius / model_radius, np.eye(3), np.asarray(start, dtype=np.float64)
        lowest = target[:, 2].min()
        rng = np.random.default_rng(0)
        sample = target if len(target) < 6000 else target[rng.choice(len(target), 6000, replace=False)]
        for step in range(iterations):
            placed = scale * shape @ rotation.T + translation
            # Vertices beyond the cut have no partner; the cut face of the target is no bone surface.
            inside = placed[:, 2] > lowest + 3.0
            distance, index = tree.query(placed[inside])
            back_distance, back_index = cKDTree(placed).query(sample[sample[:, 2] > lowest + 3.0])
            kept = sample[sample[:, 2] > lowest + 3.0]
            reach = max(4.0, 25.0 * (1 - 1.5 * step / iterations))
            forward, backward = distance < reach, back_distance < reach
            source = np.concatenate([shape[inside][forward], shape[back_index[backward]]])
            goal = np.concatenate([target[index[forward]], kept[backward]])
            weights = np.ones(len(source))
            scale, rotation, translation = fit_similarity(source, goal, weights)
            if step >= iterations // 2:
                vertex = np.concatenate([np.flatnonzero(inside)[forward], back_index[backward]])
                residual = ((goal - translation) @ rotation) / scale - self.mean[vertex]
                design = (self.modes[vertex] * self.sd).reshape(-1, len(self.sd))
                ridge = 0.02 * len(vertex) * np.eye(len(self.sd))
                coefficients = np.linalg.solve(design.T @ design + ridge, design.T @ residual.reshape(-1))
                coefficients = np.clip(coefficients, -3.0, 3.0)
                shape = self.shape(coefficients)
        placed = scale * shape @ rotation.T + translation
        final = cKDTree(placed).query(sample[sample[:, 2] > lowest + 3.0])[0]
        return ShapeFit(coefficients, scale, rotation, translation, float(np.mean(final)))

    @staticmethod
    def _head_vertices(mean: np.ndarray) -> np.ndarray:
        """Indices of the vertices on the spherical part of the head, found once on the mean."""
        top = mean[:, 2].max()
        proximal = mean[:, 2] > top - 45.0
        # In RAS a left femur's head is its rightmost part.
        medial = mean[proximal, 0].max()
        chosen = np.flatnonzero(proximal & (mean[:, 0] > medial - 30.0))
        for _ in range(20):
            center, radius = fit_sphere(mean[chosen])
            offset = mean - center
            distance = np.abs(np.linalg.norm(offset, axis=1) - radius)
            # The side towards the neck is no longer sphere.
            towards_neck = offset @ np.array([-0.75, 0.0, -0.66]) > 0.45 * radius
            chosen = np.flatnonzero(proximal & (distance < 0.05 * radius) & ~towards_neck)
        return chosen

    def _landmark_vertices(self) -> dict[str, np.ndarray]:
        """Vertices that mark each landmark, found once on the mean, in the frame of its head centre."""
        mean = self.mean
        x, y, z = mean.T
        proximal = z > -130.0

        def around(index: int, reach: float) -> np.ndarray:
            return np.flatnonzero(np.linalg.norm(mean - mean[index], axis=1) < reach)

        def extreme(score: np.ndarray, where: np.ndarray) -> int:
            candidates = np.flatnonzero(where)
            return int(candidates[np.argmax(score[candidates])])

        tip = extreme(z, proximal & (x < -38.0))
        # The lesser trochanter bulges medially and backwards out of the shaft.
        lesser = extreme(x - y, proximal & (z < -38.0) & (z > -75.0))
        ridge = extreme(-x, proximal & (z < mean[tip, 2] - 42.0) & (z > mean[tip, 2] - 52.0))
        axis = np.array([-0.75, -0.12, -0.65]) / np.linalg.norm([0.75, 0.12, 0.65])
        along = mean @ axis
        off_axis = np.linalg.norm(mean - along[:, None] * axis, axis=1)
        neck = np.flatnonzero((np.abs(along - 26.0) < 2.5) & (off_axis < 26.0))
        base = np.flatnonzero((np.abs(along - 36.0) < 2.5) & (off_axis < 30.0))
        level = mean[lesser, 2]
        return {
            "greater_trochanter_tip": around(tip, 3.0),
            "lesser_trochanter": around(lesser, 3.0),
            "vastus_ridge": around(ridge, 3.0),
            "neck_center": neck,
            "neck_base": base,
            "shaft_proximal": np.flatnonzero(np.abs(z - (level - 25.0)) < 3.0),
            "shaft_distal": np.flatnonzero(np.abs(z - (level - 75.0)) < 3.0),
        }
