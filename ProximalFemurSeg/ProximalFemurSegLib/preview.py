"""A picture of a segmentation that a person can judge: three sections through each femur, as radiologists see them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .anatomical_planes import Section, extent, field_of_view, largest_cut, sample
from .volume import Volume

_PANEL = 380  # pixels
_GAP = 8
_MARGIN = 18
_SUPERSAMPLING = 2  # for smooth outlines

_GROUND = (17, 20, 26)
_INK = (232, 234, 238)
_FAINT = (150, 156, 166)
_OUTER = (255, 157, 46)
_INNER = (64, 214, 232)

# From nothing through red to yellow; the opacity grows with the probability.
_RAMP = np.array([[60, 10, 90], [170, 30, 90], [235, 90, 40], [255, 180, 30], [255, 245, 140]], dtype=np.float32)
_RAMP_OPACITY = 0.55
_CT_WINDOW_HU = (-160.0, 900.0)
_MR_PERCENTILES = (1.0, 99.7)
_SMALLEST_VIEW_MM, _LARGEST_VIEW_MM = 100.0, 320.0
_BORDER_MM = 22.0  # shown around the bone


@dataclass(frozen=True)
class Bone:
    """One femur to show.

    Attributes
    ----------
    title : str
        For example 'Left femur'.
    outer : Volume
        Mask of the whole bone; for MR of the bone that was segmented.
    inner : Volume or None
        Mask inside the endosteal contour, where there is one.
    probability : Volume or None
        Probability map of the outer mask.
    lines : list of str
        What to write beside the title, for example volumes.
    """

    title: str
    outer: Volume
    inner: Volume | None = None
    probability: Volume | None = None
    lines: list[str] = field(default_factory=list)


def intensity_window(values: np.ndarray, modality: str) -> tuple[float, float]:
    """Values to show as black and as white: a bone window in HU for CT, percentiles of the values for MR."""
    if modality == "ct":
        return _CT_WINDOW_HU
    low, high = np.percentile(values, _MR_PERCENTILES) if values.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-6))


def to_gray(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """(H, W) values to (H, W, 3) float32 colours of 0 to 255."""
    low, high = window
    gray = np.clip((values - low) / (high - low), 0, 1) * 255
    return np.repeat(gray[..., None], 3, axis=-1).astype(np.float32)


def outline(inside: np.ndarray, width: int) -> np.ndarray:
    """Pixels within about half the width of the border of a region.

    Parameters
    ----------
    inside : numpy.ndarray
        (H, W) bool.
    width : int
        Of the line, in pixels.
    """
    from scipy import ndimage

    radius = width / 2
    to_border = np.where(
        inside,
        ndimage.distance_transform_edt(np.pad(inside, 1, mode="edge"))[1:-1, 1:-1],
        ndimage.distance_transform_edt(~inside) if inside.any() else np.inf,
    )
    return to_border <= radius + 0.5


def blend(picture: np.ndarray, color, opacity) -> np.ndarray:
    """Lay a colour, or an array of colours, over a picture with an opacity from 0 to 1."""
    opacity = np.asarray(opacity, dtype=np.float32)[..., None]
    return picture * (1 - opacity) + np.asarray(color, dtype=np.float32) * opacity


def ramp(probability: np.ndarray) -> np.ndarray:
    """(..., 3) colours of probabilities from 0 to 1."""
    steps = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(probability, steps, _RAMP[:, c]) for c in range(3)], axis=-1).astype(np.float32)


def sections_through(bone: Bone) -> list[Section]:
    """Coronal, sagittal and axial sections where the bone is widest, all of one size, around the whole bone."""
    if bone.outer.array.any():
        box, cut = extent(bone.outer), largest_cut(bone.outer)
        size = float(np.ptp(box, axis=0).max()) + 2 * _BORDER_MM
    else:
        box = field_of_view(bone.outer.grid)
        cut, size = box.mean(axis=0), float(np.ptp(box, axis=0).max())
    size = float(np.clip(size, _SMALLEST_VIEW_MM, _LARGEST_VIEW_MM))
    sections = []
    for view in ("coronal", "sagittal", "axial"):
        section = Section(view, cut, size)
        center = box.mean(axis=0)
        center[section.normal_axis] = cut[section.normal_axis]
        sections.append(Section(view, center, size))
    return sections


def _picture(image: Volume, bone: Bone, section: Section, window, with_probability: bool) -> np.ndarray:
    pixels = _PANEL * _SUPERSAMPLING
    points = section.points(pixels)
    picture = to_gray(sample(image, points, outside=window[0]), window)
    if with_probability and bone.probability is not None:
        probability = sample(bone.probability, points)
        picture = blend(picture, ramp(probability), probability * _RAMP_OPACITY)
        return picture
    for mask, color in ((bone.inner, _INNER), (bone.outer, _OUTER)):
        if mask is not None:
            inside = sample(mask, points) >= 0.5
            picture = blend(picture, color, outline(inside, width=3) * 0.95)
    return picture


def _font(size: int):
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


def _position(section: Section) -> str:
    """For example 'A 12 mm': where a section lies in the patient."""
    value = section.center[section.normal_axis]
    letter = ("R", "L") if section.normal_axis == 0 else ("A", "P") if section.normal_axis == 1 else ("S", "I")
    return f"{letter[0] if value >= 0 else letter[1]} {abs(value):.0f} mm"


def _annotate(draw, left: int, top: int, section: Section) -> None:
    middle, last = _PANEL // 2, _PANEL - 1
    letters, font = section.letters, _font(15)
    halo = {"stroke_width": 2, "stroke_fill": (0, 0, 0)}
    for name, x, y, anchor in (
        ("left", 8, middle, "lm"),
        ("right", last - 8, middle, "rm"),
        ("top", middle, 8, "ma"),
        ("bottom", middle, last - 8, "md"),
    ):
        draw.text((left + x, top + y), letters[name], font=font, fill=_INK, anchor=anchor, **halo)
    text = f"{section.view}  {_position(section)}"
    draw.text((left + 8, top + 8), text, font=_font(13), fill=_INK, anchor="la", **halo)
    bar_mm = max(length for length in (5, 10, 20, 50) if length <= section.size_mm / 3)
    bar = round(bar_mm / section.size_mm * _PANEL)
    x, y = left + last - 10 - bar, top + last - 12
    draw.rectangle((x - 1, y - 1, x + bar + 1, y + 3), fill=(0, 0, 0))
    draw.rectangle((x, y, x + bar, y + 2), fill=_INK)
    draw.text((x + bar / 2, y - 5), f"{bar_mm} mm", font=_font(12), fill=_INK, anchor="md", **halo)


def _legend(draw, right: int, top: int, entries) -> None:
    font = _font(13)
    x = right
    for text, color in reversed(entries):
        x -= draw.textlength(text, font=font)
        draw.text((x, top), text, font=font, fill=_INK, anchor="lm")
        x -= 28
        draw.line((x, top, x + 20, top), fill=color, width=3)
        x -= 18


def _color_bar(canvas, draw, right: int, top: int, threshold) -> None:
    width, height = 160, 10
    colors = ramp(np.linspace(0, 1, width))
    opacity = np.linspace(0, 1, width) * _RAMP_OPACITY
    bar = blend(np.broadcast_to(np.float32(90), (height, width, 3)), colors, np.broadcast_to(opacity, (height, width)))
    from PIL import Image

    left = right - width - 20
    canvas.paste(Image.fromarray(bar.astype(np.uint8)), (left, top - height // 2))
    font = _font(13)
    draw.text((left - 8, top), "bone probability  0", font=font, fill=_INK, anchor="rm")
    draw.text((left + width + 8, top), "1", font=font, fill=_INK, anchor="lm")
    if threshold is not None:
        x = left + round(threshold * (width - 1))
        draw.line((x, top - height // 2 - 3, x, top + height // 2 + 2), fill=(255, 255, 255), width=2)


def draw_preview(image: Volume, bones: list[Bone], modality: str, title: str, footnote: str, threshold=None):
    """Draw sections through every femur: above the contours, below the probability map.

    Parameters
    ----------
    image : Volume
        The image that was segmented, on any grid.
    bones : list of Bone
        The femora; one whose mask is empty is shown as the whole field of view.
    modality : {'ct', 'mr'}
        Decides the intensity window.
    title, footnote : str
        One line each.
    threshold : float, optional
        Marked on the scale of the probability.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    from PIL import Image, ImageDraw

    width = 2 * _MARGIN + 3 * _PANEL + 2 * _GAP
    head, strip, foot = 44, 34, 36
    height = head + foot
    for bone in bones:
        height += (1 if bone.probability is None else 2) * (strip + _PANEL) + _GAP
    canvas = Image.new("RGB", (width, height), _GROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, head / 2 + 2), title, font=_font(20), fill=_INK, anchor="lm")
    top = head
    for bone in bones:
        sections = sections_through(bone)
        shown = sample(image, np.stack([section.points(_PANEL // 4) for section in sections]), outside=np.nan)
        window = intensity_window(shown[np.isfinite(shown)], modality)
        heading = "    ".join([bone.title, *bone.lines])
        for with_probability in (False, True) if bone.probability is not None else (False,):
            middle = top + strip // 2
            if with_probability:
                _color_bar(canvas, draw, width - _MARGIN, middle, threshold)
            else:
                draw.text((_MARGIN, middle), heading, font=_font(15), fill=_INK, anchor="lm")
                inner = [("endosteal contour", _INNER)] if bone.inner is not None else []
                outer = [("periosteal contour" if inner else "bone contour", _OUTER)]
                _legend(draw, width - _MARGIN, middle, outer + inner)
            top += strip
            for column, section in enumerate(sections):
                left = _MARGIN + column * (_PANEL + _GAP)
                picture = _picture(image, bone, section, window, with_probability)
                panel = Image.fromarray(np.clip(picture + 0.5, 0, 255).astype(np.uint8))
                canvas.paste(panel.resize((_PANEL, _PANEL), Image.Resampling.BOX), (left, top))
                _annotate(draw, left, top, section)
            top += _PANEL
        top += _GAP
    draw.text((_MARGIN, height - foot / 2), footnote, font=_font(13), fill=_FAINT, anchor="lm")
    return canvas
