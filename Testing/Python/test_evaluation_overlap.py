"""Overlap by hand-worked counts, by MONAI, and by its laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ProximalFemurSegLib.evaluation.overlap import Confusion, count_confusion

pairs = arrays(bool, st.tuples(st.just(2), *[st.integers(1, 5)] * 3))


def test_hand_worked_count():
    result = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool).reshape(2, 2, 2)
    reference = np.array([1, 0, 0, 1, 0, 0, 0, 0], bool).reshape(2, 2, 2)
    counted = count_confusion(result, reference)
    assert counted == Confusion(1, 2, 1, 4)
    assert counted.dice == pytest.approx(2 / 5)
    assert counted.precision == pytest.approx(1 / 3)
    assert counted.recall == pytest.approx(1 / 2)
    assert counted.specificity == pytest.approx(4 / 6)


def test_identical_masks_are_perfect_and_disjoint_ones_share_nothing():
    mask = np.zeros((4, 4, 4), bool)
    mask[1:3] = True
    same = count_confusion(mask, mask)
    assert (same.dice, same.precision, same.recall, same.specificity) == (1, 1, 1, 1)
    other = count_confusion(mask, ~mask)
    assert (other.dice, other.precision, other.recall, other.specificity) == (0, 0, 0, 0)


def test_empty_masks():
    empty, bone = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    bone[0] = False
    both = count_confusion(empty, empty)
    assert (both.dice, both.precision, both.recall, both.specificity) == (1, 1, 1, 1)
    missed = count_confusion(empty, bone)
    assert (missed.dice, missed.precision, missed.recall, missed.specificity) == (0, 0, 0, 1)
    invented = count_confusion(bone, empty)
    assert (invented.dice, invented.precision, invented.recall, invented.specificity) == (0, 0, 0, 0.5)
    assert count_confusion(np.ones((1, 1, 1)), np.ones((1, 1, 1))).specificity == 1


@settings(max_examples=50, deadline=None)
@given(pair=pairs)
def test_laws(pair):
    """Dice is symmetric and the harmonic mean of precision and recall; swapping the masks swaps those two."""
    one, other = count_confusion(*pair), count_confusion(*pair[::-1])
    assert one.dice == other.dice
    assert (one.precision, one.recall) == (other.recall, other.precision)
    if one.precision + one.recall:
        assert one.dice == pytest.approx(2 * one.precision * one.recall / (one.precision + one.recall))
    assert one.true_positives + one.false_positives + one.false_negatives + one.true_negatives == pair[0].size
    if not pair[1].all():
        assert count_confusion(~pair[0], ~pair[1]).recall == pytest.approx(one.specificity)


def test_counts_add_up():
    masks = np.random.default_rng(0).random((2, 4, 5, 6)) < 0.5
    halves = count_confusion(masks[0, :2], masks[1, :2]) + count_confusion(masks[0, 2:], masks[1, 2:])
    assert halves == count_confusion(*masks)


def test_shapes_that_differ():
    with pytest.raises(ValueError, match="differ in shape"):
        count_confusion(np.ones((2, 2, 2)), np.ones((1, 2, 2)))
