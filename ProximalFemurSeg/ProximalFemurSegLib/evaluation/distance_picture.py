"""Pictures of a distance map from fixed sides: from in front, behind, medial and lateral.

The views are parallel projections, drawn point by point with the nearest on top, so that no graphics card, window or
3D library is needed.
"""

from __future__ import annotations

import math

import numpy as np

from ..figure_file import save_figure
from .distance_map import DistanceMap, color_limit

_MARGIN_MM = 6.0
_PIXELS = 440  # along the longer side of a view
_OVERSAMPLING = 2
_FINEST = 12  # points along a triangle's side

# Where one looks from, as a direction in RAS.
_FROM = {"anterior": (0, 1, 0), "posterior": (0, -1, 0), "right": (1, 0, 0), "left": (-1, 0, 0)}
_LETTERS = {(1, 0, 0): "R", (-1, 0, 0): "L", (0, 1, 0): "A", (0, -1, 0): "P"}


def standard_views(side: str) -> list[tuple[str, tuple[int, int, int]]]:
    """Name and direction (RAS) of the four views of a femur.

    Parameters
    ----------
    side : {'left', 'right', ''}
        Whose medial side is towards the other; empty where it is not known, and views are named for the patient.
    """
    medial = {"left": "right", "right": "left"}.get(side)
    if medial is None:
        names = ("anterior", "posterior", "right", "left")
        return [(name if name in ("anterior", "posterior") else f"from the {name}", _FROM[name]) for name in names]
    return [
        ("anterior", _FROM["anterior"]),
        ("posterior", _FROM["posterior"]),
        ("medial", _FROM[medial]),
        ("lateral", _FROM[side]),
    ]


def project(surface: DistanceMap, towards, pixel_mm: float):
    """What one sees of a surface from far away.

    Parameters
    ----------
    surface : DistanceMap
        In RAS mm.
    towards : tuple
        Direction (RAS) from the surface to the eye, horizontal.
    pixel_mm : float
        Side of a pixel.

    Returns
    -------
    distance : numpy.ndarray
        (H, W) of the visible points; NaN where there is no surface.
    light : numpy.ndarray
        (H, W) cosine between the surface's normal and the line of sight.
    extent : tuple of float
        Left, right, bottom, top in mm along the picture's right and up.
    """
    eye, up = np.asarray(towards, dtype=np.float64), np.array([0.0, 0.0, 1.0])
    right = np.cross(-eye, up)
    flat = surface.points @ np.stack([right, up, eye], axis=1)
    facing = np.clip(surface.normals @ eye, 0, 1)
    low, high = flat[:, :2].min(axis=0) - _MARGIN_MM, flat[:, :2].max(axis=0) + _MARGIN_MM
    width, height = np.maximum(1, np.ceil((high - low) / pixel_mm).astype(int))
    distance, light = np.full((height, width), np.nan, np.float32), np.zeros((height, width), np.float32)
    corners = flat[surface.triangles]
    sides = np.linalg.norm(np.diff(corners[:, [0, 1, 2, 0], :2], axis=1), axis=2).max(axis=1)
    (x, y), (u, v) = (np.moveaxis(corners[:, n, :2] - corners[:, 0, :2], 1, 0) for n in (1, 2))
    turned = x * v - y * u
    visible = np.flatnonzero(turned > 0)
    # Far triangles first, near ones over them; triangles are small, so that their middles tell which is nearer.
    visible = visible[np.argsort(corners[visible, :, 2].mean(axis=1), kind="stable")]
    for start in range(0, len(visible), 1 << 17):
        part = visible[start : start + (1 << 17)]
        steps = int(np.clip(math.ceil(sides[part].max() / pixel_mm) + 1, 2, _FINEST))
        weights = np.array([(a, b, steps - a - b) for a in range(steps + 1) for b in range(steps + 1 - a)]) / steps
        at = np.einsum("sc,tcx->tsx", weights, corners[part][:, :, :2]).reshape(-1, 2)
        column, row = ((at - low) / pixel_mm).astype(np.int64).T
        values = surface.distances[surface.triangles[part]] @ weights.T
        distance[row, column] = values.ravel()
        light[row, column] = (facing[surface.triangles[part]] @ weights.T).ravel()
    return distance, light, (low[0], low[0] + width * pixel_mm, low[1], low[1] + height * pixel_mm)


