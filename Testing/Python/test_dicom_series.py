"""DICOM series written with pydicom come back in place, in order and in the right units, or are refused in words."""

import numpy as np
import pytest
import SimpleITK as sitk

from dicom_files import MR, STORED, pydicom, write_series, write_slice
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.volume_io import read_volume, write_volume

SR = "1.2.840.10008.5.1.4.1.1.88.11"
SAGITTAL = (0, 1, 0, 0, 0, -1)
OBLIQUE = np.linalg.qr(np.array([[3.0, 1, 0.5], [-1, 2, 0.3], [0.2, -0.4, 1]]))[0].T[:2].ravel()


@pytest.fixture(autouse=True)
def quiet_itk():
    sitk.ProcessObject.GlobalWarningDisplayOff()


def refused(folder, match, **arguments):
    with pytest.raises(BadInputError, match=match) as error:
        read_volume(folder, **arguments)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("axes", [(1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, 1, 0), SAGITTAL, OBLIQUE])
@pytest.mark.parametrize("step", [2.5, -2.5])
def test_values_and_places(tmp_path, axes, step):
    """Pixel (row r, column c) of slice n lies at position + c * 0.7 * row axis + r * 0.8 * column axis."""
    places = write_series(tmp_path, axes=axes, step=step)
    volume = read_volume(tmp_path)
    row, column = np.reshape(axes, (2, 3))
    normal = np.cross(row, column)
    for n, r, c in ((0, 0, 0), (5, 4, 6), (2, 3, 1)):
        lps = np.array([-30.5, 12.25, 100]) + places[n] * normal + c * 0.7 * row + r * 0.8 * column
        i, j, k = np.rint(volume.grid.ras_to_ijk(lps * [-1, -1, 1])).astype(int)
        assert volume.grid.ijk_to_ras((i, j, k)) == pytest.approx(lps * [-1, -1, 1], abs=1e-4)
        assert volume.array[k, j, i] == int(STORED[n, r, c]) - 1024
    assert volume.array.dtype == np.int16
    assert volume.metadata["modality"] == "CT"
    assert volume.metadata["messages"] == []


def test_agrees_with_simpleitk_series_reader(tmp_path):
    write_series(tmp_path, axes=OBLIQUE)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    volume = read_volume(tmp_path)
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(image))
    lps = np.array(image.TransformIndexToPhysicalPoint((6, 4, 5)))
    assert volume.grid.ijk_to_ras((6, 4, 5)) == pytest.approx(lps * [-1, -1, 1], abs=1e-4)


def test_round_trip_to_nifti(tmp_path):
    write_series(tmp_path / "series", axes=OBLIQUE)
    volume = read_volume(tmp_path / "series")
    write_volume(volume, tmp_path / "hip.nii.gz")
    back = read_volume(tmp_path / "hip.nii.gz")
    assert np.array_equal(back.array, volume.array)
    assert back.grid.is_close(volume.grid)


def test_metadata(tmp_path):
    write_series(tmp_path, Modality="MR", SOPClassUID=MR, Laterality="L", SeriesDescription="cor t1 fl3d")
    volume = read_volume(tmp_path)
    assert volume.metadata == {
        "modality": "MR",
        "series_uid": "1.2.3.4",
        "series_description": "cor t1 fl3d",
        "laterality": "L",
        "messages": [],
    }
    assert volume.name == "cor t1 fl3d"


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [("1", "0", np.int16), ("2", "-1024", np.int16), ("0.5", "0", np.float32), ("1", "0.25", np.float32)],
)
def test_rescaling(tmp_path, slope, intercept, dtype):
    write_series(tmp_path, RescaleSlope=slope, RescaleIntercept=intercept)
    volume = read_volume(tmp_path)
    assert volume.array.dtype == dtype
    assert volume.array == pytest.approx(STORED * float(slope) + float(intercept))


def test_slope_of_each_slice_is_its_own(tmp_path):
    """The first slice has whole numbers, the second fractions: none may be cut off."""
    for n, slope in enumerate(("1", "0.25", "1", "3", "1", "1")):
        write_slice(
            tmp_path / str(n), STORED[n], (0, 0, n), (1, 0, 0, 0, 1, 0), RescaleSlope=slope, RescaleIntercept="0"
        )
    expected = STORED * np.array([1, 0.25, 1, 3, 1, 1])[:, None, None]
    assert read_volume(tmp_path).array == pytest.approx(expected)


