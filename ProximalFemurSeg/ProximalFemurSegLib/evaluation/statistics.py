"""Statistics over the cases of a cohort: summaries, intervals, and paired comparisons of models.

A value that is not defined, such as a distance to an empty mask, is left out and counted, never taken as 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
NOT_SIGNIFICANT = "ns"


@dataclass(frozen=True)
class Summary:
    """Values of a cohort in a few numbers; NaN where there are too few values.

    Parameters
    ----------
    count, undefined : int
        Values that are summarised, and those that were left out because they are not defined.
    mean, sd : float
        Mean and standard deviation of the sample (n - 1).
    median, lower_quartile, upper_quartile : float
        Quartiles interpolated linearly.
    smallest, largest : float
        The range.
    """

    count: int
    undefined: int
    mean: float
    sd: float
    median: float
    lower_quartile: float
    upper_quartile: float
    smallest: float
    largest: float

    @property
    def iqr(self) -> float:
        """Interquartile range."""
        return self.upper_quartile - self.lower_quartile


def summarise(values) -> Summary:
    """Summary of values, of which None and NaN are counted as undefined.

    Examples
    --------
    >>> summary = summarise([1.0, 2.0, 3.0, None])
    >>> summary.mean, summary.sd, summary.undefined
    (2.0, 1.0, 1)
    """
    given = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    kept = given[np.isfinite(given)]
    if not len(kept):
        return Summary(0, len(given), *[math.nan] * 7)
    quartiles = np.percentile(kept, (50, 25, 75))
    sd = float(kept.std(ddof=1)) if len(kept) > 1 else math.nan
    return Summary(
        len(kept), len(given) - len(kept), float(kept.mean()), sd, *map(float, quartiles), *map(float, _ends(kept))
    )


def _ends(values):
    return values.min(), values.max()


def bootstrap_interval(values, confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Confidence interval of the mean by drawing subjects anew, bias-corrected and accelerated (Efron 1987).

    Parameters
    ----------
    values : array_like
        One a subject; None and NaN are left out.
    confidence : float
        Between 0 and 1.
    resamples : int
        How often the cohort is drawn.
    seed : int
        The same seed gives the same interval.

    Returns
    -------
    tuple of float
        Lower and upper end; NaN for fewer than two subjects, the value itself if all are equal.
    """
    given = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    kept = given[np.isfinite(given)]
    if len(kept) < 2:
        return math.nan, math.nan
    if np.ptp(kept) <= 1e-12 * max(1.0, float(np.abs(kept).max())):
        return float(kept[0]), float(kept[0])
    from scipy.stats import bootstrap

    found = bootstrap(
        (kept,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        method="BCa",
        vectorized=True,
        axis=0,
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def holm(p_values) -> np.ndarray:
    """Holm's step-down correction of several p-values (Holm, Scand. J. Statist. 1979).

    Parameters
    ----------
    p_values : array_like
        (n,) of one family of tests; NaN for a test that could not be made, which is none.

    Returns
    -------
    numpy.ndarray
        (n,) corrected, in the order given, at most 1.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(given.shape, np.nan)
    tests = np.flatnonzero(np.isfinite(given))
    order = tests[np.argsort(given[tests], kind="stable")]
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * given[order]))
    return corrected


def stars(p_value: float) -> str:
    """A p-value as SciRep-2018, Table 4 prints it: ns, \\* below 0.05, \\*\\* below 0.01, \\*\\*\\* below 0.001.

    A test that could not be made is an empty text.
    """
    if not math.isfinite(p_value):
        return ""
    return next((text for limit, text in STARS if p_value < limit), NOT_SIGNIFICANT)


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same subjects.

    Parameters
    ----------
    first, second : str
        The models.
    count : int
        Subjects with a value for both.
    mean_difference : float
        Second minus first.
    interval : tuple of float
        95 % confidence interval of the mean difference.
    p_value, corrected : float
        Of the Wilcoxon signed-rank test, two-sided, and after Holm's correction over all pairs; NaN without subjects.
    """

    first: str
    second: str
    count: int
    mean_difference: float
    interval: tuple[float, float]
    p_value: float
    corrected: float

    @property
    def stars(self) -> str:
        """In the notation of SciRep-2018, Table 4."""
        return stars(self.corrected)


def compare_models(values: Mapping[str, Mapping[str, float]], pairs=None) -> list[PairedTest]:
    """Paired Wilcoxon signed-rank tests with Holm's correction, as in SciRep-2018, Table 4.

    Parameters
    ----------
    values : mapping
        Model to subject to value; None and NaN are left out with their partner.
    pairs : iterable of tuple of str, optional
        Which models to compare; default all.

    Returns
    -------
    list of PairedTest
        The pairs in the order of the models. Two models that agree on every subject have p = 1.
    """
    chosen = list(combinations(values, 2)) if pairs is None else list(pairs)
    differences = [_differences(values[first], values[second]) for first, second in chosen]
    p_values = [signed_rank_p(difference) for difference in differences]
    return [
        PairedTest(
            first, second, len(d), float(d.mean()) if len(d) else math.nan, bootstrap_interval(d), float(p), float(c)
        )
        for (first, second), d, p, c in zip(chosen, differences, p_values, holm(p_values))
    ]


def _differences(first: Mapping[str, float], second: Mapping[str, float]) -> np.ndarray:
    def defined(value):
        return value is not None and math.isfinite(value)

    shared = [subject for subject in first if defined(first[subject]) and defined(second.get(subject))]
    return np.array([second[subject] - first[subject] for subject in shared], dtype=np.float64)


def signed_rank_p(differences) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 if all differences are 0, NaN if there are none."""
    differences = np.asarray(differences, dtype=np.float64)
    if not len(differences):
        return math.nan
    if not differences.any():
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue)
