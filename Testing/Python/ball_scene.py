"""A patient whose femora are balls in a cylinder of muscle: everything about it is known in closed form."""

from __future__ import annotations

import numpy as np
import torch

from ProximalFemurSegLib.phantom.tissues import Tissue

RADIUS, THICKNESS = 20.0, 2.5  # mm
BODY_RADIUS = 160.0


class BallFemur:
    def __init__(self, side: str):
        self.side = side
        self.center = np.array([-85.0 if side == "left" else 85.0, 5.0, 10.0])
        lateral = np.array([-1.0 if side == "left" else 1.0, 0.0, 0.0])
        offsets = {
            "head_center": np.zeros(3),
            "neck_center": 15 * lateral + [0, 0, -10],
            "neck_base": 25 * lateral + [0, 0, -18],
            "greater_trochanter_tip": 45 * lateral + [0, -20, 0],
            "lesser_trochanter": 15 * lateral + [0, -25, -55],
            "lesser_trochanter_lower": 15 * lateral + [0, -25, -65],
            "vastus_ridge": 55 * lateral + [0, -10, -40],
            "shaft_proximal": 30 * lateral + [0, -10, -80],
            "shaft_distal": 30 * lateral + [0, -8, -130],
        }
        self.landmarks = {name: self.center + offset for name, offset in offsets.items()}
        self.head_radius = RADIUS
        self.bounds = np.stack([self.center - RADIUS - 12, self.center + RADIUS + 12])

    def periosteal_distance(self, points):
        return (points - torch.tensor(self.center, dtype=points.dtype)).norm(dim=-1) - RADIUS

    def cortical_thickness(self, points):
        return torch.full(points.shape[:-1], THICKNESS)

    def region(self, points):
        """Head in the upper half, shaft in the lower."""
        return torch.where(points[..., 2] > float(self.center[2]), 1, 5).to(torch.uint8)


class BallScene:
    def __init__(self):
        self.femora = {side: BallFemur(side) for side in ("left", "right")}

    def surroundings(self, points):
        tissue = torch.full(points.shape[:-1], int(Tissue.MUSCLE), dtype=torch.uint8)
        tissue[points[..., :2].norm(dim=-1) > BODY_RADIUS] = int(Tissue.AIR)
        return tissue
