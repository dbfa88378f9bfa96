"""The loss functions of the papers, and those that train small data best today.

All take logits (B, classes, D, H, W) and integer targets (B, D, H, W) and give one number: the mean over the samples of
what each has by itself. So a batch that is computed in parts, one after the other or on several processors, has the
mean of the parts' losses, and the same gradient. Only the weights of the classes hang on the batch as a whole;
``counts``, its voxels of each class, tells a part of them (None counts those of the target).
"""

from __future__ import annotations

import functools
import inspect

import torch
import torch.nn.functional as functional

from ..errors import BadInputError
from .border_weights import nearness_to_border


def class_counts(target: torch.Tensor, classes: int) -> torch.Tensor:
    """Voxels of each class in a target, (classes,) float32."""
    return torch.bincount(target.reshape(-1), minlength=classes).to(torch.float32)


def class_weights(counts: torch.Tensor) -> torch.Tensor:
    """1 - Nc / N of each class: what `weighted_cross_entropy` derives."""
    return 1 - counts / counts.sum()


def cross_entropy(logits: torch.Tensor, target: torch.Tensor, counts=None) -> torch.Tensor:
    """Plain softmax cross-entropy, the mean over voxels (QCT-2021 equation 1)."""
    return functional.cross_entropy(logits.float(), target)


def weighted_cross_entropy(logits: torch.Tensor, target: torch.Tensor, counts=None) -> torch.Tensor:
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
    counts = class_counts(target, logits.shape[1]) if counts is None else counts
    summed = functional.cross_entropy(logits.float(), target, weight=class_weights(counts), reduction="sum")
    return summed / target.numel()


def surface_weighted_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    counts=None,
    border_weight: float = 10.0,
    sigma_mm: float = 1.2,
    spacing_mm=(1.0, 1.0, 1.0),
) -> torch.Tensor:
    r"""Cross-entropy that counts most where it is hardest: at the bone's surface.

    SciRep-2018 (its discussion) proposes its own loss with "a surface-based weighting, a variant of weight-map for the
    borders" of the U-Net. That map (Ronneberger et al., MICCAI 2015, equation 2) adds to the weight of the classes

    .. math:: w(x) = w_c(x) + w_0 \exp\left(-\frac{d(x)^2}{2\sigma^2}\right)

    where d was the distance to the two nearest cells; here there is one surface, and d is the distance to it. The
    weight of the classes is that of `weighted_cross_entropy`.

    Parameters
    ----------
    logits, target, counts
        As for every loss.
    border_weight : float
        w0 (U-Net: 10).
    sigma_mm : float
        Width of the border; 1.2 mm are the 5 pixels of the U-Net in the papers' MR.
    spacing_mm : sequence of float
        Voxel size along (D, H, W).
    """
    counts = class_counts(target, logits.shape[1]) if counts is None else counts
    weight = class_weights(counts)[target] + border_weight * nearness_to_border(target, sigma_mm, spacing_mm)
    return (weight * functional.cross_entropy(logits.float(), target, reduction="none")).mean()


def soft_dice(logits: torch.Tensor, target: torch.Tensor, smooth: float = 1.0) -> torch.Tensor:
    """1 - the mean over samples and foreground classes of (2 sum(p y) + s) / (sum(p) + sum(y) + s)."""
    probability = torch.softmax(logits.float(), dim=1)[:, 1:].flatten(2)
    truth = torch.stack([target == label for label in range(1, logits.shape[1])], dim=1).flatten(2)
    truth = truth.to(probability.dtype)
    overlap, sizes = (probability * truth).sum(dim=2), probability.sum(dim=2) + truth.sum(dim=2)
    return 1 - ((2 * overlap + smooth) / (sizes + smooth)).mean()


def dice_cross_entropy(logits: torch.Tensor, target: torch.Tensor, counts=None) -> torch.Tensor:
    """`soft_dice` + `cross_entropy`: the overlap decides the balance, the cross-entropy keeps the gradients smooth."""
    return soft_dice(logits, target) + cross_entropy(logits, target)


def dice_surface_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    counts=None,
    border_weight: float = 10.0,
    sigma_mm: float = 1.2,
    spacing_mm=(1.0, 1.0, 1.0),
) -> torch.Tensor:
    """`soft_dice` + a mean of the cross-entropy over the voxels of each sample that is weighted towards the surface.

    The weight is 1 + w0 exp(-d^2 / 2 sigma^2), see `surface_weighted_cross_entropy`, without that of the classes: the
    Dice term balances them.
    """
    weight = (1 + border_weight * nearness_to_border(target, sigma_mm, spacing_mm)).flatten(1)
    each = functional.cross_entropy(logits.float(), target, reduction="none").flatten(1)
    return soft_dice(logits, target) + ((weight * each).sum(dim=1) / weight.sum(dim=1)).mean()


LOSSES = {
    "weighted-ce": weighted_cross_entropy,
    "ce": cross_entropy,
    "dice-ce": dice_cross_entropy,
    "surface-ce": surface_weighted_cross_entropy,
    "dice-surface-ce": dice_surface_cross_entropy,
}


def loss_option_names(name: str) -> list[str]:
    """What can be set of a loss.

    Raises
    ------
    BadInputError
        If there is no such loss.
    """
    if name not in LOSSES:
        raise BadInputError(f"There is no loss named {name!r}; choose one of {', '.join(LOSSES)}.")
    parameters = inspect.signature(LOSSES[name]).parameters
    return [n for n in parameters if n not in ("logits", "target", "counts")]


def find_loss(name: str, **options):
    """The loss function of that name, with some of its options set.

    Returns
    -------
    callable
        ``loss(logits, target, counts=None)``.

    Raises
    ------
    BadInputError
        If there is none, or it has no such option, or the option has an impossible value.
    """
    known = loss_option_names(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        choice = f"its options are {', '.join(known)}" if known else "it has none"
        raise BadInputError(f"The loss {name} has no option {', '.join(unknown)}; {choice}.")
    for option, value in options.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if option == "spacing_mm" and len(values) != 3:
            raise BadInputError(f"The loss {name}: spacing_mm must be three lengths, along D, H and W, not {value!r}.")
        if not all(isinstance(v, (int, float)) and v > 0 for v in values):
            raise BadInputError(f"The loss {name}: {option} must be above 0, not {value!r}.")
    return functools.partial(LOSSES[name], **options)
