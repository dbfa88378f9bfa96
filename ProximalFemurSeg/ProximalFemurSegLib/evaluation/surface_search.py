"""The nearest element of another surface, exactly, in the way that is cheapest for how far apart the surfaces are.

Results lie near their references: most elements have a neighbour within a few voxels, which is found soonest by looking
at the places around in the order of their distance. What is farther away is left to a KD-tree over the other surface,
or, where much is, to a distance transform. A sample of the elements tells beforehand how far to look.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..volume import Grid

_MOST_PLACES = 1000
_SAMPLE = 64
_FEW = 256  # elements for which all places are looked at together
# Seconds, measured; only their ratios matter.
_PLACE, _QUERY, _TREE_POINT, _TRANSFORM_VOXEL = 6e-9, 6e-6, 1.2e-7, 1e-7


def nearest_distances(
    elements: np.ndarray, other: np.ndarray, other_elements: np.ndarray, grid: Grid, workers: int = 1
) -> np.ndarray:
    """Distance from elements of one surface to the nearest of another.

    Parameters
    ----------
    elements : numpy.ndarray
        (n, 3) places (k, j, i) in the map.
    other : numpy.ndarray
        (K, J, I) bool, the map of the other surface; not empty.
    other_elements : numpy.ndarray
        (m, 3) places of all of the other surface's elements.
    grid : Grid
        Its voxel axes are those of the map; its shape and origin do not matter.
    workers : int
        Threads for the tree.

    Returns
    -------
    numpy.ndarray
        (n,) mm.
    """
    found = np.full(len(elements), np.nan)
    if not len(elements):
        return found
    steps, lengths = _places_around(tuple(map(tuple, _to_mm(grid))))
    reach = np.abs(steps).max(axis=0)
    padded = np.pad(other, [(int(r), int(r)) for r in reach])
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    jumps = steps @ strides
    padded, start = padded.ravel(), (elements + reach) @ strides
    transform = other.size * _TRANSFORM_VOXEL if _is_orthogonal(grid) else np.inf
    tree = len(other_elements) * _TREE_POINT
    sample = start[:: -(-len(start) // _SAMPLE)]
    first, seen = _first_place(padded, sample, jumps)
    first[~seen] = len(jumps)
    count = _worthwhile(first, len(jumps), len(elements), tree, transform)
    _look_around(padded, start, jumps[:count], lengths, found)
    rest = np.flatnonzero(np.isnan(found))
    if not len(rest):
        return found
    if len(rest) * _QUERY + tree < transform:
        found[rest] = _by_tree(elements[rest], other_elements, grid, workers)
    else:
        found[rest] = _by_transform(elements[rest], other, grid)
    return found


def _to_mm(grid: Grid) -> np.ndarray:
    """(3, 3), from steps (k, j, i) to mm."""
    return grid.affine[:3, 2::-1].T


@lru_cache(maxsize=8)
def _places_around(to_mm) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) steps (k, j, i) to the places nearest to one, the nearest first, and their (n,) lengths in mm."""
    to_mm = np.array(to_mm)
    # The ball that holds so many places, and the box around it.
    radius = (_MOST_PLACES * abs(np.linalg.det(to_mm)) * 3 / (4 * np.pi)) ** (1 / 3)
    reach = np.floor(radius * np.linalg.norm(np.linalg.inv(to_mm), axis=0)).astype(int)
    steps = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(steps @ to_mm, axis=1)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] <= radius]
    return steps[order], lengths[order]


def _worthwhile(first, places: int, elements: int, tree: float, transform: float) -> int:
    """At how many places to look before a tree or a transform takes over."""
    # The most first: of counts that cost the same, for all of the sample is found, it leaves the fewest of the others.
    counts = np.unique(np.concatenate([[0], np.geomspace(8, places, 16).astype(int)]))[::-1]
    looked = np.minimum(first[None], counts[:, None]).mean(axis=1) * elements * _PLACE
    rest = (first[None] >= counts[:, None]).mean(axis=1) * elements
    return int(counts[np.argmin(looked + np.where(rest > 0, np.minimum(rest * _QUERY + tree, transform), 0))])


def _first_place(padded, start, jumps):
    """For each start the number of the first place that belongs to the surface, and whether any does."""
    hit = padded[start[:, None] + jumps]
    first = hit.argmax(axis=1)
    return first, hit[np.arange(len(start)), first]


def _look_around(padded, start, jumps, lengths, found) -> None:
    waiting = np.arange(len(start))
    for number, jump in enumerate(jumps):
        if len(waiting) <= _FEW:
            first, seen = _first_place(padded, start, jumps[number:])
            found[waiting[seen]] = lengths[number + first[seen]]
            return
        hit = padded[start + jump]
        if hit.any():
            found[waiting[hit]] = lengths[number]
            waiting, start = waiting[~hit], start[~hit]


def _by_tree(elements, other_elements, grid: Grid, workers: int) -> np.ndarray:
    from scipy.spatial import cKDTree

    to_mm = _to_mm(grid)
    tree = cKDTree(other_elements @ to_mm, balanced_tree=False, compact_nodes=False)
    return tree.query(elements @ to_mm, workers=workers)[0]


def _by_transform(elements, other, grid: Grid) -> np.ndarray:
    from scipy import ndimage

    # The nearest places alone: distances everywhere would cost more than finding them.
    nearest = ndimage.distance_transform_edt(
        ~other, sampling=grid.spacing[::-1], return_distances=False, return_indices=True
    )
    return np.linalg.norm((nearest[(slice(None), *elements.T)].T - elements) @ _to_mm(grid), axis=1)


def _is_orthogonal(grid: Grid) -> bool:
    return bool(np.allclose(grid.direction.T @ grid.direction, np.eye(3), atol=1e-6))
