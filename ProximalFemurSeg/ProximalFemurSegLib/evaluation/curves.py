"""ROC and precision-recall curves of a probability map, and the areas under them.

Definitions are those of scikit-learn: the area under the ROC curve by trapezoids, ties included; average precision as
the sum over thresholds of recall gained times precision, without interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MOST_EXACT = 1 << 25  # voxels; more than that are counted in bins
_BINS = 1 << 16


@dataclass(frozen=True, eq=False)
class ScoreCurve:
    """How many voxels lie above every cut through the scores of the bone's voxels.

    Parameters
    ----------
    cuts : numpy.ndarray
        (n,) descending; voxels whose score is larger than a cut are called bone.
    true_positives, false_positives : numpy.ndarray
        (n,) bone and background voxels above each cut.
    tied : numpy.ndarray
        (n,) of the false positives those that share the score of the lowest bone voxels above the cut.
    positives, negatives : int
        All bone and all background voxels.
    lumped : numpy.ndarray or None
        (n,) of the bone voxels those that were put together above each cut without knowing their order among the
        ``tied`` background; None where scores that count as equal are equal.
    """

    cuts: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray
    tied: np.ndarray
    positives: int
    negatives: int
    lumped: np.ndarray | None = None

    @property
    def recall(self) -> np.ndarray:
        """(n,) true positive rate; NaN without bone."""
        return self.true_positives / self.positives if self.positives else np.full(len(self.cuts), np.nan)

    @property
    def precision(self) -> np.ndarray:
        """(n,) share of bone among what lies above each cut."""
        return self.true_positives / (self.true_positives + self.false_positives)

    @property
    def false_positive_rate(self) -> np.ndarray:
        """(n,) 1 - specificity; 0 without background."""
        return self.false_positives / max(1, self.negatives)

    @property
    def roc_auc(self) -> float:
        """Area under the ROC curve; NaN without bone or without background."""
        if not self.positives or not self.negatives:
            return float("nan")
        gained = np.diff(self.true_positives, prepend=0)
        # Background above a bone voxel counts against it wholly, background of the same score by half.
        against = (gained * (self.false_positives - 0.5 * self.tied)).sum()
        return float(1 - against / self.positives / self.negatives)

    @property
    def average_precision(self) -> float:
        """Area under the precision-recall curve as a sum of steps; NaN without bone."""
        if not self.positives:
            return float("nan")
        gained = np.diff(self.true_positives, prepend=0)
        return float((gained * self.precision).sum() / self.positives)

    @property
    def roc_auc_error(self) -> float:
        """How far `roc_auc` may be from the exact one: 0, or half the pairs whose order a histogram has lost."""
        if self.lumped is None or not self.positives or not self.negatives:
            return 0.0
        return float((self.lumped * 0.5 * self.tied).sum() / self.positives / self.negatives)

    @property
    def average_precision_error(self) -> float:
        """How far `average_precision` may be from the exact one; 0 without a histogram.

        Of a bin the best order has all bone before all background, the worst all background before the bone, one after
        the other; the sums over ranks are differences of the digamma function.
        """
        if self.lumped is None or not self.positives:
            return 0.0
        from scipy.special import digamma

        gained, above = self.lumped, self.true_positives - self.lumped
        best = gained * self.true_positives / (self.true_positives + self.false_positives - self.tied)
        wrong = self.false_positives
        worst = gained - wrong * (digamma(self.true_positives + wrong + 1) - digamma(above + wrong + 1))
        binned = gained * self.precision
        unknown = (self.tied > 0) & (gained > 0)
        upwards, downwards = (best - binned)[unknown].sum(), (binned - worst)[unknown].sum()
        return float(max(upwards, downwards, 0.0) / self.positives)

    def roc_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of the ROC curve from (0, 0) to (1, 1): false positive rates and recalls, both (2 n + 2,)."""
        before = np.concatenate([[0], self.true_positives[:-1]])
        false = np.stack([self.false_positives - self.tied, self.false_positives], axis=1).ravel()
        true = np.stack([before, self.true_positives], axis=1).ravel()
        rates = np.concatenate([[0], false, [self.negatives]]) / max(1, self.negatives)
        return rates, np.concatenate([[0], true, [self.positives]]) / max(1, self.positives)

    def recall_at(self, false_positive_rates) -> np.ndarray:
        """Height of the ROC curve over false positive rates; where it rises straight up, its upper end."""
        rates, recalls = self.roc_points()
        wanted = np.asarray(false_positive_rates, dtype=np.float64)
        after = np.clip(np.searchsorted(rates, wanted, side="right"), 1, len(rates) - 1)
        low, high = rates[after - 1], rates[after]
        share = np.divide(wanted - low, high - low, out=np.ones_like(wanted), where=high > low)
        return recalls[after - 1] + np.clip(share, 0, 1) * (recalls[after] - recalls[after - 1])

    def precision_at(self, recalls) -> np.ndarray:
        """Precision at the highest threshold that reaches each recall: the steps that `average_precision` sums."""
        wanted = np.asarray(recalls, dtype=np.float64) * self.positives
        index = np.searchsorted(self.true_positives, np.ceil(wanted - 1e-9), side="left")
        return self.precision[np.clip(index, 0, len(self.cuts) - 1)]


