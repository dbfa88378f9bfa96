"""The recipes that come with the program: those of the papers, and its own.

They lie as JSON in ``Resources/Recipes`` beside the package (inside the package once it is installed as a wheel).
"""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import BadInputError
from .recipe import Recipe

DEFAULT = "default"


def recipe_folder() -> Path:
    """Where the recipes lie."""
    package = Path(__file__).resolve().parent.parent
    beside = package.parent / "Resources" / "Recipes"
    return beside if beside.is_dir() else package / "Recipes"


def recipe_names() -> list[str]:
    """Names that `find_recipe` knows, sorted."""
    return sorted(path.stem for path in recipe_folder().glob("*.json"))


def read_entries(path) -> dict:
    """The entries of a recipe file, .json or .toml, as they stand there.

    Raises
    ------
    BadInputError
        If the file cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    try:
        if path.suffix.lower() == ".toml":
            try:
                import tomllib
            except ModuleNotFoundError as error:  # Python before 3.11
                raise BadInputError(f"Reading {path} needs Python 3.11; write the recipe as JSON.") from error
            entries = tomllib.loads(text)
        else:
            entries = json.loads(text)
    except ValueError as error:
        raise BadInputError(f"The recipe {path} is not well formed: {error}.") from error
    if not isinstance(entries, dict):
        raise BadInputError(f"The recipe {path} must be a table of entries.")
    return entries


def read_recipe(path) -> Recipe:
    """Read a recipe that says for which network it is.

    Raises
    ------
    BadInputError
        If the file cannot be read or says something impossible.
    """
    return Recipe.from_dict(read_entries(path), source=f"The recipe {path}")


def find_recipe(name, stage) -> Recipe:
    """A recipe for one network of a preset.

    Parameters
    ----------
    name : path-like
        One of `recipe_names`, or the beginning of one that the role or the architecture completes: ``qct-2021`` is
        ``qct-2021-endosteal`` for the endosteal network, ``scirep-2018`` is ``scirep-2018-unet3d`` for a 3D U-Net. Or a
        file, .json or .toml.
    stage : models.Stage
        What is to be trained. A recipe that names no architecture is for any; the options it names stand in for those
        of the stage.

    Returns
    -------
    Recipe

    Raises
    ------
    BadInputError
        If there is none of that name, the file cannot be read, it says something impossible, or is for another network.
    """
    path = _path_of(str(name), stage)
    entries = read_entries(path)
    wanted = entries.get("architecture", stage.architecture)
    if wanted != stage.architecture:
        raise BadInputError(
            f"The recipe {name} is for the architecture {wanted}, and this network is a {stage.architecture}; choose "
            f"another recipe, or one of {', '.join(_fitting(stage))}."
        )
    options = entries.get("options", {})
    if not isinstance(options, dict):
        raise BadInputError(f"The recipe {name}: options must be a table, not {options!r}.")
    return Recipe.from_dict(
        {**entries, "architecture": stage.architecture, "options": {**stage.options, **options}},
        source=f"The recipe {name}",
    )


def _path_of(name: str, stage) -> Path:
    known = recipe_names()
    for whole in (name, f"{name}-{stage.role}", f"{name}-{stage.architecture}"):
        if whole in known:
            return recipe_folder() / f"{whole}.json"
    if Path(name).suffix.lower() in (".json", ".toml"):
        return Path(name)
    raise BadInputError(
        f"There is no recipe named {name!r} for this network; choose one of {', '.join(_fitting(stage))}, or name a "
        "file (.json, .toml)."
    )


def _fitting(stage) -> list[str]:
    """Names of the recipes that are for a stage."""
    fitting = []
    for name in recipe_names():
        wanted = read_entries(recipe_folder() / f"{name}.json").get("architecture")
        other_role = name.endswith(("-periosteal", "-endosteal")) and not name.endswith(f"-{stage.role}")
        if wanted in (None, stage.architecture) and not other_role:
            fitting.append(name)
    return fitting
