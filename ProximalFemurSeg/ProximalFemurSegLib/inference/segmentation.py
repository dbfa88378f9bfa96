"""The whole way from an image to labels and volumes."""

from __future__ import annotations

import time

from ..errors import BadInputError, memory_explained
from ..volume import Volume
from .fold_spread import folds_of, mean_of_folds
from .labelling import apply_threshold
from .pipeline import choose_preset, predict_probabilities
from .result import SegmentationResult
from .uncertainty import SOURCES, mean_of_variants


@memory_explained()
def segment(
    volume: Volume,
    preset="auto",
    modality: str = "auto",
    side: str = "auto",
    device: str = "auto",
    threshold="model",
    postprocess="auto",
    progress=None,
    cancelled=None,
    uncertainty: str = "entropy",
    **options,
) -> SegmentationResult:
    """Segment the proximal femora of an image.

    Parameters
    ----------
    volume : Volume
        MR or CT (in HU) of any orientation, voxel size and field of view.
    preset, modality, side, device, progress, cancelled
        As in `predict_probabilities`, which also takes the ``options``.
    threshold, postprocess
        As in `apply_threshold`.
    uncertainty : {'entropy', 'variants', 'folds'}
        Where it is to come from. ``entropy``: the probability of one run. ``variants``: the mean over the image, its
        mirror image and shifted ones; see `uncertainty.mean_of_variants`. ``folds``: the mean over the weights of
        several folds of a cross-validation, and the spread between them; see `fold_spread.mean_of_folds`.

    Returns
    -------
    SegmentationResult
        All its volumes lie on the image's own grid.

    Raises
    ------
    BadInputError
        If the image, or a choice, cannot be used, or an asked femur is not in the image.
    CancelledError
        If ``cancelled`` says so.
    ProximalFemurSegError
        If memory runs out in every way.

    Examples
    --------
    >>> from ProximalFemurSegLib.volume_io import read_volume
    >>> result = segment(read_volume("hip.nii.gz"))  # doctest: +SKIP
    >>> result.measurements["volumes"][0]["volume_cm3"]  # doctest: +SKIP
    """
    _check_choices(threshold, postprocess, uncertainty)

    def predict(seen, side, progress, preset=preset):
        return predict_probabilities(
            seen, preset, modality, side, device, progress=progress, cancelled=cancelled, **options
        )

    if uncertainty == "folds":
        models = options.get("models") or _models()
        preset, modality, said = choose_preset(volume, preset, modality, models)
        probabilities = mean_of_folds(volume, predict, folds_of(preset, models), side, progress)
        probabilities.messages[:0] = [message for message in said if message not in probabilities.messages]
    elif uncertainty == "variants":
        probabilities = mean_of_variants(volume, predict, side, progress)
    else:
        probabilities = predict(volume, side, progress)
    started = time.perf_counter()
    if progress:
        progress("labels and volumes", 0, 1)
    result = apply_threshold(probabilities, threshold, postprocess)
    if progress:
        progress("labels and volumes", 1, 1)
    taken = time.perf_counter() - started
    probabilities.seconds["labels and volumes"] = round(taken, 3)
    probabilities.seconds["total"] = round(probabilities.seconds["total"] + taken, 3)
    return result


def _models():
    from .. import models

    return models


def _check_choices(threshold, postprocess, uncertainty) -> None:
    """Refuse impossible choices before a network runs for minutes."""
    if uncertainty not in SOURCES:
        raise BadInputError(f"There is no uncertainty '{uncertainty}'; choose one of {', '.join(SOURCES)}.")
    from ..postprocessing import postprocess_steps
    from ..thresholds import OPERATING_POINTS, resolve_threshold

    postprocess_steps(postprocess)
    any_card = dict.fromkeys(OPERATING_POINTS.values(), 0.5)
    for choice in threshold.values() if isinstance(threshold, dict) else [threshold]:
        resolve_threshold(choice, [0.0, 1.0], any_card)