def score_curve(probability, truth) -> ScoreCurve:
    """The exact curve of one case; a case of more than 33 million voxels is counted in 65536 bins.

    Parameters
    ----------
    probability : numpy.ndarray
        Scores, larger for bone.
    truth : numpy.ndarray
        bool, of the same shape.

    Raises
    ------
    ValueError
        Shapes that differ, or scores that are not finite.
    """
    probability, truth = _checked(probability, truth)
    if probability.size > _MOST_EXACT:
        histogram = ScoreHistogram(_BINS)
        histogram.add(probability, truth)
        return histogram.curve()
    bone = np.sort(probability[truth])
    background = np.sort(probability[~truth])
    first = np.flatnonzero(np.concatenate([[True], bone[1:] != bone[:-1]])[: len(bone)])
    scores = bone[first]
    at_least = len(background) - np.searchsorted(background, scores, side="left")
    above = len(background) - np.searchsorted(background, scores, side="right")
    return ScoreCurve(
        cuts=_cuts(scores, background)[::-1],
        true_positives=(len(bone) - first)[::-1],
        false_positives=at_least[::-1],
        tied=(at_least - above)[::-1],
        positives=len(bone),
        negatives=len(background),
    )


def _cuts(scores, background) -> np.ndarray:
    """Midway from each score to the next lower one of any voxel, in the scores' own precision."""
    kind = scores.dtype if scores.dtype.kind == "f" else np.float64
    scores = scores.astype(kind)
    none = np.array([-np.inf], kind)
    lower = np.concatenate([none, scores[:-1]])
    background = np.concatenate([none, background.astype(kind)])
    lower = np.maximum(lower, background[np.searchsorted(background, scores, side="left") - 1])
    middle = np.where(np.isfinite(lower), lower / 2 + scores / 2, np.nextafter(scores, none))
    return np.where(middle < scores, middle, lower)


def _checked(probability, truth):
    probability, truth = np.asarray(probability), np.asarray(truth, bool)
    if probability.shape != truth.shape:
        raise ValueError(f"Probability and truth differ in shape: {probability.shape} and {truth.shape}.")
    if not np.isfinite(probability).all():
        raise ValueError("The probability map holds values that are not finite.")
    return probability, truth


class ScoreHistogram:
    """Counts of scores from 0 to 1 in even bins, for a curve over many cases that do not fit in memory together.

    The cuts of its curve and the precision and recall there are exact; the areas under it lie within `roc_auc_error`
    and `average_precision_error` of the exact ones, which the curve states for the voxels it was made of.

    Parameters
    ----------
    bins : int
        Scores within one bin count as equal.
    """

    def __init__(self, bins: int = 4096):
        self.bins = bins
        self._bone = np.zeros(bins, np.int64)
        self._background = np.zeros(bins, np.int64)

    def add(self, probability, truth) -> None:
        """Count the voxels of one more case; scores outside 0 to 1 go to the first or last bin.

        Raises
        ------
        ValueError
            Shapes that differ, or scores that are not finite.
        """
        probability, truth = _checked(probability, truth)
        # A bin is open below and closed above, so that "larger than its lower edge" is to be in it or above it.
        index = np.ceil(probability * probability.dtype.type(self.bins)).astype(np.int32)
        index -= 1
        np.clip(index, 0, self.bins - 1, out=index)
        bone = np.bincount(index[truth], minlength=self.bins)
        self._bone += bone
        self._background += np.bincount(index.ravel(), minlength=self.bins) - bone

    def include(self, other: ScoreHistogram) -> None:
        """Count all that another histogram of as many bins has counted."""
        self._bone += other._bone
        self._background += other._background

    def curve(self) -> ScoreCurve:
        """The curve of all voxels counted so far."""
        used = np.flatnonzero(self._bone)[::-1]
        # Midway through the empty bins below, so that a threshold found here stands as far from any score as it can.
        occupied = np.flatnonzero(self._bone + self._background)
        below = np.searchsorted(occupied, used) - 1
        empty_from = np.where(below >= 0, occupied[below] + 1, used)
        return ScoreCurve(
            cuts=(used + empty_from) / 2 / self.bins,
            true_positives=np.cumsum(self._bone[used]),
            false_positives=np.cumsum(self._background[::-1])[::-1][used],
            tied=self._background[used],
            positives=int(self._bone.sum()),
            negatives=int(self._background.sum()),
            lumped=self._bone[used],
        )
