"""Areas under curves against their definitions, worked out pair by pair and threshold by threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ProximalFemurSegLib.evaluation import curves
from ProximalFemurSegLib.evaluation.curves import ScoreHistogram, score_curve
from ProximalFemurSegLib.evaluation.overlap import count_confusion


def area_by_pairs(scores, truth):
    """Chance that a bone voxel scores more than a background voxel, equal scores half (Mann and Whitney)."""
    bone, background = scores[truth], scores[~truth]
    return np.mean((bone[:, None] > background) + 0.5 * (bone[:, None] == background))


def average_precision_by_thresholds(scores, truth):
    """scikit-learn's definition: over descending distinct scores, recall gained times precision."""
    total, before = 0.0, 0.0
    for threshold in np.unique(scores)[::-1]:
        called = scores >= threshold
        recall = (called & truth).sum() / truth.sum()
        total += (recall - before) * (called & truth).sum() / called.sum()
        before = recall
    return total


def case(seed, size=200, levels=None, dtype=np.float32):
    rng = np.random.default_rng(seed)
    truth = rng.random(size) < 0.3
    scores = np.clip(rng.normal(0.35 + 0.3 * truth, 0.2), 0, 1)
    if levels:
        scores = np.round(scores * levels) / levels
    return scores.astype(dtype), truth


def test_hand_worked_curve():
    """Scores 0.9 bone, 0.8 background, 0.7 bone and background, 0.1 background."""
    curve = score_curve([0.9, 0.8, 0.7, 0.7, 0.1], [1, 0, 1, 0, 0])
    assert curve.cuts == pytest.approx([0.85, 0.4])
    assert curve.true_positives.tolist() == [1, 2]
    assert curve.false_positives.tolist() == [0, 2]
    assert curve.tied.tolist() == [0, 1]
    assert curve.recall.tolist() == [0.5, 1]
    assert curve.precision.tolist() == [1, 0.5]
    assert curve.roc_auc == pytest.approx((3 + 1.5) / 6)
    assert curve.average_precision == pytest.approx(0.5 * 1 + 0.5 * 0.5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [None, 8, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_areas_are_exact_with_and_without_ties(seed, levels, dtype):
    scores, truth = case(seed, levels=levels, dtype=dtype)
    curve = score_curve(scores, truth)
    assert curve.roc_auc == pytest.approx(area_by_pairs(scores, truth), abs=1e-12)
    assert curve.average_precision == pytest.approx(average_precision_by_thresholds(scores, truth), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    data=st.lists(st.tuples(st.sampled_from([0, 1e-45, 0.25, 0.5, np.nextafter(0.5, 1), 1]), st.booleans()), min_size=1)
)
def test_every_cut_gives_the_counts_that_the_curve_says(data):
    """Also where two scores are neighbours in single precision, or all are equal."""
    scores = np.array([s for s, _ in data], np.float32)
    truth = np.array([t for _, t in data])
    curve = score_curve(scores, truth)
    assert len(curve.cuts) == len(np.unique(scores[truth]))
    for n, cut in enumerate(curve.cuts):
        counted = count_confusion(scores > float(cut), truth)
        assert counted.true_positives == curve.true_positives[n]
        assert counted.false_positives == curve.false_positives[n]
        assert counted.precision == pytest.approx(curve.precision[n])
        assert counted.recall == pytest.approx(curve.recall[n])
        assert 1 - counted.specificity == pytest.approx(curve.false_positive_rate[n])


def test_perfect_useless_and_reversed_maps():
    truth = np.array([0, 0, 0, 1, 1], bool)
    assert score_curve(truth * 0.5, truth).roc_auc == 1
    assert score_curve(truth * 0.5, truth).average_precision == 1
    assert score_curve(np.full(5, 0.5), truth).roc_auc == 0.5
    assert score_curve(np.full(5, 0.5), truth).average_precision == pytest.approx(0.4)
    assert score_curve(1 - truth, truth).roc_auc == 0


def test_without_bone_or_background_areas_are_not_defined():
    scores = np.array([0.1, 0.9])
    assert np.isnan(score_curve(scores, [0, 0]).roc_auc)
    assert np.isnan(score_curve(scores, [0, 0]).average_precision)
    assert np.isnan(score_curve(scores, [1, 1]).roc_auc)
    assert score_curve(scores, [1, 1]).average_precision == 1


def test_order_and_shape_do_not_matter():
    scores, truth = case(1, size=120)
    whole, turned = score_curve(scores, truth), score_curve(scores.reshape(4, 5, 6).T, truth.reshape(4, 5, 6).T)
    assert np.array_equal(whole.cuts, turned.cuts)
    assert whole.roc_auc == turned.roc_auc


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite(bad):
    with pytest.raises(ValueError, match="not finite"):
        score_curve([0.5, bad], [0, 1])
    with pytest.raises(ValueError, match="not finite"):
        ScoreHistogram().add([0.5, bad], [0, 1])


def test_shapes_that_differ():
    with pytest.raises(ValueError, match="differ in shape"):
        score_curve([0.5, 0.6], [0, 1, 1])


@pytest.mark.parametrize("levels", [4, 16])
def test_histogram_is_exact_for_scores_at_its_edges(levels):
    scores, truth = case(2, size=3000, levels=levels)
    histogram = ScoreHistogram(levels * 4)
    histogram.add(scores, truth)
    curve, exact = histogram.curve(), score_curve(scores, truth)
    assert curve.true_positives.tolist() == exact.true_positives.tolist()
    assert curve.false_positives.tolist() == exact.false_positives.tolist()
    assert curve.roc_auc == pytest.approx(exact.roc_auc, abs=1e-12)
    assert curve.average_precision == pytest.approx(exact.average_precision, abs=1e-12)


def test_histogram_is_near_for_any_scores_and_its_cuts_are_true():
    scores, truth = case(3, size=20000)
    histogram = ScoreHistogram()
    for part in range(4):
        histogram.add(scores[part::4], truth[part::4])
    curve, exact = histogram.curve(), score_curve(scores, truth)
    assert curve.roc_auc == pytest.approx(exact.roc_auc, abs=1e-4)
    assert curve.average_precision == pytest.approx(exact.average_precision, abs=1e-3)
    assert (curve.positives, curve.negatives) == (exact.positives, exact.negatives)
    for n in range(0, len(curve.cuts), 97):
        assert count_confusion(scores > curve.cuts[n], truth).true_positives == curve.true_positives[n]


def test_large_cases_are_counted_in_bins(monkeypatch):
    scores, truth = case(4, size=5000)
    exact = score_curve(scores, truth)
    monkeypatch.setattr(curves, "_MOST_EXACT", 4999)
    binned = score_curve(scores, truth)
    assert not np.array_equal(binned.cuts, exact.cuts)
    assert binned.roc_auc == pytest.approx(exact.roc_auc, abs=1e-4)
