"""NIfTI headers, hand-packed by the definition's byte offsets; geometry against SimpleITK wherever that is right."""

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.sitk_conversion import affine_from_sitk
from ProximalFemurSegLib.volume_io import read_volume

SHAPE = (4, 5, 6)
VALUES = np.random.default_rng(0).integers(-999, 999, SHAPE).astype(np.int16)
SFORM = np.array([[0, 0, 1.5, -60], [-0.5, 0, 0, 40], [0, 0.7, 0, 10.25]])
TURN_30 = [0.0, 0.0, np.sin(np.radians(15))]  # quaternion b, c, d: 30 degrees about z


@pytest.fixture(autouse=True)
def quiet_itk():
    sitk.ProcessObject.GlobalWarningDisplayOff()


def header(
    order="<",
    version=1,
    dim=(3, 6, 5, 4, 1, 1, 1, 1),
    datatype=4,
    bits=16,
    pixdim=(1, 0.5, 0.7, 1.5),
    qform=0,
    sform=1,
    quatern=(0, 0, 0, 0, 0, 0),
    srow=SFORM,
    units=2,
    slope=(1, 0),
    magic=None,
):
    """A header by the field tables of NIfTI-1 and NIfTI-2."""
    one = version == 1
    raw = bytearray(352 if one else 544)

    def put(at, form, *values):
        struct.pack_into(order + form, raw, at, *values)

    pixdim = list(pixdim) + [0] * (8 - len(pixdim))
    put(0, "i", 348 if one else 540)
    put(40 if one else 16, "8h" if one else "8q", *dim)
    put(70 if one else 12, "hh", datatype, bits)
    put(76 if one else 104, "8f" if one else "8d", *pixdim)
    put(108 if one else 168, "f" if one else "q", len(raw))
    put(112 if one else 176, "2f" if one else "2d", *slope)
    put(123 if one else 500, "B" if one else "i", units)
    put(252 if one else 344, "2h" if one else "2i", qform, sform)
    put(256 if one else 352, "6f" if one else "6d", *quatern)
    put(280 if one else 400, "12f" if one else "12d", *np.ravel(srow))
    magic = magic or (b"n+1\0" if one else b"n+2\0\r\n\x1a\n")
    raw[(344 if one else 4) : (344 if one else 4) + len(magic)] = magic
    return bytes(raw)


def write(path, values=VALUES, **fields):
    path.write_bytes(header(**fields) + values.astype(values.dtype.newbyteorder(fields.get("order", "<"))).tobytes())
    return path


def test_hand_packed_header(tmp_path):
    back = read_volume(write(tmp_path / "a.nii"))
    assert np.array_equal(back.array, VALUES)
    assert back.grid.affine[:3] == pytest.approx(SFORM)
    assert back.metadata["messages"] == []


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("version", [1, 2])
def test_both_byte_orders_and_both_versions(tmp_path, order, version):
    back = read_volume(write(tmp_path / "a.nii", order=order, version=version))
    assert np.array_equal(back.array, VALUES)
    assert back.array.dtype.isnative
    assert back.grid.affine[:3] == pytest.approx(SFORM)


@pytest.mark.parametrize(
    ("code", "dtype", "expected"),
    [
        (2, "u1", "u1"),
        (4, "i2", "i2"),
        (8, "i4", "i2"),
        (16, "f4", "f4"),
        (64, "f8", "f4"),
        (256, "i1", "i1"),
        (512, "u2", "u2"),
        (768, "u4", "i2"),
        (1024, "i8", "i2"),
        (1280, "u8", "i2"),
    ],
)
def test_every_numeric_type(tmp_path, code, dtype, expected):
    values = np.arange(120, dtype=dtype).reshape(SHAPE)
    back = read_volume(write(tmp_path / "a.nii", values, datatype=code, bits=8 * values.itemsize))
    assert back.array.dtype == np.dtype(expected)
    assert np.array_equal(back.array, values)


@pytest.mark.parametrize("code", [32, 128, 1792, 2304])
def test_colours_and_complex_are_refused(tmp_path, code):
    with pytest.raises(BadInputError, match="colours or vectors"):
        read_volume(write(tmp_path / "a.nii", datatype=code))


@pytest.mark.parametrize("code", [0, 1, 1536, 99])
def test_other_types_are_refused(tmp_path, code):
    with pytest.raises(BadInputError, match=f"NIfTI type {code}: convert"):
        read_volume(write(tmp_path / "a.nii", datatype=code))


