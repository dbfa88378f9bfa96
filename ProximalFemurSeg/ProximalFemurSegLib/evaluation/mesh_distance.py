"""How far points are from a surface of triangles."""

from __future__ import annotations

import numpy as np

_NEAREST = 3  # vertices, of which the triangles around are looked at
_AT_ONCE = 1 << 18  # pairs of a point and a triangle


def distances_to_mesh(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Distance of each point to a surface.

    Parameters
    ----------
    points : numpy.ndarray
        (n, 3).
    vertices : numpy.ndarray
        (v, 3) in the same unit.
    triangles : numpy.ndarray
        (m, 3) indices into the vertices, small ones as of marching cubes; every vertex is a corner of one.

    Returns
    -------
    numpy.ndarray
        (n,) distances to the triangles at the nearest few vertices: exact unless another triangle, none of whose
        corners is among these, comes nearer.
    """
    from scipy.spatial import cKDTree

    nearest = cKDTree(vertices).query(points, k=min(_NEAREST, len(vertices)))[1].reshape(len(points), -1)
    corners = triangles.ravel()
    order = np.argsort(corners, kind="stable")
    around = order // 3  # the triangles at each vertex, one vertex after the other
    first = np.searchsorted(corners[order], np.arange(len(vertices) + 1))
    count = np.diff(first)
    found = np.full(len(points), np.inf)
    for column in nearest.T:
        for part in np.array_split(np.arange(len(points)), max(1, count[column].sum() // _AT_ONCE)):
            many = count[column[part]]
            of = np.repeat(part, many)
            steps = np.arange(len(of)) - np.repeat(np.cumsum(many) - many, many)
            which = around[first[column[of]] + steps]
            squares = _squared_distances(points[of], vertices[triangles[which]])
            np.minimum.at(found, of, squares)
    return np.sqrt(found)


def _squared_distances(points, corners) -> np.ndarray:
    """(n,) squares of the distances from (n, 3) points to (n, 3, 3) triangles."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    bb, bc, cc, pb, pc = (_dot(x, y) for x, y in ((ab, ab), (ab, ac), (ac, ac), (ap, ab), (ap, ac)))
    area = bb * cc - bc * bc
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = (cc * pb - bc * pc) / area, (bb * pc - bc * pb) / area
    # Over the triangle it is the height, elsewhere the nearest side.
    over = (u >= 0) & (v >= 0) & (u + v <= 1)
    sides = np.minimum.reduce([_to_side(points, *side) for side in ((a, ab), (a, ac), (b, c - b))])
    height = ap - np.where(over, u, 0)[:, None] * ab - np.where(over, v, 0)[:, None] * ac
    return np.where(over, _dot(height, height), sides)


def _to_side(points, start, along) -> np.ndarray:
    away, length = points - start, _dot(along, along)
    share = np.clip(_dot(away, along) / np.where(length > 0, length, 1), 0, 1)
    rest = away - share[:, None] * along
    return _dot(rest, rest)


def _dot(x, y) -> np.ndarray:
    return np.einsum("ij,ij->i", x, y)
