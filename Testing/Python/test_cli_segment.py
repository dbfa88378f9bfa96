"""``segment`` from file to files, with networks of known behaviour: every mask is known beforehand."""

from __future__ import annotations

import csv
import errno
import json
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

import ProximalFemurSegLib
import ProximalFemurSegLib.inference.segmentation
import simple_hips as hips
from command_line import assert_refused, files_in, invoke
from ProximalFemurSegLib import inference
from ProximalFemurSegLib.errors import CancelledError
from ProximalFemurSegLib.running.progress import parse_progress
from ProximalFemurSegLib.volume import Volume
from ProximalFemurSegLib.volume_io import read_labels, read_volume, write_volume

OBLIQUE = hips.centred((44, 40, 70), (5.6, 5.1, 4.7), hips.rotation((1, 0.4, 0.2), 12), (3, -20, 700))
CORONAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
ONE_HIP = hips.centred((24, 60, 60), (2.0, 2.0, 3.0), CORONAL, hips.HEADS["left"] + (-25, 0, -25))
CT_FILES = [
    "measurements.csv",
    "measurements.json",
    "preview.png",
    "probability-endosteal.nii.gz",
    "probability.nii.gz",
    "segmentation.json",
    "segmentation.nii.gz",
]


def known_models():
    """Presets 'ct' and 'mr' whose networks call bone what is brighter than a level."""
    models = hips.fake_models()
    card = models.card
    models.card = lambda stage: {**card(stage), "trained_on": "simulated images"}
    return models


@pytest.fixture(autouse=True)
def known_networks(monkeypatch):
    monkeypatch.setattr(ProximalFemurSegLib, "models", known_models())


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    """A pelvis far from the origin, on an oblique grid."""
    path = tmp_path_factory.mktemp("ct") / "scan.nii.gz"
    centred = hips.centred(OBLIQUE.shape, OBLIQUE.spacing, OBLIQUE.direction)
    write_volume(Volume(hips.hip_image(centred).array, OBLIQUE), path)
    return path


@pytest.fixture(scope="module")
def mr(tmp_path_factory):
    path = tmp_path_factory.mktemp("mr") / "hip.nrrd"
    write_volume(hips.hip_image(ONE_HIP, ("left",), "MR"), path)
    return path


@pytest.fixture(scope="module")
def ct_run(ct, tmp_path_factory):
    """What the command printed about the CT, and the folder it filled."""
    out = tmp_path_factory.mktemp("ct-run") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProximalFemurSegLib, "models", known_models())
        result = invoke("segment", ct, "--output", out, "--json", "--progress", "json")
    assert result.exit_code == 0, result.stderr
    return result, out


@pytest.fixture
def quick(monkeypatch):
    """The networks' part done beforehand: what the command does around it is at issue."""
    done = {}

    def segment(volume, preset="auto", progress=None, **options):
        key = volume.source.name
        if key not in done:
            done[key] = inference.segmentation.segment(volume, "mr" if key.startswith("hip") else "ct", **options)
        return done[key]

    monkeypatch.setattr(inference, "segment", segment, raising=False)


def geometry(path):
    image = sitk.ReadImage(str(path))
    return [*image.GetSize(), *image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]


def test_ct_gives_every_file_on_exactly_the_grid_of_the_image(ct, ct_run):
    _, out = ct_run
    assert files_in(out) == CT_FILES
    for name, kind in (
        ("probability.nii.gz", np.float32),
        ("probability-endosteal.nii.gz", np.float32),
        ("segmentation.nii.gz", np.uint8),
    ):
        np.testing.assert_allclose(geometry(out / name), geometry(ct), rtol=0, atol=1e-4)
        assert read_volume(out / name).array.dtype == kind

    labels = read_labels(out / "segmentation.nii.gz").array
    assert set(np.unique(labels)) == {0, 1, 2, 11, 12}
    centred = hips.centred(OBLIQUE.shape, OBLIQUE.spacing, OBLIQUE.direction)
    assert hips.dice(labels > 0, hips.truth(centred)) > 0.95
    assert json.loads((out / "segmentation.json").read_text()) == {
        "1": {"name": "trabecular bone", "side": "left"},
        "2": {"name": "cortical bone", "side": "left"},
        "11": {"name": "trabecular bone", "side": "right"},
        "12": {"name": "cortical bone", "side": "right"},
    }
    with Image.open(out / "preview.png") as picture:
        assert picture.format == "PNG" and picture.width > 1000


