"""The grids that the simulated scanners acquire."""

from __future__ import annotations

import numpy as np

from ..volume import Grid
from .scene import Femur

MR_MATRIX, MR_PIXEL, MR_SLICES, MR_SECTION = 512, 120.0 / 512, 60, 1.5
CT_MATRIX, CT_PIXEL, CT_SECTION = 192, 0.8, 1.0


def hip_center(femur: Femur) -> np.ndarray:
    """RAS mm of what a technician centres a hip scan on: half way between head and lesser trochanter."""
    marks = femur.landmarks
    return (np.asarray(marks["head_center"]) + np.asarray(marks["lesser_trochanter"])) / 2


def mr_grid(
    femur: Femur,
    matrix: int = MR_MATRIX,
    slices: int = MR_SLICES,
    section_mm: float = MR_SECTION,
    field_mm: float = MR_MATRIX * MR_PIXEL,
) -> Grid:
    """Coronal slices of one hip as in the papers (512 x 512 x 60, 0.234 x 0.234 x 1.5 mm): columns run to the patient's
    left, rows downwards, slices from back to front."""
    pixel = field_mm / matrix
    direction = np.array([[-1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])  # columns: i left, j inferior, k anterior
    extent = np.array([pixel * (matrix - 1), pixel * (matrix - 1), section_mm * (slices - 1)])
    origin = hip_center(femur) - direction @ (extent / 2)
    return Grid.from_parts((slices, matrix, matrix), (pixel, pixel, section_mm), origin, direction)


def ct_hip_grid(femur: Femur, slices: int = 200, section_mm: float = CT_SECTION, pixel_mm: float = CT_PIXEL) -> Grid:
    """Axial slices of one hip, cropped as in QCT-2021 (192 x 192 at 0.8 mm): from above the head down the shaft."""
    return _axial(
        hip_center(femur)[:2],
        float(femur.landmarks["head_center"][2]) + femur.head_radius + 15.0,
        (slices, CT_MATRIX, CT_MATRIX),
        (pixel_mm, pixel_mm, section_mm),
    )


def ct_pelvis_grid(femora: list[Femur], slices: int = 244, section_mm: float = CT_SECTION, matrix: int = 512) -> Grid:
    """Axial slices over both hips, 410 mm wide."""
    middle = np.mean([hip_center(femur) for femur in femora], axis=0)
    top = max(float(femur.landmarks["head_center"][2]) + femur.head_radius for femur in femora) + 40.0
    pixel = 410.0 / matrix
    return _axial(middle[:2], top, (slices, matrix, matrix), (pixel, pixel, section_mm))


def _axial(middle, top: float, shape, spacing) -> Grid:
    direction = np.diag([-1.0, -1.0, 1.0])  # i left, j posterior, k superior
    slices, rows, columns = shape
    low = top - (slices - 1) * spacing[2]
    origin = [
        middle[0] + (columns - 1) * spacing[0] / 2,
        middle[1] + (rows - 1) * spacing[1] / 2,
        low,
    ]
    return Grid.from_parts(shape, spacing, origin, direction)
