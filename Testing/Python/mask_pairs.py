"""Pairs of masks for property tests: random, shaped like a bone, and pathological."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scipy import ndimage

SPACINGS = ((1.0, 1.0, 1.0), (0.5, 0.8, 1.7), (0.234, 1.5, 0.234), (2.0, 0.7, 0.4))  # i, j, k


def bone(shape, waves=0.0, shift=0.0) -> np.ndarray:
    """A head on a slanted neck on a shaft that the grid cuts off; its surface waves."""
    k, j, i = np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij")
    k, j, i = 14 * k, 12 * j - 6, 14 * i - shift
    head = np.sqrt((k - 10) ** 2 + j**2 + (i - 9.5) ** 2) - 3.2
    neck = np.maximum(np.hypot(j, i - 3 - 0.7 * (k - 2)) - 2, np.abs(k - 6) - 3)
    shaft = np.maximum(np.hypot(j, i - 4) - 2.4, k - 6)
    return np.minimum(np.minimum(head, neck), shaft) + waves * np.sin(2 * i) * np.sin(1.7 * j + k) < 0


def _random(rng, shape):
    return rng.random((2, *shape)) < rng.uniform(0.02, 0.98, (2, 1, 1, 1))


def _blobs(rng, shape):
    one, other = (ndimage.gaussian_filter(noise, rng.uniform(0.7, 2)) for noise in rng.random((2, *shape)))
    other = 0.7 * one + 0.3 * other
    return np.stack([one > np.quantile(one, rng.uniform(0.3, 0.8)), other > np.median(other)])


def _bones(rng, shape):
    shape = tuple(n + 5 for n in shape)
    return np.stack([bone(shape, rng.uniform(0, 1), rng.uniform(-1, 1)), bone(shape)])


def _speckled_bone(rng, shape):
    result, reference = _bones(rng, shape)
    return np.stack([result ^ (rng.random(result.shape) < 0.05), reference])


def _one_voxel_each(rng, shape):
    masks = np.zeros((2, *shape), bool)
    for mask in masks:
        mask[tuple(rng.integers(0, n) for n in shape)] = True
    return masks


def _sheet_and_rod(rng, shape):
    masks = np.zeros((2, *shape), bool)
    masks[0, rng.integers(0, shape[0])] = True
    masks[1, :, rng.integers(0, shape[1]), rng.integers(0, shape[2])] = True
    return masks


def _whole_grid_and_a_hole(rng, shape):
    masks = np.ones((2, *shape), bool)
    masks[(1, *(n // 2 for n in shape))] = False
    return masks


def _chequered(rng, shape):
    masks = np.zeros((2, *shape), bool)
    masks[0] = np.indices(shape).sum(axis=0) % 2 == 0
    masks[1] = ~masks[0]
    return masks


def _nothing_in_common(rng, shape):
    result, _ = _blobs(rng, shape)
    return np.stack([result, ~result])


def _the_same(rng, shape):
    result, _ = _blobs(rng, shape)
    return np.stack([result, result])


KINDS = (
    _random,
    _blobs,
    _bones,
    _speckled_bone,
    _one_voxel_each,
    _sheet_and_rod,
    _whole_grid_and_a_hole,
    _chequered,
    _nothing_in_common,
    _the_same,
)


@st.composite
def mask_pairs(draw, empty=False):
    """(result, reference, spacing (i, j, k)); neither mask is empty unless that is asked for."""
    make = draw(st.sampled_from(KINDS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(*[st.integers(2, 9)] * 3))
    masks = np.array(make(rng, shape))
    if empty:
        masks[list(draw(st.sampled_from([(), (0,), (1,), (0, 1)])))] = False
    else:
        for mask in masks:
            if not mask.any():
                mask[0, 0, 0] = True
    return masks[0], masks[1], draw(st.sampled_from(SPACINGS))