@pytest.mark.parametrize("handedness", [1, -1])
@pytest.mark.parametrize("quatern", [(0, 0, 0), TURN_30, (0.5, -0.5, 0.5), (0.1, 0.7, -0.2), (1, 0, 0)])
def test_qform_agrees_with_simpleitk(tmp_path, handedness, quatern):
    path = write(
        tmp_path / "a.nii", qform=1, sform=0, quatern=(*quatern, 12.5, -30, 7), pixdim=(handedness, 0.5, 0.7, 1.5)
    )
    back = read_volume(path)
    assert back.grid.affine == pytest.approx(affine_from_sitk(sitk.ReadImage(path)), abs=1e-4)
    assert np.sign(np.linalg.det(back.grid.affine)) == handedness


@pytest.mark.parametrize("qform", [0, 1, 2, 4])
@pytest.mark.parametrize("sform", [0, 1, 2, 4])
def test_of_two_transforms_the_one_that_slicer_takes(tmp_path, qform, sform):
    """SimpleITK is ITK, and ITK is what 3D Slicer reads with."""
    fields = {"qform": qform, "sform": sform, "quatern": (*TURN_30, 1, 2, 3)}
    direction = np.eye(3)[:, [2, 0, 1]] * [0.5, 0.7, 1.5]
    path = write(tmp_path / "a.nii", srow=np.c_[direction, [-60, 40, 10]], **fields)
    back = read_volume(path)
    assert back.grid.affine == pytest.approx(affine_from_sitk(sitk.ReadImage(path)), abs=1e-4)
    told = back.metadata["messages"]
    assert bool(told) == (bool(qform) == bool(sform)), "contradiction and silence are both worth a word"


def test_no_transform_at_all_is_pointed_out(tmp_path):
    back = read_volume(write(tmp_path / "a.nii", qform=0, sform=0))
    assert "left and right may be wrong" in back.metadata["messages"][0]
    assert back.grid.direction.tolist() == np.diag([-1, -1, 1]).tolist()


def test_two_transforms_that_agree_need_no_word(tmp_path):
    srow = np.c_[np.diag([0.5, 0.7, 1.5]), [1, 2, 3]]
    back = read_volume(write(tmp_path / "a.nii", qform=1, sform=1, quatern=(0, 0, 0, 1, 2, 3), srow=srow))
    assert back.metadata["messages"] == []


@pytest.mark.parametrize(("units", "mm"), [(1, 1000), (2, 1), (3, 0.001), (0, 1), (10, 1)])
@pytest.mark.parametrize("sform", [0, 1])
def test_units_are_brought_to_mm(tmp_path, units, mm, sform):
    path = write(tmp_path / "a.nii", units=units, sform=sform, qform=1 - sform, quatern=(*TURN_30, 1, 2, 3))
    back = read_volume(path)
    assert back.grid.spacing == pytest.approx((0.5 * mm, 0.7 * mm, 1.5 * mm))
    assert back.grid.affine == pytest.approx(affine_from_sitk(sitk.ReadImage(path)), rel=1e-5, abs=1e-4 * mm)


@pytest.mark.parametrize("slope", [(2.5, -1024), (1, -1024), (-1, 0)])
def test_slope_and_intercept(tmp_path, slope):
    back = read_volume(write(tmp_path / "a.nii", slope=slope))
    assert back.array.dtype == np.float32
    assert back.array == pytest.approx(VALUES * slope[0] + slope[1])


@pytest.mark.parametrize("slope", [(0, 0), (0, 5), (np.nan, np.nan), (1, 0)])
def test_slope_of_zero_means_none(tmp_path, slope):
    back = read_volume(write(tmp_path / "a.nii", slope=slope))
    assert back.array.dtype == np.int16
    assert np.array_equal(back.array, VALUES)


@pytest.mark.parametrize("sform", [0, 1])
@pytest.mark.parametrize("bad", [0, np.nan])
def test_zero_spacing(tmp_path, sform, bad):
    with pytest.raises(BadInputError, match="spacing of zero"):
        read_volume(write(tmp_path / "a.nii", pixdim=(1, 0.5, bad, 1.5), sform=sform, qform=1))


