"""Where the borders of a cortex lie that is about as thin as the scanner resolves.

Along the normal a profile is soft tissue, compact bone and spongy bone, blurred by the scanner. Where the HU of compact
bone is known, the profile tells both borders even of a cortex thinner than the blur: what it lacks in height is what it
lacks in thickness. The HU is read where the cortex is thick, and so is the blur.

References
----------
G. M. Treece et al., Med Image Anal 2010;14:276, and 2012;16:952: the model and the idea of a known cortical density.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from scipy.special import ndtr

from .border_profiles import DEPTH_MM, Profiles

_OUT_MM, _IN_MM = 2.5, 3.5  # of the profile that is fitted, beyond the borders
_MISFIT_HU = 25.0  # usual departure of a patch's mean from the model
_ROBUST = 2.0  # as many of these count in full
_EDGE_SD_MM = 5.0
_LARGEST_STEP_MM = 0.5
_THINNEST_MM = 0.05
_MARGINS_MM = (1.5, 1.25, 1.0)  # of both borders, in which compact bone is not looked for
_LEAST_PATCHES = 60
_UNEVEN = 0.05  # standard deviation of the HU of compact bone within a femur, relative
_UNEVEN_MM = 12.0  # over which it changes
_SURE = 0.03  # no patch tells it better than this
_OVERLAP = 0.25  # what a patch knows that its neighbours do not
_BLURS_MM = (0.2, 1.3)


@dataclass(frozen=True, eq=False)
class CortexLayers:
    """What fits a set of profiles.

    Attributes
    ----------
    outer, inner : numpy.ndarray
        (n,) mm along the outward normal, the two borders.
    soft, spongy, compact : numpy.ndarray
        (n,) HU of the three layers.
    compact_variance : numpy.ndarray
        (n,) HU2.
    misfit : numpy.ndarray
        (n,) sum of the squared departures in units of 25 HU, large ones counted linearly.
    """

    outer: np.ndarray
    inner: np.ndarray
    soft: np.ndarray
    spongy: np.ndarray
    compact: np.ndarray
    compact_variance: np.ndarray
    misfit: np.ndarray


def fit_layers(hu, inner, compact, compact_sd, blur, steps: int = 25) -> CortexLayers:
    """Fit the three layers to profiles, all at once, by Levenberg and Marquardt's method.

    Parameters
    ----------
    hu : numpy.ndarray
        (n, m) HU at `DEPTH_MM`.
    inner : numpy.ndarray
        (n,) mm, roughly where the inner border lies; the outer one lies about 0.
    compact, compact_sd : float or numpy.ndarray
        HU of compact bone, and how sure that is.
    blur : float or numpy.ndarray
        Standard deviation in mm of the point spread along the normal.
    steps : int
    """
    count = len(hu)
    used = (DEPTH_MM >= inner[:, None] - _IN_MM) & (DEPTH_MM <= _OUT_MM)
    blur = np.broadcast_to(blur, count)[:, None]
    start = np.empty((count, 5))
    start[:, 0], start[:, 1] = 0.0, inner
    start[:, 2] = np.median(hu[:, (DEPTH_MM > 1.2) & (DEPTH_MM < _OUT_MM)], axis=1)
    within = (DEPTH_MM < inner[:, None] - 1.0) & (DEPTH_MM > inner[:, None] - _IN_MM)
    start[:, 3] = np.nanmedian(np.where(within, hu, np.nan), axis=1) if within.any(axis=1).all() else hu[:, 0]
    start[:, 4] = compact
    sure = np.zeros((count, 5))
    sure[:, :2] = _EDGE_SD_MM**-2
    sure[:, 4] = np.broadcast_to(compact_sd, count) ** -2.0

    def look(q):
        model, slopes = _layers(q, blur)
        off = (hu - model) * used / _MISFIT_HU
        root = np.sqrt(1.0 + (off / _ROBUST) ** 2)
        cost = 2 * _ROBUST**2 * (root - 1.0).sum(axis=1) + (sure * (q - start) ** 2).sum(axis=1)
        return [cost, slopes * (used / _MISFIT_HU)[..., None], off, 1.0 / root]

    q = start.copy()
    now = look(q)
    damping = np.full(count, 1e-2)
    for _ in range(steps):
        _, slopes, off, weight = now
        curvature = _curvature(slopes, weight, sure)
        pull = ((weight * off)[:, None] @ slopes)[:, 0] - sure * (q - start)
        diagonal = np.maximum(np.einsum("nii->ni", curvature), 1e-6)
        damped = curvature + (damping[:, None] * diagonal)[:, :, None] * np.eye(5)
        step = np.linalg.solve(damped, pull[..., None])[..., 0]
        step[:, :2] = np.clip(step[:, :2], -_LARGEST_STEP_MM, _LARGEST_STEP_MM)
        tried = q + step
        tried[:, 1] = np.minimum(tried[:, 1], tried[:, 0] - _THINNEST_MM)
        then = look(tried)
        better = then[0] < now[0]
        q[better] = tried[better]
        for old, new in zip(now, then):
            old[better] = new[better]
        damping = np.clip(np.where(better, 0.3 * damping, 4.0 * damping), 1e-6, 1e6)
    variance = np.linalg.inv(_curvature(now[1], now[3], sure))[:, 4, 4]
    return CortexLayers(*q.T, variance, now[0])


def _layers(q, blur):
    """HU (n, m) of the layers, and slopes (n, m, 5) by their parameters."""
    outer, inner, soft, spongy, compact = (q[:, n : n + 1] for n in range(5))
    to_outer, to_inner = (outer - DEPTH_MM) / blur, (inner - DEPTH_MM) / blur
    bone, within = ndtr(to_outer), ndtr(to_inner)
    hu = soft + (compact - soft) * bone + (spongy - compact) * within
    peak = np.sqrt(2 * np.pi) * blur
    slopes = [
        (compact - soft) * np.exp(-0.5 * to_outer**2) / peak,
        (spongy - compact) * np.exp(-0.5 * to_inner**2) / peak,
        1.0 - bone,
        within,
        bone - within,
    ]
    return hu, np.stack(slopes, axis=-1)


def _curvature(slopes, weight, sure):
    return np.swapaxes(slopes * weight[..., None], 1, 2) @ slopes + sure[:, :, None] * np.eye(5)


def compact_hu(profiles: Profiles) -> float | None:
    """HU of compact bone: the median of what lies deep in thick cortex; None if there is hardly any."""
    for margin in _MARGINS_MM:
        thick = -profiles.inner > 2 * margin + 0.5
        if thick.sum() >= _LEAST_PATCHES:
            deep = (DEPTH_MM < -margin) & (DEPTH_MM > profiles.inner[thick, None] + margin)
            return float(np.median(profiles.hu[thick][deep]))
    return None


def point_spread(profiles: Profiles, compact: float) -> np.ndarray:
    """(n,) mm, standard deviation of the blur along each normal, from one within and one along the patient's axis.

    Profiles over thick cortex tell the first; those that lean towards the axis the second.
    """
    thickness, along = -profiles.inner, profiles.normals[:, 2] ** 2
    upright = np.flatnonzero(along < 0.3)
    upright = upright[np.argsort(-thickness[upright])][: max(_LEAST_PATCHES, len(upright) // 5)]
    upright = upright[:: max(1, len(upright) // 250)]
    leaning = np.flatnonzero((along > 0.4) & (thickness > 1.0))
    leaning = leaning[:: max(1, len(leaning) // 400)]

    def best(patches, blur):
        hu, inner = profiles.hu[patches], profiles.inner[patches]

        def misfit(sigma):
            return fit_layers(hu, inner, compact, 1.0, blur(sigma), steps=10).misfit.mean()

        return float(minimize_scalar(misfit, bounds=_BLURS_MM, method="bounded", options={"xatol": 0.01}).x)

    across = best(upright, lambda sigma: sigma)
    if len(leaning) < _LEAST_PATCHES:
        return np.full(len(along), across)
    part = along[leaning]
    axial = best(leaning, lambda sigma: np.sqrt(across**2 * (1 - part) + sigma**2 * part))
    return np.sqrt(across**2 * (1 - along) + axial**2 * along)


def local_compact_hu(profiles: Profiles, compact: float, blur: np.ndarray) -> np.ndarray:
    """(n,) HU of compact bone at each patch: that of the scan, corrected by what thick cortex nearby shows.

    Each patch is fitted with its own HU; how far the profile rather than the expectation decided it is its weight for
    the patches around.
    """
    expected = (_UNEVEN * compact) ** 2
    fitted = fit_layers(profiles.hu, profiles.inner, compact, _UNEVEN * compact, blur)
    variance = fitted.compact_variance
    told = compact + (fitted.compact - compact) / np.maximum(1.0 - variance / expected, 0.02)
    told = np.clip(told, 0.75 * compact, 1.25 * compact)
    weight = np.clip(1.0 / np.maximum(variance, 1.0) - 1.0 / expected, 0.0, (_SURE * compact) ** -2.0)
    near = near_weights(profiles.points, _UNEVEN_MM)
    weight *= _OVERLAP
    return (compact / expected + near @ (weight * told)) / (1.0 / expected + near @ weight)


def near_weights(points: np.ndarray, sigma_mm: float) -> csr_array:
    """(n, n) 1 for a point itself, falling off with the distance as a Gaussian to nothing at 2.5 of its widths."""
    tree = cKDTree(points)
    pairs = tree.sparse_distance_matrix(tree, 2.5 * sigma_mm, output_type="ndarray")
    values = np.exp(-0.5 * (pairs["v"] / sigma_mm) ** 2)
    return csr_array((values, (pairs["i"], pairs["j"])), shape=(len(points), len(points)))
