"""Refuse voxel geometry that cannot be measured on: not 3D, zero spacing, or axes that are not at right angles."""

from __future__ import annotations

import numpy as np

from .errors import BadInputError

_ROUNDING = 1e-6  # cosine; what float32 headers leave between axes that were meant to be at right angles
_LARGEST_COSINE = 0.01  # 0.57 degrees
_LARGEST_SHIFT = 0.25  # voxels


def zero_spacing(path, spacing) -> BadInputError:
    """The error for a file whose spacing (i, j, k) in mm is zero or not a number."""
    listed = " x ".join(f"{s:g}" for s in spacing)
    return BadInputError(f"'{path}' has a voxel spacing of zero ({listed} mm): set the true spacing and save again.")


def check_dimensions(shape, path) -> tuple[int, int, int]:
    """The first three extents (I, J, K), any others being 1.

    Raises
    ------
    BadInputError
        Fewer than three axes, more than one volume, or no voxels.
    """
    shape = tuple(int(n) for n in shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    size = " x ".join(str(n) for n in shape)
    if len(shape) < 3:
        raise BadInputError(f"'{path}' is 2D ({size} voxels), and a volume is needed: give the whole stack of slices.")
    if len(shape) > 3:
        raise BadInputError(f"'{path}' is {len(shape)}D ({size} voxels), and one volume is needed: save one of them.")
    if min(shape) < 1:
        raise BadInputError(f"'{path}' is empty ({size} voxels): export it again.")
    return shape


def checked_affine(affine, shape, path) -> np.ndarray:
    """The affine, with its axes at right angles.

    Files state directions with few digits, so that axes are rarely at exactly 90 degrees. Such an affine is replaced
    by the nearest one with right angles, the middle of the field of view staying where it is, as long as no voxel
    moves by more than a quarter of a voxel; more than that is shear, and refused.

    Parameters
    ----------
    affine : array_like
        (4, 4) voxel centre (i, j, k) to mm, RAS or LPS.
    shape : tuple of int
        (K, J, I).
    path : path-like
        Named in the message.

    Returns
    -------
    numpy.ndarray
        (4, 4) float64; the very numbers given where the axes are at right angles to within rounding.

    Raises
    ------
    BadInputError
        Affine not finite, a spacing of zero, or sheared axes.
    """
    affine = np.array(affine, dtype=np.float64)
    columns = affine[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    if not np.all(np.isfinite(affine)):
        raise BadInputError(f"'{path}' has a position or spacing that is not a number: export the image again.")
    if np.any(spacing <= 0):
        raise zero_spacing(path, spacing)
    direction = columns / spacing
    cosines = direction.T @ direction - np.eye(3)
    largest = np.abs(cosines).max()
    if largest <= _ROUNDING:
        return affine
    u, singular, vt = np.linalg.svd(direction)
    if singular.min() < 1e-3:
        raise BadInputError(f"'{path}' has axes that do not span a volume: set the true directions and save again.")
    straight = (u @ vt) * spacing
    half = (np.asarray(shape[::-1], dtype=np.float64) - 1) / 2
    corners = np.array(np.meshgrid(*[(-h, h) for h in half], indexing="ij")).reshape(3, -1)
    shift = np.linalg.norm((straight - columns) @ corners, axis=0).max() / spacing.min()
    if largest > _LARGEST_COSINE or shift > _LARGEST_SHIFT:
        raise BadInputError(
            f"'{path}' has sheared axes ({_angle(cosines):.2f} degrees instead of 90, as from a tilted gantry or an "
            "affine registration): resample it to axes at right angles first."
        )
    result = affine.copy()
    result[:3, :3] = straight
    result[:3, 3] = affine[:3, 3] + (columns - straight) @ half
    return result


def _angle(cosines: np.ndarray) -> float:
    worst = max((cosines[0, 1], cosines[0, 2], cosines[1, 2]), key=abs)
    return float(np.degrees(np.arccos(np.clip(worst, -1, 1))))
