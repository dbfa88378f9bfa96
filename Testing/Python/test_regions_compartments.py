"""Cortical and trabecular bone against shells of known thickness."""

from __future__ import annotations

import numpy as np
import pytest

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.regions.bone_field import BoneField
from ProximalFemurSegLib.regions.compartments import check_endosteal, region_volumes, reported_targets
from ProximalFemurSegLib.regions.definition import RegionDefinition
from ProximalFemurSegLib.regions.division import Division, Plane
from ProximalFemurSegLib.regions.thickness import cortical_thickness
from ProximalFemurSegLib.volume import Grid, Volume
from region_bones import turn

GRIDS = {
    "fine": Grid.from_parts((52, 52, 52), (0.8, 0.8, 0.8), (-20.4, -20.4, -20.4)),
    "QCT": Grid.from_parts((42, 52, 52), (0.8, 0.8, 1.0), (-20.4, -20.4, -20.5)),
    "oblique": Grid.from_parts((42, 42, 42), (1.0, 1.0, 1.0), turn(30, (1, 2, 3)) @ ([-20.5] * 3), turn(30, (1, 2, 3))),
}


def points_of(grid):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")[::-1], axis=-1)
    return grid.ijk_to_ras(index)


def shell(grid, outer, inner):
    """A ball with a hollow, in two regions: 1 below and 2 above the middle."""
    points = points_of(grid)
    distance = np.linalg.norm(points, axis=-1)
    labels = np.where(distance <= outer, np.where(points[..., 2] < 0, 1, 2), 0).astype(np.uint8)
    division = Division(Volume(labels, grid), {}, {}, RegionDefinition())
    mask = Volume(distance <= outer, grid, "outer")
    return mask, Volume(distance <= inner, grid, "inner"), division


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("thickness", [1.5, 4.0])
def test_thickness_of_a_hollow_ball(name, thickness):
    mask, inner, division = shell(GRIDS[name], 18.0, 18.0 - thickness)
    found = cortical_thickness(mask, inner, division)
    summary = found.summary()
    for region in ("head", "neck"):
        assert summary[region]["mean_mm"] == pytest.approx(thickness, abs=0.12)
        assert summary[region]["p5_mm"] > thickness - 0.45 and summary[region]["p95_mm"] < thickness + 0.45
    surface = sum(summary[region]["surface_mm2"] for region in ("head", "neck"))
    assert surface == pytest.approx(4 * np.pi * 18**2, rel=0.02)


def test_thickness_varies_where_the_hollow_lies_aside():
    grid = GRIDS["fine"]
    mask, _, division = shell(grid, 18.0, 14.0)
    aside = Volume(np.linalg.norm(points_of(grid) - [0, 0, 2.0], axis=-1) <= 14.0, grid)
    found = cortical_thickness(mask, aside, division)
    top = found.points[:, 2] > 17
    bottom = found.points[:, 2] < -17
    assert found.thickness_mm[top].mean() == pytest.approx(2.0, abs=0.2)
    assert found.thickness_mm[bottom].mean() == pytest.approx(6.0, abs=0.2)
    drawn = found.on_grid(grid)
    assert drawn.shape == grid.shape and 0 < np.count_nonzero(drawn) <= len(found.points)
    assert drawn[drawn > 0].mean() == pytest.approx(4.0, abs=0.4)


def test_cut_face_of_a_shaft_is_no_surface():
    grid = Grid.from_parts((60, 44, 44), (1.0, 1.0, 1.0), (-21.5, -21.5, 0.0))
    points = points_of(grid)
    distance = np.hypot(points[..., 0], points[..., 1])
    whole = (distance <= 15) & (points[..., 2] > 5) & (points[..., 2] < 55)
    labels = np.where(whole, 5, 0).astype(np.uint8)
    distal = Plane(np.array([0, 0, 50.0]), np.array([0, 0, 1.0]))
    division = Division(Volume(labels, grid), {"distal": distal}, {}, RegionDefinition())
    inner = Volume(whole & (distance <= 10), grid)
    found = cortical_thickness(Volume(whole, grid), inner, division)
    middle = (found.points[:, 2] > 15) & (found.points[:, 2] < 45)
    assert found.thickness_mm[middle].mean() == pytest.approx(5.0, abs=0.15)
    # The lower face, at z = 5.5, has the hollow right behind it: counted, it would be cortex of no thickness.
    lower = (found.points[:, 2] < 7) & (np.hypot(found.points[:, 0], found.points[:, 1]) < 9)
    assert not lower.any()


