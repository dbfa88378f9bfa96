"""Recipes and data for training the presets' networks on phantoms."""

from __future__ import annotations

from pathlib import Path

from .phantom_cohort import is_training_case
from .phantom_data import CtSamples, LocatorSamples, MrSamples
from .recipe import Recipe
from .validation import DiceValidation

# Patches are smaller than the windows of inference (the networks are convolutional): what two cores train in an hour.
PATCHES = {
    "locator": (80, 80, 112),
    "bone": (48, 128, 128),
    "periosteal": (64, 112, 112),
    "endosteal": (64, 96, 96),
}


def phantom_recipe(stage, minutes: float | None = None, steps: int = 20000, seed: int = 1) -> Recipe:
    """The recipe for a stage of a preset (`models.Stage`); wide steps at first, cosine to nothing at the end."""
    return Recipe(
        architecture=stage.architecture,
        options=dict(stage.options),
        loss="dice-ce",
        optimizer="adamw",
        learning_rate=2e-3,
        weight_decay=1e-4,
        warmup_steps=60,
        steps=steps,
        minutes=minutes,
        ema_decay=0.99,
        seed=seed,
        validate_every=400,
        checkpoint_minutes=2.0,
    )


def phantom_samples(stage, folder, held_out: bool = False, shape=None, seed: int = 0):
    """The training or held-out samples for a stage, from a folder of baked cases (`phantom_cohort.bake_cohort`)."""
    folder = Path(folder)

    def chosen(name: str) -> bool:
        return is_training_case(name) != held_out

    shape = PATCHES[stage.role] if shape is None else shape
    seed = seed + (1000 if held_out else 0)
    if stage.role == "locator":
        return LocatorSamples(folder / "bodies", shape, seed=seed, names=chosen)
    if stage.role == "bone":
        return MrSamples(folder / "hips", shape, seed=seed, names=chosen, spacing=stage.preprocessing.spacing_mm)
    return CtSamples(
        folder / "hips", shape, target=stage.role, seed=seed, names=chosen, spacing=stage.preprocessing.spacing_mm
    )


def phantom_validation(stage, folder, count: int = 10, shape=None) -> DiceValidation:
    """Dice on samples of held-out shapes, as randomised as the training's."""
    return DiceValidation(phantom_samples(stage, folder, held_out=True, shape=shape), count)


def train_on_phantoms(
    stage,
    folder,
    anatomy=None,
    minutes: float | None = None,
    steps: int = 20000,
    seed: int = 1,
    scenes: int = 60,
    held_out: int = 8,
    start=None,
    resume: bool = False,
    device: str = "cpu",
    workers: int = 1,
    threads: int | None = None,
    recipe: Recipe | None = None,
    shape=None,
    announce=lambda text: None,
    progress=None,
    cancelled=None,
):
    """Bake the phantoms, train a stage's network on them, and write its weights with their card.

    Parameters
    ----------
    stage : models.Stage
        Of a preset.
    folder : path
        Gets ``cases/`` (the baked phantoms, which other trainings can share), ``<stem>/`` (the training) and, at the
        end, ``<stem>.safetensors`` with its card ``<stem>.json``.
    anatomy : path, optional
        Folder of real anatomy; half of the phantoms are then built on it.
    minutes, steps, seed
        As in `Recipe`.
    scenes, held_out : int
        As in `phantom_cohort.bake_cohort`.
    start : path, optional
        A training's best.pt to start from: the endosteal network learns faster from the periosteal one.
    resume : bool
        Go on with a training that was stopped.
    device, workers, threads, progress, cancelled
        As in `trainer.train`.
    recipe : Recipe, optional
        Instead of `phantom_recipe`.
    shape : tuple of int, optional
        (D, H, W) of a patch, instead of `PATCHES`.
    announce : callable
        Called with a line of text while phantoms are baked.

    Returns
    -------
    pathlib.Path
        The weights' file; None if the training was cancelled.
    """
    import torch

    from .export import export_training
    from .phantom_cohort import bake_cohort
    from .trainer import train

    folder = Path(folder)
    cases = bake_cohort(folder / "cases", anatomy, scenes, held_out, announce)
    recipe = phantom_recipe(stage, minutes, steps, seed) if recipe is None else recipe
    state = None if start is None else torch.load(start, map_location="cpu", weights_only=True)["network"]
    samples = phantom_samples(stage, cases, shape=shape, seed=seed)
    validation = phantom_validation(stage, cases, shape=shape)
    result = train(
        recipe,
        samples,
        folder / stage.weights,
        validation,
        resume=resume,
        device=device,
        workers=workers,
        threads=threads,
        start=state,
        progress=progress,
        cancelled=cancelled,
    )
    if not result.finished:
        return None
    return export_training(result.folder, stage, describe_phantoms(anatomy, scenes), folder, limits=LIMITS)


LIMITS = (
    "Trained on simulated images only; it was not validated on patients.",
    "Research use only, not for diagnosis or treatment.",
)


def describe_phantoms(anatomy, scenes: int) -> dict:
    """What a card says of the training data."""
    own = (
        f"simulated scans of {scenes} phantoms of the project's own geometry; contrast, noise, pose, scale and field "
        "of view are drawn anew for every sample"
    )
    if anatomy is None:
        return {"description": own[0].upper() + own[1:] + ".", "simulated": True}
    return {
        "description": f"Simulated scans of {scenes} phantoms over real anatomy (femora of a statistical shape model "
        f"and of CT meshes, in the pelves of label maps) and {own}.",
        "simulated": True,
        "sources": [
            "femur shape model of gias2, MPL-2.0",
            "femora of libhip, MIT",
            "label maps of pelvic-annonation on the TCIA Pelvic Reference Data, MIT",
        ],
        "held_out": "six draws of the shape model, both femora of one subject, and other seeds of the own geometry",
    }
