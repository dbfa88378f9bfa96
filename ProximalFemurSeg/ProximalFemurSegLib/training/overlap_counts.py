"""How much of a batch is right, as counts that add up over parts of it."""

from __future__ import annotations

import torch


def overlap_counts(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """By arg max: for each foreground class its voxels in both and in either, (2, classes - 1); then those that are
    right, and all; float64, one row after the other."""
    result = logits.argmax(dim=1)
    both, sizes = [], []
    for label in range(1, logits.shape[1]):
        truth, found = target == label, result == label
        both.append(int((truth & found).sum()))
        sizes.append(int(truth.sum()) + int(found.sum()))
    return torch.tensor([*both, *sizes, int((result == target).sum()), target.numel()], dtype=torch.float64)


def dice_of(counts: torch.Tensor) -> float:
    """Mean Dice of the foreground classes that occur, from `overlap_counts`; 1 if none does."""
    both, sizes = counts[:-2].view(2, -1).tolist()
    scores = [2 * a / b for a, b in zip(both, sizes) if b]
    return sum(scores) / len(scores) if scores else 1.0


def batch_dice(logits: torch.Tensor, target: torch.Tensor) -> float:
    """Mean Dice of the foreground classes that occur in the target or the result, by arg max; 1 if none does."""
    return dice_of(overlap_counts(logits, target))