def test_16_bit_stored_values_are_int16_where_they_fit(tmp_path):
    write_series(tmp_path / "fits", BitsStored=16, HighBit=15)
    assert read_volume(tmp_path / "fits").array.dtype == np.int16
    write_series(tmp_path / "large", stored=STORED * 20, BitsStored=16, HighBit=15)
    large = read_volume(tmp_path / "large").array
    assert large.dtype == np.float32
    assert np.array_equal(large, STORED.astype(int) * 20 - 1024)


def test_signed_values(tmp_path):
    stored = (STORED.astype(np.int16) - 1500).astype(np.int16)
    write_series(tmp_path, stored, BitsStored=16, HighBit=15, RescaleIntercept="0")
    assert np.array_equal(read_volume(tmp_path).array, stored)


def test_files_in_subfolders_and_other_files_beside_them(tmp_path):
    write_series(tmp_path / "DICOM" / "ST0", STORED[:3])
    write_series(tmp_path / "DICOM" / "ST1", STORED[3:], first=(-30.5, 12.25, 107.5))
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 50)
    write_slice(tmp_path / "report", STORED[0], (0, 0, 0), SAGITTAL, SOPClassUID=SR, Rows=None, Columns=None)
    assert np.array_equal(read_volume(tmp_path).array, STORED.astype(int) - 1024)


def test_several_series_are_listed_and_one_can_be_chosen(tmp_path):
    write_series(tmp_path, SeriesInstanceUID="1.2.3.4", SeriesDescription="bone kernel")
    write_series(tmp_path / "b", STORED[:4] + 1, SeriesInstanceUID="1.2.3.5", SeriesDescription="soft kernel")
    refused(
        tmp_path,
        r"2 series; choose one with --series UID: 1\.2\.3\.4 \(CT, 'bone kernel', 6 slices\); "
        r"1\.2\.3\.5 \(CT, 'soft kernel', 4 slices\)\.",
    )
    assert np.array_equal(read_volume(tmp_path, "1.2.3.5").array, STORED[:4].astype(int) - 1023)
    refused(tmp_path, r"holds no series 9\.9; choose one of: 1\.2\.3\.4", series_uid="9.9")


@pytest.mark.parametrize("missing", [1, 3])
def test_missing_slice(tmp_path, missing):
    write_series(tmp_path, places=np.delete(np.arange(7), missing) * 2.5)
    refused(tmp_path, rf"5 mm between slices {missing} and {missing + 1} where 2\.5 mm is usual")


def test_slices_at_irregular_places(tmp_path):
    write_series(tmp_path, places=[0, 1, 2, 3.3, 4.3, 5.3])
    refused(tmp_path, "unevenly spaced")


def test_slices_slightly_uneven_are_read_and_told(tmp_path):
    write_series(tmp_path, places=[0, 1, 2, 3.05, 4.05, 5])
    volume = read_volume(tmp_path)
    assert volume.grid.spacing[2] == pytest.approx(1)
    assert "0.95 to 1.05 mm apart" in volume.metadata["messages"][0]


def test_two_slices_in_one_place(tmp_path):
    write_series(tmp_path, places=[0, 1, 1, 2, 3, 4])
    refused(tmp_path, "same place, as from several phases")


def test_tilted_gantry(tmp_path):
    """Slices shifted within their plane by tan(10 degrees) of the way along the normal."""
    for n in range(6):
        write_slice(tmp_path / str(n), STORED[n], (0, n * np.tan(np.radians(10)), n), (1, 0, 0, 0, 1, 0))
    refused(tmp_path, r"sheared axes \(\d\d\.\d\d degrees instead of 90, as from a tilted gantry")


def test_localizer_with_slices_across_each_other(tmp_path):
    write_series(tmp_path)
    write_slice(tmp_path / "across", STORED[0], (0, 0, 0), SAGITTAL)
    refused(tmp_path, "different orientation or pixel size")


