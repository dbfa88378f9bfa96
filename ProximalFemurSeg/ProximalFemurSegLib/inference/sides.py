"""Left or right: from where the head lies, and from what the user asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import BadInputError

# mm below the top of the head: the head and greater trochanter lie above the first, the shaft between the other two, or
# further down, where it has begun to turn inwards.
_TOP_MM, _SHAFT_MM, _LOW_SHAFT_MM = 45.0, (75.0, 115.0), 180.0
_CLEAR = 0.12


@dataclass(frozen=True, eq=False)
class Femur:
    """One femur found in an image.

    Attributes
    ----------
    side : str
        'left' or 'right'.
    certain : bool
        False if neither its shape nor the network says clearly which side it is.
    points : numpy.ndarray
        (n, 3) mm along R, A and S: centres of the voxels it was found in.
    disputed : bool
        True if the network is divided over the side, or of another opinion than the bone's shape.
    """

    side: str
    certain: bool
    points: np.ndarray
    disputed: bool = False


def head_direction(points) -> float:
    """How far the upper end lies to the right of the shaft.

    Most of it is head, and the head lies medially of the shaft: to the patient's right on a left femur. The mean
    tells better than the reach, for the greater trochanter may stand out as far as the head does.

    Parameters
    ----------
    points : array_like
        (n, 3) mm along R, A and S; voxels of one femur, upright.

    Returns
    -------
    float
        -1 to 1, in half widths of the upper end: 0.3 to 0.7 for left femora, the negative for right ones, 0 if too
        little of the shaft is there to tell.
    """
    points = np.asarray(points, dtype=np.float64)
    if len(points) < 8:
        return 0.0
    right, depth = points[:, 0], points[:, 2].max() - points[:, 2]
    upper, shaft = right[depth <= _TOP_MM], right[(depth >= _SHAFT_MM[0]) & (depth <= _SHAFT_MM[1])]
    if len(shaft) < 8:
        shaft = right[(depth >= _SHAFT_MM[0]) & (depth <= _LOW_SHAFT_MM)]
    if len(shaft) < 8:
        return 0.0
    low, high = np.percentile(upper, (1, 99))
    return float(np.clip((upper.mean() - np.median(shaft)) / max((high - low) / 2, 1e-9), -1, 1))


def name_side(points, vote: float = 0.0) -> tuple[str, bool]:
    """The side of a lone femur.

    Parameters
    ----------
    points : array_like
        (n, 3) mm along R, A and S.
    vote : float
        -1 (right) to 1 (left), what a network thinks.

    Returns
    -------
    side : str
        'left' or 'right'.
    certain : bool
    """
    shape = head_direction(points)
    # Anatomy before opinion: on a single hip the shape of the bone is clearer than its surroundings.
    evidence = shape if abs(shape) >= _CLEAR else vote
    return ("left" if evidence >= 0 else "right"), abs(evidence) >= _CLEAR


def choose_sides(found: list[Femur], request: str, image: str) -> tuple[list[Femur], list[str]]:
    """The femora to segment.

    Parameters
    ----------
    found : list of Femur
        At most one of each side.
    request : {'auto', 'left', 'right', 'both'}
        What the user wants; ``auto`` is every femur that was found.
    image : str
        Name of the image for messages.

    Returns
    -------
    femora : list of Femur
        The left one first.
    messages : list of str
        Sentences for the user.

    Raises
    ------
    BadInputError
        If an asked femur is not in the image, or none is.
    """
    check_side(request)
    if not found:
        raise BadInputError(
            f"No femur was found in {image}; check that it shows a hip, that its orientation is right, and that the "
            "modality (--modality ct or mr) is."
        )
    names = " and ".join(f.side for f in found)
    if request == "auto":
        doubtful = [f for f in found if not f.certain]
        said = [f"The femur found may be the {f.side} one, which is not certain; --side says it." for f in doubtful]
        return sorted(found, key=lambda f: f.side), said
    if request == "both":
        if len(found) < 2:
            raise BadInputError(
                f"Both femora were asked for, but only the {names} one was found in {image}; use --side auto."
            )
        return sorted(found, key=lambda f: f.side), []
    asked = [f for f in found if f.side == request]
    if asked:
        return asked, []
    if not found[0].certain:
        return [Femur(request, False, found[0].points)], [f"The femur found is taken as the {request} one, as asked."]
    raise BadInputError(
        f"The {request} femur was asked for, but only the {names} one was found in {image}; use --side {found[0].side} "
        "or auto."
    )


def check_side(request: str) -> None:
    """Refuse a side that is none of auto, left, right and both."""
    if request not in ("auto", "left", "right", "both"):
        raise BadInputError(f"There is no side '{request}'; choose auto, left, right or both.")
