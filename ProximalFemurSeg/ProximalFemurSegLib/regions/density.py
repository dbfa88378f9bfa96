"""Volumetric bone mineral density and content of every region, on calibrated CT."""

from __future__ import annotations

import numpy as np

from ..errors import BadInputError
from ..volume import Volume
from .calibration import Calibration
from .definition import REGIONS, TOTAL_HIP
from .division import Division

_NONE = 1e-6  # voxels: less is rounding


def region_densities(
    image: Volume, calibration: Calibration | None, division: Division, endosteal: Volume | None = None
) -> dict[str, dict]:
    """Mean density and mineral content of every region; voxels that a cut passes through count in parts.

    Parameters
    ----------
    image : Volume
        CT in HU, on the division's grid.
    calibration : Calibration
        How HU become mg/cm3.
    division : Division
    endosteal : Volume, optional
        bool; adds the cortical and the trabecular part.

    Returns
    -------
    dict
        Region, and 'total_hip' (neck + trochanter + intertrochanter), to 'integral', and with an endosteal mask
        'cortical' and 'trabecular', each with 'vbmd_mg_cm3' (None where it has no voxel) and 'bmc_mg'. Regions that
        could not be told are absent.

    Raises
    ------
    BadInputError
        Without a calibration: HU are not density. Or if the image lies on other voxels.
    """
    if calibration is None:
        raise BadInputError(
            "Density needs a calibration, for HU are not mg/cm3: give the phantom's rods, or a slope and an intercept."
        )
    labels = division.labels.array
    if not image.grid.is_close(division.labels.grid, 0.01):
        raise BadInputError(
            f"'{image.source or image.name}' does not lie on the voxels of the mask: resample the mask to the image."
        )
    bone = labels != 0
    density = np.zeros(labels.shape)
    density[bone] = calibration.density(image.array[bone])
    volume_cm3 = division.labels.grid.voxel_volume_mm3 / 1000.0

    def contents(where):
        return division.sums(where), division.sums(density * where) * volume_cm3

    parts = {"integral": contents(bone)}
    if endosteal is not None:
        parts["cortical"] = contents(bone & ~endosteal.array)
        parts["trabecular"] = contents(bone & endosteal.array)
    groups = {name: [label] for label, name in REGIONS.items() if name not in division.refused}
    if not {REGIONS[label] for label in TOTAL_HIP} & set(division.refused):
        groups["total_hip"] = list(TOTAL_HIP)
    table = {}
    for name, chosen in groups.items():
        if parts["integral"][0][chosen].sum() < _NONE:
            continue
        table[name] = {
            part: _content(voxels[chosen].sum(), content[chosen].sum(), volume_cm3)
            for part, (voxels, content) in parts.items()
        }
    return table


def _content(voxels: float, content: float, volume_cm3: float) -> dict:
    if voxels < _NONE:
        return {"vbmd_mg_cm3": None, "bmc_mg": 0.0}
    return {"vbmd_mg_cm3": float(content / (voxels * volume_cm3)), "bmc_mg": float(content)}
