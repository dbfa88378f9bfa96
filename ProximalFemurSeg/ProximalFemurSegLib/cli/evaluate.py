"""``evaluate``: how near a result is to its reference."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, print_json, print_table

_PATH = click.Path(path_type=Path)
_UNITS = {"_mm3": "mm3", "_mm": "mm", "_percent": "%"}


@click.command(short_help="Compare a mask with its reference.")
@click.argument("result", type=_PATH)
@click.argument("reference", type=_PATH)
@click.option("--label", "labels", type=int, multiple=True, metavar="VALUE",
              help="Which label values are bone, in both masks; may be given several times. Default: any but 0.")
@click.option("--probability", type=_PATH, metavar="FILE", help="The probability map behind the result.")
@json_option
def evaluate(result, reference, labels, probability, as_json):
    """Compare the mask RESULT with the mask REFERENCE, voxel by voxel and surface by surface.

    Both lie on the same voxels of the patient; the order of their axes may differ.

    \b
    dice, precision, recall, specificity
        2 TP / (FP + 2 TP + FN), TP / (TP + FP), TP / (TP + FN), TN / (TN + FP)
    asd_mm, msd_mm, hd95_mm
        average symmetric surface distance over the voxels of both surfaces, its
        maximum (Hausdorff distance) and its 95th percentile, in mm
    volume_mm3, reference_volume_mm3, volume_difference_mm3, volume_error_mm3,
    relative_volume_error_percent
        of result and reference, result minus reference, absolute, in percent
    result_touches, reference_touches
        sides of the image at which the bone is cut off
    roc_auc, average_precision, operating_points
        with a probability map: areas under the ROC and the precision-recall
        curve, and the best thresholds of this image
    """
    from ..evaluation import evaluate_masks
    from ..volume_io import read_mask, read_probability

    chosen = list(labels) or None
    values = evaluate_masks(
        read_mask(result, chosen), read_mask(reference, chosen), read_probability(probability) if probability else None
    )
    if as_json:
        print_json({"result": result, "reference": reference, **values})
    else:
        print_metrics(values)


def print_metrics(values: dict) -> None:
    """Metrics with their units, one a line."""
    rows = []
    for name, value in values.items():
        if name == "operating_points":
            for point, entry in value.items():
                rows.append([f"best threshold ({point})", f"{entry['threshold']:.4f}", ""])
            continue
        unit = next((u for ending, u in _UNITS.items() if name.endswith(ending)), "")
        title = name[: -len(unit) - 1] if unit in ("mm", "mm3") else name.replace("_percent", "")
        rows.append([title.replace("_", " "), _text(value, unit), unit])
    print_table(rows)


def _text(value, unit: str) -> str:
    if value is None:
        return "undefined"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return f"{value:.1f}" if unit == "mm3" else f"{value:.4f}"
