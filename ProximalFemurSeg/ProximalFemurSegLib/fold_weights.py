"""The weights of one network from several folds of a cross-validation, as ``cross-validate`` leaves them.

A folder with weights may hold folders ``fold-1``, ``fold-2`` and so on, with weights and cards in ``weights``: so does
the folder of a cross-validation, and so does a user's own once its ``fold-*`` folders were copied there.
"""

from __future__ import annotations

import dataclasses
import re

_FOLD = re.compile(r"fold-(\d+)")


def find_folds(preset, folders) -> list:
    """The preset with the weights of each fold in place of its own.

    Parameters
    ----------
    preset : models.Preset
        What was cross-validated.
    folders : sequence of pathlib.Path
        Where to look.

    Returns
    -------
    list of models.Preset
        In the order of the folds; only those that have weights and a card for every stage. The weights are called
        ``fold-1/weights/STEM``, and found in any of the folders.
    """
    names = (path.name for folder in folders for path in folder.glob("fold-*"))
    numbers = {int(name[1]) for name in map(_FOLD.fullmatch, names) if name}
    presets = []
    for number in sorted(numbers):
        stages = tuple(
            dataclasses.replace(stage, weights=f"fold-{number}/weights/{stage.weights}") for stage in preset.stages
        )
        files = [f"{stage.weights}{end}" for stage in stages for end in (".safetensors", ".json")]
        if all(any((folder / file).is_file() for folder in folders) for file in files):
            presets.append(dataclasses.replace(preset, stages=stages))
    return presets
