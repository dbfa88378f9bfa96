"""At which probability a voxel is bone: Otsu's threshold, the network's operating points, or a fixed value.

Everywhere, a voxel is bone where its probability is larger than the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .errors import BadInputError

if TYPE_CHECKING:
    from .evaluation.curves import ScoreCurve

# What the user writes: what a card calls it.
OPERATING_POINTS = {"model": "threshold", "roc": "roc", "youden": "youden"}
THRESHOLD_METHODS = ("model", "otsu", "roc", "youden")


def otsu_threshold(values, bins: int = 256) -> float:
    """Otsu's threshold, digit for digit that of scikit-image's ``threshold_otsu``.

    Parameters
    ----------
    values : array_like
        Probabilities of any shape.
    bins : int
        Of the histogram from the smallest to the largest value; for integers there is one for each value.

    Returns
    -------
    float
        The centre of the bin that best separates the values: those larger are bone. If all values are equal, that
        value, so that nothing is bone.

    Raises
    ------
    ValueError
        No values, or values that are not finite.

    References
    ----------
    N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9, 1979; used on the probability
    map in QCT-2021, section 2.
    """
    values = np.asarray(values).ravel()
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("Otsu's threshold needs values, and all of them finite.")
    lowest, highest = values.min(), values.max()
    if lowest == highest:
        return float(lowest)
    if values.dtype.kind in "iu":
        centers = np.arange(int(lowest), int(highest) + 1)
        counts = np.bincount(values.astype(np.int64) - int(lowest))
    else:
        counts, edges = np.histogram(values, bins)
        centers = (edges[:-1] + edges[1:]) / 2
    # Where bins are empty many thresholds are equally good, and rounding decides: hence scikit-image's precision.
    counts = counts.astype(np.float32)
    moments = counts * centers
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])
    mean_below, mean_above = np.cumsum(moments) / below, np.cumsum(moments[::-1]) / above
    separation = below[:-1] * above[-2::-1] * (mean_below[:-1] - mean_above[-2::-1]) ** 2
    return float(centers[separation.argmax()])


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it gave on the cases it was found on.

    Parameters
    ----------
    threshold : float
        A voxel is bone where its probability is larger.
    precision, recall, specificity : float
        At this threshold.
    """

    threshold: float
    precision: float
    recall: float
    specificity: float


def find_operating_points(curve: ScoreCurve) -> dict[str, OperatingPoint]:
    """The best thresholds of a curve, in three senses.

    Parameters
    ----------
    curve : ScoreCurve
        Of one case or of many.

    Returns
    -------
    dict of str to OperatingPoint
        ``threshold``: nearest to precision = recall = 1 (arXiv-v1); ``roc``: nearest to the corner of the ROC curve
        where sensitivity = specificity = 1; ``youden``: the largest sensitivity + specificity - 1 (SciRep-2018). Of
        equally good thresholds the highest.

    Raises
    ------
    ValueError
        A curve without bone.
    """
    if not curve.positives:
        raise ValueError("Operating points need voxels of bone.")
    precision, recall, false_alarms = curve.precision, curve.recall, curve.false_positive_rate
    best = {
        "threshold": np.argmin((1 - precision) ** 2 + (1 - recall) ** 2),
        "roc": np.argmin(false_alarms**2 + (1 - recall) ** 2),
        "youden": np.argmax(recall - false_alarms),
    }
    return {
        name: OperatingPoint(float(curve.cuts[n]), float(precision[n]), float(recall[n]), float(1 - false_alarms[n]))
        for name, n in best.items()
    }


def resolve_threshold(choice, values=None, operating_points: Mapping[str, float] | None = None) -> float:
    """The probability above which a voxel is bone.

    Parameters
    ----------
    choice : str or float
        ``model``, ``otsu``, ``roc``, ``youden``, or a probability between 0 and 1.
    values : array_like, optional
        Probabilities, for ``otsu``.
    operating_points : mapping, optional
        The ``operating_point`` of the weights' card, for ``model``, ``roc`` and ``youden``.

    Raises
    ------
    BadInputError
        Unknown choice, or one that the card does not have.

    Examples
    --------
    >>> resolve_threshold("0.25")
    0.25
    >>> resolve_threshold("model", operating_points={"threshold": 0.5})
    0.5
    """
    method = choice.strip().lower() if isinstance(choice, str) else choice
    if method == "otsu":
        return otsu_threshold(values)
    if method in OPERATING_POINTS:
        value = (operating_points or {}).get(OPERATING_POINTS[method])
        if value is None:
            raise BadInputError(
                f"The network's card has no operating point '{method}': choose otsu or a probability as the threshold."
            )
        return float(value)
    try:
        value = float(method)
    except (TypeError, ValueError):
        value = float("nan")
    if not 0 < value < 1:
        raise BadInputError(
            f"The threshold '{choice}' is not known: choose {', '.join(THRESHOLD_METHODS)}, "
            "or a probability between 0 and 1."
        )
    return value
