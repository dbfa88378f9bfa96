"""The body around the hips from a label map that people drew: bones, muscles, fat, skin, and a guess at the rest.

The map's own femora are taken out, so that others can be put in their place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from .distance_field import SampledField
from .tissues import Tissue

# How the names in a label list are read. A name that is not here and holds "muscle" is muscle.
BONE_NAMES = ("pelvis", "sacrum", "spine", "hip")
FEMUR_NAME = "femur"
BODY_NAME = "body"
FIELD_SPACING = 1.5  # mm


@dataclass(frozen=True, eq=False)
class LabelWorld:
    """Fields of one person's pelvis and thighs, in RAS mm (the `surroundings` half of a `Scene`).

    Attributes
    ----------
    name : str
    tissue : SampledField
        uint8 `Tissue` of soft parts; FAT where only "body" is known. No bones in it.
    bone : SampledField
        Signed distance in mm to the bones other than the femora, negative inside.
    depth : SampledField
        Distance in mm to the skin, positive inside the body.
    cavity : SampledField
        1 inside the abdominal and pelvic walls: muscle or bone lies on all sides in the axial plane.
    wall : SampledField
        Distance in mm to the nearest muscle or bone.
    """

    name: str
    tissue: SampledField
    bone: SampledField
    depth: SampledField
    cavity: SampledField
    wall: SampledField


def world_from_labels(name: str, labels: np.ndarray, affine: np.ndarray, names: dict[int, str]) -> LabelWorld:
    """Turn a label map into fields.

    Parameters
    ----------
    name : str
    labels : numpy.ndarray
        (K, J, I) integers.
    affine : numpy.ndarray
        (4, 4) IJK to RAS mm; axes along the patient's.
    names : dict of int to str
        What each label is.
    """
    array, origin, spacing = upright(labels, affine)
    inside = np.argwhere(array > 0)
    low, high = np.maximum(inside.min(0) - 3, 0), inside.max(0) + 4
    array = array[tuple(slice(a, b) for a, b in zip(low, high))]
    origin = origin + low * spacing

    bone_labels = [value for value, text in names.items() if any(part in text.lower() for part in BONE_NAMES)]
    femur_labels = [value for value, text in names.items() if FEMUR_NAME in text.lower()]
    muscle_labels = [value for value, text in names.items() if "muscle" in text.lower()]

    new_shape = tuple(int(n) for n in np.floor((np.array(array.shape) - 1) * spacing / FIELD_SPACING) + 1)

    def resample(field: np.ndarray) -> np.ndarray:
        coordinates = [np.arange(new_shape[a]) * FIELD_SPACING / spacing[a] for a in range(3)]
        for axis in range(3):
            lower = np.minimum(coordinates[axis].astype(int), field.shape[axis] - 2)
            weight = (coordinates[axis] - lower).astype(np.float32)
            weight = weight.reshape([-1 if a == axis else 1 for a in range(3)])
            field = np.take(field, lower, axis) * (1 - weight) + np.take(field, lower + 1, axis) * weight
        return field

    def signed_distance(mask: np.ndarray) -> np.ndarray:
        outside = ndimage.distance_transform_edt(~mask, spacing).astype(np.float32)
        within = ndimage.distance_transform_edt(mask, spacing).astype(np.float32)
        # Both count from voxel to voxel; the surface lies half way between.
        half = float(np.mean(spacing[:2])) / 2
        return np.clip(np.where(mask, half - within, outside - half), -60, 60)

    bone = signed_distance(np.isin(array, bone_labels))
    body = signed_distance(array > 0)

    # Between axial sections the soft parts are interpolated as smoothed memberships, which leaves no steps.
    femur = np.isin(array, femur_labels)
    soft = np.full(array.shape, int(Tissue.FAT), np.uint8)
    soft[np.isin(array, muscle_labels)] = int(Tissue.MUSCLE)
    known = ~(femur | np.isin(array, bone_labels)) & (array > 0)
    nearest = ndimage.distance_transform_edt(~known, spacing, return_distances=False, return_indices=True)
    soft = soft[tuple(nearest)]
    # One number per muscle, so that neighbours keep a plane of fat between them.
    separate = np.where(np.isin(array, muscle_labels), array, 0)[tuple(nearest)]
    sigma = np.array([0.8, 0.8, 1.5]) / spacing
    muscle = np.zeros(new_shape, np.float32)
    for value in muscle_labels:
        mask = separate == value
        if not mask.any():
            continue
        where = ndimage.find_objects(mask.astype(np.uint8))[0]
        box = tuple(slice(max(s.start - 4, 0), s.stop + 4) for s in where)
        smooth = np.zeros(array.shape, np.float32)
        smooth[box] = ndimage.gaussian_filter(mask[box].astype(np.float32), sigma)
        np.maximum(muscle, resample(smooth), out=muscle)
    tissue = np.where(muscle > 0.47, int(Tissue.MUSCLE), int(Tissue.FAT)).astype(np.uint8)

    wall = (soft == int(Tissue.MUSCLE)) & (array > 0) | np.isin(array, bone_labels) | femur
    enclosed = enclosed_in_axial_plane(wall)
    # Medial to the femora only; the gaps between the muscles of the thigh are no cavity.
    columns = np.flatnonzero(femur.any(axis=(1, 2)))
    middle = (columns[0] + columns[-1]) // 2
    inner = 0.55 * min(middle - columns[0], columns[-1] - middle)
    enclosed[: int(middle - inner)] = False
    enclosed[int(middle + inner) :] = False
    cavity = resample(ndimage.gaussian_filter(enclosed.astype(np.float32), 4.0 / spacing)) > 0.5
    wall_distance = resample(ndimage.distance_transform_edt(~wall, spacing).astype(np.float32))

    start = tuple(float(o) for o in origin)
    step = (FIELD_SPACING,) * 3

    def field(values: np.ndarray) -> SampledField:
        return SampledField(torch.from_numpy(np.ascontiguousarray(values)), start, step)

    return LabelWorld(
        name,
        field(tissue),
        field(resample(bone).astype(np.float16)),
        field(resample(-body).astype(np.float16)),
        field(cavity.astype(np.uint8)),
        field(np.clip(wall_distance, 0, 60).astype(np.float16)),
    )


def upright(labels: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bring a label map to array axes (x to the right, y to the front, z up): array, RAS origin and spacing in mm."""
    array = np.transpose(labels, (2, 1, 0))
    matrix, origin = affine[:3, :3].copy(), affine[:3, 3].copy()
    order = [int(np.argmax(np.abs(matrix[axis]))) for axis in range(3)]
    if sorted(order) != [0, 1, 2]:
        raise ValueError("The label map's axes are too oblique to be brought to the patient's axes.")
    array, matrix = np.transpose(array, order), matrix[:, order]
    for axis in range(3):
        if matrix[axis, axis] < 0:
            origin = origin + matrix[:, axis] * (array.shape[axis] - 1)
            array = np.flip(array, axis)
            matrix[:, axis] *= -1
    return np.ascontiguousarray(array), origin, np.linalg.norm(matrix, axis=0)


def enclosed_in_axial_plane(wall: np.ndarray) -> np.ndarray:
    """True where a voxel of (X, Y, Z) has wall to its left, right, front and back in its own axial plane."""
    enclosed = ~wall
    for axis in (0, 1):
        ahead = np.maximum.accumulate(wall, axis=axis)
        behind = np.flip(np.maximum.accumulate(np.flip(wall, axis), axis=axis), axis)
        enclosed &= ahead & behind
    return enclosed
