"""From probability maps to labels and volumes: everything that a change of the threshold repeats."""

from __future__ import annotations

import numpy as np

from ..errors import BadInputError
from ..orientation import closest_reorientation
from .description import describe_regions
from .main_part import LEAST_THRESHOLD
from .measurements import border_of, volume_row
from .result import Probabilities, SegmentationResult, empty_array

TRABECULAR, CORTICAL = "trabecular bone", "cortical bone"
_SECOND_FEMUR = 10


def apply_threshold(probabilities: Probabilities, threshold="model", postprocess="auto") -> SegmentationResult:
    """Labels and volumes from probability maps; no network runs.

    Parameters
    ----------
    probabilities : Probabilities
        From `predict_probabilities`.
    threshold : str, float or dict
        ``model`` (the operating point on the weights' card), ``otsu``, ``roc``, ``youden``, or a probability, or one
        of these per role. A voxel is bone where its probability is larger.
    postprocess : str
        ``auto``: of each femur the largest 26-connected component, its holes filled. ``none``: nothing. Or a list of
        steps; see `postprocessing.postprocess_steps`.

    Returns
    -------
    SegmentationResult

    Raises
    ------
    BadInputError
        If the threshold or a step is unknown, or the network's card has no such threshold.
    """
    from ..postprocessing import postprocess_steps

    maps, outer_role = probabilities.maps, probabilities.outer_role
    grid = maps[outer_role].grid
    thresholds = _thresholds(probabilities, threshold)
    steps = postprocess_steps(postprocess)
    labels = empty_array(grid.shape, np.uint8)
    # As for the networks: ties between components are not to depend on the array's order.
    change = closest_reorientation(grid, "SPL")
    turned = change.grid(grid)
    sides, rows, remarks, boxes = {}, [], [], []
    for number, region in enumerate(probabilities.regions):
        box, outer = _outer_mask(probabilities, number, thresholds[outer_role], steps, change, turned)
        within = tuple(slice(b.start - start, b.stop - start) for b, start in zip(box, region.start))
        border = change.apply(border_of(region, grid)[within])
        boxes.append(box)
        first = 1 + _SECOND_FEMUR * number
        if "endosteal" in maps:
            marrow = change.apply(maps["endosteal"].array[box]) > thresholds["endosteal"]
            inner = _apply(steps, marrow & outer, turned) & outer
            parts = {first: (TRABECULAR, inner), first + 1: (CORTICAL, outer & ~inner)}
        else:
            # The MR networks segment trabecular bone; a periosteal network alone does not know the cortex.
            parts = {first: (TRABECULAR if outer_role == "bone" else "whole bone", outer)}
        view = change.apply(labels[box])
        for label, (name, mask) in parts.items():
            np.copyto(view, label, where=mask)
            sides[label] = (name, region.side)
            rows.append(volume_row(region.side, name, label, mask, grid, (mask & border).any()))
        if len(parts) > 1:
            rows.append(volume_row(region.side, "whole bone", None, outer, grid, (outer & border).any()))
        remarks += _remarks(rows[-1])
    return SegmentationResult(
        probability=maps[outer_role],
        endosteal_probability=maps.get("endosteal"),
        labels=maps[outer_role].with_array(labels, "segmentation"),
        sides=sides,
        measurements={
            "network": probabilities.network,
            "weights": probabilities.weights,
            "modality": probabilities.modality,
            "device": probabilities.device,
            "threshold": thresholds,
            "threshold_method": threshold if isinstance(threshold, str) else "fixed",
            "operating_points": probabilities.operating_points,
            "postprocess": postprocess,
            "volumes": rows,
            "seconds": probabilities.seconds,
            "messages": [*probabilities.messages, *remarks],
            "remarks": remarks,
            "regions": describe_regions(probabilities),
        },
        threshold=thresholds,
        probabilities=probabilities,
        window=tuple(slice(min(b.start for b in axis), max(b.stop for b in axis)) for axis in zip(*boxes)),
    )


def _outer_mask(probabilities, number, threshold, steps, change, grid):
    """(box of the image, mask in it, turned round) of one femur; beyond the box there is none of it."""
    region = probabilities.regions[number]
    values = probabilities.maps[probabilities.outer_role].array
    if steps and steps[0].name == "largest" and threshold >= LEAST_THRESHOLD:
        part = probabilities.main_part(number)
        if part is not None:
            box = tuple(slice(a + b.start, a + b.stop) for a, b in zip(region.start, part.box))
            piece = steps[0](change.apply((values[box] > threshold) & part.inside), grid)
            if np.count_nonzero(piece) > part.rest:
                return box, _apply(steps[1:], piece, grid)
    return region.window, _apply(steps, change.apply(values[region.window]) > threshold, grid)


def _apply(steps, mask, grid):
    for step in steps:
        mask = step(mask, grid)
    return mask


def _thresholds(probabilities: Probabilities, threshold) -> dict[str, float]:
    from ..thresholds import resolve_threshold

    chosen = threshold if isinstance(threshold, dict) else dict.fromkeys(probabilities.maps, threshold)
    missing = [role for role in probabilities.maps if role not in chosen]
    if missing:
        raise BadInputError(f"There is no threshold for the {missing[0]} map; give one for each of them.")
    result = {}
    for role, volume in probabilities.maps.items():
        values = None
        if chosen[role] == "otsu":
            # Of the hips alone: the rest of a large scan is zero because no network looked there.
            values = np.concatenate([volume.array[r.window].ravel() for r in probabilities.regions])
        result[role] = float(resolve_threshold(chosen[role], values, probabilities.operating_points.get(role, {})))
    return result


def _remarks(whole: dict) -> list[str]:
    """What has to be said of a femur, by the row of its outermost mask."""
    name = f"the {whole['side']} femur" if whole["side"] else "the femur"
    if not whole["voxels"]:
        return [f"No voxel of {name} lies above the threshold."]
    if whole["incomplete"]:
        return [f"The bone of {name} goes on beyond what was scanned or looked at: its volumes are not whole."]
    return []
