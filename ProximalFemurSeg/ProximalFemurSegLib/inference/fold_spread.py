"""How far networks of several folds disagree: their mean, and what they know differently."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..errors import BadInputError
from ..volume import Volume
from .one_of_several import OneOfSeveral
from .result import Probabilities, empty_array
from .uncertainty import entropy, known_side


def folds_of(preset, models) -> list:
    """The preset with the weights of each fold that is here.

    Raises
    ------
    BadInputError
        If there are fewer than two; the sentence says what to do.
    """
    folds = models.fold_presets(preset)
    if len(folds) < 2:
        raise BadInputError(
            f"There are no weights of several folds of {preset.name} here: cross-validate it, and copy the folders "
            f"fold-1, fold-2, ... of that to one of the folders in which weights are looked for."
        )
    return folds


def mean_of_folds(volume: Volume, predict: Callable, folds: Sequence, side: str = "auto",
                  progress=None) -> Probabilities:
    """Probabilities averaged over the weights of several folds, with the spread between them.

    Parameters
    ----------
    volume, side, progress
        As of `uncertainty.mean_of_variants`.
    predict : callable
        ``predict(volume, side, progress, preset)`` gives `Probabilities` on the volume's own grid.
    folds : sequence of models.Preset
        The same networks with the weights of each fold.

    Returns
    -------
    Probabilities
        Mean maps, mean operating points, all weights, and `Probabilities.spread`.

    Notes
    -----
    The spread is the mutual information between the answer and the weights, the entropy of the mean less the mean of
    the entropies [1]_: 0 where all weights say the same, be it even odds, and 1 bit where half of them are certain of
    bone and half of none.

    References
    ----------
    .. [1] N. Houlsby et al., "Bayesian active learning for classification and preference learning", arXiv:1112.5745
       (2011), equation 2.
    """
    count = len(folds)

    def ask(number, side):
        part = OneOfSeveral(progress, count, f"fold {number + 1} of {count}: ")
        return predict(volume, side, part, folds[number])

    first = ask(0, side)
    answers, window = [first], first.window
    sums = {role: map_.array[window].astype(np.float32) for role, map_ in first.maps.items()}
    entropies = {role: entropy(values) for role, values in sums.items()}
    for number in range(1, count):
        answer = ask(number, known_side(first, side))
        for role, map_ in answer.maps.items():
            sums[role] += map_.array[window]
            entropies[role] += entropy(map_.array[window])
        # What else is in it is small, but the maps of a scan are not.
        answers.append(replace(answer, maps={}))
    maps, spread = {}, None
    for role, map_ in first.maps.items():
        mean = sums[role] / count
        array = empty_array(map_.array.shape, np.float32)
        array[window] = mean
        maps[role] = map_.with_array(array)
        apart = np.maximum(entropy(mean) - entropies[role] / count, 0)
        spread = apart if spread is None else np.maximum(spread, apart)
    said = [message for answer in answers for message in answer.messages]
    return replace(
        first,
        maps=maps,
        spread=spread,
        operating_points={role: _mean(a.operating_points[role] for a in answers) for role in maps},
        weights={name: digest for answer in answers for name, digest in answer.weights.items()},
        seconds={name: round(sum(a.seconds.get(name, 0.0) for a in answers), 3) for name in first.seconds},
        messages=[*dict.fromkeys(said), f"The maps are the mean over the weights of {count} folds."],
    )


def _mean(points) -> dict[str, float]:
    """The mean of thresholds, of those that all have."""
    points = list(points)
    shared = [name for name in points[0] if all(p.get(name) is not None for p in points)]
    return {name: sum(p[name] for p in points) / len(points) for name in shared}
