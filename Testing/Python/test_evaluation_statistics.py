"""Summaries, intervals and tests against numpy, scipy, Monte Carlo, and results worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from ProximalFemurSegLib.evaluation.statistics import (
    bootstrap_interval,
    compare_models,
    holm,
    signed_rank_p,
    stars,
    summarise,
)


def test_summary_by_hand():
    summary = summarise([4.0, 1.0, None, 2.0, math.nan, 3.0])
    assert (summary.count, summary.undefined) == (4, 2)
    assert summary.mean == 2.5
    assert summary.sd == pytest.approx(math.sqrt(5 / 3))
    assert (summary.median, summary.lower_quartile, summary.upper_quartile) == (2.5, 1.75, 3.25)
    assert summary.iqr == 1.5
    assert (summary.smallest, summary.largest) == (1, 4)


def test_summary_of_too_little():
    nothing = summarise([None, math.nan])
    assert (nothing.count, nothing.undefined) == (0, 2)
    assert math.isnan(nothing.mean) and math.isnan(nothing.median)
    alone = summarise([7.0])
    assert (alone.mean, alone.median) == (7, 7)
    assert math.isnan(alone.sd)


def test_holm_by_hand():
    """Of four, the smallest is multiplied by 4, the next by 3, and none falls below the one before it."""
    assert holm([0.02, 0.01, 0.5, 0.03]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([0.01, np.nan, 0.04]) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    assert holm([]).tolist() == []


def test_holm_rejects_what_its_own_procedure_rejects():
    """Step by step: test the smallest at alpha / m, the next at alpha / (m - 1), stop at the first that fails."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = rng.random(rng.integers(1, 9)) ** 3
        alpha, rejected = rng.choice([0.05, 0.2, 0.5]), set()
        for step, index in enumerate(np.argsort(p)):
            if p[index] >= alpha / (len(p) - step):
                break
            rejected.add(int(index))
        assert set(np.flatnonzero(holm(p) < alpha).tolist()) == rejected


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.05, "ns"), (0.9, "ns"), (0.0499, "*"), (0.01, "*"), (0.0099, "**"), (0.001, "**"), (0.00099, "***")],
)
def test_stars_of_the_paper(p, text):
    assert stars(p) == text


def test_no_test_has_no_star():
    assert stars(math.nan) == ""


def test_signed_ranks_by_hand():
    """Six subjects that all gain: of the 64 equally likely signs two are as extreme."""
    assert signed_rank_p([1, 2, 3, 4, 5, 6]) == pytest.approx(2 / 64)
    assert signed_rank_p([0.0, 0.0]) == 1
    assert math.isnan(signed_rank_p([]))


def test_models_are_paired_by_subject_and_corrected_together():
    rng = np.random.default_rng(3)
    subjects = [f"s{n}" for n in range(12)]
    base = rng.random(12)
    models = {
        "a": dict(zip(subjects, base)),
        "b": dict(zip(reversed(subjects), reversed(base + rng.normal(0.05, 0.02, 12)))),
        "c": dict(zip(subjects, base + rng.normal(0, 0.02, 12))),
    }
    tests = compare_models(models)
    assert [(t.first, t.second) for t in tests] == [("a", "b"), ("a", "c"), ("b", "c")]
    expected = [
        stats.wilcoxon([models[q][s] - models[p][s] for s in subjects]).pvalue
        for p, q in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    assert [t.p_value for t in tests] == pytest.approx(expected)
    assert [t.corrected for t in tests] == pytest.approx(holm(expected).tolist())
    assert tests[0].mean_difference == pytest.approx(0.05, abs=0.02)
    assert tests[0].interval[0] < tests[0].mean_difference < tests[0].interval[1]
    assert tests[0].stars == "**"


def test_subjects_without_a_value_are_left_out_with_their_partner():
    first, second = {"x": 1.0, "y": None, "z": 3.0, "only here": 4.0}, {"x": 2.0, "y": 5.0, "z": math.nan}
    (test,) = compare_models({"a": first, "b": second})
    assert (test.count, test.mean_difference) == (1, 1.0)
    (empty,) = compare_models({"a": {"x": 1.0}, "b": {"y": 1.0}})
    assert empty.count == 0 and math.isnan(empty.p_value) and empty.stars == ""


def test_only_the_pairs_asked_for_are_corrected_for():
    models = {name: {str(n): n + step * (n + 1) for n in range(8)} for name, step in (("a", 0), ("b", 1), ("c", 2))}
    assert [t.corrected for t in compare_models(models, [("a", "b")])] == pytest.approx([2 / 256])
    assert [t.corrected for t in compare_models(models)] == pytest.approx([6 / 256] * 3)


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [bootstrap_interval(rng.exponential(2.0, 40), resamples=400) for _ in range(120)]
    covered = np.mean([low <= 2.0 <= high for low, high in intervals])
    assert 0.85 <= covered <= 1.0, "95 % asked for; 120 tries of skewed samples"
    low, high = bootstrap_interval(rng.normal(5, 1, 400))
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.2)


def test_interval_is_the_same_every_time_and_sane_at_its_limits():
    values = [0.9, 0.95, 0.97, None, 0.91]
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
    assert all(map(math.isnan, bootstrap_interval([0.5])))
