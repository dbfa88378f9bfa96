"""Agreement between readers: how alike their masks are, and the consensus that they probably meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import BadInputError
from ..volume import Grid
from .overlap import count_confusion

_STAPLE_ROUNDS = 100


def dice_matrix(masks) -> np.ndarray:
    """DSC of every mask with every other.

    Parameters
    ----------
    masks : sequence of numpy.ndarray
        (K, J, I) bool, all of one shape.

    Returns
    -------
    numpy.ndarray
        (n, n), symmetric, 1 on the diagonal.
    """
    matrix = np.eye(len(masks))
    for a in range(len(masks)):
        for b in range(a):
            matrix[a, b] = matrix[b, a] = count_confusion(masks[a], masks[b]).dice
    return matrix


@dataclass(frozen=True, eq=False)
class Consensus:
    """What STAPLE makes of several readers.

    Parameters
    ----------
    probability : numpy.ndarray
        (K, J, I) float32: how probably each voxel is bone.
    sensitivity, specificity : tuple of float
        Of each reader against the consensus.
    """

    probability: np.ndarray
    sensitivity: tuple[float, ...]
    specificity: tuple[float, ...]

    @property
    def mask(self) -> np.ndarray:
        """(K, J, I) bool: bone with a probability of at least one half."""
        return self.probability >= 0.5


def staple(masks, grid: Grid) -> Consensus:
    """Consensus of several readers by simultaneous truth and performance level estimation.

    Parameters
    ----------
    masks : sequence of numpy.ndarray
        (K, J, I) bool; two readers at least, none of them empty.
    grid : Grid
        Of all masks.

    Raises
    ------
    BadInputError
        Fewer than two readers, or an empty mask.

    References
    ----------
    S. K. Warfield, K. H. Zou, W. M. Wells, Simultaneous truth and performance level estimation (STAPLE), IEEE Trans.
    Med. Imaging 23, 2004; the implementation is SimpleITK's.
    """
    import SimpleITK as sitk

    if len(masks) < 2:
        raise BadInputError("A consensus needs the masks of two readers at least.")
    if not all(mask.any() for mask in masks):
        raise BadInputError("A consensus cannot be made with an empty mask; leave that reader out.")
    if any(tuple(mask.shape) != grid.shape for mask in masks):
        raise ValueError("The masks do not lie on the grid.")
    staple_filter = sitk.STAPLEImageFilter()
    staple_filter.SetForegroundValue(1)
    staple_filter.SetMaximumIterations(_STAPLE_ROUNDS)
    images = [sitk.GetImageFromArray(np.ascontiguousarray(mask).astype(np.uint8)) for mask in masks]
    probability = sitk.GetArrayFromImage(staple_filter.Execute(images)).astype(np.float32)
    return Consensus(probability, tuple(staple_filter.GetSensitivity()), tuple(staple_filter.GetSpecificity()))
