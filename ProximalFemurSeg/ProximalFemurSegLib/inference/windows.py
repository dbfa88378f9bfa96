"""A network run over overlapping windows of a volume, their predictions blended.

The weight of a voxel in a window is a product of one factor per axis, and windows lie on a lattice; so the sum of all
weights is a product too, each window's factors can be normalised beforehand, and the blend is accumulated in place
without a second volume of counts.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch

from ..errors import CancelledError


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """First voxels of the windows along one axis; together they cover it, the last one ends with it.

    Examples
    --------
    >>> window_starts(240, 64, 64)
    [0, 64, 128, 176]
    >>> len(window_starts(240, 64, 1)) == 240 - 64 + 1
    True
    """
    if window < 1 or stride < 1 or stride > window:
        raise ValueError(f"Windows of {window} voxels cannot cover an axis in steps of {stride}.")
    last = max(0, size - window)
    return [*range(0, last, stride), last]


def axis_factors(size: int, window: int, starts, blend: str = "tent") -> np.ndarray:
    """Weight of each voxel of each window along one axis; what falls on one voxel adds up to one.

    Parameters
    ----------
    size, window : int
        Voxels of the axis (at least a window) and of a window.
    starts : sequence of int
        First voxels of the windows.
    blend : {'tent', 'mean'}
        ``tent`` falls off linearly towards the window's ends, where a network sees least; ``mean`` is the plain
        average (QCT-2021).

    Returns
    -------
    numpy.ndarray
        (windows, window) float64.

    Examples
    --------
    >>> axis_factors(3, 2, [0, 1], "mean").tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    if blend == "tent":
        ramp = np.arange(1, window + 1)
        shape = np.minimum(ramp, ramp[::-1]).astype(np.float64)
    elif blend == "mean":
        shape = np.ones(window)
    else:
        raise ValueError(f"Windows are blended by 'tent' or 'mean', not '{blend}'.")
    total = np.zeros(size)
    for start in starts:
        total[start : start + window] += shape
    return np.stack([shape / total[start : start + window] for start in starts])


def predict_windows(
    forward,
    image,
    window,
    stride,
    blend="tent",
    pad_value=-1.0,
    batch=1,
    progress=None,
    cancelled=None,
):
    """Run ``forward`` over every window of an image and blend the results.

    Parameters
    ----------
    forward : callable
        Maps (B, C, d, h, w) to (B, P, d, h, w) predictions.
    image : torch.Tensor
        (C, D, H, W); axes shorter than the window are padded evenly on both sides.
    window, stride : tuple of int
        Voxels along (D, H, W).
    blend : {'tent', 'mean'}
        See `axis_factors`.
    pad_value : float
        What lies outside the image.
    batch : int
        Windows given to ``forward`` at once.
    progress : callable, optional
        Called with (windows done, windows in all), first with 0.
    cancelled : callable, optional
        Asked before every call of ``forward``; if it says True, `CancelledError` is raised.

    Returns
    -------
    torch.Tensor
        (P, D, H, W), of the type and on the device that ``forward`` gives.
    """
    size = tuple(image.shape[1:])
    lack = [max(0, w - n) for w, n in zip(window, size)]
    before = [n // 2 for n in lack]
    if any(lack):
        pads = [p for a in (2, 1, 0) for p in (before[a], lack[a] - before[a])]
        image = torch.nn.functional.pad(image, pads, value=pad_value)
    padded = tuple(image.shape[1:])
    starts = [window_starts(n, w, s) for n, w, s in zip(padded, window, stride)]
    factors = [axis_factors(n, w, s, blend) for n, w, s in zip(padded, window, starts)]
    corners = list(product(*[range(len(s)) for s in starts]))

    result = None
    if progress:
        progress(0, len(corners))
    for first in range(0, len(corners), batch):
        if cancelled and cancelled():
            raise CancelledError("The run was cancelled.")
        group = corners[first : first + batch]
        places = [
            (slice(None), *(slice(s[n], s[n] + w) for s, n, w in zip(starts, corner, window))) for corner in group
        ]
        predictions = forward(torch.stack([image[place] for place in places]))
        if len(corners) == 1:
            result = predictions[0]
        else:
            if result is None:
                result = predictions.new_zeros((predictions.shape[1], *padded))
            for place, corner, prediction in zip(places, group, predictions):
                d, h, w = (prediction.new_tensor(axis[n]) for axis, n in zip(factors, corner))
                result[place] += prediction * d[:, None, None] * (h[:, None] * w)
        if progress:
            progress(min(first + batch, len(corners)), len(corners))
    inner = tuple(slice(b, b + n) for b, n in zip(before, size))
    return result[(slice(None), *inner)]
