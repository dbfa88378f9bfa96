"""Density: a line through rods of known content, and nothing without it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.regions.calibration import (
    Calibration,
    Rod,
    calibration_from,
    find_rods,
    fit_calibration,
    internal_calibration,
    read_rods,
)
from ProximalFemurSegLib.regions.definition import RegionDefinition
from ProximalFemurSegLib.regions.density import region_densities
from ProximalFemurSegLib.regions.division import Division
from ProximalFemurSegLib.regions.neck_view import neck_grid, reformat
from ProximalFemurSegLib.volume import Grid, Volume

SLOPE, INTERCEPT = 0.8, 3.0
DENSITIES = (0.0, 50.0, 100.0, 150.0, 200.0)


def scan(reverse=False) -> Volume:
    """A patient of fat and muscle on a mat with five rods, whose HU follow a known line; noise of 15 HU."""
    grid = Grid.from_parts((14, 150, 180), (1.6, 1.6, 3.0), (143.0, 110.0, -20.0), np.diag([-1.0, -1.0, 1.0]))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")[::-1], axis=-1)
    x, y, z = np.moveaxis(grid.ijk_to_ras(index), -1, 0)
    hu = np.full(grid.shape, -1000.0)
    body = (x / 130) ** 2 + ((y - 20) / 75) ** 2 < 1
    hu[body] = -100
    hu[(x / 110) ** 2 + ((y - 20) / 58) ** 2 < 1] = 55
    # Bones that wander from slice to slice.
    for side in (-70, 70):
        hu[np.hypot(x - side - 0.8 * z, y - 20) < 14] = 500
    hu[(y < -60) & (y > -86) & (np.abs(x) < 125)] = -INTERCEPT / SLOPE
    for number, density in enumerate(DENSITIES):
        place = -100 + 50 * number if not reverse else 100 - 50 * number
        hu[np.hypot(x - place, y + 73) < 8] = (density - INTERCEPT) / SLOPE
    hu += np.random.default_rng(1).normal(0, 15, hu.shape)
    return Volume(hu.astype(np.int16), grid, "scan")


@pytest.mark.parametrize("reverse", [False, True])
def test_rods_are_found_and_give_the_line_back(reverse):
    image = scan(reverse=reverse)
    rods = find_rods(image, DENSITIES)
    for rod in rods:
        place = -100 + rod.mg_cm3 if not reverse else 100 - rod.mg_cm3
        assert abs(rod.right_mm - place) < 1.5 and abs(rod.anterior_mm + 73) < 1.5
    calibration = read_rods(image, rods)
    # Each rod's HU are known to about one in some 300 voxels with a noise of 15.
    assert calibration.slope == pytest.approx(SLOPE, rel=0.015)
    assert calibration.intercept == pytest.approx(INTERCEPT, abs=2.5)
    assert calibration.describe()["method"] == "rods" and len(calibration.describe()["hu"]) == 5


def test_given_rods_are_read_where_they_are_on_any_array_order():
    image = scan()
    rods = [Rod(-100.0 + d, -73.0, 8.0, d) for d in DENSITIES[1:]]
    affine = image.grid.affine.copy()
    # i and j change places.
    affine[:3, [0, 1]] = affine[:3, [1, 0]]
    swapped = Volume(image.array.transpose(0, 2, 1), Grid((14, 180, 150), affine))
    for volume in (image, swapped):
        assert read_rods(volume, rods).slope == pytest.approx(SLOPE, rel=0.015)
    with pytest.raises(BadInputError, match="outside the image"):
        read_rods(image, [*rods, Rod(400.0, 0.0, 8.0, 300.0)])


def test_no_rods_no_calibration():
    image = scan()
    bare = image.with_array(np.concatenate([image.array[:, :100], np.full((14, 50, 180), -1000, np.int16)], axis=1))
    with pytest.raises(BadInputError, match="No row"):
        find_rods(bare, DENSITIES)
    with pytest.raises(BadInputError, match="rising or falling"):
        find_rods(image, (0, 100, 50))


def test_internal_calibration_goes_through_the_tissues_and_says_so():
    equivalents = {"air": SLOPE * -1000 + INTERCEPT, "fat": SLOPE * -100 + INTERCEPT, "muscle": SLOPE * 55 + INTERCEPT}
    calibration = internal_calibration(scan(), equivalents)
    assert calibration.slope == pytest.approx(SLOPE, rel=0.02)
    assert calibration.intercept == pytest.approx(INTERCEPT, abs=3.0)
    assert "internal" in calibration.describe()["method"]
    with pytest.raises(BadInputError, match="too little fat"):
        internal_calibration(scan().with_array(np.full((14, 150, 180), 55, np.int16)), {"fat": -69, "muscle": 50})


def test_texts_and_files(tmp_path):
    image = scan()
    assert calibration_from("0.8, 3", image) == Calibration(0.8, 3.0)
    assert calibration_from("rods:0,50,100,150,200", image).slope == pytest.approx(SLOPE, rel=0.015)
    (tmp_path / "line.json").write_text('{"slope": 0.9, "intercept": -1}')
    assert calibration_from(str(tmp_path / "line.json"), image).slope == 0.9
    rods = [{"x": -100 + d, "y": -73, "radius": 8, "mg_cm3": d} for d in DENSITIES]
    (tmp_path / "rods.json").write_text(json.dumps({"rods": rods}))
    assert calibration_from(str(tmp_path / "rods.json"), image).slope == pytest.approx(SLOPE, rel=0.015)
    (tmp_path / "bad.json").write_text("[1, 2]")
    for text in ("dense", "1,2,3", "internal:air=x", "-0.5,3", "rods:5", str(tmp_path / "bad.json"), "none.json"):
        with pytest.raises(BadInputError):
            calibration_from(text, image)


def test_line_through_two_points_and_refusal_of_one():
    calibration = fit_calibration([0, 250], [3, 203], "rods")
    assert (calibration.slope, calibration.intercept) == (pytest.approx(0.8), pytest.approx(3.0))
    assert np.allclose(calibration.density([100, -10]), [83, -5])
    with pytest.raises(BadInputError, match="two"):
        fit_calibration([10, 10], [3, 3], "rods")


def test_density_and_content_of_regions_worked_out_by_hand():
    grid = Grid.from_parts((2, 10, 10), (1.0, 1.0, 5.0))
    labels = np.zeros(grid.shape, np.uint8)
    labels[0], labels[1] = 2, 3
    hu = np.zeros(grid.shape, np.int16)
    hu[0], hu[1] = 250, 500
    inner = np.zeros(grid.shape, bool)
    inner[0, :5] = True
    hu[0, :5] = 50
    division = Division(Volume(labels, grid), {}, {}, RegionDefinition())
    table = region_densities(Volume(hu, grid), Calibration(0.8, 3.0), division, Volume(inner, grid))
    neck = table["neck"]
    assert neck["trabecular"] == {"vbmd_mg_cm3": pytest.approx(43.0), "bmc_mg": pytest.approx(43.0 * 0.25)}
    assert neck["cortical"] == {"vbmd_mg_cm3": pytest.approx(203.0), "bmc_mg": pytest.approx(203.0 * 0.25)}
    assert neck["integral"]["vbmd_mg_cm3"] == pytest.approx(123.0)
    assert table["trochanter"]["trabecular"] == {"vbmd_mg_cm3": None, "bmc_mg": 0.0}
    assert table["total_hip"]["integral"]["bmc_mg"] == pytest.approx(123.0 * 0.5 + 403.0 * 0.5)
    with pytest.raises(BadInputError, match="calibration"):
        region_densities(Volume(hu, grid), None, division)
    with pytest.raises(BadInputError, match="voxels"):
        region_densities(Volume(hu[:1], grid.crop((0, 0, 0), (1, 10, 10))), Calibration(1.0, 0.0), division)


def test_view_along_the_neck():
    from ProximalFemurSegLib.regions.landmarks import find_landmarks
    from region_bones import NECK_AXIS, SMALLEST_AREA, WAIST_AT, Bone

    for side in ("left", "right"):
        bone = Bone(side)
        marks = find_landmarks(bone.mask)
        grid = neck_grid(marks)
        axis = bone.linear @ NECK_AXIS
        assert grid.direction[:, 2] @ axis > 0.999
        # Rows run downwards, columns from front to back.
        assert grid.direction[2, 1] < -0.5 and grid.direction[1, 0] < -0.9
        view = reformat(bone.mask, grid)
        at = grid.ras_to_ijk(bone.center + WAIST_AT * axis)
        middle = grid.shape[1] // 2
        assert np.allclose(at[:2], middle, atol=2.0)
        section = view.array[int(round(at[2]))]
        around = section[middle - 36 : middle + 37, middle - 36 : middle + 37]
        assert around.sum() * 0.25 == pytest.approx(SMALLEST_AREA, rel=0.04)
        ramp = Volume((bone.grid.ijk_to_ras(_indices(bone.grid))[..., 0]).astype(np.float32), bone.grid)
        shown = reformat(ramp, grid, fill=np.nan).array
        truth = grid.ijk_to_ras(_indices(grid))[..., 0]
        assert np.nanmax(np.abs(shown - truth)) < 1e-2 and np.isfinite(shown).mean() > 0.2
    with pytest.raises(BadInputError, match="no view"):
        neck_grid(find_landmarks(bone.with_array(np.abs(bone.local[..., 0] + 40) < 6)))


def _indices(grid):
    return np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")[::-1], axis=-1)
