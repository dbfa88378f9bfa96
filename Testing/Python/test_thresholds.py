"""Thresholds: Otsu against scikit-image, operating points against a search through every possible cut."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.filters import threshold_otsu

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.evaluation.curves import score_curve
from ProximalFemurSegLib.evaluation.overlap import count_confusion
from ProximalFemurSegLib.thresholds import THRESHOLD_METHODS, find_operating_points, otsu_threshold, resolve_threshold


def probability_map(seed, bone=0.3, sharpness=4.0, shape=(8, 20, 20), dtype=np.float32):
    rng = np.random.default_rng(seed)
    logit = rng.normal(np.where(rng.random(shape) < bone, sharpness, -sharpness), 1.5)
    return (1 / (1 + np.exp(-logit))).astype(dtype)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bone", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("sharpness", [0.5, 3, 12])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_otsu_is_scikit_images(seed, bone, sharpness, dtype):
    values = probability_map(seed, bone, sharpness, dtype=dtype)
    assert otsu_threshold(values) == threshold_otsu(values)
    assert otsu_threshold(values, 64) == threshold_otsu(values, 64)


@settings(max_examples=80, deadline=None)
@given(values=arrays(np.float32, st.integers(1, 60), elements=st.floats(0, 1, width=32)))
def test_otsu_is_scikit_images_for_anything(values):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = threshold_otsu(values)
        except ValueError:  # a range too small for numpy's bins
            with pytest.raises(ValueError):
                otsu_threshold(values)
            return
    assert otsu_threshold(values) == expected


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((3, 4, 5), np.float32),
        np.full((3, 4, 5), 0.7, np.float32),
        np.array([0, 1], np.float32),
        np.array([0] * 99 + [1], np.float32),
        np.array([0.2, 0.2, 0.8]),
        np.array([0] * 50 + [0.5] * 50 + [1] * 50, np.float32),
        np.arange(256, dtype=np.uint8),
        np.array([0, 0, 3, 9, 9, 200], np.int16),
        np.array([-5, -5, 7], np.int32),
    ],
)
def test_degenerate_maps(values):
    assert otsu_threshold(values) == threshold_otsu(values)


def test_constant_map_has_no_bone():
    for value in (0, 0.3, 1):
        flat = np.full((2, 3, 4), value, np.float32)
        assert not (flat > otsu_threshold(flat)).any()


def test_otsu_separates_two_heaps():
    values = np.concatenate([np.linspace(0, 0.2, 900), np.linspace(0.8, 1, 100)])
    assert (values > otsu_threshold(values)).sum() == 100


@pytest.mark.parametrize("values", [[], [0.5, np.nan], [0.5, np.inf]])
def test_otsu_needs_finite_values(values):
    with pytest.raises(ValueError, match="finite"):
        otsu_threshold(values)


def best_by_search(scores, truth):
    """Every cut between two scores, tried one after the other."""
    found = {}
    for score in np.unique(scores):
        counted = count_confusion(scores >= score, truth)
        if not counted.true_positives:
            continue
        sensitivity, specificity = counted.recall, counted.specificity
        for name, badness in {
            "threshold": np.hypot(1 - counted.precision, 1 - counted.recall),
            "roc": np.hypot(1 - specificity, 1 - sensitivity),
            "youden": 1 - (sensitivity + specificity - 1),
        }.items():
            if name not in found or badness <= found[name][0] + 1e-12:
                found[name] = (badness, counted)
    return {name: counted for name, (_, counted) in found.items()}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("levels", [None, 10])
def test_operating_points_are_the_best_of_all_cuts(seed, levels):
    rng = np.random.default_rng(seed)
    truth = rng.random(300) < 0.2
    scores = np.clip(rng.normal(0.3 + 0.3 * truth, 0.2), 0, 1).astype(np.float32)
    if levels:
        scores = (np.round(scores * levels) / levels).astype(np.float32)
    points = find_operating_points(score_curve(scores, truth))
    expected = best_by_search(scores, truth)
    assert set(points) == {"threshold", "roc", "youden"}
    for name, point in points.items():
        assert count_confusion(scores > point.threshold, truth) == expected[name]
        assert point.precision == pytest.approx(expected[name].precision)
        assert point.recall == pytest.approx(expected[name].recall)
        assert point.specificity == pytest.approx(expected[name].specificity)


def test_perfect_map_is_cut_between_bone_and_background():
    points = find_operating_points(score_curve([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]))
    for point in points.values():
        assert point.threshold == pytest.approx(0.5)
        assert (point.precision, point.recall, point.specificity) == (1, 1, 1)


def test_operating_points_differ_where_bone_is_rare():
    """A few false alarms cost precision at once, and specificity hardly."""
    rng = np.random.default_rng(0)
    truth = rng.random(20000) < 0.01
    scores = np.clip(rng.normal(0.4 + 0.25 * truth, 0.1), 0, 1)
    points = find_operating_points(score_curve(scores, truth))
    assert points["threshold"].threshold > points["roc"].threshold
    assert points["youden"].recall > points["threshold"].recall


def test_operating_points_need_bone():
    with pytest.raises(ValueError, match="need voxels of bone"):
        find_operating_points(score_curve([0.1, 0.2], [0, 0]))


CARD = {"threshold": 0.41, "roc": 0.12, "youden": 0.13}


@pytest.mark.parametrize(("choice", "expected"), [("model", 0.41), ("roc", 0.12), ("youden", 0.13), (" Model ", 0.41)])
def test_operating_points_come_from_the_card(choice, expected):
    assert resolve_threshold(choice, operating_points=CARD) == expected


@pytest.mark.parametrize(
    ("choice", "expected"), [(0.3, 0.3), ("0.3", 0.3), (np.float32(0.5), 0.5), ("9266e-4", 0.9266)]
)
def test_fixed_value(choice, expected):
    assert resolve_threshold(choice) == pytest.approx(expected)


def test_otsu_of_the_map():
    values = probability_map(0)
    assert resolve_threshold("otsu", values) == threshold_otsu(values)
    assert set(THRESHOLD_METHODS) == {"model", "otsu", "roc", "youden"}


@pytest.mark.parametrize("choice", ["model", "roc", "youden"])
@pytest.mark.parametrize("card", [None, {}, {"threshold": None, "other": 0.5}])
def test_point_that_the_card_lacks(choice, card):
    with pytest.raises(BadInputError, match=f"no operating point '{choice}': choose otsu"):
        resolve_threshold(choice, operating_points=card)


@pytest.mark.parametrize("choice", ["best", "", 0, 1, -0.1, "1.5", float("nan"), None])
def test_unknown_choice(choice):
    with pytest.raises(
        BadInputError, match="choose model, otsu, roc, youden, or a probability between 0 and 1"
    ) as error:
        resolve_threshold(choice)
    assert f"'{choice}'" in str(error.value)
