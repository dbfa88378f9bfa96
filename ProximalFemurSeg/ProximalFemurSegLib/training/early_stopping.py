"""When a training has learnt what it can: the rule of arXiv-v2 and SciRep-2018."""

from __future__ import annotations


def has_stopped_gaining(accuracies, patience: int, minimum_epochs: int = 0, minimum_gain: float = 0.0) -> bool:
    """Whether to stop after the last of these epochs.

    "Training is stopped when the accuracy on the validation set does not improve by 10^-4 within the last 10 epochs.
    First 30 epochs are trained without early stopping" (SciRep-2018, Model selection): the best accuracy so far is held
    against the best one of ``patience`` epochs ago.

    Parameters
    ----------
    accuracies : sequence of float
        On the validation set, after each epoch.
    patience : int
        Epochs in which it has to improve (the papers: 10).
    minimum_epochs : int
        Epochs that are trained in any case (the papers: 30).
    minimum_gain : float
        What counts as an improvement (the papers: 1e-4); with 0 any gain does.

    Returns
    -------
    bool

    Examples
    --------
    >>> has_stopped_gaining([0.5, 0.9, 0.9, 0.9], patience=2), has_stopped_gaining([0.5, 0.9, 0.9], patience=2)
    (True, False)
    """
    done = len(accuracies)
    if done <= patience or done < minimum_epochs:
        return False
    before, now = max(accuracies[: done - patience]), max(accuracies)
    return not (now > before and now - before >= minimum_gain)
