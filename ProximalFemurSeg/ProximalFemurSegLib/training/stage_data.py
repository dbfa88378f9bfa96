"""What one network of a preset is trained and validated on, as a recipe has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInputError
from .grid_patches import GridPatches, PairImages, PhantomImages
from .margins import NONE, InnerTargets, training_margins, with_slices
from .mixed_samples import MixedSamples
from .pair_cases import prepare_pairs
from .pair_data import PairSamples, split_subjects
from .pair_table import are_phantoms, find_pairs
from .phantom_cohort import bake_cohort, load_shapes
from .phantom_training import patch_shape, phantom_recipe, phantom_samples
from .whole_scans import EVERY, WHOLE, make_whole_scans, whole_scan_samples

PHANTOM_EPOCH = 400  # samples; phantoms never run out
_HELD_OUT_SAMPLES = 10
_LEAST_SLICES = 8  # of a validation sample for a planar network, which may be trained on single ones
_PATCH_NETWORKS = ("patch2d", "patch25d")


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a network is trained and validated on.

    Attributes
    ----------
    samples, held_out : object
        Data sets as `trainer.train` wants them; the second one shares no subject with the first.
    held_out_count : int
        Samples of it that are used.
    epoch : int
        Samples that make an epoch.
    description : dict
        For the card.
    """

    samples: object
    held_out: object
    held_out_count: int
    epoch: int
    description: dict


@dataclass(frozen=True)
class SampleShapes:
    """How large samples are.

    Attributes
    ----------
    patch : tuple of int
        (D, H, W) of a training sample, for a planar network without the neighbouring slices.
    margins : tuple of (int, int)
        What of it, with the neighbouring slices, has no target.
    validation : tuple of int
        (D, H, W) of a validation sample.
    """

    patch: tuple[int, int, int]
    margins: tuple
    validation: tuple[int, int, int]


def sample_shapes(stage, recipe, patch=None) -> SampleShapes:
    """How large the samples for a stage are.

    Parameters
    ----------
    stage : models.Stage
        What is trained.
    recipe : Recipe
        Says it, or leaves it to the role.
    patch : tuple of int or None
        Stands in for the recipe's.

    Raises
    ------
    BadInputError
        If the recipe samples what the network does not learn from, or nothing of a sample would be left.
    """
    shape = tuple(patch or recipe.patch or patch_shape(stage))
    patches = recipe.sampling == "patches"
    if patches and recipe.architecture not in _PATCH_NETWORKS:
        raise BadInputError(
            f"The recipe samples patches, from which only {' and '.join(_PATCH_NETWORKS)} learn, not "
            f"{recipe.architecture}; set its sampling to crops."
        )
    margins = NONE if patches else training_margins(recipe.architecture, recipe.options, shape)
    planar = recipe.architecture in _PATCH_NETWORKS or margins is not NONE
    if recipe.sampling == "slices" and margins is NONE:
        raise BadInputError(
            f"The recipe samples slices, and {recipe.architecture} is no network of slices; set its sampling to crops."
        )
    usual = (max(shape[0], _LEAST_SLICES), *shape[1:]) if planar else shape
    chosen = None if patch else recipe.validation_patch
    return SampleShapes(shape, margins, tuple(chosen or usual))


def phantom_training_data(stage, folder, anatomy=None, scenes=60, held_out=8, patch=None, seed=0, announce=None,
                          recipe=None, whole_scans=0):
    """Simulated hips; scenes that are in the folder already are not made again.

    Parameters
    ----------
    stage : models.Stage
        What is trained.
    folder : path-like
        Where the scenes are kept.
    anatomy : path-like, optional
        Real shapes, on which half of the scenes are then built.
    scenes, held_out : int
        Of each kind, to train on and to validate on.
    patch : tuple of int, optional
        (D, H, W) voxels of a sample; stands in for the recipe's.
    seed : int
        Of the samples.
    announce : callable, optional
        Called with a line of text for every scene.
    recipe : Recipe, optional
        Decides what is sampled; by default the program's own.
    whole_scans : int
        If not 0, so many scans are simulated as a whole, and parts of them are three of five samples.

    Returns
    -------
    TrainingData

    Raises
    ------
    BadInputError
        As `sample_shapes`, or if patches are sampled and whole scans are asked for.
    """
    recipe = recipe or phantom_recipe(stage)
    shapes = sample_shapes(stage, recipe, patch)
    if whole_scans and recipe.sampling == "patches":
        raise BadInputError("The recipe samples patches, which are cut from drawn hips alone; leave --whole-scans out.")
    if whole_scans and anatomy is not None:
        # To read the shapes takes minutes: once, for the baked scenes and the scans.
        anatomy = load_shapes(anatomy, announce)
    bake_cohort(folder, anatomy, scenes, held_out, announce or (lambda text: None))
    if whole_scans:
        modality = "mr" if stage.role == "bone" else "ct"
        make_whole_scans(Path(folder) / f"scans-{modality}", modality, whole_scans, held_out, anatomy, announce)

        def scans(shape, held_out):
            return whole_scan_samples(stage, modality, Path(folder) / f"scans-{modality}",
                                      Path(folder) / f"scans-{modality}-{stage.role}", shape, held_out, seed)

    if recipe.sampling == "patches":
        images = PhantomImages(phantom_samples(stage, folder, shape=shapes.patch, seed=seed), shapes.patch,
                               PHANTOM_EPOCH)
        samples = _grid_patches(images, stage, recipe, seed, augmentation=None)
    else:
        seen = with_slices(shapes.patch, shapes.margins)
        samples = phantom_samples(stage, folder, shape=seen, seed=seed)
        if whole_scans:
            samples = MixedSamples(scans(seen, False), samples, WHOLE, EVERY)
        samples = _inner(samples, shapes.margins)
    validation = phantom_samples(stage, folder, held_out=True, shape=shapes.validation, seed=seed)
    if whole_scans:
        validation = MixedSamples(scans(shapes.validation, True), validation, WHOLE, EVERY)
    epoch = len(samples) if recipe.sampling == "patches" else PHANTOM_EPOCH
    anatomies = "of the program's own geometry" + ("" if anatomy is None else " and, half of them, over real shapes")
    return TrainingData(
        samples=samples,
        held_out=validation,
        held_out_count=_HELD_OUT_SAMPLES,
        epoch=epoch,
        description={
            "description": f"Simulated hip scans {anatomies}; the shapes of the validation are held out.",
            "simulated": True,
            "epoch_samples": epoch,
            "scenes": scenes,
            "whole_scans": whole_scans,
            "held_out_scenes": held_out,
            "seed": seed,
            "sampling": recipe.sampling,
            "patch": list(shapes.patch),
        },
    )


