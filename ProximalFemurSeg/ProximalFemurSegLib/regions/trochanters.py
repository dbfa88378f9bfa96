"""Lesser trochanter, vastus ridge and tip of the greater trochanter, on the outline of the bone around its shaft."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .bone_field import BoneField
from .femur_frame import FemurFrame

_REFERENCE_RADIUS = 24.0  # mm of head; lengths scale with it
_STEP = 0.5  # mm along a ray
_REACH = 55.0  # mm
_POSTEROMEDIAL = np.deg2rad(np.arange(-100.0, 1.0, 5.0))  # from medial (0) towards posterior (-90)
_LATERAL = np.deg2rad(np.arange(165.0, 196.0, 5.0))
_SECTOR = np.deg2rad(10.0)  # standard deviation of the directions that are averaged
_SHAFT_BELOW = (18.0, 25.0)  # mm below the tip of the lesser trochanter: what the shaft's own outline is read from
_SLANT_BELOW = 40.0  # mm below the tip: how much of a widening shaft is looked at
_USUAL_LOWER = 19.0  # mm from the tip of the lesser trochanter to its lower edge: 17 to 21 in ten real femora
_FLAT_MM = 0.3  # a corner that stands out by less says little
_ROUNDING = 1.8  # mm
SUNK_MM = 1.0  # the lesser trochanter ends where it stands out by less


def outline(field: BoneField, frame: FemurFrame, heights, angles, outermost: bool = False) -> np.ndarray:
    """Radius in mm at which rays from the shaft axis leave the bone for the first, or for the last time.

    Parameters
    ----------
    field : BoneField
    frame : FemurFrame
    heights : array_like
        (n,) mm above the head's centre, along the shaft.
    angles : array_like
        (m,) radians from medial towards anterior.
    outermost : bool
        The last time: where a ray starts beside the bone, too, as it does behind a hooked greater trochanter.

    Returns
    -------
    numpy.ndarray
        (n, m); 0 where the axis is not in the bone (outermost: where the ray meets none), the ray's length where it
        does not leave it.
    """
    reach = np.arange(0.0, _REACH, _STEP)
    across = np.cos(angles)[:, None] * frame.medial + np.sin(angles)[:, None] * frame.anterior
    start = frame.origin + np.multiply.outer(np.asarray(heights, dtype=np.float64), frame.proximal)
    points = start[:, None, None] + reach[:, None] * across[None, :, None]
    values = field.sample(points)
    outside = values < 0.5
    if outermost:
        index = len(reach) - np.where(outside.all(axis=-1), len(reach), (~outside[..., ::-1]).argmax(axis=-1))
        index = np.minimum(index, len(reach) - 1)
    else:
        index = np.where(outside.any(axis=-1), outside.argmax(axis=-1), len(reach) - 1)
    second = np.maximum(index, 1)
    low = np.take_along_axis(values, second[..., None] - 1, axis=-1)[..., 0]
    high = np.take_along_axis(values, second[..., None], axis=-1)[..., 0]
    share = np.clip((low - 0.5) / np.maximum(low - high, 1e-6), 0.0, 1.0)
    return np.where(index == 0, 0.0, (second - 1 + share) * _STEP)


def _peak(x, y) -> tuple[float, float]:
    """Where a curve is highest, between its samples, and how high."""
    best = int(np.argmax(y))
    if 0 < best < len(y) - 1:
        left, middle, right = y[best - 1 : best + 2]
        curve = left - 2 * middle + right
        if curve < -1e-12:
            shift = 0.5 * (left - right) / curve
            return float(x[best] + shift * (x[1] - x[0])), float(middle - 0.25 * (left - right) * shift)
    return float(x[best]), float(y[best])


def _bulge(profile, reach: int):
    """How far a profile stands out over the chord between its neighbours on both sides; along axis 0."""
    ends = 0.5 * (profile[: -2 * reach] + profile[2 * reach :])
    return profile[reach:-reach] - ends


@dataclass(frozen=True, eq=False)
class LesserTrochanter:
    """The lesser trochanter.

    Attributes
    ----------
    tip : numpy.ndarray
        (3,) RAS mm, the surface where it stands out most.
    prominence_mm : float
        Over the chord between the surface above and below it.
    lower_height : float or None
        mm along the shaft from the head's centre: where it has sunk into the shaft; None if that is not in view.
    sinks : bool
        False where the shaft below is as wide, and the height follows from the bone's proportions.
    """

    tip: np.ndarray
    prominence_mm: float
    lower_height: float | None
    sinks: bool


def find_lesser_trochanter(
    field: BoneField, frame: FemurFrame, radius: float, lowest: float
) -> LesserTrochanter | None:
    """Find the lesser trochanter: what stands out of the shaft behind and medially.

    Parameters
    ----------
    field : BoneField
    frame : FemurFrame
    radius : float
        Of the head, mm.
    lowest : float
        mm along the shaft from the head's centre: below, sections are not whole.
    """
    scale = radius / _REFERENCE_RADIUS
    reach = int(round(13.0 * scale))
    heights = np.arange(np.ceil(lowest), -22.0 * scale, 1.0)
    if len(heights) < 2 * reach + 4:
        return None
    radii = outline(field, frame, heights, _POSTEROMEDIAL)
    smooth = ndimage.uniform_filter1d(radii, 3, axis=1, mode="nearest")
    bulge = _bulge(smooth, reach)
    within = heights[reach:-reach]
    # A ray that runs out into the neck says nothing about a trochanter.
    bulge = np.where((smooth[reach:-reach] < 40.0 * scale) & (within <= -36.0 * scale)[:, None], bulge, -np.inf)
    bulge = np.where((within >= -82.0 * scale)[:, None], bulge, -np.inf)
    # The crest behind stands out, too: what lies where the lesser trochanter is in most people counts for more.
    expected = np.exp(-0.5 * ((within + 56.0 * scale) / (12.0 * scale)) ** 2)[:, None]
    expected = expected * np.exp(-0.5 * ((np.rad2deg(_POSTEROMEDIAL) + 50.0) / 30.0) ** 2)
    score = np.maximum(bulge, 0.0) * expected
    row, column = np.unravel_index(int(np.argmax(score)), score.shape)
    if bulge[row, column] < 1.5:
        return None
    # Where it stands out is averaged, not picked, so that a turn of the voxels moves it by little.
    around = np.where(np.isfinite(score[row]), score[row], 0.0) ** 2
    angle = float((around * _POSTEROMEDIAL).sum() / around.sum())
    sector = np.exp(-0.5 * ((_POSTEROMEDIAL - angle) / _SECTOR) ** 2)
    profile = ndimage.gaussian_filter1d(radii @ (sector / sector.sum()), 1.5)
    height, prominence = _peak(within, _bulge(profile, reach) * expected[:, column])
    height = _summit(heights, profile, height, 6.0 * scale)
    prominence = float(np.interp(height, within, bulge[:, column]))
    beside = int(np.clip(np.searchsorted(_POSTEROMEDIAL, angle), 1, len(_POSTEROMEDIAL) - 1))
    share = (angle - _POSTEROMEDIAL[beside - 1]) / (_POSTEROMEDIAL[beside] - _POSTEROMEDIAL[beside - 1])
    top = float(np.interp(height, heights, (1 - share) * radii[:, beside - 1] + share * radii[:, beside]))
    tip = frame.origin + height * frame.proximal + top * (
        np.cos(angle) * frame.medial + np.sin(angle) * frame.anterior
    )
    return LesserTrochanter(tip, prominence, *_lower_edge(heights, profile, height, scale))


def _summit(heights, profile, guess: float, reach: float) -> float:
    """The height near a guess where a profile is widest, if it has a summit there; else the guess."""
    near = np.flatnonzero(np.abs(heights - guess) <= reach)
    if len(near) < 3:
        return guess
    height, _ = _peak(heights[near], profile[near])
    return height if heights[near[0]] + 0.5 < height < heights[near[-1]] - 0.5 else guess


def _lower_edge(heights, profile, tip: float, scale: float) -> tuple[float | None, bool]:
    """Where, going down from its tip, the lesser trochanter stands out by less than a mm over the shaft below.

    A shaft that is as wide as the tip further down leaves no such place: then it is where it lies in most bones, and
    the second value is False.
    """
    low = max(tip - _SHAFT_BELOW[1], heights[0])
    if low > tip - _SHAFT_BELOW[0] - 2.0:
        return None, False
    below = np.interp(np.linspace(low, tip - _SHAFT_BELOW[0], 29), heights, profile)
    excess = profile - float(below.mean()) - SUNK_MM
    higher, top = tip, float(np.interp(tip, heights, excess))
    if top <= 0:
        return tip - _USUAL_LOWER * scale, False
    for index in range(int(np.searchsorted(heights, tip)) - 1, -1, -1):
        if excess[index] < 0:
            share = -excess[index] / (top - excess[index])
            return float(heights[index] + share * (higher - heights[index])), True
        higher, top = heights[index], float(excess[index])
    return None, False


def find_vastus_ridge(
    field: BoneField, frame: FemurFrame, radius: float, tip_height: float, crossing_height: float | None = None
) -> tuple[np.ndarray, float] | None:
    """Find the vastus ridge: the corner of the lateral outline where the greater trochanter goes over into the shaft.

    The corner is looked for around a place that follows from the bone's proportions: some 40 mm below the tip of the
    greater trochanter, and below where the neck's axis meets the shaft's. Where the outline hardly has a corner, that
    place remains.

    Parameters
    ----------
    field : BoneField
    frame : FemurFrame
    radius : float
        Of the head, mm.
    tip_height : float
        mm along the shaft from the head's centre, of the tip of the greater trochanter.
    crossing_height : float, optional
        The same of where the neck's axis meets the shaft's.

    Returns
    -------
    point : numpy.ndarray
        (3,) RAS mm on the lateral surface.
    sharpness_mm : float
        How far the corner stands out over the chord between the surface above and below.
    """
    scale = radius / _REFERENCE_RADIUS
    reach = int(round(14.0 * scale))
    expected = tip_height - 40.0 * scale
    if crossing_height is not None:
        expected = min(expected, crossing_height - 8.0 * scale)
    heights = np.arange(expected - 45.0 * scale, expected + 32.0 * scale, 1.0)
    radii = outline(field, frame, heights, _LATERAL, outermost=True)
    # Where the trochanter lies far forward, rays behind the middle one miss its top.
    met = (radii > 0).all(axis=0)
    if not met[len(_LATERAL) // 2] or np.count_nonzero(met) < 3:
        return None
    bulge = _bulge(radii[:, met].mean(axis=1), reach)
    within = heights[reach:-reach]
    near = np.exp(-0.5 * ((within - expected) / (8.0 * scale)) ** 2)
    # A mean place, not the highest one: flat corners have no sharp top.
    weight = (np.maximum(bulge, 0.0) ** 2 + _FLAT_MM**2) * near
    # The corner's middle lies in the rounding of the trochanter; its base begins where the rounding ends.
    height = float((weight * within).sum() / weight.sum()) - _ROUNDING * scale
    lateral = float(np.interp(height, heights, radii[:, len(_LATERAL) // 2]))
    return frame.to_patient((-lateral, 0.0, height)), float(np.interp(height, within, bulge))


def find_greater_trochanter_tip(surface, frame: FemurFrame, radius: float) -> tuple[np.ndarray, bool] | None:
    """Find the tip of the greater trochanter: coming from the lateral side, the first summit of the bone.

    Parameters
    ----------
    surface : tuple
        As from `BoneField.surface`.
    frame : FemurFrame
    radius : float
        Of the head, mm.

    Returns
    -------
    tip : numpy.ndarray
        (3,) RAS mm.
    clear : bool
        The surface goes down again medially of it, before the neck begins.
    """
    scale = radius / _REFERENCE_RADIUS
    points = surface[0]
    local = frame.to_local(points)
    kept = (local[:, 2] > -40.0 * scale) & (local[:, 0] < 0.3 * frame.offset_mm)
    # The tip lies behind the middle of the neck; in front of it the neck's own upper surface rises to the head.
    kept &= (local[:, 1] < 3.0 * scale) & (local[:, 1] > -36.0 * scale) & (local[:, 0] > -60.0 * scale)
    if np.count_nonzero(kept) < 20:
        return None
    points, local = points[kept], local[kept]
    column = np.floor((local[:, 0] - local[:, 0].min()) / 1.5).astype(int)
    ridge = np.full(column.max() + 1, -np.inf)
    np.maximum.at(ridge, column, local[:, 2])
    best, clear = 0, False
    for index in range(len(ridge)):
        if ridge[index] > ridge[best]:
            best = index
        elif ridge[index] < ridge[best] - 2.0 * scale and ridge[best] > -30.0 * scale:
            clear = True
            break
    if not clear:  # it rises all the way to the neck: the tip is where the neck has not begun
        lateral = int(np.searchsorted(np.arange(len(ridge)) * 1.5 + local[:, 0].min(), -0.25 * frame.offset_mm))
        best = min(lateral, len(ridge) - 1)
    top = (np.abs(column - best) <= 2) & (local[:, 2] > ridge[best] - 0.6)
    return points[top].mean(axis=0), clear
