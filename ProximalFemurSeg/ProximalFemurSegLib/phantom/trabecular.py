"""How dense the trabecular bone of a proximal femur is from place to place."""

from __future__ import annotations

import numpy as np
import torch


def trabecular_density(points: torch.Tensor, landmarks: dict[str, np.ndarray], head_radius: float) -> torch.Tensor:
    """Relative density of the trabecular network: 1 in the middle of the head, 0 in the canal of the shaft.

    The principal compressive group (from the calcar up into the head) and the principal tensile arc are denser than
    Ward's triangle between them and than the greater trochanter.

    Parameters
    ----------
    points : torch.Tensor
        (..., 3) RAS mm.
    landmarks : dict
        RAS mm: 'head_center', 'neck_base', 'lesser_trochanter', 'shaft_proximal', 'shaft_distal'.
    head_radius : float
        mm.

    Returns
    -------
    torch.Tensor
        (...,), 0 to 1.
    """

    def vector(value):
        return torch.as_tensor(np.asarray(value, dtype=np.float64), dtype=points.dtype, device=points.device)

    center = np.asarray(landmarks["head_center"], dtype=np.float64)
    neck = np.asarray(landmarks["neck_base"], dtype=np.float64) - center
    neck /= np.linalg.norm(neck)
    shaft = np.asarray(landmarks["shaft_proximal"], dtype=np.float64) - np.asarray(landmarks["shaft_distal"])
    shaft /= np.linalg.norm(shaft)

    offset = points - vector(center)
    in_head = (1.35 - offset.norm(dim=-1) / head_radius).clamp(0.0, 0.45) / 0.45
    along = offset @ vector(neck)
    # The compressive group is a sheet from the head down to the calcar, steeper than the neck's axis.
    calcar = np.asarray(landmarks["lesser_trochanter"], dtype=np.float64) + 0.9 * head_radius * shaft
    sheet = calcar - center
    length = np.linalg.norm(sheet)
    sheet /= length
    along_sheet = (offset @ vector(sheet)).clamp(0.0, float(length))
    from_sheet = (offset - along_sheet[..., None] * vector(sheet)).norm(dim=-1)
    compressive = torch.exp(-0.5 * (from_sheet / (0.38 * head_radius)).square())
    height = (points - vector(landmarks["lesser_trochanter"])) @ vector(shaft)
    metaphysis = (height / (1.2 * head_radius) + 0.6).clamp(0.0, 1.0)
    base = 0.38 * metaphysis * (1.0 - 0.25 * (along / (3.0 * head_radius)).clamp(0.0, 1.0))
    return torch.maximum(torch.maximum(in_head, 0.8 * compressive * metaphysis), base).clamp(0.0, 1.0)
