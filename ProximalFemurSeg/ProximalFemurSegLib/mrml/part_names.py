"""What the parts of a node are called, and which of them by their names are a femur, and on which side."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from ..errors import BadInputError
from ..volume import Volume
from .volume_node import volume_from_node

_MOST_VALUES = 1 << 16
_NAMED_COLORS = "GenericAnatomy"  # of Slicer's own color tables the one whose names mean anything


def is_segmentation(node) -> bool:
    """True for a segmentation, False for any other node."""
    return node.IsA("vtkMRMLSegmentationNode")


def label_map_of(node) -> Volume:
    """The labels of a label map node.

    Raises
    ------
    BadInputError
        A node of another kind, or values that are no whole numbers.
    """
    if not node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise BadInputError(f"'{node.GetName()}' holds no masks; choose a segmentation or a label map.")
    volume = volume_from_node(node)
    if volume.array.dtype.kind == "f":
        raise BadInputError(f"The label map '{node.GetName()}' holds no whole numbers; cast it to integers first.")
    return volume


def part_names(node) -> dict[str, str]:
    """Segment ID to name, or label value to its name in the color table or else itself.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode

    Raises
    ------
    BadInputError
        A node of another kind.
    """
    if is_segmentation(node):
        segmentation = node.GetSegmentation()
        return {name: segmentation.GetSegment(name).GetName() for name in segmentation.GetSegmentIDs()}
    values = [value for value in _values(label_map_of(node).array) if value]
    return {str(value): _color_name(_named_colors(node), value) for value in values}


def side_of(name: str) -> str | None:
    """'left' or 'right' where a name says one of them.

    Examples
    --------
    >>> side_of("femur_left"), side_of("Right femur, cortical bone"), side_of("Femur R"), side_of("bone")
    ('left', 'right', 'right', None)
    """
    words = set(re.findall(r"[a-z]+", _plain(name)))
    text = _plain(name)
    found = [side for side in ("left", "right") if side in text or side[0] in words]
    return found[0] if len(found) == 1 else None


def is_femur(name: str) -> bool:
    """True if a name is that of a femur's bone.

    Examples
    --------
    >>> is_femur("femur_left"), is_femur("Fémur"), is_femur("hip_left"), is_femur("femur cartilage")
    (True, True, False, False)
    """
    text = _plain(name)
    return "femur" in text and "cartilage" not in text


def _plain(name: str) -> str:
    """In small letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c)).casefold()


def _values(labels: np.ndarray) -> list[int]:
    low, high = int(labels.min()), int(labels.max())
    if high - low >= _MOST_VALUES:
        return np.unique(labels).tolist()
    # Sorting a scan of a whole body would take seconds.
    found = np.zeros(high - low + 1, bool)
    for plane in labels:
        found[plane - low if low else plane] = True
    return (np.flatnonzero(found) + low).tolist()


def _color_name(colors, value: int) -> str:
    name = colors.GetColorName(value) if colors is not None else ""
    return name if name and name != "(none)" else str(value)


def _named_colors(node):
    display = node.GetDisplayNode()
    colors = display.GetColorNode() if display is not None else None
    # Slicer's own tables are singletons; they call the labels by colours.
    own = colors is not None and colors.GetSingletonTag() and _NAMED_COLORS not in colors.GetName()
    return None if own else colors
