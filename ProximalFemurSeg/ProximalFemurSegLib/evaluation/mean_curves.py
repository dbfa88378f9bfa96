"""Mean ROC and precision-recall curves over subjects or folds, as in SciRep-2018, Fig. 2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .curves import ScoreCurve

# Dense towards 0: almost every voxel of a scan is background, and what differs between networks differs there.
FALSE_POSITIVE_RATES = np.unique(np.concatenate([[0.0], np.geomspace(1e-5, 1, 241), np.linspace(0, 1, 101)]))
RECALLS = np.unique(np.concatenate([np.linspace(0, 1, 101), 1 - np.geomspace(1e-4, 1, 101)]))


@dataclass(frozen=True, eq=False)
class SampledCurve:
    """One curve at fixed places, small enough to keep for every case.

    Parameters
    ----------
    recall : numpy.ndarray
        At `FALSE_POSITIVE_RATES`.
    precision : numpy.ndarray
        At `RECALLS`.
    roc_auc, average_precision : float
        Of the whole curve, not of its samples.
    """

    recall: np.ndarray
    precision: np.ndarray
    roc_auc: float
    average_precision: float


@dataclass(frozen=True, eq=False)
class MeanCurve:
    """Mean and standard deviation of several curves at the same places.

    Parameters
    ----------
    recall, recall_sd : numpy.ndarray
        At `FALSE_POSITIVE_RATES`.
    precision, precision_sd : numpy.ndarray
        At `RECALLS`.
    roc_auc, average_precision : numpy.ndarray
        Of each curve.
    """

    recall: np.ndarray
    recall_sd: np.ndarray
    precision: np.ndarray
    precision_sd: np.ndarray
    roc_auc: np.ndarray
    average_precision: np.ndarray


def sample_curve(curve: ScoreCurve) -> SampledCurve | None:
    """A curve at the fixed places; None without bone or without background, where there is none."""
    if not curve.positives or not curve.negatives:
        return None
    return SampledCurve(
        curve.recall_at(FALSE_POSITIVE_RATES), curve.precision_at(RECALLS), curve.roc_auc, curve.average_precision
    )


def mean_curve(curves: list[SampledCurve]) -> MeanCurve:
    """The mean curve: recalls averaged at each false positive rate, precisions at each recall.

    Parameters
    ----------
    curves : list of SampledCurve
        One a subject, or one a fold.

    Raises
    ------
    ValueError
        No curves.
    """
    if not curves:
        raise ValueError("A mean curve needs at least one curve.")
    recall = np.stack([curve.recall for curve in curves])
    precision = np.stack([curve.precision for curve in curves])
    several = 1 if len(curves) > 1 else 0
    return MeanCurve(
        recall.mean(axis=0),
        recall.std(axis=0, ddof=several),
        precision.mean(axis=0),
        precision.std(axis=0, ddof=several),
        np.array([curve.roc_auc for curve in curves]),
        np.array([curve.average_precision for curve in curves]),
    )
