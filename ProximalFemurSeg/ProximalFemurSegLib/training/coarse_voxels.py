"""Samples as coarser scans show them: thick slices, large voxels, gaps between slices."""

from __future__ import annotations

import numpy as np
import torch


def draw_coarse(rng, spacing, probability) -> list[float]:
    """How many voxels along (D, H, W) become one: [1, 1, 1], or large isotropic voxels, or thick slices.

    Parameters
    ----------
    rng : numpy.random.Generator
    spacing : sequence of float
        mm along (D, H, W).
    probability : float
        That it is not [1, 1, 1].
    """
    if rng.random() > probability:
        return [1.0, 1.0, 1.0]
    if rng.random() < 0.5:
        size = rng.uniform(1.2, 3.5)  # isotropic voxels
        return [max(1.0, size / s) for s in spacing]
    # Thick slices are mostly those of the usual acquisition, along the first axis.
    thick = 0 if rng.random() < 0.6 else int(rng.integers(3))
    return [max(1.0, rng.uniform(1.0, 5.0) / s) if axis == thick else 1.0 for axis, s in enumerate(spacing)]


def coarsen(image: torch.Tensor, factors, gaps: bool = False) -> torch.Tensor:
    """Average (D, H, W) over blocks of voxels and interpolate back; or leave voxels out, as gaps between slices do."""
    if max(factors) < 1.05:
        return image
    size = [max(4, int(round(n / f))) for n, f in zip(image.shape, factors)]
    if gaps:
        small = torch.nn.functional.interpolate(image[None, None], size=size, mode="nearest-exact")
    else:
        small = torch.nn.functional.adaptive_avg_pool3d(image[None, None], size)
    return torch.nn.functional.interpolate(small, size=image.shape, mode="trilinear", align_corners=False)[0, 0]


class CoarsenedSamples:
    """A data set, some of whose images are shown as a coarser scan would.

    Parameters
    ----------
    samples : object
        With ``sample(index)``.
    spacing : sequence of float
        mm along (D, H, W).
    share : float
        Of the samples that become coarse.
    seed : int
        Of the choice.
    outside : float
        What voxels beyond the field of view have; they keep it.
    """

    def __init__(self, samples, spacing, share: float, seed: int = 0, outside: float = -1.0):
        self.samples, self.spacing, self.share = samples, tuple(spacing), share
        self.seed, self.outside = seed, outside

    def sample(self, index: int):
        """Image (1, D, H, W) float32 and target (D, H, W) int64."""
        image, target = self.samples.sample(index)
        # A third number: `PairSamples` draws from the first two.
        rng = np.random.default_rng([self.seed, index, 1])
        # All of `share` are coarse.
        factors = draw_coarse(rng, self.spacing, float(rng.random() < self.share))
        gaps = rng.random() < 0.4
        if max(factors) < 1.05:
            return image, target
        pixels = torch.as_tensor(image)[0]
        coarse = torch.where(pixels == self.outside, pixels, coarsen(pixels, factors, gaps))
        return coarse[None].numpy(), target
