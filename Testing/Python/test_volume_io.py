"""Volumes survive a round trip through every format, and what is no volume is refused in one sentence."""

import os
import subprocess
import sys
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ProximalFemurSegLib.errors import BadInputError, ProximalFemurSegError
from ProximalFemurSegLib.orientation import Reorientation
from ProximalFemurSegLib.volume import Grid, Volume
from ProximalFemurSegLib.volume_io import (
    read_labels,
    read_mask,
    read_probability,
    read_volume,
    sitk_from_volume,
    volume_from_sitk,
    write_volume,
)

WRITABLE = [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"]
ALL_48 = [Reorientation(o, f) for o in permutations(range(3)) for f in product((False, True), repeat=3)]
OBLIQUE = np.linalg.qr(np.array([[3.0, 1, 0.5], [-1, 2, 0.3], [0.2, -0.4, 1]]))[0]


@pytest.fixture(autouse=True)
def quiet_itk():
    sitk.ProcessObject.GlobalWarningDisplayOff()


def scan(direction=None, dtype=np.int16, shape=(5, 6, 7)):
    values = np.random.default_rng(0).integers(-1000, 2000, shape).astype(dtype)
    return Volume(values, Grid.from_parts(shape, (0.7, 0.8, 2.5), (-31.25, 12.5, 240.75), direction), name="hip")


def assert_one_sentence(error, path):
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith(".")
    assert ": " in message, "the remedy follows a colon"


def refused(path, match, read=read_volume):
    with pytest.raises(BadInputError, match=match) as error:
        read(path)
    assert_one_sentence(error, path)


def patch_nifti(path, at, form, *values):
    import struct

    data = bytearray(path.read_bytes())
    struct.pack_into("<" + form, data, at, *values)
    path.write_bytes(data)


# Round trips


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("change", ALL_48)
def test_every_axis_order_survives(tmp_path, suffix, change):
    whole = scan()
    turned = Volume(change.apply(whole.array), change.grid(whole.grid), name="hip")
    write_volume(turned, tmp_path / f"hip{suffix}")
    back = read_volume(tmp_path / f"hip{suffix}")
    assert np.array_equal(back.array, turned.array)
    assert back.grid.is_close(turned.grid, 1e-4)
    assert np.sign(np.linalg.det(back.grid.affine)) == np.sign(np.linalg.det(turned.grid.affine))


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("direction", [OBLIQUE, OBLIQUE * [1, 1, -1]], ids=["oblique", "oblique left-handed"])
def test_oblique_axes_survive(tmp_path, suffix, direction):
    volume = scan(direction)
    write_volume(volume, tmp_path / f"hip{suffix}")
    back = read_volume(tmp_path / f"hip{suffix}")
    assert np.array_equal(back.array, volume.array)
    assert back.grid.is_close(volume.grid, 1e-4)


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.float32])
def test_common_voxel_types_stay_as_they_are(tmp_path, suffix, dtype):
    volume = scan(dtype=dtype)
    write_volume(volume, tmp_path / f"hip{suffix}")
    back = read_volume(tmp_path / f"hip{suffix}")
    assert back.array.dtype == dtype
    assert np.array_equal(back.array, volume.array)


