"""How the labels of a segmentation appear in the scene: segment ID, name, colour and terminology."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .terminology import femur_terminology

# Two hues that stay apart on a grey image and for colour-blind eyes; the second femur gets lighter ones.
_COLORS = {
    1: (0.95, 0.65, 0.10),
    2: (0.15, 0.60, 0.85),
    11: (0.98, 0.82, 0.45),
    12: (0.55, 0.80, 0.95),
}
_STRUCTURES = {1: "trabecular", 2: "cortical"}


@dataclass(frozen=True)
class SegmentDescription:
    """One segment of a result.

    Attributes
    ----------
    label : int
        Its value in the label map.
    segment_id : str
        Stable ID in the segmentation node.
    name : str
        What the user reads.
    color : tuple of float
        Red, green, blue, 0 to 1.
    side : {'left', 'right', None}
        Which femur.
    """

    label: int
    segment_id: str
    name: str
    color: tuple[float, float, float]
    side: str | None

    @property
    def terminology(self) -> str:
        """Serialised terminology entry (femur, SCT 71341001, with its side)."""
        return femur_terminology(self.side)


def describe_segments(sides: Mapping[int, tuple[str, str | None]]) -> tuple[SegmentDescription, ...]:
    """The segments of a result.

    Parameters
    ----------
    sides : mapping of int to (str, str or None)
        Label value to the structure's name and its side, as a segmentation result has them.

    Returns
    -------
    tuple of SegmentDescription
        In the order of the labels.

    Examples
    --------
    >>> [s.name for s in describe_segments({1: ("trabecular bone", "right"), 2: ("cortical bone", "right")})]
    ['Right femur, trabecular bone', 'Right femur, cortical bone']
    """
    described = []
    for label, (name, side) in sorted(sides.items()):
        structure = _STRUCTURES.get(label % 10, f"label{label}")
        title = f"{side.capitalize()} femur" if side else "Femur"
        described.append(
            SegmentDescription(
                label=int(label),
                segment_id=f"{structure}_{side}" if side else structure,
                name=f"{title}, {name}",
                color=_COLORS.get(label, (0.6, 0.6, 0.6)),
                side=side,
            )
        )
    return tuple(described)
