"""Validation Dice against a count by hand."""

from __future__ import annotations

import numpy as np
import torch

from ProximalFemurSegLib.training.validation import DiceValidation


class Threshold(torch.nn.Module):
    """Calls bone what is brighter than a half."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        return torch.cat([torch.zeros_like(x), 8.0 * self.scale * (x - 0.5)], dim=1)


class TwoSamples:
    def sample(self, index):
        image, target = np.zeros((1, 2, 2, 2), np.float32), np.zeros((2, 2, 2), np.int64)
        if index == 0:
            # Four voxels of bone, three of them found.
            target[0] = 1
            image[0, 0] = [[1, 1], [1, 0]]
        else:
            # No bone, one voxel found.
            image[0, 1, 1, 1] = 1
        return image, target


def test_dice_is_that_of_all_samples_together():
    # Found in both 3; truth 4, result 3 + 1: 2 * 3 / 8. The mean of the samples' own values would be 0.43.
    assert DiceValidation(TwoSamples(), 2)(Threshold().eval(), 1)["dice"] == 0.75


def test_cross_entropy_is_that_of_torch():
    metrics = DiceValidation(TwoSamples(), 1)(Threshold().eval(), 1)
    right, wrong = np.log1p(np.exp(-4.0)), np.log1p(np.exp(4.0))
    assert abs(metrics["cross_entropy"] - (7 * right + wrong) / 8) < 2e-3