def test_mixed_sizes(tmp_path):
    write_series(tmp_path)
    write_slice(tmp_path / "large", np.zeros((9, 8), np.uint16), (-30.5, 12.25, 115), (1, 0, 0, 0, 1, 0))
    refused(tmp_path, r"different size \(7 x 5, 8 x 9\)")


def test_single_slice(tmp_path):
    write_slice(tmp_path / "one.dcm", STORED[0], (0, 0, 0), SAGITTAL)
    refused(tmp_path, "single slice")
    refused(tmp_path / "one.dcm", "single slice")


@pytest.mark.parametrize("tag", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_images_that_do_not_say_where_they_lie(tmp_path, tag):
    write_series(tmp_path, **{tag: None})
    refused(tmp_path, "does not say where its slice lies")


def test_zero_spacing(tmp_path):
    write_series(tmp_path, PixelSpacing=[0, 0.7])
    refused(tmp_path, "spacing of zero")


@pytest.mark.parametrize("part", [0.6, 0.95])
def test_truncated_slice(tmp_path, part):
    write_series(tmp_path, STORED.repeat(20, axis=1).repeat(20, axis=2))
    last = max(tmp_path.iterdir())
    last.write_bytes(last.read_bytes()[: int(last.stat().st_size * part)])
    refused(tmp_path, "is truncated")


def test_colour_images(tmp_path):
    for n in range(3):
        pixels = np.full((5, 7, 3), n, np.uint8)
        tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
        bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
        write_slice(tmp_path / str(n), pixels, (0, 0, n), (1, 0, 0, 0, 1, 0), **tags, **bits)
    refused(tmp_path, "colour images")


def test_constant_series(tmp_path):
    write_series(tmp_path, STORED * 0)
    refused(tmp_path, r"same value \(-1024\)")


def write_enhanced(path, places, sop_class="1.2.840.10008.5.1.4.1.1.2.1"):
    """One file of several frames, as newer scanners write."""
    write_slice(path, STORED[0], (0, 0, 0), OBLIQUE, SOPClassUID=sop_class)
    data = pydicom.dcmread(path)
    del data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing
    del data.RescaleSlope, data.RescaleIntercept

    def item(**tags):
        result = pydicom.dataset.Dataset()
        for name, value in tags.items():
            setattr(result, name, value)
        return result

    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    data.NumberOfFrames = len(places)
    data.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=[f"{v:.8g}" for v in OBLIQUE])],
            PixelMeasuresSequence=[item(PixelSpacing=[0.8, 0.7], SliceThickness=2.5)],
            PixelValueTransformationSequence=[item(RescaleSlope="1", RescaleIntercept="-1024", RescaleType="HU")],
        )
    ]
    data.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=[item(ImagePositionPatient=[f"{v:.8g}" for v in place * normal])])
        for place in places
    ]
    data.PixelData = STORED.tobytes()
    data.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("step", [2.5, -2.5])
def test_frames_of_one_file(tmp_path, step):
    write_enhanced(tmp_path / "frames.dcm", np.arange(6) * step)
    for path in (tmp_path, tmp_path / "frames.dcm"):
        volume = read_volume(path)
        assert np.array_equal(volume.array, STORED.astype(int) - 1024)
        lps = 5 * step * np.cross(OBLIQUE[:3], OBLIQUE[3:]) + 6 * 0.7 * OBLIQUE[:3] + 4 * 0.8 * OBLIQUE[3:]
        assert volume.grid.ijk_to_ras((6, 4, 5)) == pytest.approx(lps * [-1, -1, 1], abs=1e-4)


@pytest.mark.parametrize("places", [[0, 2, 1, 3, 5, 4], [0, 1, 2, 3, 5, 6]])
def test_frames_out_of_order_or_unevenly_spaced(tmp_path, places):
    write_enhanced(tmp_path / "frames.dcm", np.array(places) * 2.5)
    refused(tmp_path, "unevenly spaced, out of order")


@pytest.mark.parametrize("content", [b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"x" * 500])
def test_file_with_nothing_behind_the_mark_of_dicom(tmp_path, content):
    (tmp_path / "fake").write_bytes(content)
    refused(tmp_path, "no DICOM images")
    refused(tmp_path / "fake", "no DICOM images")
