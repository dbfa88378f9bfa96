"""Probability maps whose borders were put where the profiles of the CT's cortex say.

Networks know cortices of the usual thickness best: thin ones came out too thick, thick ones too thin. The borders that
`cortex_fit` finds in a patch scatter more than the networks', but are right on average. So their difference, smoothed
along the surface over about a centimetre, is taken from the networks' borders.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.special import expit, logit

from ..postprocessing import bounding_box
from ..volume import Grid, Volume
from .border_profiles import Profiles, SurfaceNormals, cortex_profiles
from .cortex_fit import compact_hu, fit_layers, local_compact_hu, near_weights, point_spread
from .result import Probabilities, empty_array

_SMOOTH_MM = 7.0
_LARGEST_MM = 0.4  # shift of a patch that is believed
_UNSURE_MM2 = 10.0  # of surface with no shift, as which the expectation counts
_LARGEST_BLUR_MM = 1.0  # beyond, cortices of the neck cannot be told
_LEAST_CONTRAST = 0.5  # of compact bone to soft tissue, relative
_WORST_MISFIT = 120.0
_METAL = 1.4  # of compact bone
_MARGIN_MM = 16.0
_REACH_MM = 12.0  # of a patch
_NEIGHBOURS = 4
_LEAST = 1e-7  # probability


def calibrate_borders(volume: Volume, probabilities: Probabilities) -> Probabilities:
    """Move the borders of a CT cascade's maps to where the image's profiles across the cortex have them.

    Parameters
    ----------
    volume : Volume
        HU, what the maps were made from.
    probabilities : Probabilities
        With a periosteal and an endosteal map.

    Returns
    -------
    Probabilities
        Of the same meaning, for the same thresholds, with a message on how far the borders moved; where the cortex
        cannot be read from the image, the maps as they are, with a message that says why.
    """
    started = time.perf_counter()
    roles = ("periosteal", "endosteal")
    levels = tuple(probabilities.operating_points[role]["threshold"] for role in roles)
    maps = {role: _copy(probabilities, role) for role in roles}
    messages = list(probabilities.messages)
    for region in probabilities.regions:
        name = f"of the {region.side} femur" if region.side else "of the femur"
        box = _around_bone(probabilities, region, levels[0], volume.grid)
        if box is None:
            continue
        grid = volume.grid.crop([s.start for s in box], [s.stop for s in box])
        image = volume.array[box].astype(np.float32)
        # Log odds change steadily across a border, probabilities within a voxel: only those tell where in it.
        parts = [log_odds(probabilities.maps[role].array[box]) for role in roles]
        odds = log_odds(np.array(levels))
        profiles = cortex_profiles(image, grid, *parts, odds)
        shifts, said = _border_shifts(profiles)
        messages.append(f"The borders {name} {said}")
        if shifts is None:
            continue
        places = (profiles.points, profiles.points + profiles.inner[:, None] * profiles.normals)
        window = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(box, region.window))
        within = tuple(slice(w.start - b.start, w.stop - b.start) for w, b in zip(window, box))
        for role, part, level, shift, around in zip(roles, parts, odds, shifts, places):
            edge, values = moved_border(part, grid, level, around, shift)
            moved = maps[role].array[box].copy()
            moved[edge] = expit(values)
            maps[role].array[window] = moved[within]
    seconds = {**probabilities.seconds}
    taken = time.perf_counter() - started
    seconds["calibrating the borders"] = round(taken, 3)
    seconds["total"] = round(seconds.get("total", 0.0) + taken, 3)
    return replace(probabilities, maps=maps, messages=messages, seconds=seconds)


def _copy(probabilities, role) -> Volume:
    volume = probabilities.maps[role]
    array = empty_array(volume.grid.shape, np.float32)
    array[probabilities.window] = volume.array[probabilities.window]
    return volume.with_array(array)


def _around_bone(probabilities, region, level, grid):
    """The box of the image around a femur that its profiles need; None if there is no bone."""
    bone = bounding_box(probabilities.maps["periosteal"].array[region.window] > level)
    if bone is None:
        return None
    margins = [int(np.ceil(_MARGIN_MM / s)) for s in grid.spacing[::-1]]
    return tuple(
        slice(max(0, r + b.start - m), min(size, r + b.stop + m))
        for r, b, m, size in zip(region.start, bone, margins, grid.shape)
    )


def _border_shifts(profiles: Profiles | None):
    """(mm outwards of both borders at each patch, what to say); (None, why not) if the cortex cannot be read."""
    compact = None if profiles is None else compact_hu(profiles)
    if compact is None:
        return None, "were left as they are: no cortex in view is thick enough to tell its density."
    blur = point_spread(profiles, compact)
    if np.median(blur) > _LARGEST_BLUR_MM:
        return None, f"were left as they are: the image is too blurred ({np.median(blur):.1f} mm)."
    local = local_compact_hu(profiles, compact, blur)
    fitted = fit_layers(profiles.hu, profiles.inner, local, 1.0, blur)
    good = (fitted.misfit < _WORST_MISFIT) & (profiles.hu.max(axis=1) < _METAL * compact)
    good &= fitted.compact - fitted.soft > _LEAST_CONTRAST * fitted.compact
    near, weights = near_weights(profiles.points, _SMOOTH_MM), profiles.areas * good
    total = near @ weights + _UNSURE_MM2
    shifts = [
        near @ (weights * np.clip(found, -_LARGEST_MM, _LARGEST_MM)) / total
        for found in (fitted.outer, fitted.inner - profiles.inner)
    ]
    means = [np.average(shift, weights=profiles.areas) for shift in shifts]
    return shifts, (
        f"were moved outwards by {means[0]:+.2f} (periosteal) and {means[1]:+.2f} mm (endosteal) on average, by the "
        f"profiles of the image: compact bone of {compact:.0f} HU in a blur of {np.median(blur):.2f} mm."
    )


def log_odds(probability: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)) as float32, finite."""
    return logit(np.clip(np.asarray(probability, np.float64), _LEAST, 1 - _LEAST)).astype(np.float32)


