"""Where a slice lies in the patient, in the letters that radiologists read."""

from __future__ import annotations

import numpy as np

_POSITIVE, _NEGATIVE = "RAS", "LPI"


def edge_letters(slice_to_ras: np.ndarray) -> dict[str, str]:
    """What is at each edge of a slice.

    Parameters
    ----------
    slice_to_ras : numpy.ndarray
        (4, 4); its first column points to the right of the screen, its second upwards.

    Returns
    -------
    dict of str to str
        ``left``, ``right``, ``top``, ``bottom`` to one of R, L, A, P, S, I.

    Examples
    --------
    >>> edge_letters(np.diag([-1.0, 1.0, 1.0, 1.0]))
    {'left': 'R', 'right': 'L', 'top': 'A', 'bottom': 'P'}
    """
    across, up = slice_to_ras[:3, 0], slice_to_ras[:3, 1]
    return {"left": _letter(-across), "right": _letter(across), "top": _letter(up), "bottom": _letter(-up)}


def place_text(slice_to_ras: np.ndarray) -> str:
    """How far a slice is from the origin, along the direction that it is nearest to.

    Examples
    --------
    >>> matrix = np.eye(4)
    >>> matrix[:3, 3] = 3, 4, -12.25
    >>> place_text(matrix)
    'I 12.2 mm'
    """
    axis = int(np.abs(slice_to_ras[:3, 2]).argmax())
    place = slice_to_ras[axis, 3]
    return f"{(_POSITIVE if place >= 0 else _NEGATIVE)[axis]} {abs(place):.1f} mm"


def _letter(direction) -> str:
    axis = int(np.abs(direction).argmax())
    return (_POSITIVE if direction[axis] > 0 else _NEGATIVE)[axis]
