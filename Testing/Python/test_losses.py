"""Losses against sums done by hand, and their gradients against differences."""

import math

import pytest
import torch

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.training.losses import (
    LOSSES,
    cross_entropy,
    dice_cross_entropy,
    find_loss,
    soft_dice,
    weighted_cross_entropy,
)

# Four voxels, one of them bone; probabilities of bone 0.8 (bone), 0.1, 0.4, 0.5 (background).
P = [0.8, 0.1, 0.4, 0.5]
TARGET = torch.tensor([1, 0, 0, 0]).reshape(1, 1, 1, 4)
LOGITS = torch.tensor([[0.0, math.log(p / (1 - p))] for p in P]).T.reshape(1, 2, 1, 1, 4)


def test_cross_entropy_by_hand():
    expected = -(math.log(0.8) + math.log(0.9) + math.log(0.6) + math.log(0.5)) / 4
    assert float(cross_entropy(LOGITS, TARGET)) == pytest.approx(expected, rel=1e-6)


def test_weighted_cross_entropy_by_hand():
    # N = 4, Np = 1, Nb = 3: bone weighs 3/4, background 1/4.
    expected = -(0.75 * math.log(0.8) + 0.25 * (math.log(0.9) + math.log(0.6) + math.log(0.5))) / 4
    assert float(weighted_cross_entropy(LOGITS, TARGET)) == pytest.approx(expected, rel=1e-6)


def test_weighted_cross_entropy_gives_both_classes_the_same_say():
    """At p = 1/2 everywhere the gradients of both classes cancel, whatever the share of bone; this is what tells the
    right assignment of the weights from the swapped one of arXiv-v1."""
    target = torch.zeros(1, 4, 5, 6, dtype=torch.long)
    target[0, 0, 0, :5] = 1
    bias = torch.zeros(2, requires_grad=True)
    weighted_cross_entropy(bias.view(1, 2, 1, 1, 1).expand(1, 2, 4, 5, 6), target).backward()
    assert bias.grad.abs().max() < 1e-8
    cross_entropy(bias.view(1, 2, 1, 1, 1).expand(1, 2, 4, 5, 6), target).backward()
    assert bias.grad.abs().max() > 0.1


def test_soft_dice_by_hand():
    # 2 * 0.8 / (1.8 + 1), without smoothing
    assert float(soft_dice(LOGITS, TARGET, smooth=0.0)) == pytest.approx(1 - 1.6 / 2.8, rel=1e-6)
    assert float(soft_dice(LOGITS, TARGET)) == pytest.approx(1 - 2.6 / 3.8, rel=1e-6)
    both = float(dice_cross_entropy(LOGITS, TARGET))
    assert both == pytest.approx(float(soft_dice(LOGITS, TARGET)) + float(cross_entropy(LOGITS, TARGET)), rel=1e-6)


def test_soft_dice_of_the_truth_is_zero_also_without_bone():
    certain = torch.stack([1 - TARGET, TARGET], dim=1).float() * 80
    assert float(soft_dice(certain, TARGET)) == pytest.approx(0, abs=1e-6)
    empty = torch.zeros_like(TARGET)
    assert float(soft_dice(torch.stack([1 - empty, empty], dim=1).float() * 80, empty)) == pytest.approx(0, abs=1e-6)


def test_dice_agrees_with_monai():
    losses = pytest.importorskip("monai.losses", reason="MONAI is not installed")
    torch.manual_seed(1)
    logits, target = torch.randn(2, 3, 4, 5, 6), torch.randint(0, 3, (2, 4, 5, 6))
    other = losses.DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True, smooth_nr=1.0,
                            smooth_dr=1.0)
    assert float(soft_dice(logits, target)) == pytest.approx(float(other(logits, target[:, None])), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_against_differences(name):
    torch.manual_seed(2)
    logits = torch.randn(1, 3, 2, 2, 3, requires_grad=True)
    target = torch.randint(0, 3, (1, 2, 2, 3))
    loss = find_loss(name)
    (gradient,) = torch.autograd.grad(loss(logits, target), logits)
    step = 1e-2
    for place in [(0, 0, 0, 0, 0), (0, 1, 1, 0, 2), (0, 2, 0, 1, 1)]:
        up, down = logits.detach().clone(), logits.detach().clone()
        up[place] += step
        down[place] -= step
        slope = (float(loss(up, target)) - float(loss(down, target))) / (2 * step)
        assert float(gradient[place]) == pytest.approx(slope, abs=2e-5)


def test_unknown_loss():
    with pytest.raises(BadInputError, match="weighted-ce, ce, dice-ce"):
        find_loss("focal")