def test_spacing_that_contradicts_the_sform(tmp_path):
    with pytest.raises(BadInputError, match=r"0.5 x 0.7 x 3 mm by its spacing and 0.5 x 0.7 x 1.5 mm by its sform"):
        read_volume(write(tmp_path / "a.nii", pixdim=(1, 0.5, 0.7, 3)))


def test_sform_that_is_not_a_number(tmp_path):
    with pytest.raises(BadInputError, match="contradicts"):
        read_volume(write(tmp_path / "a.nii", srow=SFORM * [1, np.nan, 1, 1]))
    with pytest.raises(BadInputError, match="not a number"):
        read_volume(write(tmp_path / "a.nii", srow=SFORM * [1, 1, 1, np.nan]))


@pytest.mark.parametrize("qform", [0, 1])
def test_sheared_sform_is_refused_even_beside_a_good_qform(tmp_path, qform):
    sheared = SFORM.copy()
    sheared[0, 1] = 0.07
    with pytest.raises(BadInputError, match=r"sheared axes \(8\d\.\d\d degrees"):
        read_volume(write(tmp_path / "a.nii", srow=sheared, qform=qform))


def test_sform_a_little_off_right_angles_is_straightened(tmp_path):
    """SimpleITK refuses this one; nobody would notice it in the image."""
    sheared = SFORM.copy()
    sheared[0, 1] = 0.002
    path = write(tmp_path / "a.nii", srow=sheared)
    with pytest.raises(RuntimeError, match="orthonormal"):
        sitk.ReadImage(path)
    grid = read_volume(path).grid
    assert grid.direction.T @ grid.direction == pytest.approx(np.eye(3), abs=1e-9)
    assert grid.affine[:3] == pytest.approx(sheared, abs=0.01)


def test_header_rounding_is_left_alone(tmp_path):
    """Single precision in the header must come back digit for digit."""
    turn = np.linalg.qr(np.array([[3.0, 1, 0.5], [-1, 2, 0.3], [0.2, -0.4, 1]]))[0] * [0.5, 0.7, 1.5]
    srow = np.c_[turn, [-60, 40, 10.25]].astype(np.float32)
    back = read_volume(write(tmp_path / "a.nii", srow=srow))
    assert np.array_equal(back.grid.affine[:3], srow.astype(np.float64))


@pytest.mark.parametrize(
    ("dim", "message"),
    [
        ((2, 6, 5, 1, 1, 1, 1, 1), "2D"),
        ((1, 120, 1, 1, 1, 1, 1, 1), "2D"),
        ((4, 6, 5, 2, 2, 1, 1, 1), "4D"),
        ((5, 6, 5, 2, 1, 2, 1, 1), "colours or vectors"),
        ((3, 6, 0, 4, 1, 1, 1, 1), "empty"),
        ((3, 6, -5, 4, 1, 1, 1, 1), "not a NIfTI"),
        ((9, 6, 5, 4, 1, 1, 1, 1), "not a NIfTI"),
    ],
)
def test_dimensions(tmp_path, dim, message):
    with pytest.raises(BadInputError, match=message):
        read_volume(write(tmp_path / "a.nii", dim=dim))


def test_trailing_axes_of_one_are_no_axes(tmp_path):
    back = read_volume(write(tmp_path / "a.nii", dim=(6, 6, 5, 4, 1, 1, 1, 1)))
    assert np.array_equal(back.array, VALUES)


def test_analyze_header_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="not a NIfTI"):
        read_volume(write(tmp_path / "a.nii", magic=b"\0\0\0\0"))


def test_header_that_promises_more_than_memory_holds(tmp_path):
    path = write(tmp_path / "a.nii", dim=(3, 30000, 30000, 30000, 1, 1, 1, 1))
    with pytest.raises(BadInputError, match="truncated"):
        read_volume(path)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(BadInputError, match="truncated"):
        read_volume(tmp_path / "a.nii.gz")


def test_gzip_in_several_members_and_bytes_after_the_voxels(tmp_path):
    whole = header() + VALUES.tobytes() + b"trailing"
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(whole[:400]) + gzip.compress(whole[400:]))
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz").array, VALUES)


def test_damage_after_the_voxels_is_found_too(tmp_path):
    """The check sum is the last thing in the file."""
    data = bytearray(gzip.compress(header() + VALUES.tobytes()))
    data[-6] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(data)
    with pytest.raises(BadInputError, match="damaged"):
        read_volume(tmp_path / "a.nii.gz")
