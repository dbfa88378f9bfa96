"""The back of the condyles, where a scan reaches the knee: what anteversion is told from."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from .femur_frame import FemurFrame

_REFERENCE_RADIUS = 24.0  # mm of head; lengths scale with it
_FURTHEST_HEAD = 290.0  # mm below the head's centre: a bone that ends above this ends in its shaft
_CONDYLES = 50.0  # mm above the lower end
_APART = 25.0  # mm between the places where two condyles touch a table
_BACKWARD = np.cos(np.deg2rad(65.0))  # the back of the knee, from that of the hip: anteversion lies between
_TOUCHING_MM = 0.8
_ABOVE_END_MM = 4.0


def find_condyles(surface, frame: FemurFrame, radius: float) -> tuple[np.ndarray | None, str]:
    """Find where a femur that lies on its back would touch the table with its condyles.

    Seen along the shaft, that is the longest straight edge behind of the outline's convex hull.

    Parameters
    ----------
    surface : tuple
        As from `BoneField.surface`.
    frame : FemurFrame
    radius : float
        Of the head, mm.

    Returns
    -------
    places : numpy.ndarray or None
        (2, 3) RAS mm, of the medial and of the lateral condyle.
    reason : str
        Why they were not found.
    """
    scale = radius / _REFERENCE_RADIUS
    local = frame.to_local(surface[0])
    end = float(local[:, 2].min())
    if end > -_FURTHEST_HEAD * scale:
        return None, "The knee is not in view."
    knee = local[local[:, 2] < end + _CONDYLES * scale]
    outline = knee[:, :2]
    hull = ConvexHull(outline)
    starts, ends = outline[hull.simplices[:, 0]], outline[hull.simplices[:, 1]]
    lengths = np.linalg.norm(ends - starts, axis=1) * (-hull.equations[:, 1] > _BACKWARD)
    longest = int(np.argmax(lengths))
    if lengths[longest] < _APART * scale:
        return None, "The lower end of the bone shows no two condyles."
    touching = knee[outline @ hull.equations[longest, :2] + hull.equations[longest, 2] > -_TOUCHING_MM]
    inner = touching[:, 0] > 0.5 * (starts[longest, 0] + ends[longest, 0])
    places = np.stack([touching[inner].mean(axis=0), touching[~inner].mean(axis=0)])
    if (places[:, 2] < end + _ABOVE_END_MM).any():
        return None, "The condyles are cut off."
    return frame.to_patient(places), ""
