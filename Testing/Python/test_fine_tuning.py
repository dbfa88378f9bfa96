"""The parts of a fine-tuning: what is left out, what counts as better, thresholds, stages of a cascade."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

import taught_networks as taught
from ProximalFemurSegLib import models
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.evaluation.curves import score_curve
from ProximalFemurSegLib.fine_tuned import check_label, find_fine_tuned, user_model_folder
from ProximalFemurSegLib.models import find_preset
from ProximalFemurSegLib.training import candidate, fine_tuning
from ProximalFemurSegLib.training.candidate import choose_operating_point
from ProximalFemurSegLib.training.corrected_cases import content_checksum, read_cases, taught_roles
from ProximalFemurSegLib.training.fine_tuning import FineTuningOptions, fine_tune, is_better
from ProximalFemurSegLib.training.fine_tuning_card import store_outcome
from ProximalFemurSegLib.training.left_out import Halves, assign_folds
from ProximalFemurSegLib.training.mixed_samples import MixedSamples
from ProximalFemurSegLib.training.pair_table import Pair, find_pairs
from ProximalFemurSegLib.training.rehearsal import EVERY
from ProximalFemurSegLib.volume import Grid, Volume
from ProximalFemurSegLib.volume_io import read_labels, write_volume


@pytest.mark.parametrize(
    ("before", "after", "better"),
    [
        ([0.80, 0.80], [0.85, 0.81], True),
        ([0.80, 0.80], [0.804, 0.804], False),  # too little
        ([0.80, 0.80], [0.805, 0.805], True),
        ([0.80, 0.80, 0.80], [0.95, 0.79, 0.79], False),  # one case carries the mean
        ([0.80, 0.80], [0.95, 0.79], False),  # as many lose as gain
        ([0.80, 0.80, 0.80], [0.95, 0.79, 0.80], False),
        ([0.0], [0.9], True),
        ([0.9, 0.9], [0.7, 0.8], False),
    ],
)
def test_what_counts_as_better(before, after, better):
    assert is_better(before, after) is better


def people(*names):
    return [SimpleNamespace(pair=SimpleNamespace(name=name)) for name in names]


def test_few_subjects_are_left_out_one_by_one():
    assert assign_folds(people("a", "b", "c")) == [0, 1, 2]
    assert assign_folds(people("a", "a", "b")) == [0, 0, 1], "both hips of a subject go together"
    assert assign_folds(people("a", "a")) == [0, 1], "unless there is nobody else"


def test_many_subjects_are_left_out_in_four_groups_of_like_size():
    names = [f"s{n:02d}" for n in range(10)]
    folds = assign_folds(people(*names), seed=3)
    assert sorted(np.bincount(folds)) == [2, 2, 3, 3]
    assert folds == assign_folds(people(*names), seed=3) != assign_folds(people(*names), seed=4)
    assert sorted(np.bincount(assign_folds(people(*names), most=2))) == [5, 5]


def test_a_plane_divides_an_image_in_halves():
    # Slices run along +A here, 2 mm apart; the plane lies at 7 mm.
    grid = Grid.from_parts((9, 4, 5), (1.0, 1.0, 2.0), direction=np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]]))
    halves = Halves(np.array([0.0, 1.0, 0.0]), 7.0)
    first, second = (halves.of_image(grid, part) for part in (0, 1))
    assert np.array_equal(first, ~second)
    assert [int(first[k].all()) for k in range(9)] == [1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert not first[4:].any()


def test_every_fourth_sample_is_a_simulated_one():
    sets = (SimpleNamespace(sample=lambda n, kind=kind: (kind, n)) for kind in ("case", "phantom"))
    mixed = MixedSamples(*sets, EVERY - 1, EVERY)
    drawn = [mixed.sample(n) for n in range(12)]
    assert [drawn[n] for n in (3, 7, 11)] == [("phantom", 0), ("phantom", 1), ("phantom", 2)]
    assert [n for kind, n in drawn if kind == "case"] == list(range(9))


def test_a_threshold_moves_only_where_that_helps():
    curve = score_curve(np.array([0.9] * 50 + [0.8] * 50 + [0.1] * 900), np.arange(1000) < 100)
    # From 0.2 to 0.7 as good as can be told from a few cases: the usual one stays, or the nearest to it is taken.
    flat = {0.1: 0.4, 0.2: 0.101, 0.5: 0.1, 0.6: 0.102, 0.7: 0.101, 0.9: 0.3}
    assert choose_operating_point(curve, [flat, flat], 0.6)["threshold"] == 0.6
    assert choose_operating_point(curve, [flat, flat], 0.9)["threshold"] == 0.7
    # One case would have it low, two would have it high by less: the mean decides.
    low, high = {0.2: 0.1, 0.5: 0.3, 0.8: 0.7}, {0.2: 0.3, 0.5: 0.25, 0.8: 0.2}
    points = choose_operating_point(curve, [low, high, high], 0.5)
    assert points["threshold"] == 0.2 and set(points) == {"threshold", "roc", "youden"}


def test_thresholds_are_judged_by_the_mask_after_post_processing(monkeypatch):
    # Bone has 0.6 and the rest 0.1, but for a blob of 0.4 apart, which the largest component leaves out. A quarter of
    # the bone has only 0.2.
    truth = np.zeros((12, 12, 12), bool)
    truth[2:6, 2:6, 2:6] = True
    scores = np.where(truth, 0.6, 0.1).astype(np.float32)
    scores[5, 2:6, 2:6] = 0.2
    scores[9:11, 9:11, 9:11] = 0.4
    volume = Volume(scores, Grid.from_parts((12, 12, 12), (1.0, 1.0, 1.0)))

    def largest_above(probabilities, threshold):
        parts, _ = ndimage.label(scores > threshold["bone"])
        return SimpleNamespace(labels=volume.with_array(((parts == parts[3, 3, 3]) & (parts > 0)).astype(np.uint8)))

    monkeypatch.setattr(candidate, "apply_threshold", largest_above)
    case = SimpleNamespace(truth=lambda role, image: truth)
    maps = SimpleNamespace(maps={"bone": volume}, operating_points={"bone": {"threshold": 0.5}})
    found = candidate.Prediction(case, "bone", volume, maps).distances(0.15)
    # By hand: all 64 voxels; above 0.2 only 48 of them, and never the blob; above 0.6 none.
    assert found[0.15] == 0.0 and found[0.3] == found[0.5] == 0.25 and found[0.7] == pytest.approx(2**0.5)
    counted = np.zeros_like(truth)
    counted[:5] = True
    assert candidate.Prediction(case, "bone", volume, maps).distances(0.5, counted)[0.5] == 0.0
    nothing = candidate.Prediction(case, "bone", volume, None).distances(0.5)
    assert min(nothing.values()) >= 1.0


def test_labels_are_names_of_files():
    assert check_label("mysite-3T_v1.2") == "mysite-3T_v1.2"
    for label in ("", "a+b", "a/b", "-a", ".a", "a b", "ä", "x" * 41):
        with pytest.raises(BadInputError, match="name of a fine-tuned network"):
            check_label(label)


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def test_fine_tuned_networks_are_found_by_their_files(tmp_path):
    presets = (find_preset("vnet"), find_preset("unet3d"), find_preset("locator"))
    touch(tmp_path / "a", "vnet-endosteal+site.safetensors", "vnet-endosteal+site.json", "vnet-endosteal.safetensors",
          "vnet-endosteal.json", "unet3d+bare.safetensors", "other+site.safetensors", "other+site.json",
          "locator+x.safetensors", "locator+x.json", "unet3d+a b.safetensors", "unet3d+a b.json")
    touch(tmp_path / "b", "unet3d+two.safetensors", "unet3d+two.json")
    found = find_fine_tuned(presets, [tmp_path / "a", tmp_path / "b", tmp_path / "none"])
    assert [(p.name, p.origin) for p in found] == [("unet3d+two", "unet3d"), ("vnet+site", "vnet")]
    cascade = found[1]
    # The stage that has no weights of its own stays the shipped one.
    assert [stage.weights for stage in cascade.stages] == ["vnet-periosteal", "vnet-endosteal+site"]
    assert cascade.stages[1].preprocessing == presets[0].stages[1].preprocessing
    assert "fine-tuned (site)" in cascade.title


def test_a_users_folder_never_hides_shipped_weights(monkeypatch, tmp_path):
    monkeypatch.delenv(models.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    folder = user_model_folder()
    assert folder.is_relative_to(tmp_path) and models.model_folders()[-1] == folder
    shipped = models.weights_path(find_preset("locator").stages[0])
    folder.mkdir(parents=True)
    touch(folder, "locator.safetensors", "locator.json", "unet3d+mine.safetensors", "unet3d+mine.json")
    assert models.weights_path(find_preset("locator").stages[0]) == shipped
    assert find_preset("unet3d+mine").origin == "unet3d"
    names = [preset.name for preset in models.all_presets()]
    assert names.index("unet3d+mine") == names.index("unet3d") + 1


def test_checksum_of_a_series_is_that_of_its_files(tmp_path):
    touch(tmp_path / "one")
    touch(tmp_path / "two")
    for name, content in (("b", b"2"), ("a", b"1")):
        (tmp_path / "one" / name).write_bytes(content)
        (tmp_path / "two" / f"renamed-{name}").write_bytes(content)
    assert content_checksum(tmp_path / "one") == content_checksum(tmp_path / "two")
    (tmp_path / "two" / "renamed-a").write_bytes(b"3")
    assert content_checksum(tmp_path / "one") != content_checksum(tmp_path / "two")


@pytest.fixture
def cascade(tmp_path, monkeypatch):
    """A tiny cascade with weights, two CT cases, and simulated hips."""
    data = taught.write_cases(tmp_path / "data", 2, "CT", inverted=False)
    monkeypatch.setenv(models.ENVIRONMENT_VARIABLE, str(tmp_path / "weights"))
    taught.offer(monkeypatch, taught.TINY_CT)
    for stage in taught.TINY_CT.stages:
        taught.teach(stage, "ct", data, tmp_path / stage.role, tmp_path / "weights", steps=20)
    return data, taught.bake_balls(tmp_path / "phantoms")


def test_each_stage_of_a_cascade_is_kept_for_itself(cascade, tmp_path, monkeypatch):
    data, phantoms = cascade
    preset = taught.TINY_CT
    cases = read_cases(find_pairs(data), preset, "ct")
    assert [case.side for case in cases] == ["left", "left"]
    answers = iter([False, True])
    monkeypatch.setattr(fine_tuning, "is_better", lambda before, after: next(answers))
    options = FineTuningOptions(steps=2, patch=taught.PATCH)
    first, second = fine_tune(preset, cases, tmp_path / "work", options, phantoms)
    assert [(o.stage.role, o.kept) for o in (first, second)] == [("periosteal", False), ("endosteal", True)]
    assert not (tmp_path / "work" / "periosteal" / "all").exists(), "no training for weights that are not kept"
    store_outcome(preset, second, "site", cases, options, True, tmp_path / "weights")
    own = find_preset("tiny-ct+site")
    assert [stage.weights for stage in own.stages] == ["tiny-periosteal", "tiny-endosteal+site"]
    assert models.has_weights(own)
    models.load_network(own.stages[1])


def test_a_kept_stage_feeds_the_next_one(cascade, tmp_path, monkeypatch):
    data, phantoms = cascade
    seen = []
    original = fine_tuning.predict_case

    def watch(case, preset, role, others, *rest):
        seen.append((role, sorted(others)))
        return original(case, preset, role, others, *rest)

    monkeypatch.setattr(fine_tuning, "predict_case", watch)
    monkeypatch.setattr(fine_tuning, "is_better", lambda before, after: True)
    cases = read_cases(find_pairs(data), taught.TINY_CT, "ct")
    fine_tune(taught.TINY_CT, cases, tmp_path / "work", FineTuningOptions(steps=1, patch=taught.PATCH), phantoms)
    both = ["tiny-endosteal", "tiny-periosteal"]
    outer = [("periosteal", []), ("periosteal", both[1:])]
    assert seen == 2 * outer + 2 * [("endosteal", both[1:]), ("endosteal", both)]


def test_masks_decide_what_is_taught(cascade, tmp_path):
    data, _ = cascade
    preset = taught.TINY_CT
    assert taught_roles(preset, read_cases(find_pairs(data), preset, "ct")) == ["periosteal", "endosteal"]
    path = data / "person1" / "mask.nii.gz"
    labels = read_labels(path)
    write_volume(labels.with_array((labels.array > 0).astype(np.uint8)), path)
    cases = read_cases(find_pairs(data), preset, "ct")
    assert taught_roles(preset, cases) == ["periosteal"], "one mask does not tell the marrow"
    with pytest.raises(BadInputError, match="stage endosteal.*column endosteal"):
        fine_tune(preset, cases, tmp_path / "work", FineTuningOptions(roles=("endosteal",)))


def test_truth_follows_the_images_order_of_axes(tmp_path):
    from ProximalFemurSegLib.orientation import reorient
    from ProximalFemurSegLib.volume_io import read_volume

    data = taught.write_cases(tmp_path / "data", 1)
    pair = find_pairs(data)[0]
    expected = read_labels(pair.mask).array > 0
    write_volume(reorient(read_labels(pair.mask), "RSP"), tmp_path / "turned.nii.gz")
    turned = dataclasses.replace(pair, mask=tmp_path / "turned.nii.gz")
    (case,) = read_cases([turned], find_preset("unet3d"), "mr")
    assert np.array_equal(case.truth("bone", read_volume(pair.image)), expected)


def test_no_case_of_unknown_side(tmp_path):
    data = taught.write_cases(tmp_path / "data", 1, "CT", inverted=False)
    path = data / "person0" / "mask.nii.gz"
    labels = read_labels(path)
    ball = labels.with_array(labels.array * (np.arange(30)[:, None] < 9).astype(np.uint8))
    write_volume(ball, path)
    pair = Pair("person0", data / "person0" / "image.nii.gz", path)
    with pytest.raises(BadInputError, match="column side"):
        read_cases([pair], taught.TINY_CT, "ct")
