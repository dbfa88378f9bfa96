"""The nearest element by each of the three ways, all of which must give the distances that brute force gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from mask_pairs import mask_pairs
from ProximalFemurSegLib.evaluation import surface_search
from ProximalFemurSegLib.evaluation.surface_elements import places_of
from ProximalFemurSegLib.evaluation.surface_search import nearest_distances
from ProximalFemurSegLib.volume import Grid
from small_masks import OBLIQUE, box

# What the others cost when one way is to be taken.
WAYS = {
    "places": {"_PLACE": 0.0},
    "tree": {"_PLACE": 1.0, "_QUERY": 0.0, "_TREE_POINT": 0.0},
    "transform": {"_PLACE": 1.0, "_TRANSFORM_VOXEL": 0.0},
    "as it comes": {},
}
SHEARED = np.array([[1.0, 0.3, 0], [0, 1, 0.2], [0, 0, 1]]) * [0.4, 0.9, 2.1]


def grid_of(shape, spacing, direction=None):
    return Grid.from_parts(shape, spacing, (5, -6, 7), direction)


def nearest(elements, other, grid):
    return nearest_distances(elements, other, places_of(other), grid)


def by_brute_force(elements, other, grid):
    points = [grid.ijk_to_ras(places[:, ::-1]) for places in (elements, places_of(other))]
    return cdist(*points).min(axis=1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("direction", [None, OBLIQUE * [1, 1, -1]])
@settings(max_examples=20, deadline=None)
@given(pair=mask_pairs())
def test_every_way_is_exact(way, direction, pair):
    one, other, spacing = pair
    grid = grid_of(one.shape, spacing, direction)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in WAYS[way].items():
            patch.setattr(surface_search, name, value)
        found = nearest(places_of(one), other, grid)
    assert found == pytest.approx(by_brute_force(places_of(one), other, grid), abs=1e-12)


def test_the_ways_are_taken(monkeypatch):
    """A transform where many are far, a tree where few are, neither where all are near; a sheared grid has no
    transform."""
    taken = []
    for name in ("_by_tree", "_by_transform"):
        function = getattr(surface_search, name)
        monkeypatch.setattr(surface_search, name, lambda *a, f=function, n=name: taken.append(n) or f(*a))
    shape = (30, 40, 60)
    far, near = box(shape, (0, 0, 0), (30, 40, 4)), box(shape, (0, 0, 50), (30, 40, 53))
    grid = grid_of(shape, (1.0, 1.0, 1.0))
    assert nearest(places_of(far), near, grid).tolist() == (50 - places_of(far)[:, 2]).tolist()
    assert taken == ["_by_transform"]
    assert nearest(places_of(far)[:3], near, grid).tolist() == [50, 49, 48]
    assert taken[1:] == ["_by_tree"]
    assert (nearest(places_of(np.roll(near, 2, axis=2)), near, grid) <= 2).all()
    assert len(taken) == 2
    sheared = Grid(shape, np.vstack([np.column_stack([SHEARED, [1, 2, 3]]), [0, 0, 0, 1]]))
    some = places_of(far)[::37]
    assert nearest(places_of(far), near, sheared)[::37] == pytest.approx(by_brute_force(some, near, sheared), abs=1e-9)
    assert taken[2:] == ["_by_tree"]


def test_most_near_and_a_few_far():
    """What the sample does not hold is found all the same."""
    shape = (40, 40, 40)
    other = box(shape, (5, 5, 5), (35, 35, 8))
    one = np.roll(other, 1, axis=2)
    one[37, 37, 37] = one[0, 0, 39] = True
    grid = grid_of(shape, (0.5, 0.7, 1.1))
    found = nearest(places_of(one), other, grid)
    assert found == pytest.approx(by_brute_force(places_of(one), other, grid), abs=1e-12)


@pytest.mark.parametrize("axes", [np.diag([0.234, 1.5, 0.234]), np.diag([1.0, 1, 1]), SHEARED, OBLIQUE * [3, 0.5, 1]])
def test_places_around_are_all_within_a_ball_and_in_order(axes):
    to_mm = axes.T[::-1]
    steps, lengths = surface_search._places_around(tuple(map(tuple, to_mm)))
    assert 600 < len(steps) < 1400
    assert (np.diff(lengths) >= 0).all() and steps[0].tolist() == [0, 0, 0]
    wider = np.stack(np.meshgrid(*[np.arange(-30, 31)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    within = np.linalg.norm(wider @ to_mm, axis=1) < lengths[-1] - 1e-9
    assert {tuple(step) for step in wider[within].tolist()} <= {tuple(step) for step in steps.tolist()}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), shape=st.tuples(*[st.integers(1, 6)] * 3))
def test_places_of_a_map(seed, shape):
    mask = np.random.default_rng(seed).random(shape) < 0.4
    assert np.array_equal(places_of(mask), np.argwhere(mask))


def test_nothing_to_search():
    other = np.ones((2, 2, 2), bool)
    assert nearest(np.empty((0, 3), np.int32), other, grid_of(other.shape, (1, 1, 1))).shape == (0,)
