"""Recipes and data for training the presets' networks on phantoms."""

from __future__ import annotations

from pathlib import Path

from .phantom_cohort import is_training_case
from .phantom_data import CtSamples, LocatorSamples, MrSamples
from .recipe import Recipe
from .recipe_files import DEFAULT, find_recipe
from .validation import DiceValidation

# Patches are smaller than the windows of inference: what two cores train in an hour. Not so for networks that
# normalise over all they see (`models.Preprocessing.exact_window`).
PATCHES = {
    "locator": (80, 80, 112),
    "bone": (48, 128, 128),
}
# A planar network sees a few slices of more pixels.
PLANAR_PATCH = (8, 256, 256)


def patch_shape(stage) -> tuple[int, int, int]:
    """Voxels (D, H, W) of a training sample for a stage of a preset."""
    window = stage.preprocessing.window
    if stage.preprocessing.exact_window:
        return window
    return PLANAR_PATCH if window is not None and window[0] == 1 else PATCHES[stage.role]


def phantom_recipe(stage, minutes: float | None = None, steps: int = 20000, seed: int = 1) -> Recipe:
    """The program's own recipe for a stage of a preset (`models.Stage`)."""
    return find_recipe(DEFAULT, stage).replace(steps=steps, minutes=minutes, seed=seed)


def phantom_samples(stage, folder, held_out: bool = False, shape=None, seed: int = 0):
    """The training or held-out samples for a stage, from a folder of baked cases (`phantom_cohort.bake_cohort`)."""
    folder = Path(folder)

    def chosen(name: str) -> bool:
        return is_training_case(name) != held_out

    shape = patch_shape(stage) if shape is None else shape
    seed = seed + (1000 if held_out else 0)
    if stage.role == "locator":
        return LocatorSamples(folder / "bodies", shape, seed=seed, names=chosen)
    if stage.role == "bone":
        return MrSamples(folder / "hips", shape, seed=seed, names=chosen, spacing=stage.preprocessing.spacing_mm)
    return CtSamples(
        folder / "hips", shape, target=stage.role, seed=seed, names=chosen, spacing=stage.preprocessing.spacing_mm,
        blank_outside=stage.preprocessing.blank_outside, bone_hu=stage.preprocessing.bone_hu,
    )


def phantom_validation(stage, folder, count: int = 10, shape=None) -> DiceValidation:
    """Dice on samples of held-out shapes, as randomised as the training's."""
    return DiceValidation(phantom_samples(stage, folder, held_out=True, shape=shape), count)
