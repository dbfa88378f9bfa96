"""From a recipe to an optimizer, a learning rate, a precision and averaged weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from ..cpu_tuning import bf16_is_fast
from .recipe import Recipe


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Learning rate of a step (from 0), at a progress between 0 and 1."""
    rate = recipe.learning_rate * min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    if recipe.schedule == "cosine":
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        rate *= recipe.final_rate + (1 - recipe.final_rate) * fall
    return rate


def make_optimizer(recipe: Recipe, network: nn.Module):
    """SGD with momentum, Adam or AdamW.

    With SGD and Adam ``weight_decay`` is the papers' L2: half of it times the squared kernels is part of the loss, and
    its gradient goes through momentum and scaling like any other. With AdamW it shrinks the kernels beside that.
    """
    # Biases and the scales of the normalisation are not shrunk: one-dimensional parameters have nothing to overfit.
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=recipe.learning_rate)


def choose_precision(recipe: Recipe, device: torch.device) -> torch.dtype:
    """What the forward pass computes in."""
    if recipe.precision != "auto":
        return getattr(torch, recipe.precision)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if device.type == "cpu" and bf16_is_fast() else torch.float32


class WeightAverage:
    """Exponential running average of the weights; statistics of batch norm are taken over as they are.

    Parameters
    ----------
    network : torch.nn.Module
        What is trained.
    decay : float
        Per step; 0 keeps the weights themselves.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after a step (from 0)."""
        # Short memory at first, so that the random first weights are soon forgotten.
        decay = min(self.decay, (step + 1) / (step + 10)) if self.decay else 0.0
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers()):
            mine.copy_(theirs)
