"""Voxel by voxel: DSC, precision, recall and specificity from one count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Confusion:
    """Voxels counted by what the result and the reference call them.

    Where a ratio has no denominator it is 1 if there was nothing to find and nothing was found, else 0: two empty
    masks agree perfectly, and an empty result for a bone that is there has DSC, precision and recall 0.

    Parameters
    ----------
    true_positives, false_positives, false_negatives, true_negatives : int
        Voxels.

    Examples
    --------
    >>> Confusion(true_positives=6, false_positives=2, false_negatives=4, true_negatives=88).dice
    0.6666666666666666
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def dice(self) -> float:
        """Dice similarity coefficient, 2 TP / (FP + 2 TP + FN) (SciRep-2018, eq. 2)."""
        return self._ratio(2 * self.true_positives, self.false_positives + self.false_negatives)

    @property
    def precision(self) -> float:
        """Positive predictive value, TP / (TP + FP)."""
        return self._ratio(self.true_positives, self.false_positives)

    @property
    def recall(self) -> float:
        """Sensitivity, TP / (TP + FN)."""
        return self._ratio(self.true_positives, self.false_negatives)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP); 1 where the reference leaves no background."""
        background = self.true_negatives + self.false_positives
        return self.true_negatives / background if background else 1.0

    def _ratio(self, hits: int, misses: int) -> float:
        if hits + misses:
            return hits / (hits + misses)
        return float(self.false_positives + self.false_negatives == 0)

    def __add__(self, other: Confusion) -> Confusion:
        """The count over both."""
        return Confusion(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.true_negatives + other.true_negatives,
        )


def count_confusion(result, reference) -> Confusion:
    """Compare two masks voxel by voxel.

    Parameters
    ----------
    result, reference : numpy.ndarray
        bool, of one shape.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    result, reference = np.asarray(result, bool), np.asarray(reference, bool)
    if result.shape != reference.shape:
        raise ValueError(f"The masks differ in shape: {result.shape} and {reference.shape}.")
    both = int(np.count_nonzero(result & reference))
    found, wanted = int(np.count_nonzero(result)), int(np.count_nonzero(reference))
    return Confusion(both, found - both, wanted - both, result.size - found - wanted + both)
