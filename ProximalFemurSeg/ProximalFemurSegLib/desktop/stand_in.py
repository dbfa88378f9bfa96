"""For the self-test: a stand-in for the networks, to which the image itself, 0 to 100, is the probability in per cent.

The panel is tested with it where there is no torch; thresholds, components and volumes are the program's own.
"""

from __future__ import annotations

import numpy as np

from ..errors import CancelledError
from ..inference import apply_threshold
from ..inference.result import FemurRegion, Probabilities
from ..volume import Grid, Volume

POINTS = {"threshold": 0.4, "youden": 0.3, "roc": 0.2}


def ball_image(shape=(20, 24, 28), spacing=(1.0, 1.5, 2.0), direction=None, name="hip"):
    """A volume whose values fall from 100 in its middle to 0, linearly with the distance in mm."""
    grid = Grid.from_parts(shape, spacing, (-11, 7, 3), direction)
    k, j, i = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij", sparse=True)
    square = np.zeros(shape)
    for row, middle in zip(grid.affine[:3], grid.center):
        square += (row[0] * i + row[1] * j + row[2] * k + (row[3] - middle)) ** 2
    return Volume(np.clip(100 - 5 * np.sqrt(square), 0, 100).astype(np.int16), grid, name)


def predict(volume, modality="mr", sides=("left",)):
    """Probabilities of a volume; 'ct' makes a cascade; two sides share the image half and half along the array."""
    probability = volume.with_array((volume.array / 100).astype(np.float32), "probability")
    maps = {"bone": probability}
    if modality == "ct":
        inner = volume.with_array(np.clip(volume.array / 100 - 0.3, 0, 1).astype(np.float32), "endosteal")
        maps = {"periosteal": probability, "endosteal": inner}
    n = volume.array.shape
    middle = n[2] // 2
    boxes = [((0, 0, 0), n)] if len(sides) == 1 else [((0, 0, 0), (n[0], n[1], middle)), ((0, 0, middle), n)]
    regions = [FemurRegion(side, start, stop, volume.grid) for side, (start, stop) in zip(sides, boxes)]
    return Probabilities(
        maps,
        regions,
        {role: dict(POINTS) for role in maps},
        network="vnet" if modality == "ct" else "unet3d-dilated-f16",
        modality=modality,
        device="CPU (stand-in)",
        weights={"stand-in": "0" * 64},
        seconds={"total": 1.25},
        messages=["The image is taken as asked."],
    )


def segment(
    volume,
    modality="auto",
    side="auto",
    threshold="model",
    postprocess="auto",
    progress=None,
    cancelled=None,
    **options,
):
    """As ``inference.segment``."""
    modality = "mr" if modality == "auto" else modality
    sides = ("left", "right") if side == "both" else ("left",) if side == "auto" else (side,)
    for step in range(4):
        if cancelled is not None and cancelled():
            raise CancelledError("The run was cancelled.")
        if progress is not None:
            progress("network", step + 1, 4)
    return apply_threshold(predict(volume, modality, sides), threshold, postprocess)
