"""Volumetric bone mineral density and content of every region, on calibrated CT."""

from __future__ import annotations

import numpy as np

from ..errors import BadInputError
from ..volume import Volume
from .calibration import Calibration
from .definition import REGIONS, TOTAL_HIP
from .division import Division


def region_densities(
    image: Volume, calibration: Calibration | None, division: Division, endosteal: Volume | None = None
) -> dict[str, dict]:
    """Mean density and mineral content of every region.

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
    bone = np.flatnonzero(labels)
    region = labels.ravel()[bone]
    density = calibration.density(image.array.ravel()[bone])
    inside = None if endosteal is None else endosteal.array.ravel()[bone]
    groups = {name: region == label for label, name in REGIONS.items() if name not in division.refused}
    if not {REGIONS[label] for label in TOTAL_HIP} & set(division.refused):
        groups["total_hip"] = np.isin(region, TOTAL_HIP)
    volume_cm3 = division.labels.grid.voxel_volume_mm3 / 1000.0
    table = {}
    for name, chosen in groups.items():
        if not chosen.any():
            continue
        table[name] = {"integral": _content(density[chosen], volume_cm3)}
        if inside is not None:
            table[name]["cortical"] = _content(density[chosen & ~inside], volume_cm3)
            table[name]["trabecular"] = _content(density[chosen & inside], volume_cm3)
    return table


def _content(density, volume_cm3) -> dict:
    if len(density) == 0:
        return {"vbmd_mg_cm3": None, "bmc_mg": 0.0}
    return {"vbmd_mg_cm3": float(density.mean()), "bmc_mg": float(density.sum() * volume_cm3)}