def test_measurements_are_those_of_the_label_map(ct, ct_run):
    _, out = ct_run
    measurements = json.loads((out / "measurements.json").read_text())
    labels = read_labels(out / "segmentation.nii.gz")
    rows = measurements["volumes"]
    assert [(row["side"], row["structure"]) for row in rows] == [
        (side, structure)
        for side in ("left", "right")
        for structure in ("trabecular bone", "cortical bone", "whole bone")
    ]
    voxel_mm3 = 5.6 * 5.1 * 4.7
    for row in rows:
        first = 1 if row["side"] == "left" else 11
        values = [first, first + 1] if row["label"] is None else [row["label"]]
        assert row["volume_mm3"] == pytest.approx(np.isin(labels.array, values).sum() * voxel_mm3, rel=1e-4)
        assert row["volume_cm3"] == pytest.approx(row["volume_mm3"] / 1000)
    for entry in ("image", "network", "weights", "device", "threshold", "seconds", "messages", "use", "trained_on"):
        assert measurements[entry], entry
    assert measurements["image"] == str(ct)

    with open(out / "measurements.csv", newline="") as table:
        lines = list(csv.DictReader(table))
    assert [float(line["volume_mm3"]) for line in lines] == [row["volume_mm3"] for row in rows]
    assert {line["image"] for line in lines} == {str(ct)}
    assert {line["weights_sha256"] for line in lines} == {"periosteal endosteal"}


def test_mr_has_one_structure_and_no_endosteal_map(mr, tmp_path):
    out = tmp_path / "out"
    result = invoke("segment", mr, "--output", out, "--modality", "mr")
    assert result.exit_code == 0, result.stderr
    assert files_in(out) == [name for name in CT_FILES if "endosteal" not in name]
    labels = read_labels(out / "segmentation.nii.gz").array
    assert set(np.unique(labels)) == {0, 1}
    assert hips.dice(labels > 0, hips.truth(ONE_HIP, ("left",))) > 0.95


def test_json_alone_goes_to_standard_output_and_progress_to_standard_error(ct_run):
    result, out = ct_run
    printed = json.loads(result.stdout)
    assert printed.pop("output") == str(out)
    assert printed == json.loads((out / "measurements.json").read_text())
    steps = [parse_progress(line) for line in result.stderr.splitlines()]
    assert None not in steps
    assert steps[0].stage == "reading the image" and steps[-1].stage == "writing the results"
    assert all(step.done <= step.total for step in steps)


