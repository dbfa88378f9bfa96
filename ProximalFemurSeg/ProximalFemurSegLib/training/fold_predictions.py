"""What the network of a fold makes of the cases that were held out, by the ordinary inference."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from ..errors import BadInputError
from ..inference import apply_threshold, predict_probabilities
from ..output_folder import staged_output
from ..volume import Volume
from ..volume_io import read_volume, write_volume
from .candidate import CandidateModels, network_as_stored
from .pair_cases import find_masked_femora, read_masks
from .start import read_start

DETAILS = "prediction.json"


def models_of_fold(preset, folder) -> CandidateModels:
    """`models`, with the weights of a fold instead of those that come with the program.

    Parameters
    ----------
    preset : models.Preset
        What was trained.
    folder : path-like
        With the fold's weights and cards.
    """
    others = {}
    for stage in preset.stages:
        path = Path(folder) / f"{stage.weights}.safetensors"
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        trained = dataclasses.replace(stage, options=card["options"])
        others[stage.weights] = network_as_stored(trained, read_start(path, trained)), card["operating_point"]
    return CandidateModels(others)


def prediction_files(preset) -> list[str]:
    """Names of the files that `predict_held_out` writes."""
    roles = [stage.role for stage in preset.stages]
    return [DETAILS, *(f"{role}{part}.nii.gz" for role in roles for part in ("", "-probability", "-reference"))]


def sides_of(pair, role: str) -> list[str]:
    """The sides of the femora in a pair's mask; none where it does not show them."""
    (grid, outer), _ = read_masks(pair, role)
    try:
        return [side for side, *_ in find_masked_femora(pair, grid, outer)]
    except BadInputError:
        return [pair.side] if pair.side else []


def predict_held_out(pair, preset, models, folder, postprocess: str, device="cpu", progress=None) -> None:
    """Segment the image of a pair and leave masks and maps in a folder, all of them or none.

    Parameters
    ----------
    pair : Pair
        What was held out.
    preset : models.Preset
        Which networks.
    models : CandidateModels
        Of the fold.
    folder : path-like
        For ``ROLE.nii.gz``, the mask, ``ROLE-probability.nii.gz`` and ``ROLE-reference.nii.gz``, the mask that is
        right, for every network of the preset; and ``prediction.json``.
    postprocess : str
        As for `inference.apply_threshold`.
    device : str
        Where to run.
    progress : callable, optional
        As for `inference.predict_probabilities`.

    Raises
    ------
    BadInputError
        If a file cannot be used.
    """
    volume = read_volume(pair.image)
    sides = sides_of(pair, preset.stages[0].role)
    with staged_output(folder, prediction_files(preset), overwrite=True) as staging:
        try:
            found = predict_probabilities(
                volume, preset, preset.modality, sides[0] if len(sides) == 1 else "auto", device, borders="network",
                progress=progress, models=models,
            )
            result = apply_threshold(found, "model", postprocess)
            maps, labels, said = found.maps, result.labels.array % 10, result.measurements["messages"]
        except BadInputError as error:
            # The image was read: what is left is that no femur is found in it, which is a result, too.
            maps, labels, said = {}, np.zeros(volume.array.shape, np.uint8), [str(error)]
        for stage in preset.stages:
            mask = labels == 1 if stage.role == "endosteal" else labels > 0
            write_volume(volume.with_array(mask.astype(np.uint8)), staging / f"{stage.role}.nii.gz")
            map_ = maps.get(stage.role) or volume.with_array(np.zeros(volume.array.shape, np.float32))
            write_volume(map_, staging / f"{stage.role}-probability.nii.gz")
            _, (grid, wanted) = read_masks(pair, stage.role)
            write_volume(Volume(wanted.astype(np.uint8), grid), staging / f"{stage.role}-reference.nii.gz")
        text = json.dumps({"sides": sides, "messages": said}, indent=2) + "\n"
        (staging / DETAILS).write_text(text, encoding="utf-8")
