"""The training of one network of a preset, from data to weights with a card."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import BadInputError
from ..evaluation.curves import ScoreHistogram
from ..thresholds import find_operating_points
from .checkpoint_files import BEST
from .export import export_training
from .losses import find_loss, loss_option_names
from .processes import Processes
from .stage_data import TrainingData
from .trainer import TrainingResult, train
from .validation import DiceValidation


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


def complete_recipe(recipe, stage):
    """The recipe with the voxel size for a loss that asks for it and was not told."""
    if "spacing_mm" in loss_option_names(recipe.loss) and "spacing_mm" not in recipe.loss_options:
        return recipe.replace(loss_options={**recipe.loss_options, "spacing_mm": list(stage.preprocessing.spacing_mm)})
    return recipe


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
    processes: Processes | None = None,
) -> tuple[TrainingResult, Path | None]:
    """Train one network and export its weights and card.

    Parameters
    ----------
    stage : models.Stage
        What is trained, with the recipe's options.
    data : TrainingData
        On what.
    recipe : Recipe
        How.
    folder : path-like
        For checkpoints and the log.
    out_dir : path-like
        For the weights and the card.
    resume, device, workers, progress, cancelled, start, processes
        As for `trainer.train`.

    Returns
    -------
    TrainingResult
    pathlib.Path or None
        The weights' file; None if the training was stopped before its end, or this is not the first process.

    Raises
    ------
    BadInputError
        If the data hold no bone to validate on, or as `trainer.train`.
    """
    recipe = complete_recipe(recipe, stage)
    processes = processes or Processes(device)
    validation = None
    if processes.first:
        loss = find_loss(recipe.loss, **recipe.loss_options)
        validation = DiceValidation(data.held_out, data.held_out_count, loss=loss)
    result = train(recipe, data.samples, folder, validation or _elsewhere, resume, device, workers, start=start,
                   progress=progress, cancelled=cancelled, epoch_samples=data.epoch, processes=processes)
    if not (result.finished and processes.first):
        return result, None
    if recipe.keep == "best":
        best = torch.load(Path(folder) / BEST, map_location="cpu", weights_only=True)
        result.network.load_state_dict(best["network"])
    try:
        operating_point = measure_operating_points(result.network, data)
    except ValueError:
        raise BadInputError("The images held out for validation show no bone; give more images.") from None
    weights = export_training(folder, stage, data.description, out_dir, recipe.keep, operating_point=operating_point)
    return result, weights


def _elsewhere(network, step):
    """The first process validates for all."""
    raise AssertionError("only the first process validates")
