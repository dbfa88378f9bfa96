"""Where in a map the bone is, whatever the threshold: so that moving it only touches that part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..postprocessing import bounding_box, label_components

LEAST_THRESHOLD = 0.01
"""The lowest threshold that faces offer, and the lowest for which a :class:`MainPart` holds."""


@dataclass(frozen=True, eq=False)
class MainPart:
    """The largest 26-connected piece of a map at :data:`LEAST_THRESHOLD`.

    A piece at a higher threshold lies within one piece at a lower one. So the largest piece at any threshold is found
    inside this one, as soon as it is larger than all the rest ever was.

    Attributes
    ----------
    box : tuple of slice
        Of the region, with a margin of one voxel where there is one.
    inside : numpy.ndarray
        bool, of the box: the piece.
    rest : int
        Voxels of the largest of the other pieces; 0 if there is none.
    """

    box: tuple[slice, slice, slice]
    inside: np.ndarray
    rest: int


def find_main_part(values: np.ndarray) -> MainPart | None:
    """The main part of a map (K, J, I) of probabilities; None where it is :data:`LEAST_THRESHOLD` at most."""
    mask = values > LEAST_THRESHOLD
    box = bounding_box(mask)
    if box is None:
        return None
    labels, sizes = label_components(mask[box])
    sizes[0] = 0
    main = int(sizes.argmax())
    rest = int(np.partition(sizes, -2)[-2])
    piece = np.zeros(values.shape, bool)
    piece[box] = labels == main
    box = bounding_box(piece, margin=1)
    return MainPart(box, np.ascontiguousarray(piece[box]), rest)
