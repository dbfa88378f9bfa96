"""``cross-validate``: folds, trainings, predictions and a report; killed and gone on with, it ends alike."""

from __future__ import annotations

import csv
import json
import signal
import time

import numpy as np
import pytest

import simple_hips as hips
from command_line import assert_refused, files_in, invoke, start
from dicom_files import write_volume_as_series
from ProximalFemurSegLib.training.training_log import read_log
from ProximalFemurSegLib.volume_io import read_labels, read_probability, read_volume, write_volume

CORONAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
NETWORK = "unet3d-dilated-f16"
RECIPE = {
    "options": {"base_features": 4, "levels": 1, "rates": [1, 2], "norm": "none"},
    "epochs": 8,
    "learning_rate": 0.02,
    "warmup_steps": 2,
    "ema_decay": 0.0,
    "precision": "float32",
    "patch": [8, 64, 64],
    "checkpoint_minutes": 1e-6,
    "keep": "best",
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Four coarse MRs of one analytic hip each, in four formats, with masks, and a recipe for a very small network."""
    folder = tmp_path_factory.mktemp("cases")
    for number in range(4):
        side = ("left", "right")[number % 2]
        sign = -20 if side == "left" else 20
        grid = hips.centred((12, 20, 20), (5.0, 5.0, 6.0), CORONAL, hips.HEADS[side] + (sign, 0, -20 - number))
        place = folder / "pairs" / f"subject{number}"
        place.mkdir(parents=True)
        image = hips.hip_image(grid, (side,), "MR")
        image = image.with_array(np.round(image.array))
        if number == 2:
            write_volume_as_series(image, place / "image")
        else:
            write_volume(image, place / ("image.nii.gz", "image.nrrd", "", "image.mha")[number])
        mask = image.with_array(hips.truth(grid, (side,)).astype(np.uint8))
        write_volume(mask, place / ("mask.nii.gz", "mask.nrrd")[number % 2])
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    return folder


def arguments(cases, out, *more, recipe="recipe.json"):
    return ["cross-validate", "--network", NETWORK, "--data", cases / "pairs", "--output", out, "--folds", 2,
            "--recipe", cases / recipe, "--workers", 0, "--device", "cpu", *more]


@pytest.fixture(scope="module")
def whole(cases):
    """Never interrupted."""
    out = cases / "whole"
    result = invoke(*arguments(cases, out, "--json"))
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def test_every_case_is_segmented_by_a_network_that_did_not_see_it(whole):
    out, said = whole
    plan = json.loads((out / "folds.json").read_text())
    folds = plan["subjects_of_fold"]
    assert sorted(name for fold in folds for name in fold) == [f"subject{n}" for n in range(4)]
    assert plan["stratified_by"] == ["side", "bone_mm3"]
    sides = {s["name"]: s["side"] for s in plan["subjects"]}
    rows = list(csv.DictReader((out / "table.csv").open()))
    assert len(rows) == 4
    for row in rows:
        assert row["subject"] in folds[int(row["fold"]) - 1]
        card = json.loads((out / f"fold-{row['fold']}" / "weights" / f"{NETWORK}.json").read_text())
        assert row["subject"] not in card["data"]["training_subjects"]
        assert card["data"]["fold"] == f"{row['fold']} of 2"
        # By the ordinary inference, on the image's own grid; the map is that of the mask.
        image, probability = read_volume(row["image"]), read_probability(out / row["probability"])
        assert probability.grid.is_close(image.grid)
        threshold = card["operating_point"]["threshold"]
        assert np.array_equal(read_labels(out / row["result"]).array > 0, probability.array > threshold)
        details = json.loads((out / row["result"]).with_name("prediction.json").read_text())
        assert details["sides"] in ([sides[row["subject"]]], [])
    assert {entry["fold"] for entry in said["folds"]} == {1, 2}
    assert all(entry["epochs"] == 8 and entry["steps"] == 16 for entry in said["folds"])


def test_the_papers_table_and_the_curves_of_every_fold(whole):
    out, said = whole
    found = files_in(out)
    for name in ("report.html", "cases.csv", "summary.csv", "trainings.png", "trainings.svg", "curves.png",
                 "box-plots.png"):
        assert name in found
    # Before and after the largest component is kept, as in SciRep-2018, Table 2.
    assert [entry["model"] for entry in said["models"]] == [NETWORK, f"{NETWORK} + PP"]
    measured = list(csv.DictReader((out / "cases.csv").open()))
    assert {row["fold"] for row in measured} == {"1", "2"}
    mean = np.mean([float(row["dice"]) for row in measured if row["model"] == NETWORK])
    assert said["models"][0]["mean"]["dice"] == pytest.approx(mean, abs=1e-6)
    assert mean > 0.5, "bright bone on a dark ground is learnt at once"
    log = read_log(out / "fold-1" / "bone")
    validations = [e for e in log if "validation" in e]
    assert [e["epoch"] for e in validations] == list(range(1, 9))
    assert {"dice", "accuracy", "loss"} <= set(validations[0]["validation"])
    assert (out / "trainings.svg").read_text().count("fold 2") >= 1
    assert [e["epoch"] for e in log if "loss" in e] == list(range(1, 9))
    # The weights that validated best were kept.
    best = max(validations, key=lambda e: e["validation"]["dice"])
    assert said["folds"][0]["dice"] == best["validation"]["dice"]
    assert said["folds"][0]["kept_epoch"] == best["epoch"]


def weights_of(out):
    return {path.relative_to(out): path.read_bytes() for path in out.glob("fold-*/weights/*.safetensors")}


class Reported(Exception):
    """Instead of a report, which takes longer than all the rest."""


@pytest.fixture
def no_report(monkeypatch):
    def stop(request, plan, table, progress):
        raise Reported(table)

    monkeypatch.setattr("ProximalFemurSegLib.cli.cross_validate._report", stop)


def test_killed_in_the_middle_of_a_training_it_goes_on_to_the_same_end(cases, whole, no_report):
    out = cases / "killed"
    child = start(*arguments(cases, out), OMP_NUM_THREADS="1")
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and child.poll() is None:
            if len([e for e in read_log(out / "fold-1" / "bone") if "validation" in e]) >= 3:
                break
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == -signal.SIGKILL, "the training ended before it could be killed"
    assert not weights_of(out)
    assert_refused(invoke(*arguments(cases, out)), "already holds a cross-validation", "resume")
    result = invoke(*arguments(cases, out, "--resume"))
    assert isinstance(result.exception, Reported), result.output
    assert weights_of(out) == weights_of(whole[0]) and len(weights_of(out)) == 2
    for row in csv.DictReader((out / "table.csv").open()):
        mask, expected = (read_labels(folder / row["result"]).array for folder in (out, whole[0]))
        assert np.array_equal(mask, expected)
    logs = [[(e["step"], e.get("loss"), e.get("validation")) for e in read_log(folder / "fold-1" / "bone")]
            for folder in (out, whole[0])]
    assert logs[0] == logs[1]


def test_a_finished_one_is_only_reported_again(cases, whole, no_report, monkeypatch):
    out, _ = whole
    monkeypatch.setattr("ProximalFemurSegLib.training.cross_validation.train_stage", None)
    monkeypatch.setattr("ProximalFemurSegLib.training.cross_validation.predict_held_out", None)
    result = invoke(*arguments(cases, out, "--resume"))
    assert isinstance(result.exception, Reported), result.output


def test_another_one_is_not_gone_on_with(cases, whole):
    out, _ = whole
    (cases / "other.json").write_text(json.dumps({**RECIPE, "learning_rate": 0.1}))
    assert_refused(invoke(*arguments(cases, out, "--resume", recipe="other.json")), "other recipes")
    assert_refused(invoke(*arguments(cases, out, "--resume", "--seed", 5)), "with other")
    assert_refused(invoke(*arguments(cases, out, "--resume", "--validation", "inner")), "other validation")
    assert_refused(invoke(*arguments(cases, cases / "many", "--folds", 9)), "4 subjects", "9 folds")
