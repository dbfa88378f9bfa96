"""Losses against sums done by hand, their gradients against a hand computation and against differences."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.training.border_weights import border_voxels, nearness_to_border
from ProximalFemurSegLib.training.losses import (
    LOSSES,
    class_counts,
    cross_entropy,
    dice_cross_entropy,
    find_loss,
    soft_dice,
    surface_weighted_cross_entropy,
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


# What the derivatives of the losses to the logit of bone are for the four voxels; the docstring below derives them.
GRADIENTS = {
    "ce": [-0.05, 0.025, 0.1, 0.125],
    "weighted-ce": [-0.0375, 0.00625, 0.025, 0.03125],
    "surface-ce": [-0.1375, 0.05625, 0.1463061, 0.0650838],
    "dice-ce": [-0.0554017 - 0.05, 0.0162050 + 0.025, 0.0432133 + 0.1, 0.0450139 + 0.125],
    "dice-surface-ce": [
        -0.0554017 - 0.0632662, 0.0162050 + 0.0316331, 0.0432133 + 0.0933414, 0.0450139 + 0.0669921
    ],
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_by_hand(name):
    """Every loss at p = 0.8 (bone), 0.1, 0.4, 0.5 (background) in a row of four voxels of 1 mm.

    With two logits per voxel, p = 1 / (1 + exp(z0 - z1)), so dp/dz1 = p (1 - p) = 0.16, 0.09, 0.24, 0.25, and the
    derivative of -log of the true class' probability is p - y: -0.2, 0.1, 0.4, 0.5. That to z0 is its opposite.

    - ce: the mean, so (p - y) / 4 = -0.05, 0.025, 0.1, 0.125.
    - weighted-ce: N = 4, Np = 1, Nb = 3, so bone weighs 3/4, background 1/4:
      3/4 (-0.2) / 4 = -0.0375; 1/4 (0.1, 0.4, 0.5) / 4 = 0.00625, 0.025, 0.03125.
    - surface-ce, w0 = 2, sigma = 1 mm: the border runs between the first two voxels, d = 0, 0, 1, 2 mm,
      exp(-d^2 / 2) = 1, 1, 0.606531, 0.135335, so the weights are 0.75 + 2, 0.25 + 2, 0.25 + 1.213061,
      0.25 + 0.270671; times (p - y) / 4: -0.1375, 0.05625, 0.1463061, 0.0650838.
    - Dice: I = sum p y = 0.8, S = sum p + sum y = 1.8 + 1, L = 1 - (2 I + 1) / (S + 1), so
      dL/dp = ((2 I + 1) - 2 y (S + 1)) / (S + 1)^2 = (2.6 - 7.6 y) / 14.44: -0.346260 for bone, 0.180055 else; times
      dp/dz1: -0.0554017, 0.0162050, 0.0432133, 0.0450139. To these comes the cross-entropy of dice-ce.
    - dice-surface-ce: to the Dice part comes w (p - y) / sum w with w = 1 + 2 exp(-d^2 / 2) = 3, 3, 2.213061, 1.270671,
      together 9.483732: -0.0632662, 0.0316331, 0.0933414, 0.0669921.
    """
    options = {"border_weight": 2.0, "sigma_mm": 1.0} if "surface" in name else {}
    logits = LOGITS.clone().requires_grad_()
    find_loss(name, **options)(logits, TARGET).backward()
    assert logits.grad[0, 1].flatten().tolist() == pytest.approx(GRADIENTS[name], abs=2e-7)
    assert logits.grad[0, 0].flatten().tolist() == pytest.approx([-g for g in GRADIENTS[name]], abs=2e-7)


def test_border_is_on_both_sides_of_the_surface():
    target = torch.zeros(1, 1, 4, 5, dtype=torch.long)
    target[0, 0, 1:3, 1:3] = 1
    expected = [[0, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [0, 1, 1, 0, 0]]
    assert border_voxels(target)[0, 0].int().tolist() == expected


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 0.469, 0.469)])
def test_nearness_is_that_of_scipys_distance_transform(spacing):
    rng = np.random.default_rng(4)
    target = np.stack([ndimage.gaussian_filter(rng.normal(size=(9, 20, 23)), 3) > 0.03 for _ in range(2)])
    found = nearness_to_border(torch.from_numpy(target).long(), 1.2, spacing)
    border = border_voxels(torch.from_numpy(target)).numpy()
    for sample in range(2):
        distance = ndimage.distance_transform_edt(~border[sample], sampling=spacing)
        assert np.abs(found[sample].numpy() - np.exp(-(distance**2) / 2 / 1.2**2)).max() < 4e-4
        assert (found[sample].numpy() == 1).sum() == border[sample].sum()


def test_a_sample_without_bone_has_no_border():
    target = torch.stack([torch.zeros(1, 1, 4), TARGET[0]]).long()
    assert nearness_to_border(target, 1.0)[:, 0, 0, 0].tolist() == [0.0, 1.0]


def test_classes_of_the_surface_loss_weigh_as_in_the_weighted_one():
    """Without anything for the border what is left is the papers' loss."""
    value = surface_weighted_cross_entropy(LOGITS, TARGET, border_weight=0.0)
    assert float(value) == pytest.approx(float(weighted_cross_entropy(LOGITS, TARGET)), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_in_parts_has_the_mean_of_their_losses(name):
    torch.manual_seed(5)
    logits, target = torch.randn(4, 2, 3, 4, 5), torch.randint(0, 2, (4, 3, 4, 5))
    target[0] = 0
    loss, counts = find_loss(name), class_counts(target, 2)
    parts = [float(loss(a, b, counts)) for a, b in zip(logits.split(2), target.split(2))]
    assert sum(parts) / 2 == pytest.approx(float(loss(logits, target)), rel=1e-6)


def test_dice_agrees_with_monai():
    losses = pytest.importorskip("monai.losses", reason="MONAI is not installed")
    torch.manual_seed(1)
    logits, target = torch.randn(2, 3, 4, 5, 6), torch.randint(0, 3, (2, 4, 5, 6))
    other = losses.DiceLoss(include_background=False, to_onehot_y=True, softmax=True, smooth_nr=1.0, smooth_dr=1.0)
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
        assert float(gradient[place]) == pytest.approx(slope, abs=2e-5, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("focal", {}, "weighted-ce, ce, dice-ce, surface-ce"),
        ("ce", {"sigma_mm": 1.0}, "no option sigma_mm; it has none"),
        ("surface-ce", {"width": 1.0}, "border_weight, sigma_mm, spacing_mm"),
        ("surface-ce", {"sigma_mm": 0.0}, "sigma_mm must be above 0"),
        ("surface-ce", {"spacing_mm": [1.0, 1.0]}, "three lengths"),
    ],
)
def test_losses_that_cannot_be_are_refused(name, options, words):
    with pytest.raises(BadInputError, match=words):
        find_loss(name, **options)
