"""What a scanner looks at: the tissues around the hips, and the femora with their exact surfaces.

A scene lives in RAS millimetres with the origin midway between the two hip centres, the patient supine. Everything is
evaluated at points, so that the truth does not depend on any voxel grid.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch


class Femur(Protocol):
    """One femur with exact surfaces.

    Attributes
    ----------
    side : str
        'left' or 'right'.
    landmarks : dict of str to numpy.ndarray
        RAS mm: 'head_center', 'neck_center', 'neck_base', 'greater_trochanter_tip', 'lesser_trochanter',
        'vastus_ridge', 'shaft_proximal' and 'shaft_distal' (two points on the shaft axis).
    head_radius : float
        mm.
    bounds : numpy.ndarray
        (2, 3) RAS mm, lower and upper corner of a box that holds the bone.
    """

    side: str
    landmarks: dict[str, np.ndarray]
    head_radius: float
    bounds: np.ndarray

    def periosteal_distance(self, points: torch.Tensor) -> torch.Tensor:
        """Signed distance in mm of (..., 3) RAS points to the periosteal surface, negative inside the bone."""

    def cortical_thickness(self, points: torch.Tensor) -> torch.Tensor:
        """Thickness in mm of the cortex nearest to (..., 3) RAS points; the endosteal surface lies where
        ``periosteal_distance == -cortical_thickness``."""

    def region(self, points: torch.Tensor) -> torch.Tensor:
        """uint8 region of (..., 3) RAS points: 1 head, 2 neck, 3 trochanter, 4 intertrochanter, 5 shaft; only
        meaningful inside the bone."""


class Scene(Protocol):
    """The patient: femora and everything around them."""

    femora: dict[str, Femur]

    def surroundings(self, points: torch.Tensor) -> torch.Tensor:
        """uint8 `Tissue` at (..., 3) RAS points, as if the femora were not there."""
