"""A picture of a divided femur: from the front, from behind, and cut along neck and shaft."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..volume import Grid, Volume
from .definition import COLORS, HEAD, INTERTROCHANTER, NECK, SHAFT, TROCHANTER
from .measure import FemurRegions, RegionsResult
from .neck_view import reformat

_GROUND, _INK, _FAINT = (17, 20, 26), (232, 234, 238), (150, 156, 166)
_STEP = 0.8  # mm
_LONGEST_MM = 220.0
_MARGIN_MM = 6.0
_SHOWN = {
    "head_center": "C",
    "neck_center": "N",
    "greater_trochanter_tip": "G",
    "vastus_ridge": "V",
    "lesser_trochanter": "L",
    "fovea": "F",
}
_TABLE = np.array([_GROUND] + [COLORS[label] for label in sorted(COLORS)], dtype=np.float32)


def _viewing_axes(femur: FemurRegions) -> np.ndarray:
    """Columns: towards the picture's right (the patient's left), down, and away from someone who stands in front."""
    frame = femur.landmarks.frame
    if frame is None:
        return np.array([[-1.0, 0, 0], [0, 0, -1.0], [0, -1.0, 0]])
    leftward = -frame.medial if frame.side == "left" else frame.medial
    return np.stack([leftward, -frame.proximal, -frame.anterior], axis=1)


def viewing_grid(femur: FemurRegions) -> Grid:
    """The box around a femur in which it is shown, its slices from front to back."""
    axes = _viewing_axes(femur)
    labels = femur.division.labels
    place = labels.grid.ijk_to_ras(np.argwhere(labels.array)[::7, ::-1]) @ axes
    low, high = place.min(axis=0) - _MARGIN_MM, place.max(axis=0) + _MARGIN_MM
    high[1] = min(high[1], low[1] + _LONGEST_MM)
    counts = np.ceil((high - low) / _STEP).astype(int) + 1
    return Grid.from_parts(counts[::-1], (_STEP,) * 3, axes @ low, axes)


def _shaded(labels: np.ndarray) -> np.ndarray:
    """What is seen first along the first axis, lit from above the eye: (H, W, 3) float32."""
    inside = labels > 0
    seen = inside.any(axis=0)
    depth = np.where(seen, inside.argmax(axis=0), labels.shape[0]).astype(np.float32)
    color = np.take_along_axis(labels, np.minimum(depth, labels.shape[0] - 1).astype(int)[None], axis=0)[0]
    smooth = ndimage.gaussian_filter(np.where(seen, depth, np.nan_to_num(depth[seen].max() if seen.any() else 0)), 1.2)
    down, right = np.gradient(smooth)
    normal = np.stack([right, down, np.ones_like(down)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = np.array([-0.35, -0.45, 0.82])
    shade = np.clip(0.25 + 0.85 * (normal @ light), 0.2, 1.05)
    picture = _TABLE[np.where(seen, color, 0)]
    return np.where(seen[..., None], picture * shade[..., None], np.float32(_GROUND))


def femur_views(femur: FemurRegions, image: Volume | None = None) -> list[np.ndarray]:
    """Three (H, W, 3) uint8 pictures of one size: front, back, and the cut along neck and shaft.

    Parameters
    ----------
    femur : FemurRegions
    image : Volume, optional
        Shown under the regions in the cut.
    """
    grid = viewing_grid(femur)
    labels = reformat(femur.division.labels, grid).array
    front, back = _shaded(labels), _shaded(labels[::-1, :, ::-1])
    axes = _viewing_axes(femur)
    head = femur.landmarks.position("head_center")
    middle = grid.center if head is None else head
    slice_ = int(np.clip(round(float(grid.ras_to_ijk(middle)[2])), 0, grid.shape[0] - 1))
    cut = _TABLE[labels[slice_]]
    if image is not None:
        flat = Grid.from_parts((1, *grid.shape[1:]), (_STEP,) * 3, grid.ijk_to_ras((0, 0, slice_)), axes)
        values = reformat(image.with_array(image.array.astype(np.float32)), flat, fill=-1000.0).array[0]
        low, high = (-160.0, 900.0) if values.min() < -300 else np.percentile(values, (1, 99.7))
        gray = np.clip((values - low) / max(high - low, 1e-6), 0, 1)[..., None] * np.float32([255, 255, 255])
        cut = np.where((labels[slice_] > 0)[..., None], 0.6 * gray + 0.4 * cut, gray)
    return [np.clip(view, 0, 255).astype(np.uint8) for view in (front, back, cut)]


def _marks(femur: FemurRegions, grid: Grid) -> dict[str, np.ndarray]:
    places = {name: femur.landmarks.position(name) for name in _SHOWN}
    return {_SHOWN[n]: grid.ras_to_ijk(p)[:2] for n, p in places.items() if p is not None}


def _lines(femur: FemurRegions, grid: Grid) -> list[tuple[np.ndarray, np.ndarray]]:
    """Neck and shaft axis as pairs of pixels."""
    marks, lines = femur.landmarks, []
    if marks.neck is not None:
        head = marks.position("head_center")
        ends = [head - marks.head_radius * marks.neck.axis, head + 2.6 * marks.head_radius * marks.neck.axis]
        lines.append(tuple(grid.ras_to_ijk(end)[:2] for end in ends))
    if marks.shaft is not None:
        top = marks.shaft.project(marks.position("head_center"))
        lines.append(tuple(grid.ras_to_ijk(end)[:2] for end in (top, marks.shaft.at(marks.shaft.low))))
    return lines


def draw_femur(femur: FemurRegions, height: int = 420, image: Volume | None = None, text: bool = True):
    """One femur as a strip of three views.

    Parameters
    ----------
    femur : FemurRegions
    height : int
        Pixels.
    image : Volume, optional
        Shown in the cut.
    text : bool
        Letters at the landmarks.

    Returns
    -------
    PIL.Image.Image
    """
    from PIL import Image, ImageDraw, ImageFont

    grid = viewing_grid(femur)
    views = femur_views(femur, image)
    scale = height / views[0].shape[0]
    width = max(1, round(views[0].shape[1] * scale))
    strip = Image.new("RGB", (3 * width + 16, height), _GROUND)
    for number, view in enumerate(views):
        strip.paste(Image.fromarray(view).resize((width, height), Image.Resampling.BILINEAR), (number * (width + 8), 0))
    draw = ImageDraw.Draw(strip)
    for left in (0, 2 * (width + 8)):
        for start, end in _lines(femur, grid):
            points = [(left + float(p[0]) * scale, float(p[1]) * scale) for p in (start, end)]
            if all(left <= x <= left + width for x, _ in points):
                draw.line(points, fill=(255, 255, 255), width=1)
        for letter, place in _marks(femur, grid).items():
            x, y = left + float(place[0]) * scale, float(place[1]) * scale
            r = max(1.5, height / 160)
            draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 255, 255), outline=(0, 0, 0))
            if text:
                font = ImageFont.load_default(13)
                halo = {"stroke_width": 2, "stroke_fill": (0, 0, 0)}
                draw.text((x + r + 2, y), letter, font=font, fill=_INK, anchor="lm", **halo)
    return strip


def draw_regions(result: RegionsResult, title: str, image: Volume | None = None):
    """All femora of a result, with their numbers.

    Parameters
    ----------
    result : RegionsResult
    title : str
        One line.
    image : Volume, optional
        On the result's grid.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    from PIL import Image, ImageDraw, ImageFont

    strips = [draw_femur(femur, image=femur.femur.cut(image)) for femur in result.femora]
    column = 380
    width = max(strip.width for strip in strips) + column + 54
    height = sum(strip.height + 58 for strip in strips) + 76
    canvas = Image.new("RGB", (width, height), _GROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((18, 26), title, font=ImageFont.load_default(20), fill=_INK, anchor="lm")
    top = 48
    for femur, strip in zip(result.femora, strips):
        draw.text((18, top + 12), f"{femur.side.capitalize()} femur", font=ImageFont.load_default(15), fill=_INK,
                  anchor="lm")
        views = ("from the front", "from behind", "cut along neck and shaft")
        for number, view in enumerate(views):
            x = 18 + number * (strip.width + 8) / 3
            draw.text((x + 4, top + 34), view, font=ImageFont.load_default(12), fill=_FAINT, anchor="lm")
        canvas.paste(strip, (18, top + 46))
        _numbers(draw, femur, strip.width + 42, top + 46)
        top += strip.height + 58
    note = "Patient's left on the right, seen from the front.   C head  N neck  G greater, L lesser trochanter  "
    note += "V vastus ridge  F fovea"
    draw.text((18, height - 16), note, font=ImageFont.load_default(12), fill=_FAINT, anchor="lm")
    return canvas


def _numbers(draw, femur: FemurRegions, left: int, top: int) -> None:
    from PIL import ImageFont

    font, y = ImageFont.load_default(14), top + 8
    names = {"head": HEAD, "neck": NECK, "trochanter": TROCHANTER, "intertrochanter": INTERTROCHANTER, "shaft": SHAFT}
    for name, entry in femur.volumes.items():
        if name in names:
            draw.rectangle((left, y - 6, left + 12, y + 6), fill=COLORS[names[name]])
        volume = entry["volume_mm3"]
        draw.text((left + 20, y), name.replace("_", " "), font=font, fill=_INK, anchor="lm")
        text = "refused" if volume is None else f"{volume / 1000:.1f} cm3"
        draw.text((left + 215, y), text, font=font, fill=_INK, anchor="rm")
        if entry.get("cortical_mm3") is not None:
            text = f"cortex {entry['cortical_mm3'] / 1000:.1f}"
            draw.text((left + 320, y), text, font=font, fill=_FAINT, anchor="rm")
        y += 23
    y += 10
    geometry = femur.geometry
    version = "condyles" if femur.landmarks.condylar_axis is not None else "frontal plane"
    for title, key, unit in (
        ("neck-shaft angle", "neck_shaft_angle_deg", "deg"),
        (f"anteversion ({version})", "anteversion_deg", "deg"),
        ("alpha angle", "alpha_angle_deg", "deg"),
        ("head diameter", "head_diameter_mm", "mm"),
        ("femoral offset", "femoral_offset_mm", "mm"),
        ("neck length", "neck_length_mm", "mm"),
    ):
        value = geometry[key]
        draw.text((left, y), title, font=font, fill=_INK, anchor="lm")
        draw.text((left + 280, y), "-" if value is None else f"{value:.1f} {unit}", font=font, fill=_INK, anchor="rm")
        y += 22
