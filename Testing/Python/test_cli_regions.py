"""``regions`` on a femur built from solids."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from command_line import assert_refused, files_in, invoke
from ProximalFemurSegLib.volume_io import read_volume, write_volume
from region_bones import NECK_AXIS, OFFSET, Bone, in_bone


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Mask, compartments and CT of one bone."""
    folder = tmp_path_factory.mktemp("bone")
    bone = Bone("right", spacing=2.0)
    from scipy import ndimage

    inner = ndimage.binary_erosion(bone.mask.array, iterations=2)
    write_volume(bone.with_array(bone.mask.array.astype(np.uint8)), folder / "mask.nii.gz")
    write_volume(bone.with_array(inner.astype(np.uint8)), folder / "inner.nii.gz")
    labels = np.where(inner, 1, np.where(bone.mask.array, 2, 0)).astype(np.uint8)
    write_volume(bone.with_array(labels), folder / "labels.nii.gz")
    hu = np.where(inner, 200, np.where(bone.mask.array, 1000, 40)).astype(np.int16)
    write_volume(bone.with_array(hu), folder / "ct.nii.gz")
    return bone, folder


def test_mask_becomes_regions_numbers_and_picture(case, tmp_path):
    bone, folder = case
    result = invoke("regions", folder / "mask.nii.gz", "--output", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert files_in(tmp_path / "out") == ["landmarks.mrk.json", "regions.json", "regions.nii.gz", "regions.png"]
    assert json.loads((tmp_path / "out" / "regions.json").read_text()) == values
    labels = read_volume(tmp_path / "out" / "regions.nii.gz")
    assert np.array_equal(labels.array > 0, bone.mask.array)
    (femur,) = values["femora"]
    assert (femur["side"], femur["refused"]) == ("right", {})
    assert femur["geometry"]["femoral_offset_mm"] == pytest.approx(OFFSET, abs=1.0)
    count = np.count_nonzero(labels.array == 2)
    assert femur["volumes"]["neck"]["voxels"] == count
    # Those that a cut passes through count in parts.
    assert femur["volumes"]["neck"]["volume_mm3"] == pytest.approx(count * bone.grid.voxel_volume_mm3, rel=0.03)
    regions = ("head", "neck", "trochanter", "intertrochanter", "shaft")
    assert sum(femur["volumes"][name]["volume_mm3"] for name in regions) == pytest.approx(
        np.count_nonzero(bone.mask.array) * bone.grid.voxel_volume_mm3, rel=1e-6
    )
    assert femur["landmarks"]["head_center"]["ras_mm"] == pytest.approx(bone.center, abs=0.5)
    with Image.open(tmp_path / "out" / "regions.png") as picture:
        assert picture.width > 600 and len(picture.convert("RGB").getcolors(1 << 20)) > 100

    assert_refused(invoke("regions", folder / "mask.nii.gz", "-o", tmp_path / "out"), "--overwrite")
    assert invoke("regions", folder / "mask.nii.gz", "-o", tmp_path / "out", "--overwrite").exit_code == 0


def test_compartments_density_and_thickness(case, tmp_path):
    _, folder = case
    result = invoke("regions", folder / "mask.nii.gz", "-o", tmp_path / "a", "--endosteal", folder / "inner.nii.gz",
                    "--image", folder / "ct.nii.gz", "--calibration", "0.8,2", "--neck", "slab10", "--json")
    assert result.exit_code == 0, result.stderr
    (femur,) = json.loads(result.stdout)["femora"]
    density = femur["density"]["neck"]
    assert density["trabecular"]["vbmd_mg_cm3"] == pytest.approx(162)
    assert density["cortical"]["vbmd_mg_cm3"] == pytest.approx(802)
    volumes = femur["volumes"]["neck"]
    assert volumes["cortical_mm3"] + volumes["trabecular_mm3"] == pytest.approx(volumes["volume_mm3"])
    assert "thickness.nii.gz" in files_in(tmp_path / "a")
    # Two voxels of 2 mm.
    assert 2.5 < femur["cortical_thickness"]["shaft"]["mean_mm"] < 4.5
    assert femur["definition"]["neck"] == "slab10"

    # The label map of a segmentation holds the same compartments.
    again = invoke("regions", folder / "labels.nii.gz", "-o", tmp_path / "b", "--neck", "slab10", "--json")
    assert json.loads(again.stdout)["femora"][0]["volumes"] == femur["volumes"]


def test_view_along_the_neck_holds_what_lies_there(case, tmp_path):
    bone, folder = case
    result = invoke("regions", folder / "labels.nii.gz", "-o", tmp_path / "out", "--image", folder / "ct.nii.gz",
                    "--neck-view")
    assert result.exit_code == 0, result.stderr
    views = [read_volume(tmp_path / "out" / f"neck-right-{what}.nii.gz") for what in ("image", "bone", "regions")]
    image, labels, regions = views
    # Slices stand at right angles to the neck, 1 mm apart, and hold at every voxel what the patient has there.
    assert labels.grid.direction[:, 2] @ (bone.linear @ NECK_AXIS) > 0.999
    assert labels.grid.spacing == pytest.approx((0.5, 0.5, 1.0))
    index = np.argwhere(labels.array > 0)[::11]
    local = (labels.grid.ijk_to_ras(index[:, ::-1]) - bone.center) @ bone.linear
    assert in_bone(local).mean() > 0.97
    assert set(np.unique(labels.array)) == {0, 1, 2} and set(np.unique(regions.array)) >= {1, 2, 3, 4}
    assert np.median(image.array[labels.array == 1]) == 200 and np.median(image.array[labels.array == 2]) > 500
    assert np.median(image.array[labels.array == 0]) <= 40


def test_landmarks_placed_by_hand_are_kept(case, tmp_path):
    bone, folder = case
    ridge = [float(x) for x in bone.patient((-62, 0, -30))]
    (tmp_path / "marks.json").write_text(json.dumps({"vastus_ridge": ridge}))
    first = invoke("regions", folder / "mask.nii.gz", "-o", tmp_path / "a", "--landmarks", tmp_path / "marks.json",
                   "--json")
    mark = json.loads(first.stdout)["femora"][0]["landmarks"]["vastus_ridge"]
    assert mark["placed_by_hand"] is True and mark["ras_mm"] == pytest.approx(ridge, abs=1e-3)
    # A result's own file is as good as a list of landmarks.
    second = invoke("regions", folder / "mask.nii.gz", "-o", tmp_path / "b", "--landmarks",
                    tmp_path / "a" / "regions.json", "--json")
    volumes = [json.loads(r.stdout)["femora"][0]["volumes"] for r in (first, second)]
    assert volumes[0]["trochanter"]["volume_mm3"] == pytest.approx(volumes[1]["trochanter"]["volume_mm3"], rel=1e-3)


def test_what_was_moved_in_slicers_file_is_kept(case, tmp_path):
    _, folder = case
    first = invoke("regions", folder / "mask.nii.gz", "-o", tmp_path / "a", "--json")
    file = tmp_path / "a" / "landmarks.mrk.json"
    same = invoke("regions", folder / "mask.nii.gz", "-o", tmp_path / "b", "--landmarks", file, "--json")
    assert json.loads(same.stdout)["femora"] == json.loads(first.stdout)["femora"]

    data = json.loads(file.read_text())
    plane = next(m for m in data["markups"] if m["name"] == "right femur distal plane")
    plane["center"][2] -= 10
    file.write_text(json.dumps(data))
    lower = invoke("regions", folder / "mask.nii.gz", "-o", tmp_path / "c", "--landmarks", file, "--json")
    femora = [json.loads(r.stdout)["femora"][0] for r in (first, lower)]
    assert femora[1]["planes"]["distal"]["placed_by_hand"] is True
    gained = femora[1]["volumes"]["total_hip"]["volume_mm3"] - femora[0]["volumes"]["total_hip"]["volume_mm3"]
    assert gained == pytest.approx(10 * np.pi * 14.0**2, rel=0.1)
    # A result's own file holds the plane, too.
    again = invoke("regions", folder / "mask.nii.gz", "-o", tmp_path / "d", "--landmarks",
                   tmp_path / "c" / "regions.json", "--json")
    volumes = [values["volumes"] for values in (json.loads(again.stdout)["femora"][0], femora[1])]
    for name in volumes[1]:
        # The file gives the plane to a thousandth of a mm.
        assert volumes[0][name]["volume_mm3"] == pytest.approx(volumes[1][name]["volume_mm3"], rel=1e-4)
    assert "total hip" in invoke("regions", folder / "mask.nii.gz", "-o", tmp_path / "e").stdout


def test_wrong_input_is_one_sentence(case, tmp_path):
    _, folder = case
    mask, out = folder / "mask.nii.gz", tmp_path / "out"
    (tmp_path / "bad.json").write_text('{"vastus_ridge": "here"}')
    assert_refused(invoke("regions", mask, "-o", out, "--calibration", "1,0"), "--image")
    assert_refused(invoke("regions", mask, "-o", out, "--landmarks", tmp_path / "bad.json"), "bad.json", "RAS")
    assert_refused(invoke("regions", mask, "-o", out, "--side", "left"), "right", "orientation")
    assert_refused(invoke("regions", tmp_path / "none.nii.gz", "-o", out), "none.nii.gz")
    assert_refused(invoke("regions", mask, "-o", out, "--label", "7"), "empty")
    assert files_in(tmp_path) == ["bad.json"]
