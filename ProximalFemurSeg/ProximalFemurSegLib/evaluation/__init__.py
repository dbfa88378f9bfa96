"""How near a result is to its reference: overlap, curves, surfaces in mm, volumes."""

from .cases import evaluate_masks

__all__ = ["evaluate_masks"]
