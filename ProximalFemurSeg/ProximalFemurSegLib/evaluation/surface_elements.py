"""What a surface is made of: its voxels, or the pieces of the mesh that runs between them.

``voxels`` is the definition of the papers, of MONAI and of medpy: the voxels of a mask that have a face on its outside,
each counting once. ``mesh`` is the one of DeepMind's surface-distance: wherever eight neighbouring voxels are not all
alike a piece of the marching-cubes surface passes between them; it counts with its area. A surface that is oblique to
the voxels has more of them for its size than one along them, and thick slices make the voxels of one side of a bone
count as much as finer ones elsewhere: areas even that out.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import product

import numpy as np

_CORNERS = tuple(product((0, 1), repeat=3))


def surface_voxel_map(mask: np.ndarray) -> np.ndarray:
    """Which voxels of a mask have a face on its outside; what lies beyond the array is outside.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool.

    Returns
    -------
    numpy.ndarray
        (K, J, I) bool.
    """
    inside = np.array(mask, bool, order="C")
    for axis in range(3):
        lower = [slice(None)] * 3
        upper = [slice(None)] * 3
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        inside[tuple(lower)] &= mask[tuple(upper)]
        inside[tuple(upper)] &= mask[tuple(lower)]
        for end in (0, -1):
            face = [slice(None)] * 3
            face[axis] = end
            inside[tuple(face)] = False
    return mask & ~inside


def places_of(elements: np.ndarray) -> np.ndarray:
    """(n, 3) int32 places (k, j, i) of what is set in a (K, J, I) bool map, in the order of memory."""
    flat = np.flatnonzero(elements)
    flat = flat.astype(np.int32) if elements.size <= np.iinfo(np.int32).max else flat
    places = np.empty((len(flat), 3), np.int32)
    rows, places[:, 2] = np.divmod(flat, elements.shape[2])
    places[:, 0], places[:, 1] = np.divmod(rows, elements.shape[1])
    return places


def neighbourhood_codes(mask: np.ndarray) -> np.ndarray:
    """Which of the eight voxels around every point between voxels belong to a mask.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool.

    Returns
    -------
    numpy.ndarray
        (K + 1, J + 1, I + 1) uint8; entry (k, j, i) is for the point (k - 1/2, j - 1/2, i - 1/2). Bit 4 a + 2 b + c
        is set where voxel (k - 1 + a, j - 1 + b, i - 1 + c) is in the mask; beyond the array nothing is.
    """
    codes = np.pad(mask.view(np.uint8) if mask.dtype == bool else mask.astype(np.uint8), 1)
    for axis, shift in ((2, 1), (1, 2), (0, 4)):
        lower = [slice(None)] * 3
        upper = [slice(None)] * 3
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        codes = codes[tuple(lower)] | (codes[tuple(upper)] << shift)
    return codes


def element_areas(affine: np.ndarray) -> np.ndarray:
    """Area of the piece of surface in each of the 256 neighbourhoods of `neighbourhood_codes`.

    Parameters
    ----------
    affine : numpy.ndarray
        (3, 3) or (4, 4); maps voxel indices (i, j, k) to mm.

    Returns
    -------
    numpy.ndarray
        (256,) mm2.

    Notes
    -----
    The corners in the minority are cut off along the middles of the cube's edges, and corners that touch only across a
    diagonal are cut off one by one, so that a mask and its complement have one surface. Where the cut is not flat it
    is folded outwards, which is how surface-distance folds it.

    Examples
    --------
    >>> areas = element_areas(np.diag([1.0, 1.0, 2.0]))
    >>> float(areas[0b00001111]), float(areas[0b00110011]), float(areas[0])
    (1.0, 2.0, 0.0)
    """
    matrix = np.asarray(affine, dtype=np.float64)[:3, 2::-1]  # from (k, j, i)
    # An area vector goes with the cofactors of the map that its edges go with.
    cofactors = abs(np.linalg.det(matrix)) * np.linalg.inv(matrix)
    vectors, code = _all_area_vectors()
    return np.bincount(code, np.linalg.norm(vectors @ cofactors, axis=1), 256)


@cache
def _all_area_vectors() -> tuple[np.ndarray, np.ndarray]:
    """The vectors of all codes in one array, and whose each is."""
    vectors = _area_vectors()
    return np.concatenate(vectors), np.repeat(np.arange(256), [len(v) for v in vectors])


@cache
def _area_vectors() -> tuple[np.ndarray, ...]:
    """For each code the (n, 3) area vectors (k, j, i) of the triangles in a cube of side 1."""
    cuts = {inside: None for inside in map(_minority, range(256))}
    for inside in cuts:
        cuts[inside] = np.array([vector for loop in _loops(inside) for vector in _fold(loop)]).reshape(-1, 3)
    return tuple(cuts[_minority(code)] for code in range(256))


def _minority(code: int) -> frozenset:
    """The corners of a cube that are in the mask, or those that are not if they are fewer."""
    inside = frozenset(corner for bit, corner in enumerate(_CORNERS) if code >> bit & 1)
    return inside if len(inside) <= 4 else frozenset(_CORNERS) - inside


def _face_cycles():
    for axis in range(3):
        for side in (0, 1):
            cycle = []
            for pair in ((0, 0), (0, 1), (1, 1), (1, 0)):
                corner = list(pair)
                corner.insert(axis, side)
                cycle.append(tuple(corner))
            yield cycle


def _loops(inside: frozenset) -> list[list[tuple[float, ...]]]:
    """Closed polygons of edge middles around the corners inside."""
    segments = []
    for cycle in _face_cycles():
        edges = [frozenset((cycle[n], cycle[(n + 1) % 4])) for n in range(4)]
        crossed = [edge for edge in edges if len(edge & inside) == 1]
        if len(crossed) == 2:
            segments.append(tuple(crossed))
        elif len(crossed) == 4:
            segments += [(edges[n - 1], edges[n]) for n in range(4) if cycle[n] in inside]
    loops = []
    while segments:
        loop = list(segments.pop())
        while loop[0] != loop[-1]:
            follower = next(segment for segment in segments if loop[-1] in segment)
            segments.remove(follower)
            loop.append(follower[0] if follower[1] == loop[-1] else follower[1])
        loops.append([tuple(sum(ends) / 2 for ends in zip(*edge)) for edge in loop[:-1]])
    return loops


def _area_vector(a, b, c) -> tuple[float, float, float]:
    (x, y, z), (u, v, w) = ([q - p for p, q in zip(a, other)] for other in (b, c))
    return (y * w - z * v) / 2, (z * u - x * w) / 2, (x * v - y * u) / 2


def _fold(points) -> list[tuple[float, float, float]]:
    """Area vectors of the triangles into which a polygon is cut so that their areas add up to the most."""

    @cache
    def best(first: int, last: int):
        if last - first < 2:
            return 0.0, ()
        choices = []
        for middle in range(first + 1, last):
            vector = _area_vector(points[first], points[middle], points[last])
            (area, left), (other, right) = best(first, middle), best(middle, last)
            choices.append((math.hypot(*vector) + area + other, (*left, vector, *right)))
        return max(choices, key=lambda choice: round(choice[0], 9))

    return list(best(0, len(points) - 1)[1])
