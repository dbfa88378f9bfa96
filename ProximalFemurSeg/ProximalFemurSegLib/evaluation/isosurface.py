"""Marching cubes: the surface of triangles on which a field has a given value."""

from __future__ import annotations

from functools import cache

import numpy as np

# Corner n of a cube lies at (k, j, i) = (n >> 2 & 1, n >> 1 & 1, n & 1). Faces are walked clockwise as seen from
# outside in coordinates (i, j, k).
_FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
_EDGES = tuple((low, low | step) for step in (1, 2, 4) for low in range(8) if not low & step)


def isosurface(field: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The surface between the values above a level and those below it.

    Parameters
    ----------
    field : numpy.ndarray
        (K, J, I) of finite numbers; the surface is open where values above the level touch the border of the array.
    level : float
        Points lie where the field, interpolated linearly between two neighbouring voxels, has this value.

    Returns
    -------
    points : numpy.ndarray
        (n, 3) float64 indices (k, j, i), one on every edge of the grid that crosses the level.
    triangles : numpy.ndarray
        (m, 3) int64 indices into the points; in coordinates (i, j, k) they are counter-clockwise as seen from the side
        of the lower values.

    Notes
    -----
    On a face whose corners are above the level only across a diagonal these corners are kept apart, in both cubes that
    share the face, so that the surface has no gaps (W. E. Lorensen and H. E. Cline, Marching cubes, Computer Graphics
    21, 1987, with the faces' ambiguity settled).

    Examples
    --------
    >>> field = np.zeros((3, 3, 3))
    >>> field[1, 1, 1] = 1
    >>> points, triangles = isosurface(field, 0.5)
    >>> len(points), len(triangles)
    (6, 8)
    """
    above = field > level
    codes = _cube_codes(above)
    active = np.flatnonzero((codes != 0) & (codes != 255))
    if not len(active):
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    # A cube goes by the flat index of its first corner, an edge by that of its lower end and its direction.
    first = np.ravel_multi_index(np.unravel_index(active, codes.shape), field.shape)
    codes = codes.ravel()[active]
    steps = np.array([field.shape[1] * field.shape[2], field.shape[2], 1])
    corner = np.array([steps @ [n >> 2 & 1, n >> 1 & 1, n & 1] for n in range(8)])
    edge_names = np.array([3 * corner[low] + (high - low).bit_length() - 1 for low, high in _EDGES])
    found = []
    for code in np.unique(codes):
        table = _triangles(int(code))
        cubes = first[codes == code]
        found.append((3 * cubes[:, None, None] + edge_names[table]).reshape(-1, 3))
    names, triangles = np.unique(np.concatenate(found), return_inverse=True)
    lower, axis = np.divmod(names, 3)
    upper = lower + steps[2 - axis]
    values = field.ravel()
    start, end = values[lower].astype(np.float64), values[upper].astype(np.float64)
    points = np.stack(np.unravel_index(lower, field.shape), axis=1).astype(np.float64)
    points[np.arange(len(points)), 2 - axis] += (level - start) / (end - start)
    return points, triangles.reshape(-1, 3).astype(np.int64)


def _cube_codes(above: np.ndarray) -> np.ndarray:
    """(K - 1, J - 1, I - 1) uint8; bit n is set where corner n of the cube is above the level."""
    codes = above.view(np.uint8)
    for axis, shift in ((2, 1), (1, 2), (0, 4)):
        lower, upper = [slice(None)] * 3, [slice(None)] * 3
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        codes = codes[tuple(lower)] | (codes[tuple(upper)] << shift)
    return codes


@cache
def _triangles(code: int) -> np.ndarray:
    """(t, 3) indices into `_EDGES` of the triangles in a cube."""
    inside = [bool(code >> n & 1) for n in range(8)]
    follower = {}
    for face in _FACES:
        for n, corner in enumerate(face):
            if inside[corner] and not inside[face[n - 1]]:
                last = n
                while inside[face[(last + 1) % 4]]:
                    last += 1
                leaving = _edge(face[last % 4], face[(last + 1) % 4])
                follower[leaving] = _edge(face[n - 1], corner)
    triangles = []
    while follower:
        start, following = follower.popitem()
        loop = [start]
        while following != start:
            loop.append(following)
            following = follower.pop(following)
        triangles += [(loop[0], loop[n], loop[n + 1]) for n in range(1, len(loop) - 1)]
    return np.array(triangles, np.int64).reshape(-1, 3)


def _edge(one: int, other: int) -> int:
    return _EDGES.index((min(one, other), max(one, other)))
