"""What the regions are: a named, versioned definition that goes with every number."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BadInputError

HEAD, NECK, TROCHANTER, INTERTROCHANTER, SHAFT, UNDIVIDED = 1, 2, 3, 4, 5, 6
REGIONS = {
    HEAD: "head",
    NECK: "neck",
    TROCHANTER: "trochanter",
    INTERTROCHANTER: "intertrochanter",
    SHAFT: "shaft",
    UNDIVIDED: "undivided",
}
COLORS = {
    HEAD: (238, 120, 92),
    NECK: (250, 204, 84),
    TROCHANTER: (96, 170, 228),
    INTERTROCHANTER: (110, 200, 140),
    SHAFT: (176, 168, 190),
    UNDIVIDED: (120, 124, 132),
}
"""Red, green, blue, 0 to 255, in pictures and scenes."""
TOTAL_HIP = (NECK, TROCHANTER, INTERTROCHANTER)

NAME, VERSION = "ProximalFemurSeg regions", "1.1"
BASE_FACTOR = 1.3
MINIMUM_SHAFT_MM = 20.0
NECK_MODES = {
    "adaptive": "from where the neck leaves the head's sphere to where its section has grown to 1.3 times the smallest",
    "slab15": "a slab of 15 mm centred on the smallest section (the neck box of Hologic DXA)",
    "slab10": "a slab of 10 mm centred on the smallest section (nearest to the neck volumes of QCT-2021, Table 2)",
}
SLAB_MM = {"slab15": 15.0, "slab10": 10.0}
DISTAL_LIMITS = {
    "lesser-trochanter": "at right angles to the shaft axis at the lower edge of the lesser trochanter",
    "total-hip": "at right angles to the shaft axis 10 mm below the lower edge of the lesser trochanter (DXA)",
}
BELOW_LESSER_MM = {"lesser-trochanter": 0.0, "total-hip": 10.0}


@dataclass(frozen=True)
class RegionDefinition:
    """How a femur is divided.

    Parameters
    ----------
    neck : {'adaptive', 'slab15', 'slab10'}
        Where the neck begins and ends; see `NECK_MODES`. Medial of it is head.
    distal : {'lesser-trochanter', 'total-hip'}
        Where the shaft begins; see `DISTAL_LIMITS`.

    Raises
    ------
    BadInputError
        Another mode or limit.
    """

    neck: str = "adaptive"
    distal: str = "lesser-trochanter"

    def __post_init__(self):
        for value, choices, what in (
            (self.neck, NECK_MODES, "mode of the neck"),
            (self.distal, DISTAL_LIMITS, "distal limit"),
        ):
            if value not in choices:
                raise BadInputError(f"There is no {what} called '{value}': choose one of {', '.join(choices)}.")

    def describe(self) -> dict:
        """Name, version and what was chosen, in plain values."""
        return {
            "name": NAME,
            "version": VERSION,
            "neck": self.neck,
            "neck_extent": NECK_MODES[self.neck],
            "distal_limit": self.distal,
            "distal_limit_plane": DISTAL_LIMITS[self.distal],
            "total_hip": "neck + trochanter + intertrochanter, without the head",
        }
