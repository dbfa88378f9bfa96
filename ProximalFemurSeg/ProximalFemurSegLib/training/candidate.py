"""Weights that are not (or not yet) kept, run and measured as `segment` would run them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .. import models
from ..errors import BadInputError
from ..evaluation import evaluate_masks
from ..evaluation.curves import ScoreCurve, ScoreHistogram
from ..evaluation.overlap import count_confusion
from ..inference import apply_threshold, predict_probabilities
from ..inference.result import Probabilities
from ..networks import build_network, use_channels_last
from ..thresholds import find_operating_points
from ..volume import Volume
from .corrected_cases import CorrectedCase

# As good as the best, in distance from precision = recall = 1.
_AS_GOOD = 0.003
# Enough to choose from on a few cases.
_TRIED = tuple(round(0.1 * n, 1) for n in range(1, 10))
# Voxels farther from the bone do not count for the curve: what lies there, the largest component leaves out.
_AROUND_MM = 15.0


def network_as_stored(stage, state: dict):
    """A network with weights rounded as in a weights file, ready for inference."""
    network = build_network(stage.architecture, **stage.options)
    rounded = {name: value.float() for name, value in models.pack_weights(state).items()}
    network.load_state_dict(rounded, strict=False)
    return use_channels_last(network.eval().requires_grad_(False))


class CandidateModels:
    """`models`, but for some stages other networks and operating points.

    Parameters
    ----------
    others : mapping of str to (torch.nn.Module, dict)
        By the stem of the stage's weights.
    """

    def __init__(self, others: Mapping[str, tuple]):
        self._others = dict(others)

    def find_preset(self, name: str):
        """As `models.find_preset`."""
        return models.find_preset(name)

    def card(self, stage) -> dict:
        """The card of a stage, with its own operating point where it has another network."""
        if stage.weights in self._others:
            return {"operating_point": self._others[stage.weights][1]}
        return models.card(stage)

    def load_network(self, stage, device="cpu"):
        """The stage's network on a device."""
        if stage.weights in self._others:
            return self._others[stage.weights][0].to(device)
        return models.load_network(stage, device)


@dataclass(frozen=True, eq=False)
class Prediction:
    """The probability map of one case, or None where no femur was found at all."""

    case: CorrectedCase
    role: str
    image: Volume
    probabilities: Probabilities | None

    def scores(self, threshold: float | None = None, counted=None) -> dict:
        """Dice, precision, recall, and the average surface distance in mm, of the mask that `segment` would give.

        Parameters
        ----------
        threshold : float, optional
            On this role's map; by default the network's own.
        counted : numpy.ndarray, optional
            bool (K, J, I), the voxels that count; surface distances are left out then, for it cuts bone and mask alike.
        """
        truth, found = self.case.truth(self.role, self.image), self._mask(threshold)
        if counted is not None:
            truth, found = truth & counted, found & counted
        metrics = evaluate_masks(self.image.with_array(found), self.image.with_array(truth))
        names = ("dice", "precision", "recall", "asd_mm")
        scores = {name: None if metrics[name] is None else round(metrics[name], 4) for name in names}
        return scores if counted is None else {**scores, "asd_mm": None}

    def _mask(self, threshold: float | None) -> np.ndarray:
        """bool (K, J, I): what `segment` would give."""
        if self.probabilities is None:
            return np.zeros(self.image.array.shape, bool)
        points = self.probabilities.operating_points
        chosen = {role: points[role].get("threshold", 0.5) for role in self.probabilities.maps}
        if threshold is not None:
            chosen[self.role] = threshold
        labels = apply_threshold(self.probabilities, chosen).labels.array % 10
        return labels == 1 if self.role == "endosteal" else labels > 0

    def distances(self, usual: float, counted=None) -> dict[float, float]:
        """How far from precision = recall = 1 the mask that `segment` would give is, by threshold.

        Parameters
        ----------
        usual : float
            Tried besides those of an even scale.
        counted : numpy.ndarray, optional
            As for `scores`.
        """
        truth = self.case.truth(self.role, self.image)
        inside = slice(None) if counted is None else counted
        result = {}
        for threshold in sorted({*_TRIED, usual}):
            overlap = count_confusion(self._mask(threshold)[inside], truth[inside])
            result[threshold] = float(np.hypot(1 - overlap.precision, 1 - overlap.recall))
        return result

    def histogram(self, counted=None) -> ScoreHistogram:
        """The scores around the bone."""
        histogram = ScoreHistogram()
        truth = self.case.truth(self.role, self.image)
        margin = np.ceil(_AROUND_MM / np.array(self.image.grid.spacing[::-1])).astype(int)
        bone = np.argwhere(truth)
        box = tuple(
            slice(max(0, low - m), high + m + 1) for low, high, m in zip(bone.min(axis=0), bone.max(axis=0), margin)
        )
        scores = np.zeros(truth[box].shape, np.float32)
        if self.probabilities is not None:
            scores = self.probabilities.maps[self.role].array[box]
        inside = slice(None) if counted is None else counted[box]
        histogram.add(scores[inside], truth[box][inside])
        return histogram


def predict_case(case: CorrectedCase, preset, role: str, others, device="cpu", progress=None, cancelled=None):
    """Run a preset up to the network of some role over a case.

    Parameters
    ----------
    case : CorrectedCase
        What to run it on.
    preset : models.Preset
        Which networks.
    role : str
        The last of them to run.
    others : mapping of str to (torch.nn.Module, dict)
        As for `CandidateModels`.
    device : str
        As for `predict_probabilities`.
    progress, cancelled : callable, optional
        As for `predict_probabilities`.

    Returns
    -------
    Prediction
    """
    last = [stage.role for stage in preset.stages].index(role)
    image = case.image()
    try:
        probabilities = predict_probabilities(
            image,
            replace(preset, stages=preset.stages[: last + 1]),
            preset.modality,
            case.side,
            str(device),
            borders="network",
            progress=progress,
            cancelled=cancelled,
            models=CandidateModels(others),
        )
    except BadInputError:
        # The image was checked before: what is left is that the femur in the mask is not found.
        probabilities = None
    return Prediction(case, role, image, probabilities)


def choose_operating_point(curve: ScoreCurve, distances: list[dict[float, float]], usual: float) -> dict[str, float]:
    """Thresholds for a card.

    Parameters
    ----------
    curve : ScoreCurve
        Of cases that the network was not trained on.
    distances : list of dict
        `Prediction.distances` of each of them. They are what the threshold is chosen by: of wrong voxels, the curve
        counts those too that post-processing takes away, and so asks for higher thresholds than masks need.
    usual : float
        The threshold before: of those that are as good as the best, the nearest to it is taken, for what hardly
        matters on a few cases should not move.

    Returns
    -------
    dict of str to float
        ``threshold`` (nearest to precision = recall = 1, arXiv-v1), ``roc`` and ``youden``.
    """
    mean = {threshold: sum(d[threshold] for d in distances) / len(distances) for threshold in distances[0]}
    good = [threshold for threshold, distance in mean.items() if distance <= min(mean.values()) + _AS_GOOD]
    points = {name: point.threshold for name, point in find_operating_points(curve).items()}
    points["threshold"] = min(good, key=lambda threshold: abs(threshold - usual))
    return {name: round(value, 4) for name, value in points.items()}