def test_people_are_told_volumes_and_what_the_weights_are(mr, tmp_path, quick):
    result = invoke("segment", mr, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    (row,) = [line.split() for line in result.stdout.splitlines() if line.startswith("left")]
    volumes = json.loads((tmp_path / "out" / "measurements.json").read_text())["volumes"]
    assert row[-3:-1] == [f"{volumes[0]['volume_mm3']:.0f}", f"{volumes[0]['volume_cm3']:.2f}"]
    assert row[-1] == "incomplete", "the shaft leaves the field of view"
    assert "Weights trained on simulated images. Research use only." in result.stdout
    assert "goes on beyond" in result.stderr


def test_options_reach_the_run(mr, tmp_path, monkeypatch):
    asked = {}

    def segment(volume, progress=None, **options):
        asked.update(options)
        raise CancelledError("Enough was seen.")

    monkeypatch.setattr(inference, "segment", segment, raising=False)
    options = {"network": "vnet", "modality": "ct", "side": "right", "device": "cpu", "postprocess": "open=1,fill",
               "borders": "profiles", "uncertainty": "variants"}
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert invoke("segment", mr, "--output", tmp_path, *arguments, "--threshold", "0.9").exit_code == 130
    options["preset"] = options.pop("network")
    assert asked == {**options, "threshold": 0.9}
    invoke("segment", mr, "--output", tmp_path)
    assert asked == {
        "preset": "auto",
        "modality": "auto",
        "side": "auto",
        "borders": "auto",
        "device": "auto",
        "threshold": "model",
        "postprocess": "auto",
        "uncertainty": "entropy",
    }


def test_unknown_step_is_refused_before_anything_is_read(tmp_path):
    result = invoke("segment", tmp_path / "missing.nii.gz", "--output", tmp_path / "out", "--postprocess", "polish")
    assert_refused(result, "'polish'", "largest", "fill")
    assert files_in(tmp_path) == []


def test_earlier_result_is_kept_unless_overwriting_is_allowed(ct, mr, tmp_path, quick):
    out = tmp_path / "out"
    assert invoke("segment", ct, "--output", out).exit_code == 0
    before = {name: (out / name).read_bytes() for name in files_in(out)}
    again = ["segment", mr, "--output", out]
    assert_refused(invoke(*again), "already holds", "--overwrite")
    assert {name: (out / name).read_bytes() for name in files_in(out)} == before
    assert invoke(*again, "--overwrite").exit_code == 0
    assert "probability-endosteal.nii.gz" not in files_in(out), "a map of the earlier run must not stay behind"


def test_full_disk_in_mid_write_leaves_no_file(mr, tmp_path, quick, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", fail)
    result = invoke("segment", mr, "--output", tmp_path / "out")
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert "No space left on device" in line
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("failure", [CancelledError("The run was cancelled."), KeyboardInterrupt()], ids=str)
def test_cancelled_run_leaves_no_file(mr, tmp_path, quick, monkeypatch, failure):
    def stop(*arguments, **options):
        raise failure

    monkeypatch.setattr("ProximalFemurSegLib.report.write_segmentation", stop)
    result = invoke("segment", mr, "--output", tmp_path / "out")
    assert result.exit_code == 130 and result.stdout == ""
    assert files_in(tmp_path) == []


# Images that cannot be used.


def small_image(values=None, shape=(6, 7, 8)):
    values = np.random.default_rng(0).integers(-100, 900, shape).astype(np.int16) if values is None else values
    return sitk.GetImageFromArray(values)


def save(image, path):
    sitk.WriteImage(image, str(path))
    return path


def patch(path, offset, form, *values):
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)
    return path


def two_dimensional(folder):
    return save(small_image(np.arange(30, dtype=np.int16).reshape(5, 6)), folder / "bad.nii")


def four_dimensional(folder):
    parts = sitk.JoinSeries([small_image(), small_image() + 1])
    return save(parts, folder / "bad.nii.gz")


def coloured(folder):
    return save(sitk.Compose([small_image()] * 3), folder / "bad.nrrd")


def empty(folder):
    path = folder / "bad.nii.gz"
    path.write_bytes(b"")
    return path


def filled_with_nan(folder):
    return save(small_image(np.full((6, 7, 8), np.nan, np.float32)), folder / "bad.mha")


def constant(folder):
    return save(small_image(np.full((6, 7, 8), 42, np.int16)), folder / "bad.nii.gz")


def zero_spacing(folder):
    # pixdim[3] of the NIfTI header.
    return patch(save(small_image(), folder / "bad.nii"), 76 + 3 * 4, "<f", 0.0)


def skewed_axes(folder):
    path = save(small_image(), folder / "bad.mha")
    header, _, voxels = path.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    lines = [
        b"TransformMatrix = 1 0 0 0.5 1 0 0 0 1" if line.startswith(b"TransformMatrix") else line
        for line in header.split(b"\n")
    ]
    path.write_bytes(b"\n".join(lines) + b"ElementDataFile = LOCAL\n" + voxels)
    return path


def truncated(folder):
    path = save(small_image(), folder / "bad.nii")
    path.write_bytes(path.read_bytes()[:-100])
    return path


def of_another_kind(folder):
    path = folder / "bad.nii.gz"
    path.write_text("This is a letter.")
    return path


def of_unknown_format(folder):
    path = folder / "bad.txt"
    path.write_text("This is a letter.")
    return path


def missing(folder):
    return folder / "bad.nii.gz"


def several_series(folder):
    folder = folder / "bad"
    folder.mkdir()
    for series in (1, 2):
        for number in range(4):
            image = sitk.GetImageFromArray(np.random.default_rng(number).integers(0, 900, (1, 8, 9)).astype(np.int16))
            image.SetOrigin((0, 0, 2.0 * number))
            for tag, value in {
                "0008|0060": "CT",
                "0020|000d": "1.2.826.0.1.3680043.2.1125.1",
                "0020|000e": f"1.2.826.0.1.3680043.2.1125.1.{series}",
                "0008|0018": f"1.2.826.0.1.3680043.2.1125.1.{series}.{number + 1}",
                "0020|0013": str(number + 1),
                "0020|0032": f"0\\0\\{2 * number}",
                "0020|0037": "1\\0\\0\\0\\1\\0",
            }.items():
                image.SetMetaData(tag, value)
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()
            writer.SetFileName(str(folder / f"{series}-{number}.dcm"))
            writer.Execute(image)
    return folder


BAD_INPUTS = [
    (two_dimensional, "2D"),
    (four_dimensional, "4D"),
    (coloured, "colour"),
    (empty, "empty"),
    (filled_with_nan, "NaN"),
    (constant, "same value"),
    (zero_spacing, "zero"),
    (skewed_axes, "axes"),
    (truncated, "truncated"),
    (of_another_kind, "bad.nii.gz"),
    (of_unknown_format, "format"),
    (missing, "does not exist"),
    (several_series, "1.2.826.0.1.3680043.2.1125.1.2"),
]


@pytest.mark.parametrize(("make", "word"), BAD_INPUTS, ids=[make.__name__ for make, _ in BAD_INPUTS])
def test_image_that_cannot_be_used_is_refused_in_one_sentence(make, word, tmp_path):
    path = make(tmp_path)
    before = files_in(tmp_path)
    assert_refused(invoke("segment", path, "--output", tmp_path / "out"), path.name, word)
    assert files_in(tmp_path) == before


def test_chosen_series_is_read(tmp_path):
    series = "1.2.826.0.1.3680043.2.1125.1.2"
    result = invoke("segment", several_series(tmp_path), "--output", tmp_path / "out", "--series", series)
    # It was read; being noise, it shows no femur.
    assert_refused(result, "No femur")


def test_unknown_network_is_refused_with_the_known_ones(ct, tmp_path, monkeypatch):
    import importlib

    monkeypatch.setattr(ProximalFemurSegLib, "models", importlib.import_module("ProximalFemurSegLib.models"))
    result = invoke("segment", ct, "--output", tmp_path / "out", "--network", "resnet")
    assert_refused(result, "'resnet'", "vnet", "unet3d")
    assert "out" not in files_in(tmp_path)


def test_unknown_device_is_refused(ct, tmp_path):
    assert_refused(invoke("segment", ct, "--output", tmp_path / "out", "--device", "abacus"), "abacus", "cpu")