def _finest_pixel(surface: DistanceMap) -> float:
    """Side in mm of the smallest pixels that leave no holes in the largest triangles."""
    corners = surface.points[surface.triangles]
    return float(np.linalg.norm(np.diff(corners[:, [0, 1, 2, 0]], axis=1), axis=2).max()) / (_FINEST - 2)


def draw_distance_map(surface: DistanceMap, path, title: str = "", side: str = "", limit_mm: float | None = None):
    """Write the four standard views with a colour bar in mm.

    Parameters
    ----------
    surface : DistanceMap
        In RAS mm.
    path : path-like
        .png, .svg or .pdf; complete or absent.
    title : str
        Above the picture.
    side : {'left', 'right', ''}
        Of the femur, for the names of the views.
    limit_mm : float, optional
        Where the colours end; default `color_limit`. The same for several pictures makes them comparable.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    limit = limit_mm or color_limit(surface)
    scale = Normalize(-limit if surface.signed else 0.0, limit)
    colors = colormaps["coolwarm" if surface.signed else "viridis"]
    pixel = float(np.ptp(surface.points, axis=0).max() + 2 * _MARGIN_MM) / (_PIXELS * _OVERSAMPLING)
    pixel = max(pixel, _finest_pixel(surface))
    views = [(name, eye, *project(surface, eye, pixel)) for name, eye in standard_views(side)]
    widths = [extent[1] - extent[0] for *_, extent in views]
    tall = max(extent[3] - extent[2] for *_, extent in views)
    figure = Figure(figsize=(4.6 * sum(widths) / tall + 1.6, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(views), width_ratios=widths)
    for panel, (name, eye, distance, light, extent) in zip(axes, views):
        picture = _painted(distance, light, colors, scale)
        panel.imshow(picture, extent=extent, origin="lower", interpolation="bilinear")
        panel.set_title(name, fontsize=11)
        panel.set_axis_off()
        right = tuple(int(n) for n in np.cross(-np.asarray(eye), (0, 0, 1)))
        for letter, x, align in ((_LETTERS[right], 0.93, "right"), (_LETTERS[tuple(-n for n in right)], 0.07, "left")):
            panel.text(x, 0.02, letter, transform=panel.transAxes, ha=align, color="#555555", fontsize=10)
    _scale_bar(axes[0], views[0][-1])
    bar = figure.colorbar(
        ScalarMappable(scale, colors), ax=list(axes), shrink=0.75, pad=0.01, extend="both" if surface.signed else "max"
    )
    label = "distance to the reference (mm)"
    bar.set_label(f"{label}; outside it positive" if surface.signed else label)
    figure.suptitle(title, fontsize=13)
    figure.supxlabel(_facts(surface), fontsize=9, color="#555555")
    save_figure(figure, path)


def _facts(surface: DistanceMap) -> str:
    values = surface.voxel_distances
    return (
        f"Surface voxels of the result, one way: mean {values.mean():.2f} mm, "
        f"95th percentile {np.percentile(values, 95):.2f} mm, maximum {values.max():.2f} mm"
    )


def _painted(distance, light, colors, scale) -> np.ndarray:
    """(H, W, 3) uint8 in two pixels' average; white where there is no surface."""
    picture = np.ones((*distance.shape, 3), np.float32)
    seen = np.isfinite(distance)
    picture[seen] = colors(scale(distance[seen]))[:, :3] * (0.45 + 0.55 * light[seen, None])
    height, width = (n // _OVERSAMPLING * _OVERSAMPLING for n in distance.shape)
    blocks = picture[:height, :width].reshape(height // _OVERSAMPLING, _OVERSAMPLING, -1, _OVERSAMPLING, 3)
    return (blocks.mean(axis=(1, 3)) * 255 + 0.5).astype(np.uint8)


def _scale_bar(panel, extent) -> None:
    left, right, bottom, top = extent
    # A quarter of the view stays beside the shaft of a femur that is seen from in front.
    length = max(n for n in (1, 2, 5, 10, 20, 50) if n <= (right - left) / 4 or n == 1)
    y = bottom + 0.09 * (top - bottom)
    panel.plot([left + 2, left + 2 + length], [y, y], color="black", linewidth=2)
    panel.text(left + 2 + length / 2, y + 0.01 * (top - bottom), f"{length} mm", ha="center", va="bottom", fontsize=9)
