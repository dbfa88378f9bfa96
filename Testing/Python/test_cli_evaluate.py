"""``evaluate`` on masks small enough to count by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from command_line import assert_refused, invoke
from ProximalFemurSegLib.volume import Grid, Volume
from ProximalFemurSegLib.volume_io import write_volume

GRID = Grid.from_parts((6, 6, 6), (1.0, 2.0, 3.0))


def bar(start, stop, label=1, grid=GRID):
    array = np.zeros(grid.shape, np.uint8)
    array[2, 2, start:stop] = label
    return Volume(array, grid)


@pytest.fixture
def masks(tmp_path):
    """Four voxels and four voxels in a row, three of them in common; the ends are 1 mm apart."""
    write_volume(bar(0, 4), tmp_path / "result.nii.gz")
    write_volume(bar(1, 5, label=2), tmp_path / "reference.nrrd")
    return tmp_path / "result.nii.gz", tmp_path / "reference.nrrd"


def test_metrics_are_those_worked_out_by_hand(masks):
    result = invoke("evaluate", *masks, "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert values["dice"] == values["precision"] == values["recall"] == 0.75
    assert values["specificity"] == pytest.approx(211 / 212)
    # Every voxel is surface; two of eight are 1 mm from the other bar, the others touch it.
    assert values["asd_mm"] == pytest.approx(2 / 8)
    assert values["msd_mm"] == pytest.approx(1.0)
    assert values["volume_mm3"] == values["reference_volume_mm3"] == pytest.approx(24.0)
    assert values["relative_volume_error_percent"] == 0
    assert values["result_touches"] != [] and values["reference_touches"] == []
    assert values["result"] == str(masks[0])
    assert "roc_auc" not in values


def test_probability_map_adds_curves(masks, tmp_path):
    probability = np.zeros(GRID.shape, np.float32)
    probability[2, 2, :5] = (0.6, 0.7, 0.8, 0.9, 0.5)
    write_volume(Volume(probability, GRID), tmp_path / "p.nii.gz")
    values = json.loads(invoke("evaluate", *masks, "--probability", tmp_path / "p.nii.gz", "--json").stdout)
    # Above the threshold 0.55 stand 3 of 4 bone voxels and 1 other; of the 212 others one outranks one bone voxel.
    assert values["roc_auc"] == pytest.approx(1 - 1 / 4 / 212)
    assert values["average_precision"] == pytest.approx(0.75 + 0.25 * 4 / 5)
    assert 0.6 <= values["operating_points"]["threshold"]["threshold"] < 0.7 or (
        values["operating_points"]["threshold"]["threshold"] < 0.5
    )


def test_labels_are_chosen_in_both_masks(masks):
    values = json.loads(invoke("evaluate", *masks, "--label", 2, "--json").stdout)
    assert values["volume_mm3"] == 0 and values["reference_volume_mm3"] == 24
    assert values["dice"] == 0
    assert values["asd_mm"] is None
    both = json.loads(invoke("evaluate", *masks, "--label", 1, "--label", 2, "--json").stdout)
    assert both["dice"] == 0.75


def test_table_for_people_names_units(masks):
    result = invoke("evaluate", *masks)
    assert result.exit_code == 0
    lines = {line.split("  ")[0]: line.split() for line in result.stdout.splitlines()}
    assert lines["dice"][-1] == "0.7500"
    assert lines["asd"][-2:] == ["0.2500", "mm"]
    assert lines["volume"][-2:] == ["24.0", "mm3"]


def test_masks_in_different_places_are_refused(masks, tmp_path):
    moved = Grid.from_parts(GRID.shape, GRID.spacing, origin=(5, 0, 0))
    write_volume(bar(0, 4, grid=moved), tmp_path / "moved.nii.gz")
    assert_refused(invoke("evaluate", masks[0], tmp_path / "moved.nii.gz"), "moved.nii.gz", "resample")


def test_missing_mask_is_refused(masks, tmp_path):
    assert_refused(invoke("evaluate", masks[0], tmp_path / "none.nii.gz"), "none.nii.gz", "does not exist")


def test_another_grid_is_resampled_when_asked(masks, tmp_path):
    part = Volume(bar(0, 4).array[:, :, :5], GRID.crop((0, 0, 0), (6, 6, 5)))
    write_volume(part, tmp_path / "part.nii.gz")
    assert_refused(invoke("evaluate", tmp_path / "part.nii.gz", masks[1]), "resample")
    values = json.loads(invoke("evaluate", tmp_path / "part.nii.gz", masks[1], "--resample", "--json").stdout)
    assert (values["dice"], values["interpolated"]) == (0.75, True)


def test_mesh_and_tolerance(masks):
    values = json.loads(invoke("evaluate", *masks, "--surface", "mesh", "--tolerance", "0.5", "--json").stdout)
    assert (values["surface_definition"], values["surface_dice_tolerance_mm"]) == ("mesh", 0.5)
    assert values["msd_mm"] == pytest.approx(1.0)
    assert 0 < values["surface_dice"] < 1