def pair_training_data(stage, modality, source, folder, simulated=False, patch=None, seed=0, progress=None,
                       recipe=None):
    """Pairs of images and masks; one subject in seven, at least one, is held out for validation.

    Parameters
    ----------
    stage : models.Stage
        What is trained.
    modality : {'mr', 'ct'}
        Of the images.
    source : path-like
        Folder or table; see `pair_table.find_pairs`.
    folder : path-like
        Where the pairs are kept on the network's grid.
    simulated : bool
        What the card says of the images; phantoms are known without it.
    patch : tuple of int, optional
        (D, H, W) voxels of a sample; stands in for the recipe's.
    seed : int
        Of the split and the samples.
    progress : callable, optional
        Called with (pairs done, pairs in all).
    recipe : Recipe, optional
        Decides what is sampled and how samples vary; by default the program's own.

    Returns
    -------
    TrainingData

    Raises
    ------
    BadInputError
        If the pairs cannot be used, or are fewer than two, or the recipe is for other networks.
    """
    pairs = find_pairs(source)
    simulated = simulated or are_phantoms(pairs)
    subjects = prepare_pairs(pairs, stage, modality, folder, progress=progress)
    training, validation = split_subjects(subjects.values(), seed=seed)
    return split_training_data(stage, folder, subjects, training, validation, simulated, patch, seed, recipe)


def split_training_data(stage, folder, subjects, training, validation, simulated=False, patch=None, seed=0,
                        recipe=None):
    """Prepared pairs of some subjects to train on, of others to validate on.

    Parameters
    ----------
    stage : models.Stage
        What is trained.
    folder : path-like
        Where `pair_cases.prepare_pairs` kept the cases.
    subjects : mapping of str to str
        The subject of each case, as `prepare_pairs` says.
    training, validation : sequence of str
        Subjects.
    simulated, patch, seed, recipe
        As for `pair_training_data`.

    Returns
    -------
    TrainingData
    """
    recipe = recipe or phantom_recipe(stage)
    shapes = sample_shapes(stage, recipe, patch)
    cases, held_out = ([name for name, subject in subjects.items() if subject in chosen]
                       for chosen in (set(training), set(validation)))
    if recipe.sampling == "patches":
        samples = _grid_patches(PairImages(folder, cases), stage, recipe, seed, recipe.augmentation)
    else:
        slab = (shapes.patch[0], shapes.margins[0][0]) if recipe.sampling == "slices" else None
        seen = with_slices(shapes.patch, shapes.margins)
        samples = PairSamples(folder, cases, stage, seen, seed, recipe.augmentation, slab)
    return TrainingData(
        samples=_inner(samples, shapes.margins),
        held_out=PairSamples(folder, held_out, stage, shapes.validation, augmentation=None),
        held_out_count=len(held_out),
        epoch=len(samples),
        description={
            "description": f"{len(cases) + len(held_out)} images with masks of {len(training) + len(validation)} "
                           "subjects.",
            "simulated": simulated,
            "epoch_samples": len(samples),
            "training_subjects": list(training),
            "validation_subjects": list(validation),
            "seed": seed,
            "sampling": recipe.sampling,
            "patch": list(shapes.patch),
        },
    )


def _inner(samples, margins):
    return samples if margins is NONE else InnerTargets(samples, margins)


def _grid_patches(images, stage, recipe, seed, augmentation) -> GridPatches:
    return GridPatches(
        images,
        planes=recipe.architecture == "patch25d",
        stride=recipe.stride,
        seed=seed,
        augmentation=augmentation,
        normalisation=stage.preprocessing.normalisation,
        slices=recipe.options.get("slices", 3),
    )
