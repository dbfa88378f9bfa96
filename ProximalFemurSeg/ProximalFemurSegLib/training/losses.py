"""The loss functions of the papers, and the one that trains small data best today.

All take logits (B, classes, D, H, W) and integer targets (B, D, H, W) and give one number.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from ..errors import BadInputError


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Plain softmax cross-entropy, the mean over voxels (QCT-2021 equation 1)."""
    return functional.cross_entropy(logits.float(), target)


def weighted_cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    r"""Cross-entropy in which each class counts for as much as the others, however few its voxels (SciRep-2018).

    .. math:: CE = -\frac1N \sum_i \left[ \frac{N_b}{N} y_i \log p_i + \frac{N_p}{N} (1 - y_i) \log(1 - p_i) \right]

    with Np bone and Nb background voxels. The bone term sums over Np voxels, so its total weight is Np Nb / N; the
    background term sums over Nb voxels, total weight Nb Np / N: the two are equal, and as bone is the rarer class
    (Np < Nb), a bone voxel weighs Nb / Np times a background voxel. With the weights the other way round, as
    arXiv-v1 prints them, the totals would be Np^2 / N and Nb^2 / N, and bone would all but vanish from the loss;
    that is a misprint.

    For more than two classes the weight of class c is 1 - Nc / N, which is the same for two. Voxels are counted over
    the batch. In a batch without bone the background's weight, Np / N, is zero and so is the loss, as the formula
    has it: sample crops that contain bone.
    """
    classes = logits.shape[1]
    counts = torch.bincount(target.reshape(-1), minlength=classes).to(torch.float32)
    weights = 1 - counts / counts.sum()
    return functional.cross_entropy(logits.float(), target, weight=weights, reduction="sum") / target.numel()


def soft_dice(logits: torch.Tensor, target: torch.Tensor, smooth: float = 1.0) -> torch.Tensor:
    """1 - the mean over the foreground classes of (2 sum(p y) + s) / (sum(p) + sum(y) + s), sums over the batch."""
    probability = torch.softmax(logits.float(), dim=1)
    scores = []
    for label in range(1, logits.shape[1]):
        truth = (target == label).to(probability.dtype)
        p = probability[:, label]
        scores.append((2 * (p * truth).sum() + smooth) / (p.sum() + truth.sum() + smooth))
    return 1 - torch.stack(scores).mean()


def dice_cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """`soft_dice` + `cross_entropy`: the overlap decides the balance, the cross-entropy keeps the gradients smooth."""
    return soft_dice(logits, target) + cross_entropy(logits, target)


LOSSES = {
    "weighted-ce": weighted_cross_entropy,
    "ce": cross_entropy,
    "dice-ce": dice_cross_entropy,
}


def find_loss(name: str):
    """The loss function of that name.

    Raises
    ------
    BadInputError
        If there is none.
    """
    if name not in LOSSES:
        raise BadInputError(f"There is no loss named {name!r}; choose one of {', '.join(LOSSES)}.")
    return LOSSES[name]
