"""From what a threshold leaves to one whole bone: components, holes, opening.

Every function takes and gives a (K, J, I) bool mask, leaves its input as it is, and works on the box around the bone,
so that its cost grows with the bone and not with the scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import BadInputError
from .volume import Grid

_CONNECTIVITY = {6: 1, 18: 2, 26: 3}


def bounding_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice, slice] | None:
    """The smallest box of voxels (k, j, i) that holds a mask, None for an empty one.

    Examples
    --------
    >>> mask = np.zeros((4, 5, 6), bool)
    >>> mask[1, 2:4, 3] = True
    >>> bounding_box(mask)
    (slice(1, 2, None), slice(2, 4, None), slice(3, 4, None))
    """
    box = []
    for axis in range(3):
        # Each axis is looked at within what the axes before it left.
        inside = mask[tuple(box)]
        used = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        if len(used) == 0:
            return None
        box.append(slice(max(0, int(used[0]) - margin), min(mask.shape[axis], int(used[-1]) + 1 + margin)))
    return tuple(box)


def label_components(mask: np.ndarray, connectivity: int = 26) -> tuple[np.ndarray, np.ndarray]:
    """Number the connected components of a mask.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool.
    connectivity : {6, 18, 26}
        Neighbours by faces, also edges, also corners.

    Returns
    -------
    labels : numpy.ndarray
        (K, J, I) integers, 0 the background.
    sizes : numpy.ndarray
        (n + 1,) voxels with each label.

    Raises
    ------
    ValueError
        Another connectivity.
    """
    labels, count = _label(mask, connectivity)
    return labels, np.bincount(labels.ravel(), minlength=count + 1)


def _label(mask, connectivity):
    """(labels, how many there are)"""
    if connectivity not in _CONNECTIVITY:
        raise ValueError(f"Connectivity is 6, 18 or 26, not {connectivity}.")
    mask = np.ascontiguousarray(mask)
    try:
        import cc3d
    except ImportError:
        from scipy import ndimage

        return ndimage.label(mask, ndimage.generate_binary_structure(3, _CONNECTIVITY[connectivity]))
    return cc3d.connected_components(mask.view(np.uint8), connectivity=connectivity, return_N=True)


def largest_component(mask: np.ndarray, connectivity: int = 26) -> np.ndarray:
    """Keep the connected component with the most voxels; an empty mask stays empty.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool.
    connectivity : {6, 18, 26}
        Neighbours by faces, also edges, also corners.

    Notes
    -----
    It raised the DSC of the 2D networks of SciRep-2018 (Table 1) by up to 7 % and cut their ASD by up to 86 %.
    """
    result = np.zeros(mask.shape, bool)
    box = bounding_box(mask)
    if box is None:
        return result
    part = mask[box]
    labels, count = _label(part, connectivity)
    if count == 1:
        result[box] = part
        return result
    # Most often one piece holds most of the mask, and every eighth voxel tells which.
    sample = np.bincount(labels[::2, ::2, ::2].ravel(), minlength=2)
    likely = labels == 1 + sample[1:].argmax()
    if 2 * np.count_nonzero(likely) <= np.count_nonzero(part):
        likely = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    result[box] = likely
    return result


def remove_small_components(mask: np.ndarray, min_volume_mm3: float, grid: Grid, connectivity: int = 26) -> np.ndarray:
    """Drop every connected component of less than a volume in mm3.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool.
    min_volume_mm3 : float
        A component of exactly this volume stays.
    grid : Grid
        Of the mask.
    connectivity : {6, 18, 26}
        Neighbours by faces, also edges, also corners.
    """
    return _keep(mask, connectivity, lambda sizes: sizes * grid.voxel_volume_mm3 >= min_volume_mm3 * (1 - 1e-9))


def _keep(mask, connectivity, choose) -> np.ndarray:
    result = np.zeros(mask.shape, bool)
    box = bounding_box(mask)
    if box is not None:
        labels, count = _label(mask[box], connectivity)
        sizes = [np.count_nonzero(mask[box])] if count == 1 else np.bincount(labels.ravel())[1:]
        kept = choose(np.asarray(sizes))
        # Mostly all of it is one piece: then there is nothing to look up.
        result[box] = mask[box] if kept.all() else np.concatenate([[False], kept])[labels]
    return result


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill every cavity that no path through voxel faces joins to the outside.

    A marrow cavity that the end of the scan lays open is no hole and stays as it is.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool.
    """
    result = mask.astype(bool)
    box = bounding_box(mask)
    if box is not None:
        background = np.pad(~result[box], 1, constant_values=True)
        labels, count = _label(background, connectivity=6)
        if count > 1:
            result[box] = (labels != labels[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return result


def binary_opening(mask: np.ndarray, radius_mm: float, grid: Grid) -> np.ndarray:
    """Remove what a ball does not fit into: erosion, then dilation, as in ISMRM-2017.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool.
    radius_mm : float
        Of the ball: the voxels whose centres lie within this distance; 0 changes nothing.
    grid : Grid
        Of the mask; its spacing makes the ball round in mm. Along an axis whose spacing is larger than the radius
        nothing happens.

    Notes
    -----
    What lies beyond the grid takes nothing away, so that a bone that the scan cuts off keeps its cut face.
    """
    from scipy.ndimage import distance_transform_edt

    spacing = grid.spacing[::-1]
    limit = radius_mm * (1 + 1e-6)
    result = mask.astype(bool)
    box = bounding_box(mask, margin=1)
    if box is None or result[box].all() or limit < min(spacing):
        return result
    eroded = distance_transform_edt(result[box], sampling=spacing) > limit
    result[box] = distance_transform_edt(~eroded, sampling=spacing) <= limit if eroded.any() else False
    return result


@dataclass(frozen=True)
class PostprocessStep:
    """One step with its number: ``largest``, ``fill``, ``small`` (mm3) or ``open`` (mm)."""

    name: str
    value: float | None = None

    def __call__(self, mask: np.ndarray, grid: Grid) -> np.ndarray:
        if self.name == "largest":
            return largest_component(mask)
        if self.name == "fill":
            return fill_holes(mask)
        if self.name == "small":
            return remove_small_components(mask, self.value, grid)
        return binary_opening(mask, self.value, grid)


def postprocess_steps(text: str) -> tuple[PostprocessStep, ...]:
    """The steps that a text names, in its order.

    Parameters
    ----------
    text : str
        ``auto`` (``largest,fill``), ``none``, or steps separated by commas: ``largest`` component, ``fill`` holes,
        ``small=V`` removes components under V mm3, ``open=R`` opens with a ball of R mm.

    Raises
    ------
    BadInputError
        A step that is not known, or whose number is missing or negative.

    Examples
    --------
    >>> [step.name for step in postprocess_steps("open=1.5,largest,fill")]
    ['open', 'largest', 'fill']
    >>> postprocess_steps("none")
    ()
    """
    text = text.strip().lower()
    steps = []
    for word in {"auto": "largest,fill", "none": ""}.get(text, text).split(","):
        name, _, number = word.strip().partition("=")
        if not name:
            continue
        if name in ("largest", "fill") and not number:
            steps.append(PostprocessStep(name))
            continue
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if name not in ("small", "open") or not 0 <= value < float("inf"):
            raise BadInputError(
                f"The post-processing step '{word.strip()}' is not known: choose auto, none, or any of largest, fill, "
                "small=MM3 and open=MM, separated by commas."
            )
        steps.append(PostprocessStep(name, value))
    return tuple(steps)


def postprocess(mask: np.ndarray, grid: Grid, steps: str = "auto") -> np.ndarray:
    """Apply post-processing steps in their order; see :func:`postprocess_steps`.

    Parameters
    ----------
    mask : numpy.ndarray
        (K, J, I) bool.
    grid : Grid
        Of the mask.
    steps : str
        ``auto``, ``none``, or a list.

    Returns
    -------
    numpy.ndarray
        (K, J, I) bool.
    """
    for step in postprocess_steps(steps):
        mask = step(mask, grid)
    return mask
