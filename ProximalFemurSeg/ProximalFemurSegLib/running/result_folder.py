"""The output folder of the command, read back as the result that the command had in memory."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import BadInputError
from ..inference.description import restore_probabilities
from ..inference.result import SegmentationResult


def read_result(folder) -> SegmentationResult:
    """The result in the output folder of ``proximal-femur-seg segment``.

    Parameters
    ----------
    folder : path-like
        With ``probability.nii.gz``, ``segmentation.nii.gz``, ``segmentation.json`` and ``measurements.json``, and for a
        cascade ``probability-endosteal.nii.gz``.

    Raises
    ------
    BadInputError
        If a file of it is missing or cannot be read.
    """
    from ..volume_io import read_labels, read_probability

    folder = Path(folder)
    measurements = _read_json(folder / "measurements.json")
    segments = _read_json(folder / "segmentation.json")
    try:
        roles = list(measurements["threshold"])
        # What was said of these masks is said anew at the next threshold.
        said = [message for message in measurements["messages"] if message not in measurements["remarks"]]
        files = ("probability.nii.gz", "probability-endosteal.nii.gz")
        maps = {role: read_probability(folder / file) for role, file in zip(roles, files)}
        return SegmentationResult(
            probability=maps[roles[0]],
            endosteal_probability=maps.get("endosteal"),
            labels=read_labels(folder / "segmentation.nii.gz"),
            sides={int(label): (entry["name"], entry["side"]) for label, entry in segments.items()},
            measurements=measurements,
            threshold=measurements["threshold"],
            probabilities=restore_probabilities({**measurements, "messages": said}, maps),
        )
    except (KeyError, TypeError) as error:
        raise BadInputError(f"The result in '{folder}' lacks {error}: run the segmentation again.") from None


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"'{path}' cannot be read ({error}): run the segmentation again.") from None
