"""A femur whose surface is a mesh from outside, placed in a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .cortex import CortexParameters, cortical_thickness
from .distance_field import SampledField
from .femur_regions import femur_region


@dataclass(frozen=True, eq=False)
class MeshShape:
    """A left proximal femur in its own frame: RAS mm, head centre at the origin.

    Attributes
    ----------
    name : str
        Where it comes from.
    distance : SampledField
        Signed distance in mm to the periosteal surface.
    landmarks : dict of str to numpy.ndarray
        mm, in this frame.
    head_radius, neck_radius : float
        mm; the neck's is that of its smallest section.
    length : float
        How far in mm below the head centre the bone is real; beyond, its last section goes on.
    """

    name: str
    distance: SampledField
    landmarks: dict[str, np.ndarray]
    head_radius: float
    neck_radius: float
    length: float


class MeshFemur:
    """A `MeshShape` scaled, turned about its head centre and put into a patient (the `Femur` protocol).

    Parameters
    ----------
    shape : MeshShape
    side : str
        'left' or 'right'; a right femur is the mirror image.
    head_center : array_like
        (3,) RAS mm where the head goes.
    rotation : numpy.ndarray
        (3, 3) turn of the left bone about its head centre, before any mirroring.
    scale : float
    cortex : CortexParameters
    """

    def __init__(self, shape: MeshShape, side: str, head_center, rotation, scale: float, cortex: CortexParameters):
        self.shape, self.side, self.cortex, self.scale = shape, side, cortex, float(scale)
        mirror = np.diag([1.0 if side == "left" else -1.0, 1.0, 1.0])
        # world = head_center + linear @ local
        self._linear = scale * mirror @ np.asarray(rotation, dtype=np.float64)
        self._center = np.asarray(head_center, dtype=np.float64)
        self.landmarks = {name: self._to_world(mark) for name, mark in shape.landmarks.items()}
        self.head_radius = shape.head_radius * self.scale
        field = shape.distance
        low = np.array(field.origin)
        high = low + (np.array(field.values.shape) - 1) * np.array(field.spacing)
        box = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        box = self._to_world(box)
        self.bounds = np.stack([box.min(axis=0), box.max(axis=0)])

    def _to_world(self, local: np.ndarray) -> np.ndarray:
        return local @ self._linear.T + self._center

    def _to_local(self, points: torch.Tensor) -> torch.Tensor:
        inverse = torch.as_tensor(np.linalg.inv(self._linear), dtype=points.dtype, device=points.device)
        center = torch.as_tensor(self._center, dtype=points.dtype, device=points.device)
        return (points - center) @ inverse.T

    def periosteal_distance(self, points: torch.Tensor) -> torch.Tensor:
        """Signed distance in mm of (..., 3) RAS points to the periosteal surface, negative inside."""
        local = self._to_local(points)
        low = torch.tensor(self.shape.distance.origin[2], dtype=points.dtype)
        # Below its cut the shaft goes on as its last section; sideways and above, the box's border is far outside.
        beyond = self.shape.distance.beyond(torch.cat([local[..., :2], local[..., 2:].clamp_min(float(low))], dim=-1))
        return (self.shape.distance(local) + beyond) * self.scale

    def cortical_thickness(self, points: torch.Tensor) -> torch.Tensor:
        """Thickness in mm of the cortex nearest to (..., 3) RAS points."""
        return cortical_thickness(points, self.landmarks, self.head_radius, self.side, self.cortex)

    def region(self, points: torch.Tensor) -> torch.Tensor:
        """uint8 region (1 head, 2 neck, 3 trochanter, 4 intertrochanter, 5 shaft) of (..., 3) RAS points."""
        return femur_region(
            points, self.landmarks, self.head_radius, self.side, self.shape.neck_radius * self.scale
        )
