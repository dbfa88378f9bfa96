"""The head's sphere on heads that are none, on grids that lie differently."""

from __future__ import annotations

import numpy as np
import pytest

from ProximalFemurSegLib.regions.bone_field import BoneField
from ProximalFemurSegLib.regions.head_sphere import find_head
from ProximalFemurSegLib.volume import Grid, Volume
from region_bones import turn

NECK = np.array([-0.8, 0.0, -0.6])


def solid(inside, direction, spacing) -> Volume:
    """What a function of (..., 3) RAS mm calls bone, within 50 mm of the origin."""
    spacing = np.broadcast_to(np.asarray(spacing, float), 3)
    counts = np.ceil(100.0 / spacing).astype(int)
    grid = Grid.from_parts(counts[::-1], tuple(spacing), -direction @ (counts * spacing / 2) + 0.123, direction)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")[::-1], axis=-1)
    return Volume(inside(grid.ijk_to_ras(index)), grid, "solid")


def in_egg_on_a_neck(points) -> np.ndarray:
    """A head that is longer along its neck than across, and flows into it."""
    along = points @ NECK
    across = np.sqrt((points**2).sum(axis=-1) - along**2)
    egg = (along / 25.5) ** 2 + (across / 22.5) ** 2 <= 1
    return egg | ((along > 0) & (along < 34) & (across <= 16.5 + 0.03 * (along - 19) ** 2))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.9, 1.6)])
def test_normals_of_a_ball_point_away_from_its_centre(spacing):
    ball = solid(lambda p: (p**2).sum(axis=-1) <= 24.0**2, turn(33, (1, 2, -1)), spacing)
    field = BoneField(ball).smoother(3.0)
    points, _, _ = field.surface()
    outwards = points / np.linalg.norm(points, axis=1, keepdims=True)
    cosines = (field.normals(points) * outwards).sum(axis=1)
    assert np.degrees(np.arccos(np.clip(cosines.min(), -1, 1))) < 4.0


def test_a_head_that_is_no_ball_has_one_sphere_on_every_grid():
    heads = []
    for direction in (np.eye(3), turn(25, (1, -2, 1)), turn(25, (1, 0, 0)), turn(25, (0, 1, 0))):
        field = BoneField(solid(in_egg_on_a_neck, direction, 0.8))
        heads.append(find_head(field, field.surface()))
    # Where a neck of 16.5 mm leaves the sphere: what divides head from neck.
    ends = [head.center @ NECK + np.sqrt(head.radius**2 - 16.5**2) for head in heads]
    assert np.ptp(ends) < 0.1
    assert 22.5 < heads[0].radius < 25.5
