"""The bone's own axes, the same for a left femur and for the mirror image of a right one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .shaft_axis import ShaftLine


@dataclass(frozen=True, eq=False)
class FemurFrame:
    """Medial, anterior and proximal from a point of the shaft axis.

    Attributes
    ----------
    origin : numpy.ndarray
        (3,) RAS mm: where the shaft axis passes the centre of the head.
    axes : numpy.ndarray
        (3, 3); rows are the unit vectors medial (towards the head, at right angles to the shaft), anterior (at right
        angles to it, turned from the body's by the anteversion) and proximal.
    side : str
        'left' or 'right'.
    offset_mm : float
        Distance of the head's centre from the shaft axis.
    """

    origin: np.ndarray
    axes: np.ndarray
    side: str
    offset_mm: float

    @classmethod
    def build(cls, head_center, line: ShaftLine, side: str) -> FemurFrame:
        """From the head's centre and the shaft axis."""
        origin = line.project(head_center)
        medial = np.asarray(head_center, dtype=np.float64) - origin
        offset = float(np.linalg.norm(medial))
        medial = medial / max(offset, 1e-9)
        anterior = np.cross(line.direction, medial) * (1.0 if side == "left" else -1.0)
        return cls(origin, np.stack([medial, anterior, line.direction]), side, offset)

    @property
    def medial(self) -> np.ndarray:
        return self.axes[0]

    @property
    def anterior(self) -> np.ndarray:
        return self.axes[1]

    @property
    def proximal(self) -> np.ndarray:
        return self.axes[2]

    def to_local(self, points) -> np.ndarray:
        """(..., 3) RAS mm as mm medial, anterior and proximal of the origin."""
        return (np.asarray(points, dtype=np.float64) - self.origin) @ self.axes.T

    def to_patient(self, local) -> np.ndarray:
        """The other way."""
        return self.origin + np.asarray(local, dtype=np.float64) @ self.axes


def side_of(head_center, line: ShaftLine) -> tuple[str, float]:
    """The side from where the head lies, and how clear that is (0 to 1).

    The head lies medially of the shaft: to the patient's right on a left femur.
    """
    medial = np.asarray(head_center, dtype=np.float64) - line.project(head_center)
    share = float(medial[0] / max(np.linalg.norm(medial), 1e-9))
    return ("left" if share >= 0 else "right"), abs(share)
