"""Networks that a user fine-tuned: what they are called, where they are kept, and how they are found again.

A fine-tuned network is called BASE+LABEL, after the network that it started from. Each of its stages that was taught
has weights and a card of its own, named STEM+LABEL after the weights they started from; a stage that was not taught, or
did not get better, stays the base network's.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from pathlib import Path

from .errors import BadInputError

SEPARATOR = "+"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


def user_model_folder() -> Path:
    """The folder of this user's own networks; it need not exist."""
    home = Path.home()
    if sys.platform == "win32":
        base, name = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"), "ProximalFemurSeg"
    elif sys.platform == "darwin":
        base, name = home / "Library" / "Application Support", "ProximalFemurSeg"
    else:
        base, name = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share"), "proximal-femur-seg"
    return base / name / "Models"


def check_label(label: str) -> str:
    """The label, if it can be part of a file's name on every system.

    Raises
    ------
    BadInputError
        If it cannot.
    """
    if not _LABEL.fullmatch(label):
        raise BadInputError(
            f"'{label}' cannot be the name of a fine-tuned network; use up to 40 letters, digits, dots, dashes or "
            f"underscores, a letter or digit first."
        )
    return label


def own_name(base: str, label: str) -> str:
    """The name of a fine-tuned network, or of its weights, from that of its base."""
    return f"{base}{SEPARATOR}{label}"


def fine_tuned_preset(preset, label: str, taught):
    """A preset with weights of its own for some of its stages.

    Parameters
    ----------
    preset : models.Preset
        What was fine-tuned.
    label : str
        What the user called it.
    taught : container of str
        Weights' stems of the stages that have their own.
    """
    stages = tuple(
        dataclasses.replace(stage, weights=own_name(stage.weights, label)) if stage.weights in taught else stage
        for stage in preset.stages
    )
    return dataclasses.replace(
        preset,
        name=own_name(preset.name, label),
        title=f"{preset.title}, fine-tuned ({label})",
        stages=stages,
        origin=preset.name,
    )


def find_fine_tuned(presets, folders) -> list:
    """The fine-tuned networks whose weights and cards lie in some folders.

    Parameters
    ----------
    presets : sequence of models.Preset
        Networks that they can have started from.
    folders : sequence of pathlib.Path
        Where to look.

    Returns
    -------
    list of models.Preset
        By the names of their bases, then by label.
    """
    bases = {stage.weights: preset for preset in presets if not preset.internal for stage in preset.stages}
    found: dict[tuple[str, str], set[str]] = {}
    for folder in folders:
        for weights in folder.glob(f"*{SEPARATOR}*.safetensors"):
            stem, _, label = weights.stem.partition(SEPARATOR)
            if stem in bases and _LABEL.fullmatch(label) and weights.with_suffix(".json").is_file():
                found.setdefault((bases[stem].name, label), set()).add(stem)
    named = {preset.name: preset for preset in presets}
    return [fine_tuned_preset(named[base], label, taught) for (base, label), taught in sorted(found.items())]
