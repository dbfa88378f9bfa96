"""Intensities as the networks were trained on them."""

from __future__ import annotations

CT_LOWEST_HU, CT_HIGHEST_HU = -300.0, 1300.0
MR_PERCENTILES = (1.0, 99.0)
_MOST_VALUES = 1 << 23


def normalisation_for(kind: str, modality: str) -> str:
    """What ``by-modality`` means for 'ct' or 'mr'; any other kind means itself."""
    return {"ct": "ct-window", "mr": "mr-percentile"}[modality] if kind == "by-modality" else kind


def normalise(image, kind: str, inside=None, outside: float = -1.0):
    """Normalise an image on the network's grid.

    Parameters
    ----------
    image : torch.Tensor
        (D, H, W) float32.
    kind : {'ct-window', 'mr-percentile'}
        ``ct-window``: HU clipped to -300..1300 and mapped to -1..1. ``mr-percentile``: the 1st and 99th percentile
        are mapped to -1 and 1, then clipped to -1.5..2.
    inside : torch.Tensor, optional
        bool, which voxels the scan covers; all others have no part in the percentiles.
    outside : float
        What these become.

    Returns
    -------
    torch.Tensor
        (D, H, W) float32, a new tensor.
    """
    if kind == "ct-window":
        middle, half = (CT_HIGHEST_HU + CT_LOWEST_HU) / 2, (CT_HIGHEST_HU - CT_LOWEST_HU) / 2
        result = (image.clamp(CT_LOWEST_HU, CT_HIGHEST_HU) - middle) / half
    elif kind == "mr-percentile":
        known = image.flatten() if inside is None else image[inside]
        # Of a very large view every n-th voxel tells the same, and spares sorting them all.
        known = known[:: max(1, known.numel() // _MOST_VALUES)]
        low, high = percentiles(known, MR_PERCENTILES) if known.numel() else (0.0, 0.0)
        # A view of one value has no contrast, and rounding is none to stretch.
        contrast = max(high - low, 1e-4 * max(abs(low), abs(high)), 1e-6)
        result = ((image - low) * (2 / contrast) - 1).clamp(-1.5, 2.0)
    else:
        raise ValueError(f"There is no normalisation '{kind}'; choose 'ct-window' or 'mr-percentile'.")
    if inside is not None:
        result.masked_fill_(~inside, outside)
    return result


def percentiles(values, percents) -> tuple[float, ...]:
    """Percentiles with linear interpolation between ranks, on any device and for any number of values.

    Parameters
    ----------
    values : torch.Tensor
        (n,) with n > 0.
    percents : sequence of float
        0 to 100.
    """
    import torch

    last = values.numel() - 1
    result = []
    for percent in percents:
        rank = last * percent / 100
        below = int(rank)
        low = torch.kthvalue(values, below + 1).values
        high = torch.kthvalue(values, min(below + 1, last) + 1).values
        result.append(float(low + (high - low) * (rank - below)))
    return tuple(result)
