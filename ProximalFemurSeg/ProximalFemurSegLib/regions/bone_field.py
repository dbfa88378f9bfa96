"""A mask as a smooth field in the patient, so that nothing measured on it knows which way its voxels run."""

from __future__ import annotations

from copy import copy

import numpy as np
from scipy import ndimage

from ..postprocessing import bounding_box, fill_holes
from ..volume import Grid, Volume

_SIGMA_MM = 0.9
_SIGMA_VOXELS = 0.7  # of the longest edge of a voxel: less would leave its steps in the surface
_TRUNCATE = 3.0


class BoneField:
    """How much of each point's surroundings is bone: 1 inside, 0 outside, 0.5 on the surface.

    The mask, its cavities filled, blurred by a Gaussian that is round in mm. A surface of mean radius r moves inwards
    by about ``sigma_mm ** 2 / r``.

    Parameters
    ----------
    mask : Volume
        bool, one bone, on any grid; not empty.
    fill : bool
        Fill cavities first.

    Attributes
    ----------
    values : numpy.ndarray
        (K, J, I) float32 on ``grid``, a box around the bone.
    grid : Grid
    sigma_mm : float
    """

    def __init__(self, mask: Volume, fill: bool = True):
        self.sigma_mm = max(_SIGMA_MM, _SIGMA_VOXELS * max(mask.grid.spacing))
        spacing = mask.grid.spacing[::-1]
        box = bounding_box(mask.array)
        if box is None:
            raise ValueError("A field is made of a mask with bone in it.")
        margin = [int(np.ceil(_TRUNCATE * self.sigma_mm / s)) + 1 for s in spacing]
        bone = mask.array[box]
        bone = fill_holes(bone) if fill else bone
        values = np.pad(bone.astype(np.float32), [(m, m) for m in margin])
        self.values = _blurred(values, self.sigma_mm, spacing, mode="constant")
        start = [s.start - m for s, m in zip(box, margin)]
        stop = [s.stop + m for s, m in zip(box, margin)]
        self.grid: Grid = mask.grid.crop(start, stop)
        self._made: dict[str, object] = {}

    def once(self, name: str, make):
        """What a function without arguments gives; made the first time, for the field does not change."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def smoother(self, sigma_mm: float, center=None, reach_mm: float = 0.0) -> BoneField:
        """The field blurred further, all of it or the part within a distance of a place.

        Where a surface runs nearly along the voxels, they make terraces of it that are wider than the blur; a smoother
        field hides more of them, and more of the bone's own detail.

        Parameters
        ----------
        sigma_mm : float
            Of the whole blur; no less than it has.
        center : array_like, optional
            (3,) RAS mm.
        reach_mm : float
            Half the edge of the box around the centre.
        """
        spacing = np.array(self.grid.spacing[::-1])
        part = copy(self)
        part._made = {}
        if center is not None:
            middle = self.grid.ras_to_ijk(center)[::-1]
            start = np.maximum(np.floor(middle - reach_mm / spacing), 0).astype(int)
            stop = np.minimum(np.ceil(middle + reach_mm / spacing) + 1, self.values.shape).astype(int)
            part.values = self.values[tuple(slice(a, b) for a, b in zip(start, stop))]
            part.grid = self.grid.crop(start, stop)
        more = np.sqrt(max(sigma_mm**2 - self.sigma_mm**2, 0.0))
        if more > 0:
            part.values = _blurred(part.values, more, spacing, mode="nearest")
            part.sigma_mm = sigma_mm
        return part

    def sample(self, points) -> np.ndarray:
        """Values at (..., 3) RAS mm, linear between voxels, 0 outside."""
        points = np.asarray(points)
        flat = self.grid.ras_to_ijk(points.reshape(-1, 3))[:, ::-1].T
        return ndimage.map_coordinates(self.values, flat, order=1, mode="constant", cval=0.0, prefilter=False).reshape(
            points.shape[:-1]
        )

    def resample(self, origin, axes, counts, step) -> np.ndarray:
        """Values on a regular grid of any direction.

        Parameters
        ----------
        origin : array_like
            (3,) RAS mm of the first node.
        axes : array_like
            (3, 3); rows are the unit vectors of the result's axes.
        counts : sequence of int
            Nodes along each.
        step : float or sequence of float
            mm between them.
        """
        steps = np.asarray(axes, dtype=np.float64) * np.broadcast_to(step, 3)[:, None]
        inverse = np.linalg.inv(self.grid.affine[:3, :3])
        matrix = (inverse @ steps.T)[::-1]
        offset = self.grid.ras_to_ijk(origin)[::-1]
        return ndimage.affine_transform(
            self.values, matrix, offset, output_shape=tuple(int(n) for n in counts), order=1, prefilter=False
        )

    def normals(self, points) -> np.ndarray:
        """(n, 3) unit vectors that point out of the bone at (n, 3) RAS mm near its surface.

        Differences over two voxels of the field between them.
        """
        place = self.grid.ras_to_ijk(np.asarray(points))[:, ::-1].T
        slope = np.empty(place.shape[::-1])
        for axis in range(3):
            step = np.eye(3)[axis][:, None]
            ahead, behind = (
                ndimage.map_coordinates(self.values, place + way * step, order=1, mode="nearest", prefilter=False)
                for way in (1, -1)
            )
            slope[:, axis] = ahead - behind
        normal = -(slope[:, ::-1] @ np.linalg.inv(self.grid.affine[:3, :3]))
        return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)

    def surface(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where the field crosses 0.5 between neighbouring voxels.

        Returns
        -------
        points : numpy.ndarray
            (n, 3) RAS mm.
        normals : numpy.ndarray
            (n, 3) unit vectors pointing out of the bone.
        areas : numpy.ndarray
            (n,) mm2 of surface that each point stands for. Crossings are denser where the surface faces an axis of the
            grid; weighted by the square of the normal's components along the three axes, every patch counts once.
        """
        return self.once("surface", self._crossings)

    def _crossings(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        values = self.values
        inside = values >= 0.5
        inverse = np.linalg.inv(self.grid.affine[:3, :3])
        strides = np.array([values.shape[1] * values.shape[2], values.shape[2], 1])
        flat = values.ravel()
        spacing = np.array(self.grid.spacing[::-1])
        last = np.array(values.shape) - 1
        found = []
        for axis in range(3):
            low = [slice(None)] * 3
            high = [slice(None)] * 3
            low[axis], high[axis] = slice(None, -1), slice(1, None)
            index = np.argwhere(inside[tuple(low)] != inside[tuple(high)])
            # A part of a field may be cut through the bone: slopes are known one voxel from its faces.
            index = index[((index > 0) & (index < last - (np.arange(3) == axis))).all(axis=1)]
            first = index @ strides
            second = first + strides[axis]
            share = (0.5 - flat[first]) / (flat[second] - flat[first])
            place = index.astype(np.float64)
            place[:, axis] += share
            # Central differences at both ends.
            slope = np.stack(
                [
                    (1 - share) * (flat[first + s] - flat[first - s]) + share * (flat[second + s] - flat[second - s])
                    for s in strides
                ],
                axis=1,
            )
            normal = -(slope[:, ::-1] @ inverse)
            normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
            along = normal @ self.grid.direction[:, 2 - axis]
            face = spacing.prod() / spacing[axis]
            found.append((self.grid.ijk_to_ras(place[:, ::-1]), normal, face * np.abs(along)))
        points, normals, areas = (np.concatenate(part) for part in zip(*found))
        return points, normals, areas


def _blurred(values: np.ndarray, sigma_mm: float, spacing, mode: str) -> np.ndarray:
    for axis, s in enumerate(spacing):
        values = ndimage.gaussian_filter1d(values, sigma_mm / s, axis=axis, mode=mode, truncate=_TRUNCATE)
    return values
