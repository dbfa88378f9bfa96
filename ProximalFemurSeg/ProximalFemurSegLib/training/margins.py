"""Samples of which a network sees more than it is asked about: neighbouring slices, the rim of unpadded networks."""

from __future__ import annotations

import torch

from ..networks import build_network

NONE = ((0, 0), (0, 0), (0, 0))


def training_margins(architecture: str, options: dict, shape) -> tuple[tuple[int, int], ...]:
    """Voxels before and behind, along (D, H, W), of a sample of some shape that have no target.

    Parameters
    ----------
    architecture, options
        Of the network.
    shape : tuple of int
        (D, H, W) of what it sees; for a planar network without the neighbouring slices.

    Returns
    -------
    tuple of (int, int)
        Of a shape with these slices added.

    Raises
    ------
    BadInputError
        If nothing would be left.
    """
    with torch.device("meta"):
        network = build_network(architecture, **options)
    if not hasattr(network, "margins"):
        return NONE
    reach = network.slices // 2
    return network.margins((shape[0] + 2 * reach, *shape[1:]))


def with_slices(shape, margins) -> tuple[int, int, int]:
    """The shape with the neighbouring slices added."""
    return (shape[0] + sum(margins[0]), *shape[1:])


class InnerTargets:
    """A data set whose targets are cut down to what lies inside the margins.

    Parameters
    ----------
    dataset : object
        With ``sample(index)``, image and target of one shape.
    margins : tuple of (int, int)
        As of `training_margins`.
    """

    def __init__(self, dataset, margins):
        self.dataset, self.margins = dataset, margins

    def sample(self, index: int):
        """Image (C, D, H, W), target (D', H', W')."""
        image, target = self.dataset.sample(index)
        box = tuple(slice(before, n - behind) for n, (before, behind) in zip(target.shape, self.margins))
        return image, target[box]
