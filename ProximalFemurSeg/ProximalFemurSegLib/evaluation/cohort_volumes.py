"""Volumes of a femur's regions, as in QCT-2021, Table 2: head, neck, and both with their cortex."""

from __future__ import annotations

import numpy as np

from ..errors import BadInputError
from ..volume import Volume
from .cases import align
from .volumes import volume_mm3

_HEAD, _NECK = (1,), (2,)
_COMBINATION = (2, 3, 4)
_CORTICAL = (2, 12)

WHOLE = "whole structure"
REGIONS = {
    "femoral head": (_HEAD, False),
    "femoral neck": (_NECK, False),
    "neck, trochanter and intertrochanter": (_COMBINATION, False),
    "cortical bone of the neck": (_NECK, True),
    "cortical bone of neck, trochanter and intertrochanter": (_COMBINATION, True),
}


def region_volumes(regions: Volume, labels: Volume) -> dict[str, float]:
    """Volumes in mm3 of the regions that a pair of label maps tells.

    Parameters
    ----------
    regions : Volume
        1 head, 2 neck, 3 trochanter, 4 intertrochanter; anything else is not looked at.
    labels : Volume
        1 and 11 trabecular bone, 2 and 12 cortical bone, on the same voxels; a map without cortical bone gives no
        volumes of it.

    Raises
    ------
    BadInputError
        Grids that differ, or a map without any of the regions.
    """
    regions, labels = align(regions, labels)
    cortex = np.isin(labels.array, _CORTICAL)
    found = {}
    for name, (values, cortical) in REGIONS.items():
        inside = np.isin(regions.array, values)
        if cortical and not cortex.any():
            continue
        found[name] = volume_mm3(inside & cortex if cortical else inside, regions.grid)
    if not any(found.values()):
        raise BadInputError(
            f"'{regions.source or regions.name}' holds none of the regions 1 to 4 (head, neck, trochanter, "
            "intertrochanter); choose a map of regions."
        )
    return found
