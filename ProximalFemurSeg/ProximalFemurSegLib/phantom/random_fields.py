"""Random fields on voxel grids: noise of a given grain, and slow modulations."""

from __future__ import annotations

import torch


def generator(seed, device="cpu") -> torch.Generator:
    """A torch generator seeded with an integer."""
    return torch.Generator(device=device).manual_seed(int(seed) % (2**63))


def gaussian_blur(image: torch.Tensor, sigma) -> torch.Tensor:
    """Blur (K, J, I) with a Gaussian of sigma (k, j, i) in voxels; the border is continued."""
    result = image[None, None]
    for axis, width in enumerate(sigma):
        if width < 0.05:
            continue
        kernel = _gaussian_kernel(width).to(image)
        reach = len(kernel) // 2
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = -1
        padding = [0] * 6
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = reach
        padded = torch.nn.functional.pad(result, padding, mode="replicate")
        result = torch.nn.functional.conv3d(padded, kernel.reshape(shape))
    return result[0, 0]


def blur_gain(sigma: float) -> float:
    """What `gaussian_blur` along one axis leaves of the standard deviation of white noise."""
    return 1.0 if sigma < 0.05 else float(_gaussian_kernel(sigma).square().sum().sqrt())


def _gaussian_kernel(sigma: float) -> torch.Tensor:
    reach = max(1, int(3.0 * sigma + 0.5))
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    return kernel / kernel.sum()


def smooth_noise(shape, grain, source: torch.Generator) -> torch.Tensor:
    """Noise of about unit standard deviation whose grain is `grain` (k, j, i) voxels wide, by interpolation.

    Cheap at any grain: values are drawn on a grid as coarse as the grain and interpolated.
    """
    coarse = [size if width <= 1 else max(2, int(-(-size // width)) + 2) for size, width in zip(shape, grain)]
    values = torch.randn(coarse, generator=source, device=source.device)
    field = torch.nn.functional.interpolate(values[None, None], size=tuple(shape), mode="trilinear")[0, 0]
    # Interpolating between two values of unit variance leaves two thirds of it on average, along each coarse axis.
    return field * 1.5 ** (0.5 * sum(width > 1 for width in grain))
