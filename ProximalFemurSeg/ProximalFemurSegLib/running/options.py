"""What the user asks of a segmentation run."""

from __future__ import annotations

from dataclasses import dataclass

MODALITIES = ("auto", "mr", "ct")
SIDES = ("auto", "left", "right", "both")
THRESHOLD_METHODS = ("model", "otsu", "roc", "youden")


@dataclass(frozen=True)
class RunOptions:
    """The choices of one run, in the words of the command line.

    Attributes
    ----------
    network : str
        Name of a preset, or ``auto``: the best one for the modality.
    modality : {'auto', 'mr', 'ct'}
        What the image is.
    side : {'auto', 'left', 'right', 'both'}
        Which femur to segment.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    threshold : str or float
        ``model``, ``otsu``, ``roc``, ``youden``, or a probability 0 to 1.
    postprocess : str
        ``auto``, ``none`` or steps.
    uncertainty : {'entropy', 'variants', 'folds'}
        Where it is to come from: one run, runs over the image, its mirror image and shifted ones, or over the weights
        of several folds.
    """

    network: str = "auto"
    modality: str = "auto"
    side: str = "auto"
    device: str = "auto"
    threshold: str | float = "model"
    postprocess: str = "auto"
    uncertainty: str = "entropy"

    def check(self) -> str:
        """Why a run with these choices is impossible, as one sentence; empty if it is possible."""
        if self.modality not in MODALITIES:
            return f"The modality '{self.modality}' is not known; choose one of {', '.join(MODALITIES)}."
        if self.side not in SIDES:
            return f"The side '{self.side}' is not known; choose one of {', '.join(SIDES)}."
        if isinstance(self.threshold, str):
            if self.threshold not in THRESHOLD_METHODS:
                return f"The threshold '{self.threshold}' is not known; choose one of {', '.join(THRESHOLD_METHODS)}."
        elif not 0 < self.threshold < 1:
            return f"The threshold is a probability between 0 and 1, not {self.threshold:g}."
        return ""
