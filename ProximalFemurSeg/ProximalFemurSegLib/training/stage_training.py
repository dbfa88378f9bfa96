"""The training of one network of a preset, from data to weights with a card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import BadInputError
from ..evaluation.curves import ScoreHistogram
from ..thresholds import find_operating_points
from .export import export_training
from .pair_cases import prepare_pairs
from .pair_data import PairSamples, split_subjects
from .pair_table import find_pairs
from .phantom_cohort import bake_cohort
from .phantom_training import patch_shape, phantom_samples
from .trainer import BEST, TrainingResult, train
from .validation import DiceValidation

PHANTOM_EPOCH = 400  # samples; phantoms never run out
_HELD_OUT_SAMPLES = 10


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


def phantom_training_data(stage, folder, anatomy=None, scenes=60, held_out=8, patch=None, seed=0, announce=None):
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
        (D, H, W) voxels of a sample.
    seed : int
        Of the samples.
    announce : callable, optional
        Called with a line of text for every scene.

    Returns
    -------
    TrainingData
    """
    bake_cohort(folder, anatomy, scenes, held_out, announce or (lambda text: None))
    shapes = "of the program's own geometry" + ("" if anatomy is None else " and, half of them, over real shapes")
    return TrainingData(
        samples=phantom_samples(stage, folder, shape=patch, seed=seed),
        held_out=phantom_samples(stage, folder, held_out=True, shape=patch, seed=seed),
        held_out_count=_HELD_OUT_SAMPLES,
        epoch=PHANTOM_EPOCH,
        description={
            "description": f"Simulated hip scans {shapes}; the shapes of the validation are held out.",
            "simulated": True,
            "epoch_samples": PHANTOM_EPOCH,
            "scenes": scenes,
            "held_out_scenes": held_out,
            "seed": seed,
            "patch": list(patch or patch_shape(stage)),
        },
    )


def pair_training_data(stage, modality, source, folder, simulated=False, patch=None, seed=0, progress=None):
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
        (D, H, W) voxels of a sample.
    seed : int
        Of the split and the samples.
    progress : callable, optional
        Called with (pairs done, pairs in all).

    Returns
    -------
    TrainingData

    Raises
    ------
    BadInputError
        If the pairs cannot be used, or are fewer than two.
    """
    pairs = find_pairs(source)
    # The phantom command leaves landmarks beside its images, which nobody has for a real scan.
    simulated = simulated or any(Path(pair.image).with_name("landmarks.json").is_file() for pair in pairs)
    subjects = prepare_pairs(pairs, stage, modality, folder, progress=progress)
    training, validation = split_subjects(subjects.values(), seed=seed)
    cases = {group: [name for name, subject in subjects.items() if subject in chosen]
             for group, chosen in (("training", training), ("validation", validation))}
    patch = patch_shape(stage) if patch is None else patch
    return TrainingData(
        samples=PairSamples(folder, cases["training"], stage, patch, seed=seed),
        held_out=PairSamples(folder, cases["validation"], stage, patch, augmentation=None),
        held_out_count=len(cases["validation"]),
        epoch=len(cases["training"]),
        description={
            "description": f"{len(subjects)} images with masks of {len(training) + len(validation)} subjects.",
            "simulated": simulated,
            "epoch_samples": len(cases["training"]),
            "training_subjects": training,
            "validation_subjects": validation,
            "seed": seed,
            "patch": list(patch),
        },
    )


@torch.inference_mode()
def measure_operating_points(network, data: TrainingData) -> dict[str, float]:
    """Thresholds for a network's card, from its probabilities on the held-out samples.

    Parameters
    ----------
    network : torch.nn.Module
        Maps images to logits; bone is any class but the first.
    data : TrainingData
        With held-out samples.

    Returns
    -------
    dict of str to float
        'threshold', 'roc' and 'youden'; see `thresholds.find_operating_points`.
    """
    histogram = ScoreHistogram()
    device = next(network.parameters()).device
    for index in range(data.held_out_count):
        image, target = data.held_out.sample(index)
        logits = network(torch.as_tensor(image)[None].to(device)).float()
        bone = 1 - torch.softmax(logits, dim=1)[0, 0]
        histogram.add(bone.cpu().numpy(), torch.as_tensor(target).numpy() > 0)
    points = find_operating_points(histogram.curve())
    return {name: round(point.threshold, 4) for name, point in points.items()}


def train_stage(
    stage,
    data: TrainingData,
    recipe,
    folder,
    out_dir,
    resume: bool = False,
    device="cpu",
    workers: int = 1,
    progress=None,
    cancelled=None,
    start=None,
) -> tuple[TrainingResult, Path | None]:
    """Train one network and export its weights and card.

    Parameters
    ----------
    stage : models.Stage
        What is trained.
    data : TrainingData
        On what.
    recipe : Recipe
        How.
    folder : path-like
        For checkpoints and the log.
    out_dir : path-like
        For the weights and the card.
    resume, device, workers, progress, cancelled, start
        As for `trainer.train`.

    Returns
    -------
    TrainingResult
    pathlib.Path or None
        The weights' file; None if the training was stopped before its end.

    Raises
    ------
    BadInputError
        If the data hold no bone to validate on, or as `trainer.train`.
    """
    validation = DiceValidation(data.held_out, data.held_out_count)
    result = train(recipe, data.samples, folder, validation, resume, device, workers, start=start, progress=progress,
                   cancelled=cancelled)
    if not result.finished:
        return result, None
    # The weights that validated best are those that are kept (QCT-2021, section 2.4).
    result.network.load_state_dict(torch.load(Path(folder) / BEST, map_location="cpu", weights_only=True)["network"])
    try:
        operating_point = measure_operating_points(result.network, data)
    except ValueError:
        raise BadInputError("The images held out for validation show no bone; give more images.") from None
    weights = export_training(folder, stage, data.description, out_dir, operating_point=operating_point)
    return result, weights
