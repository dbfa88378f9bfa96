"""What a cross-validation asks of each training, without training anything."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.models import find_preset
from ProximalFemurSegLib.training import cross_validation
from ProximalFemurSegLib.training.cross_validation import (
    CrossValidation,
    Plan,
    case_name,
    make_phantoms,
    plan_folds,
    run_folds,
    shows_postprocessing,
    write_case_table,
)
from ProximalFemurSegLib.training.folds import Subject
from ProximalFemurSegLib.training.pair_table import Pair
from ProximalFemurSegLib.volume_io import read_labels, read_volume

NAMES = [f"s{n:02d}" for n in range(12)]


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    """Everything heavy is replaced by notes of what it was asked for."""
    notes = SimpleNamespace(trained=[], predicted=[], stop_after=99)
    pairs = [Pair(name, tmp_path / f"{name}.nii", tmp_path / f"{name}-mask.nii") for name in NAMES]

    def prepare(pairs, stage, modality, folder, progress):
        return {pair.name: pair.name for pair in pairs}

    def data(stage, folder, subjects, training, validation, simulated, patch, seed, recipe):
        return SimpleNamespace(training=training, validation=validation, epoch=5, description={}, seed=seed)

    def train(stage, data, recipe, folder, weights, resume, *rest, processes):
        assert resume, "a fold that was begun goes on"
        if len(notes.trained) >= notes.stop_after:
            return SimpleNamespace(finished=False), None
        notes.trained.append((stage, data, recipe, folder))
        weights.mkdir(parents=True, exist_ok=True)
        (weights / f"{stage.weights}.json").write_text("{}")
        return SimpleNamespace(finished=True), None

    def predict(pair, preset, models, folder, postprocess, device):
        folder.mkdir(parents=True)
        (folder / "prediction.json").write_text("{}")
        notes.predicted.append((pair.name, models, postprocess))

    monkeypatch.setattr(cross_validation, "find_pairs", lambda source: pairs)
    monkeypatch.setattr(cross_validation, "describe_subjects",
                        lambda pairs, role, progress: [Subject(p.name, "left", 1.0) for p in pairs])
    for name, stand_in in {"prepare_pairs": prepare, "split_training_data": data, "train_stage": train,
                           "predict_held_out": predict, "models_of_fold": lambda preset, folder: folder.parent.name,
                           }.items():
        monkeypatch.setattr(cross_validation, name, stand_in)
    return notes


def request(tmp_path, preset="vnet", **changes):
    return CrossValidation(find_preset(preset), tmp_path / "out", **{"folds": 3, "recipe": "qct-2021", **changes})


def test_both_networks_of_a_cascade_are_trained_before_a_fold_is_predicted(recorded, tmp_path):
    asked = request(tmp_path, changes={"epochs": 7})
    plan = plan_folds(asked, "somewhere", False, seed=2)
    assert run_folds(asked, plan)
    assert [(stage.role, folder.relative_to(asked.folder).as_posix()) for stage, _, _, folder in recorded.trained] == [
        (role, f"fold-{n}/{role}") for n in (1, 2, 3) for role in ("periosteal", "endosteal")]
    for number, (stage, data, recipe, _) in enumerate(recorded.trained):
        held_out = plan.folds[number // 2]
        assert (recipe.loss, recipe.learning_rate, recipe.epochs, recipe.keep) == ("ce", 1e-4, 7, "best")
        assert stage.options == recipe.options == {"base_features": 16, "norm": "batch"}
        assert sorted(data.training + held_out) == NAMES and data.validation == held_out
        assert data.description == {"fold": f"{number // 2 + 1} of 3", "validated_on": "the fold that is held out"}
    assert [(name, f"fold-{n}", "auto") for n, fold in enumerate(plan.folds, start=1) for name in fold] == (
        recorded.predicted)


def test_inner_validation_sees_no_one_who_is_held_out(recorded, tmp_path):
    asked = request(tmp_path, validation="inner")
    plan = plan_folds(asked, "somewhere", False, seed=2)
    run_folds(asked, plan)
    for number, (_, data, _, _) in enumerate(recorded.trained):
        held_out = plan.folds[number // 2]
        assert data.validation and not set(data.validation) & set(held_out)
        assert sorted([*data.training, *data.validation, *held_out]) == NAMES
        assert data.description["validated_on"] == "subjects of the other folds"


def test_what_is_done_is_not_done_again(recorded, tmp_path):
    asked = request(tmp_path)
    plan = plan_folds(asked, "somewhere", False, seed=2)
    recorded.stop_after = 3
    assert not run_folds(asked, plan)
    assert len(recorded.trained) == 3 and len(recorded.predicted) == 4
    with pytest.raises(BadInputError, match="already holds a cross-validation"):
        plan_folds(asked, "somewhere", False, seed=2)
    again = plan_folds(asked, "somewhere", True, seed=2)
    assert again == plan
    # A prediction that a kill left unfinished is made anew.
    (asked.folder / "fold-2" / "predictions" / plan.folds[1][0] / ".unfinished-x").mkdir(parents=True)
    recorded.stop_after = 99
    assert run_folds(asked, again)
    assert len(recorded.trained) == 6 and len(recorded.predicted) == 12
    with pytest.raises(BadInputError, match="with other seed"):
        plan_folds(asked, "somewhere", True, seed=3)


def test_table_of_all_cases(recorded, tmp_path):
    asked = request(tmp_path)
    plan = plan_folds(asked, "somewhere", False, seed=2)
    lines = write_case_table(asked, plan).read_text().splitlines()
    assert len(lines) == 1 + 12 * 2
    first = plan.folds[0][0]
    assert lines[1].startswith(f"{first},vnet,periosteal,1,fold-1/predictions/{first}/periosteal-reference.nii.gz,")
    mr = request(tmp_path, "unet3d", recipe="scirep-2018")
    assert write_case_table(mr, plan).read_text().splitlines()[1].startswith(f"{first},unet3d,,1,")


def test_masks_are_shown_before_and_after_where_one_femur_is_in_view(tmp_path):
    mr, ct = request(tmp_path, "unet3d"), request(tmp_path)
    one, both = (Plan([], [], {"a": "left", "b": side}) for side in ("right", "both"))
    assert shows_postprocessing(mr, one)
    assert not shows_postprocessing(mr, both) and not shows_postprocessing(ct, one)


def test_two_hips_of_one_subject_are_two_cases(tmp_path):
    names = [case_name(Pair("ann", tmp_path, tmp_path, side=side)) for side in ("left", "right", None)]
    assert names == ["ann-left", "ann-right", "ann"]


def test_phantoms_are_pairs_and_not_made_twice(tmp_path):
    said = []
    folder = make_phantoms(tmp_path, "mr", 1, seed=4, announce=lambda done, total: said.append((done, total)),
                           slices=8, matrix=32)
    (place,) = folder.iterdir()
    assert place.name == "phantom-0004" and said == [(0, 1)]
    image, truth = read_volume(place / "image.nii.gz"), read_labels(place / "truth.nii.gz")
    assert image.array.shape == truth.array.shape == (8, 32, 32) and set(np.unique(truth.array)) <= {0, 1, 2, 11, 12}
    before = (place / "image.nii.gz").stat().st_mtime_ns
    make_phantoms(tmp_path, "mr", 1, seed=4, slices=8, matrix=32)
    assert (place / "image.nii.gz").stat().st_mtime_ns == before
    assert json.loads((place / "landmarks.json").read_text())["parameters"]
