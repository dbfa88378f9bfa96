"""What the network of a fold makes of the cases that were held out, by the ordinary inference."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from .. import models
from ..errors import BadInputError
from ..inference import apply_threshold, predict_probabilities
from ..networks import build_network, use_channels_last
from ..output_folder import staged_output
from ..volume import Volume
from ..volume_io import read_volume, write_volume
from .pair_cases import find_masked_femora, read_masks
from .start import read_start

DETAILS = "prediction.json"


class FoldModels:
    """`models`, with the weights of a fold instead of those that come with the program.

    Parameters
    ----------
    folder : path-like
        With the fold's weights and cards.
    """

    def __init__(self, folder):
        self._folder, self._networks = Path(folder), {}

    def find_preset(self, name: str):
        """As `models.find_preset`."""
        return models.find_preset(name)

    def card(self, stage) -> dict:
        """As `models.card`, of the fold's weights where it has some."""
        path = self._folder / f"{stage.weights}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else models.card(stage)

    def load_network(self, stage, device="cpu"):
        """As `models.load_network`."""
        path = self._folder / f"{stage.weights}.safetensors"
        if not path.is_file():
            return models.load_network(stage, device)
        if stage.weights not in self._networks:
            trained = dataclasses.replace(stage, options=self.card(stage)["options"])
            network = build_network(trained.architecture, **trained.options)
            network.load_state_dict(read_start(path, trained))
            self._networks[stage.weights] = network.eval().requires_grad_(False)
        return use_channels_last(self._networks[stage.weights].to(device))


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


def predict_held_out(pair, preset, weights, folder, postprocess: str, device="cpu", progress=None) -> None:
    """Segment the image of a pair and leave masks and maps in a folder, all of them or none.

    Parameters
    ----------
    pair : Pair
        What was held out.
    preset : models.Preset
        Which networks.
    weights : path-like
        Folder with the fold's weights.
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
                volume, preset, preset.modality, sides[0] if len(sides) == 1 else "auto", device, progress=progress,
                models=FoldModels(weights),
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
