"""The tissues a phantom is made of, by number."""

from __future__ import annotations

from enum import IntEnum


class Tissue(IntEnum):
    """What fills a voxel of a phantom. The femur's own tissues come last."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    CORTICAL_BONE = 4
    TRABECULAR_BONE = 5
    CARTILAGE = 6
    JOINT_FLUID = 7
    URINE = 8
    BOWEL = 9
    BOWEL_GAS = 10
    VESSEL = 11
    TENDON = 12
    ORGAN = 13
    TABLE = 14
    METAL = 15
    FEMUR_CORTICAL = 20
    FEMUR_TRABECULAR = 21
    FEMUR_YELLOW_MARROW = 22
    CYST = 23
    CYST_FOCUS = 24
