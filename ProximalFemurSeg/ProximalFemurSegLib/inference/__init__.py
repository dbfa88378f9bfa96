"""From an image on any grid to probability maps, labels and volumes on the same grid."""

from __future__ import annotations

import importlib

_HOMES = {
    "segment": "segmentation",
    "predict_probabilities": "pipeline",
    "apply_threshold": "labelling",
    "SegmentationResult": "result",
    "Probabilities": "result",
    "FemurRegion": "result",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    # Imported when asked for, so that the package costs nothing before something is segmented.
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
