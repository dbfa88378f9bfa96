"""The files of a segmentation: maps, labels, measurements and a picture."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from . import __version__
from .preview import Bone, draw_preview
from .volume import Volume

PROBABILITY = "probability.nii.gz"
ENDOSTEAL_PROBABILITY = "probability-endosteal.nii.gz"
SEGMENTATION = "segmentation.nii.gz"
LABELS = "segmentation.json"
MEASUREMENTS = "measurements.json"
TABLE = "measurements.csv"
PREVIEW = "preview.png"
UNCERTAINTY = "uncertainty.nii.gz"
FILES = (PROBABILITY, ENDOSTEAL_PROBABILITY, SEGMENTATION, LABELS, MEASUREMENTS, TABLE, PREVIEW, UNCERTAINTY)

_RUN_COLUMNS = ("network", "modality", "threshold", "threshold_method", "postprocess", "device")
_SECOND_FEMUR = 10  # added to the labels of the second femur


def write_segmentation(result, image: Volume, folder, with_uncertainty: bool = False) -> dict:
    """Write what belongs to a segmentation into a folder that exists.

    Parameters
    ----------
    result : inference.SegmentationResult
        On the image's grid.
    image : Volume
        What was segmented.
    folder : path-like
        Where to; `output_folder.staged_output` makes the set of files appear as a whole.
    with_uncertainty : bool
        Also write the map of what `inference.uncertainty` says of the result.

    Returns
    -------
    dict
        What ``measurements.json`` says.
    """
    from .volume_io import write_volume

    folder = Path(folder)
    write_volume(result.probability, folder / PROBABILITY)
    if result.endosteal_probability is not None:
        write_volume(result.endosteal_probability, folder / ENDOSTEAL_PROBABILITY)
    write_volume(result.labels, folder / SEGMENTATION)
    if with_uncertainty:
        write_volume(_uncertainty_map(result.probabilities, image), folder / UNCERTAINTY)
    named = {str(label): {"name": name, "side": side} for label, (name, side) in result.sides.items()}
    write_json(named, folder / LABELS)
    measurements = describe_run(result, image)
    write_json(measurements, folder / MEASUREMENTS)
    # Bytes: csv's own line ends are not to be translated.
    (folder / TABLE).write_bytes(measurements_table(measurements).encode("utf-8"))
    segmentation_preview(result, image).save(folder / PREVIEW, optimize=True)
    return measurements


def _uncertainty_map(probabilities, image: Volume) -> Volume:
    """The uncertainty on the image's whole grid."""
    from .inference.uncertainty import uncertainty

    _, values = uncertainty(probabilities)
    array = np.zeros(image.array.shape, np.float32)
    array[probabilities.window] = values.array
    return image.with_array(array, "uncertainty")


def describe_run(result, image: Volume) -> dict:
    """What ``measurements.json`` says: the run's own measurements, and what was run on what.

    Parameters
    ----------
    result : inference.SegmentationResult
        Of the run.
    image : Volume
        What was segmented.
    """
    return {
        "image": str(image.source or image.name),
        "program": f"ProximalFemurSeg {__version__}",
        "use": "Research use only; not a medical device.",
        "trained_on": trained_on(result.network, result.probabilities.weights),
        **result.measurements,
    }


def trained_on(network: str, weights=()) -> str:
    """What the cards of weights say they were trained on, for example 'simulated images'.

    Parameters
    ----------
    network : str
        Name of the preset.
    weights : iterable of str
        Which were run, `inference.Probabilities.weights`; of several folds they are not the preset's own.
    """
    from . import models

    own = {stage.weights: stage for stage in models.find_preset(network).stages}
    stems = {name: PurePosixPath(name).name for name in weights or own}
    run = [replace(own[stem], weights=name) for name, stem in stems.items() if stem in own] or own.values()
    return ", ".join(dict.fromkeys(models.card(stage).get("trained_on", "unknown data") for stage in run))


def measurements_table(measurements: dict) -> str:
    """The volumes as CSV: one row a structure, with what is needed to tell runs apart in a larger table."""
    stream = io.StringIO()
    columns = ["image", *_columns_of(measurements["volumes"]), *_RUN_COLUMNS, "weights_sha256", "seconds"]
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    run = {name: _one_cell(measurements.get(name)) for name in _RUN_COLUMNS}
    run["weights_sha256"] = _one_cell(list(measurements.get("weights", {}).values()))
    run["seconds"] = measurements.get("seconds", {}).get("total")
    for row in measurements["volumes"]:
        writer.writerow({"image": measurements["image"], **row, **run})
    return stream.getvalue()


def _columns_of(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _one_cell(value):
    """A value, or several joined, as one cell of a table."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return " ".join(dict.fromkeys(str(item) for item in value))
    return value


def write_json(value, path) -> None:
    """Write plain values as JSON; numbers that are not finite become null, which every reader understands."""
    Path(path).write_text(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def plain(value):
    """A value as JSON knows it: arrays become lists, paths text, infinite and undefined numbers null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def segmentation_preview(result, image: Volume):
    """Draw the picture of a segmentation; see `preview.draw_preview`.

    Returns
    -------
    PIL.Image.Image
    """
    from . import models

    bones = [_bone(result, number, region) for number, region in enumerate(result.probabilities.regions)]
    outer = result.probabilities.outer_role
    threshold = result.threshold[outer]
    footnote = (
        f"Patient right on the left. Threshold {threshold:.3f} on the {outer} probability. Weights trained on "
        f"{trained_on(result.network, result.probabilities.weights)}. Research use only. ProximalFemurSeg {__version__}"
    )
    title = f"{image.name or 'Image'}    {models.find_preset(result.network).title}"
    return draw_preview(image, bones, result.measurements["modality"], title, footnote, threshold)


def _bone(result, number: int, region) -> Bone:
    """One femur of a result, cut out of the scan."""
    grid = result.labels.grid.crop(region.start, region.stop)

    def cut(volume: Volume, array=None) -> Volume:
        return Volume(volume.array[region.window] if array is None else array, grid, volume.name)

    labels = cut(result.labels).array
    first = number * _SECOND_FEMUR
    outer = cut(result.labels, np.isin(labels, (first + 1, first + 2)))
    inner = cut(result.labels, labels == first + 1) if result.endosteal_probability is not None else None
    rows = [row for row in result.measurements["volumes"] if row["side"] == region.side]
    lines = [f"{row['structure']} {row['volume_cm3']:.1f} cm3" for row in rows]
    if any(row["incomplete"] for row in rows):
        lines.append("(incomplete)")
    title = f"{region.side.capitalize()} femur" if region.side else "Femur"
    return Bone(title, outer, inner, cut(result.probability), lines)
