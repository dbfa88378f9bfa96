"""What came of a run, whichever way it went: from a segmentation result in memory, or from the files of the command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import BadInputError
from ..volume import Volume


@dataclass(frozen=True)
class Outcome:
    """The result of a run, as a face shows it.

    Attributes
    ----------
    probability : Volume
        float32, 0 to 1, on the image's grid; of a cascade the periosteal one.
    labels : Volume
        uint8 on the image's grid: 1 trabecular, 2 cortical bone; 11 and 12 of the second femur.
    sides : mapping of int to (str, str or None)
        Label to the structure's name and its side.
    endosteal_probability : Volume or None
        Of a cascade.
    measurements : mapping
        As in ``measurements.json``: volumes, network, device, threshold, times.
    messages : tuple of str
        What had to be decided or was fallen back to, for the user.
    """

    probability: Volume
    labels: Volume
    sides: Mapping[int, tuple[str, str | None]]
    endosteal_probability: Volume | None = None
    measurements: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[str, ...] = ()

    @classmethod
    def from_result(cls, result) -> Outcome:
        """The outcome of ``inference.segment``."""
        return cls(
            probability=result.probability,
            labels=result.labels,
            sides=dict(result.sides),
            endosteal_probability=result.endosteal_probability,
            measurements=dict(result.measurements),
            messages=tuple(result.messages),
        )

    @classmethod
    def from_folder(cls, folder) -> Outcome:
        """The outcome in the output folder of ``proximal-femur-seg segment``.

        Raises
        ------
        BadInputError
            If a file of it is missing or cannot be read.
        """
        from ..volume_io import read_labels, read_volume

        folder = Path(folder)
        endosteal = folder / "probability-endosteal.nii.gz"
        measurements = _read_json(folder / "measurements.json")
        segments = _read_json(folder / "segmentation.json")
        return cls(
            probability=read_volume(folder / "probability.nii.gz"),
            labels=read_labels(folder / "segmentation.nii.gz"),
            sides={int(label): (entry["name"], entry["side"]) for label, entry in segments.items()},
            endosteal_probability=read_volume(endosteal) if endosteal.exists() else None,
            measurements=measurements,
            messages=tuple(measurements.get("messages", ())),
        )


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"'{path}' cannot be read ({error}): run the segmentation again.") from None
