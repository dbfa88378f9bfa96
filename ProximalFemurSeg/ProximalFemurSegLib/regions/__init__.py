"""Head, neck, trochanter, intertrochanter and shaft of a femur, from its mask alone; and what is measured on them."""

from .calibration import Calibration, calibration_from
from .definition import DISTAL_LIMITS, NECK_MODES, REGIONS, RegionDefinition
from .division import Division, divide
from .femora import compartments_of, separate_femora
from .landmarks import FemurLandmarks, Landmark, find_landmarks
from .measure import Femora, FemurRegions, RegionsResult, measure_femur, measure_regions
from .neck_view import neck_grid, reformat

__all__ = [
    "Calibration",
    "DISTAL_LIMITS",
    "Division",
    "Femora",
    "FemurLandmarks",
    "FemurRegions",
    "Landmark",
    "NECK_MODES",
    "REGIONS",
    "RegionDefinition",
    "RegionsResult",
    "calibration_from",
    "compartments_of",
    "divide",
    "find_landmarks",
    "measure_femur",
    "measure_regions",
    "neck_grid",
    "reformat",
    "separate_femora",
]
