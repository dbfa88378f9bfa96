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
@click.option("--surface", type=click.Choice(["voxels", "mesh"]), default="voxels", show_default=True,
              help="What distances are measured between: surface voxels, as in the papers, or pieces of the mesh "
              "between them, weighted by area.")
@click.option("--tolerance", type=click.FloatRange(min=0), default=1.0, show_default=True, metavar="MM",
              help="Distance in mm that the surface Dice accepts.")
@click.option("--resample", is_flag=True,
              help="Bring a RESULT on another grid onto that of the REFERENCE; without it, it is refused.")
@json_option
def evaluate(result, reference, labels, probability, surface, tolerance, resample, as_json):
    """Compare the mask RESULT with the mask REFERENCE, voxel by voxel and surface by surface.

    Both lie on the same voxels of the patient; the order of their axes may differ.

    \b
    dice, precision, recall, specificity
        2 TP / (FP + 2 TP + FN), TP / (TP + FP), TP / (TP + FN), TN / (TN + FP)
    asd_mm, msd_mm, hd95_mm
        average symmetric surface distance over the voxels of both surfaces, its
        maximum (Hausdorff distance) and its 95th percentile, in mm
    asd_mean_of_means_mm, rms_mm
        mean of the two directed mean distances, and root mean square, in mm
    surface_dice
        share of both surfaces that lies within the tolerance of the other
    volume_mm3, reference_volume_mm3, volume_difference_mm3, volume_error_mm3,
    relative_volume_error_percent
        of result and reference, result minus reference, absolute, in percent
    result_touches, reference_touches
        sides of the image at which the bone is cut off
    roc_auc, average_precision, operating_points
        with a probability map: areas under the ROC and the precision-recall
        curve, and the best thresholds of this image; roc_auc_error and
        average_precision_error bound how far the areas may be from exact ones
    """
    from ..evaluation import evaluate_masks
    from ..volume_io import read_mask, read_probability

    chosen = list(labels) or None
    values = evaluate_masks(
        read_mask(result, chosen),
        read_mask(reference, chosen),
        read_probability(probability) if probability else None,
        interpolate=resample,
        surface=surface,
        tolerance_mm=tolerance,
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
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return f"{value:.1f}" if unit == "mm3" else f"{value:.4f}"
