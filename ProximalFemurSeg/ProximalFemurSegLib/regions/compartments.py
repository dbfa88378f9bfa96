"""Cortical and trabecular bone of every region, and the volumes that QCT-2021 reports."""

from __future__ import annotations

import numpy as np

from ..errors import BadInputError
from ..volume import Volume
from .definition import REGIONS, TOTAL_HIP, UNDIVIDED
from .division import Division


def check_endosteal(mask: Volume, endosteal: Volume) -> None:
    """Refuse an endosteal mask that lies on other voxels or does not lie in the bone.

    Raises
    ------
    BadInputError
        Other grids; or less than 90 % of it inside the periosteal mask.
    """
    if not mask.grid.is_close(endosteal.grid, 0.01):
        raise BadInputError(
            f"'{endosteal.source or endosteal.name}' does not lie on the voxels of '{mask.source or mask.name}': "
            "resample it to the same grid first."
        )
    inner = np.count_nonzero(endosteal.array)
    inside = np.count_nonzero(endosteal.array & mask.array)
    if inner == 0 or inside < 0.9 * inner:
        raise BadInputError(
            f"'{endosteal.source or endosteal.name}' is not the inside of '{mask.source or mask.name}': give the "
            "endosteal region (inside the cortex) of the same femur."
        )


def region_volumes(division: Division, endosteal: Volume | None = None) -> dict[str, dict]:
    """Volume of every region, and its cortical and trabecular part.

    Cortical bone is what lies in the periosteal mask and not in the endosteal one. A voxel that a cut passes through
    counts for the regions on both sides, each by its part.

    Parameters
    ----------
    division : Division
    endosteal : Volume, optional
        bool, on the same grid.

    Returns
    -------
    dict
        Region, and 'total_hip' (neck + trochanter + intertrochanter), to 'volume_mm3', 'voxels' (how many bear its
        label, each counted whole) and, with an endosteal mask, 'cortical_mm3' and 'trabecular_mm3'; those that could
        not be told have None and a 'reason'.
    """
    unit = division.labels.grid.voxel_volume_mm3
    whole = division.sums(np.ones(division.labels.array.shape, np.uint8)) * unit
    inner = None if endosteal is None else division.sums(endosteal.array) * unit
    voxels = np.bincount(division.labels.array.ravel(), minlength=UNDIVIDED + 1)
    table = {}
    for label, name in REGIONS.items():
        if name in division.refused:
            table[name] = _refused(division.refused[name], inner is not None)
        elif label != UNDIVIDED or voxels[label] > 0:
            table[name] = _entry(voxels[label], whole[label], None if inner is None else inner[label])
    missing = [name for label, name in REGIONS.items() if label in TOTAL_HIP and name in division.refused]
    parts = list(TOTAL_HIP)
    # Without the cut between the trochanters their sum is still known.
    if missing and "distal" in division.planes and "neck_end" in division.planes:
        if set(missing) <= {"trochanter", "intertrochanter"}:
            missing, parts = [], [*TOTAL_HIP, UNDIVIDED]
    if missing:
        table["total_hip"] = _refused(division.refused[missing[0]], inner is not None)
    else:
        inner = None if inner is None else inner[parts].sum()
        table["total_hip"] = _entry(voxels[parts].sum(), whole[parts].sum(), inner)
    return table


def _entry(voxels: int, whole: float, inner: float | None) -> dict:
    entry = {"volume_mm3": float(whole), "voxels": int(voxels)}
    if inner is not None:
        entry.update(cortical_mm3=float(whole - inner), trabecular_mm3=float(inner))
    return entry


def _refused(reason: str, compartments: bool) -> dict:
    entry = {"volume_mm3": None, "voxels": None}
    if compartments:
        entry.update(cortical_mm3=None, trabecular_mm3=None)
    return {**entry, "reason": reason}


def reported_targets(volumes: dict[str, dict]) -> dict[str, float | None]:
    """The five volumes in mm3 of QCT-2021, Table 2: head, neck, their combination with the trochanters, and cortices.

    Parameters
    ----------
    volumes : dict
        From `region_volumes`.

    Returns
    -------
    dict
        'femur_head', 'femur_neck', 'combination' (neck + trochanter + intertrochanter), 'cortical_femur_neck' and
        'cortical_combination'; None where it is not known.
    """
    return {
        "femur_head": volumes["head"]["volume_mm3"],
        "femur_neck": volumes["neck"]["volume_mm3"],
        "combination": volumes["total_hip"]["volume_mm3"],
        "cortical_femur_neck": volumes["neck"].get("cortical_mm3"),
        "cortical_combination": volumes["total_hip"].get("cortical_mm3"),
    }