def moved_border(values: np.ndarray, grid: Grid, level: float, points: np.ndarray, shifts: np.ndarray):
    """What the values near a surface become when it is moved along its normals.

    Parameters
    ----------
    values : numpy.ndarray
        (K, J, I) float32, larger inside.
    grid : Grid
    level : float
        Of the surface.
    points : numpy.ndarray
        (n, 3) RAS mm near the surface.
    shifts : numpy.ndarray
        (n,) mm outwards there; none far from all of them.

    Returns
    -------
    near : numpy.ndarray
        (K, J, I) bool, the voxels within two of the surface.
    moved : numpy.ndarray
        float32, their new values.
    """
    inside = values > level
    near = ndimage.binary_dilation(inside, iterations=2) & ~ndimage.binary_erosion(inside, iterations=2, border_value=1)
    places = np.argwhere(near)
    ras = grid.ijk_to_ras(places[:, ::-1])
    distances, nearest = cKDTree(points).query(ras, k=min(_NEIGHBOURS, len(points)))
    distances, nearest = distances.reshape(len(ras), -1), nearest.reshape(len(ras), -1)
    weights = 1.0 / (distances + 0.5)
    shift = (weights * shifts[nearest]).sum(axis=1) / weights.sum(axis=1)
    shift *= np.clip(2.0 - 2.0 * distances[:, 0] / _REACH_MM, 0.0, 1.0)
    normals = SurfaceNormals(inside, grid).at(places.astype(np.float64))
    come_from = grid.ras_to_ijk(ras - shift[:, None] * normals)[:, ::-1]
    return near, ndimage.map_coordinates(values, come_from.T, order=1, mode="nearest")
