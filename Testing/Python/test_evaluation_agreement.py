"""Readers against each other, and STAPLE on readers whose mistakes are known."""

import numpy as np
import pytest

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.evaluation.agreement import dice_matrix, staple
from ProximalFemurSegLib.volume import Grid


def bar(start, stop):
    mask = np.zeros((3, 4, 12), bool)
    mask[1, 1:3, start:stop] = True
    return mask


def test_matrix_by_hand():
    matrix = dice_matrix([bar(0, 4), bar(2, 6), bar(0, 4)])
    assert matrix == pytest.approx(np.array([[1, 0.5, 1], [0.5, 1, 0.5], [1, 0.5, 1]]))


def test_consensus_follows_the_majority():
    consensus = staple([bar(2, 8), bar(2, 8), bar(4, 10)], Grid.from_parts((3, 4, 12)))
    assert np.array_equal(consensus.mask, bar(2, 8))
    assert consensus.sensitivity[0] > consensus.sensitivity[2]
    assert consensus.specificity[0] > consensus.specificity[2]


def test_readers_performance_is_recovered():
    """Five readers who each flip voxels at their own rates, for bone and for background."""
    rng = np.random.default_rng(0)
    truth = np.zeros((14, 14, 14), bool)
    truth[4:10, 4:10, 4:10] = True
    sensitivity, specificity = np.array([0.95, 0.9, 0.8, 0.85, 0.7]), np.array([0.99, 0.95, 0.9, 0.97, 0.98])
    readers = [
        np.where(truth, rng.random(truth.shape) < p, rng.random(truth.shape) > q)
        for p, q in zip(sensitivity, specificity)
    ]
    consensus = staple(readers, Grid.from_parts(truth.shape))
    assert consensus.sensitivity == pytest.approx(sensitivity, abs=0.08)
    assert consensus.specificity == pytest.approx(specificity, abs=0.03)
    assert np.mean(consensus.mask == truth) > max(np.mean(r == truth) for r in readers)


def test_what_makes_no_consensus():
    grid = Grid.from_parts((3, 4, 12))
    with pytest.raises(BadInputError, match="two readers"):
        staple([bar(0, 4)], grid)
    with pytest.raises(BadInputError, match="empty mask"):
        staple([bar(0, 4), bar(0, 0)], grid)
