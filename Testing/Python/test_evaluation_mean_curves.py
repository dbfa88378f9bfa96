"""Curves at fixed places, their means, and the stated bounds of the histogram's areas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from ProximalFemurSegLib.evaluation.curves import ScoreHistogram, score_curve
from ProximalFemurSegLib.evaluation.mean_curves import FALSE_POSITIVE_RATES, RECALLS, mean_curve, sample_curve


def case(seed, size=400, levels=None, spread=0.2):
    rng = np.random.default_rng(seed)
    truth = rng.random(size) < 0.3
    scores = np.clip(rng.normal(0.35 + 0.3 * truth, spread), 0, 1)
    return (np.round(scores * levels) / levels if levels else scores).astype(np.float32), truth


@pytest.mark.parametrize("levels", [None, 8])
def test_roc_agrees_with_scikit_learn_everywhere(levels):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, truth = case(1, levels=levels)
    rates, recalls, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    curve = score_curve(scores, truth)
    between = np.setdiff1d(FALSE_POSITIVE_RATES, rates)
    assert curve.recall_at(between) == pytest.approx(np.interp(between, rates, recalls), abs=1e-12)
    x, y = curve.roc_points()
    assert trapezoid(y, x) == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
    # Straight above a rate the curve has more than one height; the upper end is the one that counts.
    assert curve.recall_at([0.0])[0] == pytest.approx(recalls[rates == 0].max(), abs=1e-12)


@pytest.mark.parametrize("levels", [None, 8])
def test_precision_is_that_of_the_threshold_that_reaches_the_recall(levels):
    scores, truth = case(2, levels=levels)
    curve = score_curve(scores, truth)
    for recall, found in zip(RECALLS, curve.precision_at(RECALLS)):
        needed = max(1, int(np.ceil(recall * truth.sum() - 1e-9)))
        called = scores >= np.sort(scores[truth])[::-1][needed - 1]
        assert found == pytest.approx(truth[called].mean(), abs=1e-12)


def test_mean_by_hand():
    """One perfect curve, and one where the only background voxel outranks the bone."""
    perfect, reversed_ = (sample_curve(score_curve(scores, [1, 0])) for scores in ([0.9, 0.1], [0.1, 0.9]))
    mean = mean_curve([perfect, reversed_])
    assert mean.recall[:-1] == pytest.approx(0.5)
    assert mean.recall[-1] == 1
    assert mean.precision == pytest.approx(0.75)
    assert mean.precision_sd == pytest.approx(np.sqrt(2) / 4)
    assert mean.roc_auc.tolist() == [1, 0]
    assert mean.average_precision.tolist() == [1, 0.5]
    assert not mean_curve([perfect]).recall_sd.any()


def test_where_there_is_no_curve():
    assert sample_curve(score_curve([0.1, 0.2], [0, 0])) is None
    assert sample_curve(score_curve([0.1, 0.2], [1, 1])) is None
    with pytest.raises(ValueError, match="at least one"):
        mean_curve([])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), bins=st.integers(1, 40), levels=st.sampled_from([None, 3, 30]))
def test_areas_of_a_histogram_keep_to_their_bounds(seed, bins, levels):
    scores, truth = case(seed, 120, levels, spread=0.4)
    truth[:2] = True, False
    histogram = ScoreHistogram(bins)
    histogram.add(scores, truth)
    curve, exact = histogram.curve(), score_curve(scores, truth)
    assert exact.roc_auc_error == exact.average_precision_error == 0
    assert abs(curve.roc_auc - exact.roc_auc) <= curve.roc_auc_error + 1e-12
    assert abs(curve.average_precision - exact.average_precision) <= curve.average_precision_error + 1e-12


def test_bounds_are_reached_and_shrink_with_the_bins():
    """Two bins by hand: bone 0.9 and 0.6, background 0.7 and 0.1; the upper bin hides one pair's order of each bone."""
    histogram = ScoreHistogram(2)
    histogram.add(np.array([0.9, 0.6, 0.7, 0.1]), np.array([1, 1, 0, 0], bool))
    curve = histogram.curve()
    assert curve.roc_auc_error == pytest.approx(0.5 * 2 * 1 / 4)
    # Binned 2/3 for both; at best 1 for both, at worst 1/2 and 2/3.
    assert curve.average_precision == pytest.approx(2 / 3)
    assert curve.average_precision_error == pytest.approx(1 / 3)
    errors = []
    for bins in (16, 256, 65536):
        scores, truth = case(7, 5000)
        histogram = ScoreHistogram(bins)
        histogram.add(scores, truth)
        errors.append((histogram.curve().roc_auc_error, histogram.curve().average_precision_error))
    assert errors[0] > errors[1] > errors[2]
    assert max(errors[2]) < 1e-3
