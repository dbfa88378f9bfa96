"""A threshold is only worked out where the bone is; the masks are those of the whole map."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ProximalFemurSegLib.inference import apply_threshold
from ProximalFemurSegLib.inference.main_part import find_main_part
from ProximalFemurSegLib.inference.result import FemurRegion, Probabilities
from ProximalFemurSegLib.postprocessing import postprocess
from ProximalFemurSegLib.volume import Grid, Volume

SHAPE = (9, 11, 13)
GRID = Grid.from_parts(SHAPE)


def masks_by_hand(maps, threshold, steps):
    """The same, from the whole maps with the post-processing on its own."""
    # Of pieces of one size the first is kept, in the order that the networks read: upwards, backwards, to the left.
    maps = [values[:, ::-1, ::-1] for values in maps]
    outer = postprocess(maps[0] > threshold, GRID, steps)
    labels = outer * 1
    if len(maps) == 2:
        inner = postprocess((maps[1] > threshold) & outer, GRID, steps) & outer
        labels = np.where(inner, 1, 2 * outer)
    return labels[:, ::-1, ::-1]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    threshold=st.sampled_from([0.001, 0.01, 0.05, 0.3, 0.5, 0.7, 0.9, 0.99]),
    steps=st.sampled_from(["auto", "none", "largest", "fill", "open=1,largest,fill", "largest,open=1,fill", "small=4"]),
    levels=st.integers(2, 12),
    count=st.sampled_from([1, 2]),
)
@example(seed=12, threshold=0.3, steps="auto", levels=6, count=2)  # four pieces of two voxels each
def test_every_threshold_gives_what_the_whole_map_gives(seed, threshold, steps, levels, count):
    generator = np.random.default_rng(seed)
    # Few values, many of them zero: pieces that meet, part and outgrow each other as the threshold moves.
    maps = [generator.integers(0, levels, SHAPE) ** 3 / levels**3 for _ in range(count)]
    maps = [values.astype(np.float32) for values in maps]
    names = ("bone",) if count == 1 else ("periosteal", "endosteal")
    volumes = {name: Volume(values, GRID) for name, values in zip(names, maps)}
    probabilities = Probabilities(volumes, [FemurRegion("left", (0, 0, 0), SHAPE, GRID)])
    result = apply_threshold(probabilities, threshold, steps)
    expected = masks_by_hand(maps, threshold, steps)
    assert np.array_equal(result.labels.array, expected)
    outside = np.ones(SHAPE, bool)
    outside[result.window] = False
    assert not expected[outside].any()


def test_a_speck_that_outlasts_the_bone_is_found_all_the_same():
    values = np.zeros(SHAPE, np.float32)
    values[1:5, 1:5, 1:5] = 0.4
    values[6:8, 6:9, 6:9] = 0.9
    part = find_main_part(values)
    assert part.inside.sum() == 64
    assert part.rest == 18
    probabilities = Probabilities({"bone": Volume(values, GRID)}, [FemurRegion("left", (0, 0, 0), SHAPE, GRID)])
    assert apply_threshold(probabilities, 0.3).labels.array.sum() == 64
    assert np.array_equal(apply_threshold(probabilities, 0.5).labels.array, values > 0.5)


@pytest.mark.parametrize("value", [0.0, 0.01])
def test_a_map_without_bone_has_no_main_part(value):
    assert find_main_part(np.full(SHAPE, value, np.float32)) is None
