"""Analytic hips and networks of known behaviour: what a segmentation must give is known without any weights.

The value of an image is a straight function of the signed distance to the bone's surface, and the networks here call
bone what is brighter than a level: so the exact mask of any voxel on any grid is known.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from ProximalFemurSegLib.models import Preprocessing, Preset, Stage
from ProximalFemurSegLib.volume import Grid, Volume

ENDOSTEAL_DEPTH = 4.0  # mm below the surface where "marrow" begins


def rotation(axis, degrees):
    """Matrix of a turn about an axis."""
    angle = np.radians(degrees)
    a = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    cross = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def centred(shape, spacing, direction=None, center=(0, 0, 0)):
    """A grid whose field of view is centred on a point in RAS mm."""
    grid = Grid.from_parts(shape, spacing, direction=direction)
    affine = grid.affine.copy()
    affine[:3, 3] = np.asarray(center) - grid.center
    return Grid(shape, affine)


def voxel_centres(grid):
    """(K, J, I, 3) RAS mm."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    return grid.ijk_to_ras(np.stack([i, j, k], axis=-1))


def _capsule(points, a, b, radius):
    a, b = np.asarray(a, float), np.asarray(b, float)
    along = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return np.linalg.norm(points - (a + along[..., None] * (b - a)), axis=-1) - radius


def femur_distance(points, side, head, shaft_length=140.0):
    """Signed distance in mm to a femur whose head is centred at ``head``; medial is +R on the left."""
    medial = 1.0 if side == "left" else -1.0
    local = (np.asarray(points) - head) * (medial, 1, 1)
    shaft_top = np.array([-48.0, -6.0, -42.0])
    return np.minimum.reduce(
        [
            _capsule(local, (0, 0, 0), (0.1, 0, 0), 23.0),
            _capsule(local, (0, 0, 0), shaft_top, 14.0),
            _capsule(local, shaft_top, (-54, -8, 0), 12.0),
            _capsule(local, shaft_top, shaft_top + (4.0, 0, -shaft_length), 14.0),
        ]
    )


HEADS = {"left": np.array([-88.0, 3.0, 20.0]), "right": np.array([88.0, 3.0, 20.0])}


def pelvis_distance(points, sides=("left", "right"), **options):
    """Signed distance to the femora of a patient."""
    return np.minimum.reduce([femur_distance(points, side, HEADS[side], **options) for side in sides])


def hip_image(grid, sides=("left", "right"), modality="CT", **options):
    """Values 500 at the surface, 100 more per mm of depth; HU, or the same shifted to MR-like magnitudes."""
    values = np.clip(500 - 100 * pelvis_distance(voxel_centres(grid), sides, **options), -300, 1300)
    if modality == "MR":
        values = values + 400
    return Volume(values.astype(np.float32), grid, "hip", metadata={"modality": modality})


def truth(grid, sides=("left", "right"), depth=0.0, **options):
    """Voxels deeper than ``depth`` mm below the surface."""
    return pelvis_distance(voxel_centres(grid), sides, **options) < -depth


def dice(a, b):
    """Overlap of two masks."""
    return 2.0 * (a & b).sum() / max(1, a.sum() + b.sum())


class Level(torch.nn.Module):
    """Calls bone what is brighter than a level; remembers what it saw."""

    size_multiple = (4, 4, 4)

    def __init__(self, level, classes=2):
        super().__init__()
        self.level, self.classes, self.seen = level, classes, []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        score = 12 * (x.float() - self.level)
        # A locator that knows nothing of sides: both classes alike.
        return torch.cat([-score] + [score] * (self.classes - 1), dim=1)


MR = Preprocessing((1.5, 1.2, 1.2), "AIL", "mr-percentile", (24, 48, 48))
CT = Preprocessing((2.5, 2.0, 2.0), "SPL", "ct-window", (24, 72, 72), canonical_side="left")
BLANKED = Preprocessing((2.5, 2.0, 2.0), "SPL", "ct-window", (24, 72, 72), canonical_side="left", blank_outside=True)
LOCATOR = Preprocessing((4.0, 4.0, 4.0), "SPL", "by-modality", None)


def ct_value(hu):
    """What the CT window makes of HU."""
    return (hu - 500) / 800


def fake_models(**networks):
    """Presets 'mr', 'ct' and 'locator' with networks by role; by default those of known levels."""
    built = {
        "bone": networks.get("bone", Level(0.0)),
        "periosteal": networks.get("periosteal", Level(ct_value(500))),
        "endosteal": networks.get("endosteal", Level(ct_value(500 + 100 * ENDOSTEAL_DEPTH))),
        "locator": networks.get("locator", Level(ct_value(450), classes=3)),
    }
    presets = {
        "mr": Preset("mr", "", "", "3D", "mr", (Stage("bone", "fake", {}, MR, "bone"),)),
        "ct": Preset(
            "ct",
            "",
            "",
            "3D",
            "ct",
            (
                Stage("periosteal", "fake", {}, CT, "periosteal"),
                Stage("endosteal", "fake", {}, BLANKED, "endosteal"),
            ),
        ),
        "locator": Preset("locator", "", "", "3D", "any", (Stage("locator", "fake", {}, LOCATOR, "locator"),)),
    }
    return SimpleNamespace(
        find_preset=presets.__getitem__,
        default_preset=presets.__getitem__,
        load_network=lambda stage, device: built[stage.role],
        card=lambda stage: {"operating_point": {"threshold": 0.5}, "sha256": stage.role},
        networks=built,
    )