def test_volumes_add_up_and_are_those_of_balls():
    mask, inner, division = shell(GRIDS["fine"], 18.0, 14.0)
    table = region_volumes(division, inner)
    for name in ("head", "neck"):
        assert table[name]["volume_mm3"] == pytest.approx(2 / 3 * np.pi * 18**3, rel=0.01)
        assert table[name]["trabecular_mm3"] == pytest.approx(2 / 3 * np.pi * 14**3, rel=0.01)
        assert table[name]["cortical_mm3"] + table[name]["trabecular_mm3"] == pytest.approx(table[name]["volume_mm3"])
    assert table["total_hip"]["volume_mm3"] == table["neck"]["volume_mm3"]
    targets = reported_targets(table)
    assert targets["femur_head"] == table["head"]["volume_mm3"]
    assert targets["cortical_combination"] == targets["cortical_femur_neck"] == table["neck"]["cortical_mm3"]


def test_refused_regions_have_a_reason_and_no_number():
    _, inner, division = shell(GRIDS["QCT"], 18.0, 14.0)
    division = Division(division.labels, {}, {"intertrochanter": "Cut off."}, division.definition)
    table = region_volumes(division, inner)
    empty = {"volume_mm3": None, "voxels": None, "cortical_mm3": None, "trabecular_mm3": None, "reason": "Cut off."}
    assert table["intertrochanter"] == table["total_hip"] == empty
    assert reported_targets(table)["combination"] is None
    assert table["head"]["volume_mm3"] > 0


def test_total_is_known_where_only_the_cut_between_the_trochanters_is_not():
    _, _, division = shell(GRIDS["QCT"], 18.0, 14.0)
    labels = np.where(division.labels.array == 1, 6, division.labels.array).astype(np.uint8)
    plane = Plane(np.zeros(3), np.array([0, 0, 1.0]))
    refused = {"trochanter": "No ridge.", "intertrochanter": "No ridge."}
    planes = {"distal": plane, "neck_end": plane}
    division = Division(division.labels.with_array(labels), planes, refused, RegionDefinition())
    total = region_volumes(division)["total_hip"]["volume_mm3"]
    assert total == pytest.approx(4 / 3 * np.pi * 18**3, rel=0.01)


def test_masks_that_do_not_fit_are_refused():
    mask, inner, _ = shell(GRIDS["QCT"], 18.0, 14.0)
    check_endosteal(mask, inner)
    other = Volume(inner.array, Grid(inner.grid.shape, inner.grid.affine + np.eye(4, k=3)), "moved")  # by 1 mm
    with pytest.raises(BadInputError, match="voxels"):
        check_endosteal(mask, other)
    with pytest.raises(BadInputError, match="inside"):
        check_endosteal(inner, mask)


def test_surface_is_where_the_ball_ends_and_looks_outwards():
    for grid in GRIDS.values():
        mask, _, _ = shell(grid, 17.0, 10.0)
        field = BoneField(mask)
        points, normals, areas = field.surface()
        radius = np.linalg.norm(points, axis=1)
        assert np.average(radius, weights=areas) == pytest.approx(17.0 - field.sigma_mm**2 / 17.0, abs=0.05)
        assert ((points * normals).sum(axis=1) / radius).min() > 0.95
        assert areas.sum() == pytest.approx(4 * np.pi * 17**2, rel=0.02)
