"""Signed distance to a closed triangle mesh, held on a regular grid and read anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import cKDTree


@dataclass(frozen=True, eq=False)
class SampledField:
    """A scalar field on an axis-aligned grid, read by trilinear interpolation.

    Parameters
    ----------
    values : torch.Tensor
        (X, Y, Z) samples.
    origin : tuple of float
        Position in mm of sample (0, 0, 0).
    spacing : tuple of float
        Distance in mm between samples along x, y, z.
    """

    values: torch.Tensor
    origin: tuple[float, float, float]
    spacing: tuple[float, float, float]

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        """Value at (..., 3) points in mm; outside the grid, the value of its nearest border."""
        shape = points.shape[:-1]
        normalised = self._normalised(points).reshape(1, -1, 1, 1, 3)
        values = self.values.to(device=points.device, dtype=torch.float32)[None, None]
        # grid_sample wants coordinates in the order of the last axis first.
        read = torch.nn.functional.grid_sample(
            values, normalised.flip(-1), mode="bilinear", padding_mode="border", align_corners=True
        )
        return read.reshape(shape)

    def nearest(self, points: torch.Tensor) -> torch.Tensor:
        """Value of the nearest sample at (..., 3) points in mm, in the field's own type."""
        index = []
        for axis, count in enumerate(self.values.shape):
            position = (points[..., axis] - self.origin[axis]) * (1.0 / self.spacing[axis])
            index.append(position.round_().clamp_(0, count - 1).to(torch.int64))
        return self.values.to(points.device)[index[0], index[1], index[2]]

    def beyond(self, points: torch.Tensor) -> torch.Tensor:
        """How far in mm (..., 3) points lie outside the grid's box, 0 inside."""
        low = torch.tensor(self.origin, dtype=points.dtype, device=points.device)
        size = (torch.tensor(self.values.shape) - 1) * torch.tensor(self.spacing)
        high = low + size.to(points)
        return ((low - points).clamp_min(0) + (points - high).clamp_min(0)).norm(dim=-1)

    def _normalised(self, points: torch.Tensor) -> torch.Tensor:
        count = torch.tensor(self.values.shape, dtype=points.dtype, device=points.device)
        origin = torch.tensor(self.origin, dtype=points.dtype, device=points.device)
        spacing = torch.tensor(self.spacing, dtype=points.dtype, device=points.device)
        return (points - origin) / spacing * (2.0 / (count - 1)) - 1.0


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N, 3) unit normals, weighted by the area of the faces that meet at each vertex."""
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-12)


def enclosed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume in mm3 enclosed by a closed mesh (divergence theorem); negative if its faces look inwards."""
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0)


def surface_samples(vertices: np.ndarray, faces: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Points on a mesh no further than about `spacing_mm` apart, with their interpolated unit normals."""
    normals = vertex_normals(vertices, faces)
    corners, corner_normals = vertices[faces], normals[faces]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    points, directions = [vertices], [normals]
    steps = np.maximum(1, np.ceil(edges / spacing_mm).astype(int))
    for count in np.unique(steps):
        if count == 1:
            continue
        chosen = steps == count
        u, v = np.meshgrid(np.arange(count + 1), np.arange(count + 1), indexing="ij")
        keep = u + v <= count
        weights = np.stack([u[keep], v[keep], count - u[keep] - v[keep]], axis=1) / count
        points.append(np.einsum("wc,fcx->fwx", weights, corners[chosen]).reshape(-1, 3))
        directions.append(np.einsum("wc,fcx->fwx", weights, corner_normals[chosen]).reshape(-1, 3))
    points, directions = np.concatenate(points), np.concatenate(directions)
    return points, directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)


def make_one_solid(field: np.ndarray) -> None:
    """Turn the sign of all that is inside but not of the largest solid, and of bubbles in that, in place.

    Where the nearest sample of a mesh lies on a sharp edge, its normal may tell the wrong side of the surface.

    Parameters
    ----------
    field : numpy.ndarray
        (X, Y, Z) signed distances in mm, negative inside.
    """
    labels, count = ndimage.label(field < 0)
    if count == 0:
        return
    solid = ndimage.binary_fill_holes(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    np.abs(field, out=field)
    field[solid] *= -1


def mesh_distance_field(
    vertices: np.ndarray,
    faces: np.ndarray,
    spacing_mm: float = 1.0,
    margin_mm: float = 12.0,
    lowest_z: float = -np.inf,
) -> SampledField:
    """Signed distance in mm to a closed mesh, negative inside.

    Distances beyond the margin saturate there: a phantom needs them near the bone only. Close to the surface the
    distance is measured to the tangent plane of the nearest sample, which makes the zero level smooth.

    Parameters
    ----------
    vertices, faces : numpy.ndarray
        (N, 3) positions in mm and (M, 3) vertex indices of a closed surface; faces may look either way.
    spacing_mm : float
        Step of the grid that holds the field.
    margin_mm : float
        Width in mm of the band around the mesh in which distances are computed.
    lowest_z : float
        The field starts here even if the mesh goes on below.
    """
    vertices = np.asarray(vertices, dtype=np.float64)
    if enclosed_volume(vertices, faces) < 0:
        faces = faces[:, ::-1]
    points, normals = surface_samples(vertices, faces, 0.8)
    low = vertices.min(axis=0) - margin_mm
    if np.isfinite(lowest_z):
        low[2] = lowest_z
        keep = points[:, 2] > lowest_z - 2 * margin_mm
        points, normals = points[keep], normals[keep]
    shape = np.ceil((vertices.max(axis=0) + margin_mm - low) / spacing_mm).astype(int) + 1
    tree = cKDTree(points)

    # Far from the mesh only the sign matters, and it is the same over a whole coarse cell.
    coarse = 4
    cells = -(-shape // coarse)
    centers = np.stack(
        np.meshgrid(*[low[a] + (np.arange(cells[a]) + 0.5) * coarse * spacing_mm for a in range(3)], indexing="ij"), -1
    ).reshape(-1, 3)
    reach = 0.5 * coarse * spacing_mm * np.sqrt(3.0)
    distance, index = tree.query(centers, workers=-1)
    outside = np.einsum("ij,ij->i", centers - points[index], normals[index]) >= 0
    near = (distance <= 6.0 + reach).reshape(cells)
    far_value = np.where(outside, distance, -distance).reshape(cells).astype(np.float32)
    field = np.repeat(np.repeat(np.repeat(far_value, coarse, 0), coarse, 1), coarse, 2)
    field = np.ascontiguousarray(field[: shape[0], : shape[1], : shape[2]])
    near = np.repeat(np.repeat(np.repeat(near, coarse, 0), coarse, 1), coarse, 2)[: shape[0], : shape[1], : shape[2]]

    ijk = np.argwhere(near)
    positions = low + ijk * spacing_mm
    distance, index = tree.query(positions, workers=-1)
    plane = np.einsum("ij,ij->i", positions - points[index], normals[index])
    # Within one sample spacing the plane is the better estimate; further out the point itself.
    blend = np.clip((distance - 0.6) / 0.8, 0.0, 1.0)
    signed = np.where(plane >= 0, distance, -distance)
    field[near] = ((1 - blend) * plane + blend * signed).astype(np.float32)
    np.clip(field, -40.0, 40.0, out=field)
    make_one_solid(field)
    return SampledField(torch.from_numpy(field), tuple(low.tolist()), (spacing_mm,) * 3)
