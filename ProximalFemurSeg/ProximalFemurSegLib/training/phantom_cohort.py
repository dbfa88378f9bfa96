"""The phantoms that networks are trained and validated on, baked once into a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..phantom.real_anatomy import AnatomyLibrary, RealScene
from .phantom_cases import bake_body, bake_hip, save_case

MODEL_SAMPLES = 44
HELD_OUT_SAMPLES = 6  # of the shape model's draws
HELD_OUT_MESHES = 2  # both femora of one subject

# First letter of a case's name.
REAL, REAL_HELD_OUT, BUILT, BUILT_HELD_OUT = "r", "v", "p", "w"


def is_training_case(name: str) -> bool:
    """True if a baked case may be trained on; the others are for validation."""
    return name[0] in (REAL, BUILT)


def split_shapes(library: AnatomyLibrary) -> tuple[list[int], list[int]]:
    """Indices of the femur shapes to train on, and of those held out."""
    count = len(library.shapes)
    held = list(range(MODEL_SAMPLES - HELD_OUT_SAMPLES, MODEL_SAMPLES))
    if count - HELD_OUT_MESHES >= MODEL_SAMPLES:
        held += list(range(count - HELD_OUT_MESHES, count))
    return [n for n in range(count) if n not in held], held


def real_scene(library: AnatomyLibrary, number: int, held_out: bool) -> RealScene:
    """Scene `number` over real anatomy; held-out scenes use shapes that no training scene has."""
    train, held = split_shapes(library)
    rng = np.random.default_rng([number, int(held_out)])
    seed = number + (100_000 if held_out else 0)
    return RealScene(library, seed, shape=int(rng.choice(held if held_out else train)))


def built_scene(number: int, held_out: bool):
    """Scene `number` of the project's own geometry."""
    from ..phantom.hip_scene import ParametricScene

    return ParametricScene(number + (700_000 if held_out else 500_000))


def load_shapes(anatomy, announce=None) -> AnatomyLibrary:
    """The real shapes that training scenes are made over, from their folder; a library is given back as it is."""
    if isinstance(anatomy, AnatomyLibrary):
        return anatomy
    return AnatomyLibrary.load(anatomy, model_samples=MODEL_SAMPLES, announce=announce or (lambda text: None))


def bake_cohort(folder, anatomy=None, scenes: int = 60, held_out: int = 8, announce=lambda text: None) -> Path:
    """Bake hips and bodies for training into ``folder/hips`` and ``folder/bodies``; what is there already is kept.

    Parameters
    ----------
    folder : path
    anatomy : path or AnatomyLibrary, optional
        Real shapes (`load_shapes`); half of the scenes are then built on it.
    scenes, held_out : int
        Scenes of each kind to train on and to hold out.
    announce : callable
        Called with a line of text per step.
    """
    folder = Path(folder)
    makers = [(BUILT, BUILT_HELD_OUT, built_scene)]
    if anatomy is not None:
        library = load_shapes(anatomy, announce)
        makers.insert(0, (REAL, REAL_HELD_OUT, lambda number, held: real_scene(library, number, held)))
    for letter, held_letter, make in makers:
        for number in range(scenes):
            for held in (False, True) if number < held_out else (False,):
                name = f"{held_letter if held else letter}{number:03d}"
                if (folder / "bodies" / f"{name}.npy").exists():
                    continue
                announce(f"scene {name}")
                scene = make(number, held)
                for side in scene.femora:
                    save_case(bake_hip(scene, side, name), folder / "hips")
                save_case(bake_body(scene, name), folder / "bodies")
    return folder