@pytest.mark.parametrize(
    ("dtype", "top", "expected"),
    [
        (np.int32, 3000, np.int16),
        (np.int32, 70000, np.float32),
        (np.uint32, 3000, np.int16),
        (np.float64, 3000, np.float32),
    ],
)
def test_wide_voxel_types_are_narrowed(tmp_path, dtype, top, expected):
    image = sitk.GetImageFromArray(np.arange(27).reshape(3, 3, 3).astype(dtype) * (top // 26))
    sitk.WriteImage(image, tmp_path / "wide.nrrd")
    back = read_volume(tmp_path / "wide.nrrd")
    assert back.array.dtype == expected
    assert np.array_equal(back.array, np.arange(27).reshape(3, 3, 3) * (top // 26))


@pytest.mark.parametrize("suffix", WRITABLE)
def test_another_program_sees_the_same_places(tmp_path, suffix):
    volume = scan(OBLIQUE)
    write_volume(volume, tmp_path / f"hip{suffix}")
    image = sitk.ReadImage(tmp_path / f"hip{suffix}")
    lps = np.array(image.TransformIndexToPhysicalPoint((6, 2, 4)))
    assert lps * [-1, -1, 1] == pytest.approx(volume.grid.ijk_to_ras((6, 2, 4)), abs=1e-4)
    assert image[6, 2, 4] == volume.array[4, 2, 6]


def test_nifti_is_as_its_definition_says(tmp_path):
    """The sform of the written header, read by its byte offset, is the RAS affine."""
    volume = scan(OBLIQUE * [1, -1, 1])
    write_volume(volume, tmp_path / "hip.nii")
    rows = np.frombuffer((tmp_path / "hip.nii").read_bytes(), "<f4", 12, 280).reshape(3, 4)
    assert rows == pytest.approx(volume.grid.affine[:3], abs=1e-4)


def test_nibabel_agrees(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volume = scan(OBLIQUE * [1, 1, -1])
    write_volume(volume, tmp_path / "hip.nii.gz")
    image = nibabel.load(tmp_path / "hip.nii.gz")
    assert image.affine == pytest.approx(volume.grid.affine, abs=1e-4)
    assert np.array_equal(np.asarray(image.dataobj).T, volume.array)
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        nibabel.save(kind(volume.array.T, volume.grid.affine), tmp_path / "back.nii.gz")
        back = read_volume(tmp_path / "back.nii.gz")
        assert back.grid.is_close(volume.grid, 1e-3)
        assert np.array_equal(back.array, volume.array)


def test_conversion_to_simpleitk_and_back_is_exact():
    volume = scan(OBLIQUE * [-1, 1, 1])
    back = volume_from_sitk(sitk_from_volume(volume))
    assert np.array_equal(back.array, volume.array)
    assert back.grid.is_close(volume.grid, 1e-9)


@pytest.mark.parametrize("array", [np.zeros((2, 3, 4), bool), np.ones((2, 3, 4), np.float16)])
def test_types_unknown_to_simpleitk_are_widened(array):
    image = sitk_from_volume(Volume(array, Grid.from_parts((2, 3, 4))))
    assert np.array_equal(sitk.GetArrayFromImage(image), array)


def test_views_and_foreign_byte_order_are_written_right(tmp_path):
    volume = scan()
    seen = Volume(volume.array[::-1, :, ::2].astype(">i2"), Grid.from_parts((5, 6, 4)))
    write_volume(seen, tmp_path / "seen.nrrd")
    assert np.array_equal(read_volume(tmp_path / "seen.nrrd").array, seen.array)


def test_name_and_source_come_from_the_file(tmp_path):
    write_volume(scan(), tmp_path / "hip.left.nii.gz")
    back = read_volume(str(tmp_path / "hip.left.nii.gz"))
    assert back.name == "hip.left"
    assert back.source == tmp_path / "hip.left.nii.gz"
    assert back.metadata == {"messages": []}


@pytest.mark.parametrize("name", ["Hüfte links.NII.GZ", "a b.NRRD", "ü.mha", "LEFT.MHD"])
def test_any_letters_in_a_path(tmp_path, name):
    folder = tmp_path / "Ordner mit Lücke"
    write_volume(scan(), folder / name)
    assert np.array_equal(read_volume(folder / name).array, scan().array)


def test_4d_with_one_time_point_is_a_volume(tmp_path):
    volume = scan()
    image = sitk.JoinSeries(sitk_from_volume(volume))
    for name in ("one.nii.gz", "one.nrrd"):
        sitk.WriteImage(image, tmp_path / name)
        back = read_volume(tmp_path / name)
        assert np.array_equal(back.array, volume.array)
        assert back.grid.is_close(volume.grid, 1e-4)


def test_nifti_slope_and_intercept_are_applied(tmp_path):
    write_volume(scan(), tmp_path / "hip.nii")
    patch_nifti(tmp_path / "hip.nii", 112, "2f", 0.5, -1024)
    back = read_volume(tmp_path / "hip.nii")
    assert back.array == pytest.approx(scan().array * 0.5 - 1024)


# Writing is all or nothing


def test_existing_file_is_replaced_and_nothing_else_is_left(tmp_path):
    for suffix in WRITABLE:
        write_volume(scan(), tmp_path / f"hip{suffix}")
        write_volume(scan(dtype=np.uint8), tmp_path / f"hip{suffix}")
        assert read_volume(tmp_path / f"hip{suffix}").array.dtype == np.uint8
    assert {p.name for p in tmp_path.iterdir()} == {f"hip{s}" for s in WRITABLE} | {"hip.raw"}


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a Unix matter")
def test_full_disk_leaves_the_old_file_and_says_so(tmp_path, suffix):
    """A limit on file size makes writing fail as a full disk does."""
    target = tmp_path / f"hip{suffix}"
    write_volume(scan(), target)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    script = """
import resource, signal, sys
import numpy as np
from ProximalFemurSegLib.errors import ProximalFemurSegError
from ProximalFemurSegLib.volume import Grid, Volume
from ProximalFemurSegLib.volume_io import write_volume
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
noise = np.random.default_rng(0).integers(-9999, 9999, (30, 40, 50)).astype(np.int16)
try:
    write_volume(Volume(noise, Grid.from_parts(noise.shape)), sys.argv[1])
except ProximalFemurSegError as error:
    print(error)
    sys.exit(7)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", script, target], env=environment, capture_output=True, text=True)
    assert run.returncode == 7, run.stderr
    assert "cannot be written" in run.stdout
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_an_error_in_words(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ProximalFemurSegError, match="cannot be written") as error:
        write_volume(scan(), tmp_path / "file" / "hip.nii.gz")
    assert_one_sentence(error, "hip.nii.gz")


def test_unknown_format_is_not_written(tmp_path):
    with pytest.raises(BadInputError, match=r"end the name with .*\.nii\.gz") as error:
        write_volume(scan(), tmp_path / "hip.png")
    assert_one_sentence(error, "hip.png")
    assert list(tmp_path.iterdir()) == []


# Refusals


def test_missing_file(tmp_path):
    refused(tmp_path / "no.nii.gz", "does not exist")


@pytest.mark.parametrize("suffix", WRITABLE)
def test_empty_file(tmp_path, suffix):
    (tmp_path / f"empty{suffix}").touch()
    refused(tmp_path / f"empty{suffix}", "empty")


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize(
    "content", [b"hello world\n" * 1000, b"\x89PNG\r\n\x1a\n" * 500, b"x", b"\x1f\x8b" + b"\0" * 99]
)
def test_a_file_that_is_not_what_its_name_says(tmp_path, suffix, content):
    (tmp_path / f"wrong{suffix}").write_bytes(content)
    refused(tmp_path / f"wrong{suffix}", "not a|truncated|damaged")


@pytest.mark.parametrize("name", ["picture.png", "notes.txt", "noextension"])
def test_unknown_formats(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" * 50)
    refused(tmp_path / name, r"no known format: give a .*\.nrrd")


def test_folder_without_dicom(tmp_path):
    refused(tmp_path, "no DICOM images")
    (tmp_path / "notes.txt").write_text("nothing here")
    refused(tmp_path, "no DICOM images")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_2d_and_4d(tmp_path, suffix):
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(30, dtype=np.int16).reshape(5, 6)), tmp_path / f"flat{suffix}")
    refused(tmp_path / f"flat{suffix}", r"2D \(6 x 5 voxels\)")
    refused(tmp_path / f"flat{suffix}", "2D", read_mask)
    sitk.WriteImage(sitk.Image((6, 5, 4, 3), sitk.sitkInt16), tmp_path / f"film{suffix}")
    refused(tmp_path / f"film{suffix}", r"4D \(6 x 5 x 4 x 3 voxels\)")


@pytest.mark.parametrize("axis", range(3))
def test_a_single_slice_is_no_volume(tmp_path, axis):
    shape = [5, 6, 7]
    shape[axis] = 1
    write_volume(scan(shape=tuple(shape)), tmp_path / "slice.nii.gz")
    refused(tmp_path / "slice.nii.gz", "2D")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("kind", [sitk.sitkVectorUInt8, sitk.sitkVectorFloat32])
def test_colours_and_vectors(tmp_path, suffix, kind):
    sitk.WriteImage(sitk.Image((6, 5, 4), kind, 3), tmp_path / f"rgb{suffix}")
    refused(tmp_path / f"rgb{suffix}", "colours or vectors")
    refused(tmp_path / f"rgb{suffix}", "colours or vectors", read_mask)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_complex_values(tmp_path, suffix):
    sitk.WriteImage(sitk.Image((6, 5, 4), sitk.sitkComplexFloat32), tmp_path / f"complex{suffix}")
    refused(tmp_path / f"complex{suffix}", "colours or vectors")


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_constant_image(tmp_path, dtype):
    write_volume(Volume(np.full((3, 4, 5), -1000, dtype), Grid.from_parts((3, 4, 5))), tmp_path / "flat.nii.gz")
    refused(tmp_path / "flat.nii.gz", r"same value \(-1000\)")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_mostly_nan_is_refused_and_a_few_are_replaced(tmp_path, suffix, bad):
    values = np.arange(60, dtype=np.float32).reshape(3, 4, 5) + 10
    values[0, :2] = bad
    write_volume(Volume(values, Grid.from_parts((3, 4, 5))), tmp_path / f"some{suffix}")
    some = read_volume(tmp_path / f"some{suffix}")
    assert (some.array[0, :2] == values[0, 2, 0]).all()
    assert np.array_equal(some.array[1:], values[1:])
    assert "17 % of the voxels are NaN" in some.metadata["messages"][0]
    values[:2] = bad
    write_volume(Volume(values, Grid.from_parts((3, 4, 5))), tmp_path / f"most{suffix}")
    refused(tmp_path / f"most{suffix}", "67 % NaN")


def test_values_beyond_float32_count_as_infinite(tmp_path):
    values = np.arange(60.0).reshape(3, 4, 5)
    values[2, 2, 2] = 1e300
    sitk.WriteImage(sitk.GetImageFromArray(values), tmp_path / "huge.nrrd")
    huge = read_volume(tmp_path / "huge.nrrd")
    assert huge.array[2, 2, 2] == 0
    assert huge.metadata["messages"]


def test_zero_spacing(tmp_path):
    write_volume(scan(), tmp_path / "z.nii")
    patch_nifti(tmp_path / "z.nii", 80, "f", 0)
    refused(tmp_path / "z.nii", "spacing of zero")
    patch_nifti(tmp_path / "z.nii", 80, "f", np.nan)
    refused(tmp_path / "z.nii", "spacing of zero")
    write_volume(scan(), tmp_path / "z.mhd")
    lines = (tmp_path / "z.mhd").read_text().splitlines()
    lines = ["ElementSpacing = 0 1 1" if s.startswith("ElementSpacing") else s for s in lines]
    (tmp_path / "z.mhd").write_text("\n".join(lines) + "\n")
    refused(tmp_path / "z.mhd", "spacing of zero")
    write_volume(scan(), tmp_path / "z.nhdr")
    lines = (tmp_path / "z.nhdr").read_text().splitlines()
    lines = ["space directions: (0,0,0) (0,1,0) (0,0,1)" if s.startswith("space dir") else s for s in lines]
    (tmp_path / "z.nhdr").write_text("\n".join(lines) + "\n")
    refused(tmp_path / "z.nhdr", "spacing of zero")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_sheared_axes(tmp_path, suffix):
    image = sitk_from_volume(scan())
    image.SetDirection((1, 0.1, 0, 0, 1, 0, 0, 0, 1))
    sitk.WriteImage(image, tmp_path / f"sheared{suffix}")
    refused(tmp_path / f"sheared{suffix}", "sheared axes")
    refused(tmp_path / f"sheared{suffix}", "sheared axes", read_mask)


def test_slight_shear_is_straightened(tmp_path):
    """Directions with few digits: the middle stays, no voxel moves by more than the shear itself."""
    image = sitk_from_volume(scan())
    image.SetDirection((1, 0.004, 0, 0, 1, 0, 0, 0, 1))
    sitk.WriteImage(image, tmp_path / "few-digits.mha")
    back = read_volume(tmp_path / "few-digits.mha")
    assert back.grid.direction.T @ back.grid.direction == pytest.approx(np.eye(3), abs=1e-9)
    assert back.grid.spacing == pytest.approx((0.7, 0.8, 2.5), rel=1e-4)
    for point in ((0, 0, 0), (6, 5, 4), (3, 2.5, 2)):
        lps = np.array(image.TransformContinuousIndexToPhysicalPoint(point))
        assert back.grid.ijk_to_ras(point) == pytest.approx(lps * [-1, -1, 1], abs=0.01)
    middle = np.array(image.TransformContinuousIndexToPhysicalPoint((3, 2.5, 2)))
    assert back.grid.center == pytest.approx(middle * [-1, -1, 1], abs=1e-9)


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("part", [0.001, 0.02, 0.5, 0.97])
def test_truncated_file(tmp_path, suffix, part, capfd):
    path = tmp_path / f"cut{suffix}"
    write_volume(scan(shape=(20, 30, 40)), path)
    voxels = tmp_path / "cut.raw" if suffix in (".mhd", ".nhdr") else path
    whole = voxels.read_bytes()
    voxels.write_bytes(whole[: max(1, int(len(whole) * part))])
    refused(path, "truncated|not a|damaged")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_damaged_file(tmp_path, suffix, capfd):
    """Bytes changed in the compressed voxels, the length as it was."""
    path = tmp_path / f"bad{suffix}"
    write_volume(scan(shape=(20, 30, 40)), path)
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 20):
        data[at] ^= 0x5A
    path.write_bytes(data)
    refused(path, "damaged")
    assert capfd.readouterr().err == ""


def test_voxel_file_missing_beside_its_header(tmp_path):
    write_volume(scan(), tmp_path / "hip.mhd")
    (tmp_path / "hip.raw").unlink()
    refused(tmp_path / "hip.mhd", "'hip.raw', which is not beside it: copy both")


@pytest.mark.parametrize(("written", "named"), [("a.nii", "b.nii.gz"), ("a.nii.gz", "b.nii")])
def test_compression_against_the_name(tmp_path, written, named):
    write_volume(scan(), tmp_path / written)
    (tmp_path / written).rename(tmp_path / named)
    assert np.array_equal(read_volume(tmp_path / named).array, scan().array)


# Masks and label maps


def test_any_value_but_zero_is_bone_unless_a_label_is_named(tmp_path):
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 1, 1:4] = (1, 2, 11)
    write_volume(Volume(labels, Grid.from_parts((3, 4, 5))), tmp_path / "labels.nii.gz")
    assert np.argwhere(read_mask(tmp_path / "labels.nii.gz").array).tolist() == [[1, 1, 1], [1, 1, 2], [1, 1, 3]]
    assert np.argwhere(read_mask(tmp_path / "labels.nii.gz", 2).array).tolist() == [[1, 1, 2]]
    assert read_mask(tmp_path / "labels.nii.gz", (1, 2)).array.sum() == 2
    assert read_mask(tmp_path / "labels.nii.gz", 7).array.sum() == 0


@pytest.mark.parametrize(
    ("dtype", "top", "expected"),
    [(np.uint8, 5, np.uint8), (np.float32, 5, np.uint8), (np.float64, 300, np.int16), (np.int32, 99999, np.int32)],
)
def test_labels_are_whole_numbers_of_the_smallest_type(tmp_path, dtype, top, expected):
    labels = np.zeros((3, 4, 5), dtype)
    labels[1, 1, 1] = top
    sitk.WriteImage(sitk.GetImageFromArray(labels), tmp_path / "labels.nrrd")
    back = read_labels(tmp_path / "labels.nrrd").array
    assert back.dtype == expected
    assert np.array_equal(back, labels)


def test_empty_mask_is_a_mask(tmp_path):
    write_volume(Volume(np.zeros((3, 4, 5), bool), Grid.from_parts((3, 4, 5))), tmp_path / "empty.nii.gz")
    mask = read_mask(tmp_path / "empty.nii.gz")
    assert mask.array.dtype == bool
    assert not mask.array.any()


@pytest.mark.parametrize("value", [0.37, np.nan, np.inf])
@pytest.mark.parametrize("read", [read_labels, read_mask])
def test_a_probability_map_is_no_mask(tmp_path, value, read):
    values = np.zeros((3, 4, 5), np.float32)
    values[1, 1, 1] = value
    write_volume(Volume(values, Grid.from_parts((3, 4, 5))), tmp_path / "probability.nii.gz")
    refused(tmp_path / "probability.nii.gz", "no mask", read)


@pytest.mark.parametrize("values", [(0, 0.25, 1), (0, 0, 0), (-0.0005, 0.5, 1.0005)])
def test_probability_map(tmp_path, values):
    array = np.array(values * 20, np.float32).reshape(3, 4, 5)
    write_volume(Volume(array, Grid.from_parts((3, 4, 5))), tmp_path / "p.nii.gz")
    back = read_probability(tmp_path / "p.nii.gz")
    assert back.array.dtype == np.float32
    assert np.array_equal(back.array, np.clip(array, 0, 1))


@pytest.mark.parametrize("values", [(0, 100), (-1000, 0.5), (0.5, np.nan)])
def test_an_image_is_no_probability_map(tmp_path, values):
    array = np.array(values * 30, np.float32).reshape(3, 4, 5)
    write_volume(Volume(array, Grid.from_parts((3, 4, 5))), tmp_path / "image.nii.gz")
    refused(tmp_path / "image.nii.gz", "no probability map", read_probability)


def test_int64_labels_are_written_as_something_every_format_has(tmp_path):
    labels = np.array([0, 1, 12] * 20).reshape(3, 4, 5)
    for suffix in WRITABLE:
        write_volume(Volume(labels, Grid.from_parts((3, 4, 5))), tmp_path / f"labels{suffix}")
        assert np.array_equal(read_labels(tmp_path / f"labels{suffix}").array, labels)


def test_segmentation_with_overlapping_segments(tmp_path):
    layers = np.zeros((3, 4, 5, 2), np.uint8)
    layers[1, 1, 1:3, 0] = 1
    layers[1, 1, 2:4, 1] = 1
    sitk.WriteImage(sitk.GetImageFromArray(layers, isVector=True), tmp_path / "bone.seg.nrrd")
    mask = read_mask(tmp_path / "bone.seg.nrrd")
    assert np.argwhere(mask.array).tolist() == [[1, 1, 1], [1, 1, 2], [1, 1, 3]]
    refused(tmp_path / "bone.seg.nrrd", "overlapping segments in 2 layers", lambda path: read_mask(path, 1))
    refused(tmp_path / "bone.seg.nrrd", "overlapping segments", read_labels)


# Real images: oblique, with permuted axes, as scanners and converters write them

DATA = Path(os.environ.get("PROXIMAL_FEMUR_SEG_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
REAL = [f"mr/mibirth{n}-t2.nii.gz" for n in ("003301", "004601", "006701", "007901", "008701", "010001")]
REAL += ["ct/totalsegmentator-example.nii.gz", "ct/totalsegmentator-example-femur-hip-labels.nii.gz"]


@pytest.mark.parametrize("name", REAL)
def test_real_image(tmp_path, name):
    if not (DATA / name).is_file():
        pytest.skip(f"{DATA / name} is not here; set PROXIMAL_FEMUR_SEG_DATA")
    volume = read_volume(DATA / name)
    image = sitk.ReadImage(DATA / name)
    assert np.array_equal(volume.array, sitk.GetArrayViewFromImage(image))
    last = np.array(image.TransformIndexToPhysicalPoint([n - 1 for n in image.GetSize()]))
    assert volume.grid.ijk_to_ras([n - 1 for n in image.GetSize()]) == pytest.approx(last * [-1, -1, 1], abs=1e-3)
    mask = volume.with_array(volume.array > volume.array.mean())
    write_volume(mask, tmp_path / "mask.nii.gz")
    written = sitk.ReadImage(tmp_path / "mask.nii.gz")
    for ours, theirs in (
        (written.GetSpacing(), image.GetSpacing()),
        (written.GetOrigin(), image.GetOrigin()),
        (written.GetDirection(), image.GetDirection()),
    ):
        assert ours == pytest.approx(theirs, abs=1e-4)
    assert read_mask(tmp_path / "mask.nii.gz").grid.is_close(volume.grid)
