"""Where a result is not to be trusted: the entropy of the probability, and the slices that hold most of it.

The probability can be that of one run, or the mean of several over variants of the image; the weights of several folds
have a spread, which takes the place of the entropy (`fold_spread`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..volume import Grid, Volume
from .one_of_several import OneOfSeveral
from .result import Probabilities

_SHIFT_MM = 2.0
VARIANTS = ("mirrored", "shifted forth", "shifted back")
"""What a network sees besides the image as it is, where several answers are asked for."""
SOURCES = ("entropy", "variants", "folds")
"""Where the uncertainty can come from; see `segmentation.segment`."""


def entropy(probability: np.ndarray) -> np.ndarray:
    """Binary entropy in bits: 0 where the answer is certain, 1 where it is even odds.

    Parameters
    ----------
    probability : numpy.ndarray
        0 to 1, any shape.

    Returns
    -------
    numpy.ndarray
        float32, of the same shape.

    Examples
    --------
    >>> entropy(np.array([0.0, 0.5, 1.0])).tolist()
    [0.0, 1.0, 0.0]
    """
    p = np.asarray(probability, dtype=np.float32)
    q = 1 - p
    # x log x is 0 at 0; where neither is, nothing is left to guard.
    inside = (p > 0) & (q > 0)
    result = np.zeros(p.shape, np.float32)
    p, q = p[inside], q[inside]
    result[inside] = -(p * np.log2(p) + q * np.log2(q))
    return result


def uncertainty(probabilities: Probabilities) -> tuple[tuple[int, int, int], Volume]:
    """The spread between several weights, or else the entropy of the maps, where femora were looked for.

    Of a cascade's two maps the larger one counts.

    Returns
    -------
    start : tuple of int
        Voxel (k, j, i) of the image at which the part begins.
    values : Volume
        float32 bits on the grid of that part.
    """
    part = probabilities.window
    start, stop = (tuple(getattr(axis, end) for axis in part) for end in ("start", "stop"))
    maps = list(probabilities.maps.values())
    values = probabilities.spread
    if values is None:
        values = entropy(maps[0].array[part])
        for other in maps[1:]:
            np.maximum(values, entropy(other.array[part]), out=values)
    return start, Volume(values, maps[0].grid.crop(start, stop), "uncertainty")


def area_per_slice(values: np.ndarray, grid: Grid, axis: int) -> np.ndarray:
    """The area in mm2 that the values of each slice add up to, a voxel of value 1 counting whole.

    Parameters
    ----------
    values : numpy.ndarray
        (K, J, I): entropy in bits, or a mask of what is wrong.
    grid : Grid
        Of the values.
    axis : {0, 1, 2}
        The array axis along which slices follow each other.

    Returns
    -------
    numpy.ndarray
        One number for each slice.
    """
    area = grid.voxel_volume_mm3 / grid.spacing[2 - axis]
    return values.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64) * area


def mean_of_variants(volume: Volume, predict: Callable, side: str = "auto", progress=None) -> Probabilities:
    """Probabilities averaged over the image, its mirror image and two shifted ones.

    Parameters
    ----------
    volume : Volume
        The image.
    predict : callable
        ``predict(volume, side, progress)`` gives `Probabilities` on the volume's own grid.
    side : {'auto', 'left', 'right', 'both'}
        As of `predict_probabilities`.
    progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    Probabilities
        Those of the image as it is, with the mean maps in their place: where the answers differ, the mean is nearer to
        even odds.

    Notes
    -----
    A mirrored image is the same voxels with left and right exchanged in their coordinates, so nothing is resampled. A
    shift adds a border of some voxels at one end, which moves the network's voxels against the image's.
    """
    count = len(VARIANTS) + 1
    result = predict(volume, side, OneOfSeveral(progress, count))
    sums = {role: map_.array.astype(np.float32, copy=True) for role, map_ in result.maps.items()}
    for name in VARIANTS:
        part = OneOfSeveral(progress, count, f"{name} image: ")
        for role, array in _variant(volume, predict, side, part, name, result).items():
            sums[role] += array
    maps = {role: result.maps[role].with_array(sums[role] / count) for role in sums}
    return replace(result, maps=maps)


def known_side(found: Probabilities, asked: str) -> str:
    """The side to ask for in further runs over the same femora: that of a lone one, once it was found."""
    sides = [region.side for region in found.regions]
    return asked if len(sides) != 1 or sides[0] is None else sides[0]


def _variant(volume, predict, side, progress, name, reference) -> dict[str, np.ndarray]:
    known = known_side(reference, side)
    if name == "mirrored":
        mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
        seen = replace(volume, grid=Grid(volume.grid.shape, mirror @ volume.grid.affine))
        answer = predict(seen, {"left": "right", "right": "left"}.get(known, known), progress)
        return {role: map_.array for role, map_ in answer.maps.items()}
    steps = [max(1, round(_SHIFT_MM / spacing)) for spacing in volume.grid.spacing[::-1]]
    before = [step if name.endswith("forth") else 0 for step in steps]
    after = [0 if name.endswith("forth") else step for step in steps]
    padded = np.pad(volume.array, list(zip(before, after)), mode="edge")
    grid = volume.grid.crop(np.negative(before), np.add(volume.grid.shape, after))
    answer = predict(replace(volume, array=padded, grid=grid), known, progress)
    part = tuple(slice(b, b + n) for b, n in zip(before, volume.grid.shape))
    return {role: map_.array[part] for role, map_ in answer.maps.items()}
