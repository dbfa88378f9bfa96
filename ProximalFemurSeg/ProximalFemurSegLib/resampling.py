"""Voxel values on another grid.

Where the axes of both grids are parallel (permuted and flipped counts as parallel) one small matrix per axis does it,
with a linear or cubic kernel that widens when voxels grow, so that fine structure is averaged and not skipped.
Otherwise values are interpolated trilinearly, after a Gaussian of matching width. Only the part of the source that the
target needs is ever converted to floating point: memory grows with the target, not with the scan.
"""

from __future__ import annotations

import numpy as np

from .orientation import axis_directions, closest_reorientation, reorient, tilt_degrees
from .volume import Grid

__all__ = [
    "axis_directions",
    "axis_weights",
    "closest_reorientation",
    "coverage",
    "footprint",
    "index_map",
    "reorient",
    "resample",
    "tilt_degrees",
]

_EDGE = 1e-6  # voxels; rounding in a grid's affine must not push a voxel on the border outside
_PARALLEL = 1e-3  # voxels; axes that drift apart by less over the whole target are taken as parallel
_SLAB_VOXELS = 1 << 23


def index_map(source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Where the target's voxels lie among the source's.

    Returns
    -------
    matrix : numpy.ndarray
        (3, 3); source (k, j, i) = matrix @ target (k, j, i) + offset.
    offset : numpy.ndarray
        (3,) in source voxels.
    """
    inverse = np.linalg.inv(source.affine[:3, :3])
    matrix = (inverse @ target.affine[:3, :3])[::-1, ::-1]
    offset = (inverse @ (target.affine[:3, 3] - source.affine[:3, 3]))[::-1]
    return np.ascontiguousarray(matrix), np.ascontiguousarray(offset)


def _parallel_axes(matrix: np.ndarray, shape) -> tuple[int, int, int] | None:
    """For each target axis the source axis parallel to it, or None if the grids are oblique to each other."""
    sources = np.abs(matrix).argmax(axis=0)
    if len(set(sources.tolist())) != 3:
        return None
    stray = np.abs(matrix) * np.asarray(shape)
    stray[sources, range(3)] = 0
    return tuple(int(s) for s in sources) if stray.max() < _PARALLEL else None


def _kernel(distance: np.ndarray, order: str) -> np.ndarray:
    x = np.abs(distance)
    if order == "linear":
        return np.clip(1 - x, 0, None)
    if order == "cubic":  # Keys' cubic convolution, a = -1/2
        near = (1.5 * x - 2.5) * x * x + 1
        far = ((-0.5 * x + 2.5) * x - 4) * x + 2
        return np.where(x < 1, near, np.where(x < 2, far, 0.0))
    raise ValueError(f"Interpolation order is 'linear' or 'cubic', not '{order}'.")


def axis_weights(positions, length: int, step: float, order: str = "linear", antialias: bool = True) -> np.ndarray:
    """Interpolation along one axis as a matrix.

    Rows sum to one, and a row's centre of mass is its position, so that constants and straight ramps come out exactly,
    with any kernel width and up to the last voxel centre; beyond it the last value continues.

    Parameters
    ----------
    positions : array_like
        (m,) target positions in source voxels.
    length : int
        Number n of source voxels.
    step : float
        Target spacing in source voxels; a kernel with antialiasing is as wide as the larger of the two spacings.
    order : {'linear', 'cubic'}
        Triangle, or Keys' cubic convolution.
    antialias : bool
        Widen the kernel where the target is coarser.

    Returns
    -------
    numpy.ndarray
        (m, n) float64.

    Examples
    --------
    >>> axis_weights([0.25, 1.0], 3, step=1.0).tolist()
    [[0.75, 0.25, 0.0], [0.0, 1.0, 0.0]]
    """
    width = max(1.0, abs(step)) if antialias else 1.0
    position = np.clip(np.asarray(positions, dtype=np.float64), 0, length - 1)[:, None]
    distance = np.arange(length) - position
    weights = _kernel(distance / width, order)
    weights /= weights.sum(axis=1, keepdims=True)
    # A widened kernel sampled at whole voxels, or cut at the border, leans to one side: shift its centre of mass back.
    triangle = _kernel(distance / width, "linear")
    triangle /= triangle.sum(axis=1, keepdims=True)
    lean = distance - (triangle * distance).sum(axis=1, keepdims=True)
    variance = (triangle * lean**2).sum(axis=1, keepdims=True)
    moment = (weights * distance).sum(axis=1, keepdims=True)
    shift = np.divide(moment, variance, out=np.zeros_like(moment), where=variance > 1e-9)
    return weights - shift * triangle * lean


def footprint(source: Grid, target: Grid, order: str = "linear") -> tuple[np.ndarray, np.ndarray]:
    """The part of the source that a target needs.

    Returns
    -------
    start, stop : numpy.ndarray
        (3,) int, source (k, j, i), within the source; never empty, one voxel at least even when the grids do not meet.
    """
    matrix, offset = index_map(source, target)
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in target.shape], indexing="ij")).reshape(3, -1)
    corners = matrix @ ends + offset[:, None]
    reach = np.maximum(1.0, np.abs(matrix).sum(axis=1)) * {"linear": 1, "cubic": 2}[order] + 1
    length = np.asarray(source.shape)
    start = np.clip(np.floor(corners.min(axis=1) - reach), 0, length - 1).astype(int)
    stop = np.clip(np.ceil(corners.max(axis=1) + reach) + 1, start + 1, length).astype(int)
    return start, stop


def _covered(positions, length: int):
    return (positions >= -0.5 - _EDGE) & (positions <= length - 0.5 + _EDGE)


def coverage_mask(source: Grid, target: Grid) -> np.ndarray:
    """Which target voxels have their centre inside the source's field of view.

    Returns
    -------
    numpy.ndarray
        bool, of the target's shape.
    """
    matrix, offset = index_map(source, target)
    axes = [np.arange(n, dtype=np.float64) for n in target.shape]
    inside = np.ones(target.shape, dtype=bool)
    for row, start, length in zip(matrix, offset, source.shape):
        # A coordinate that hardly changes along an axis needs no full volume of positions: stay small by broadcasting.
        position = np.full((1, 1, 1), float(start))
        for a, (weight, axis) in enumerate(zip(row, axes)):
            if abs(weight) * len(axis) > 1e-9:
                position = position + (weight * axis).reshape([-1 if a == b else 1 for b in range(3)])
        inside &= _covered(position, length)
    return inside


def coverage(source: Grid, target: Grid, device="cpu"):
    """`coverage_mask` as a tensor on a device.

    Returns
    -------
    torch.Tensor
        bool, of the target's shape.
    """
    import torch

    return torch.from_numpy(coverage_mask(source, target)).to(device)


def _to_tensor(array, device, fill):
    import torch

    if not torch.is_tensor(array):
        array = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    array = array.to(device=device, dtype=torch.float32)
    # One infinite voxel would spread over every voxel whose kernel row it meets with weight zero.
    return array if bool(torch.isfinite(array).all()) else torch.nan_to_num(array, fill, fill, fill)


def _slabs(array):
    thickness = max(1, _SLAB_VOXELS // max(1, int(np.prod(array.shape[1:]))))
    return [array[a : a + thickness] for a in range(0, array.shape[0], thickness)]


def _contiguous_run(matrix) -> slice | None:
    """The voxels that a matrix copies one by one, or None if it mixes any."""
    rows, columns = matrix.shape
    start = int(matrix[0].argmax())
    if start + rows <= columns and np.abs(matrix - np.eye(rows, columns, start)).max() < 1e-6:
        return slice(start, start + rows)
    return None


def _apply_axis_matrices(array, matrices, device, fill):
    """Contract axis a of the array with matrices[a] (m_a, n_a)."""
    import torch

    runs = [_contiguous_run(m) for m in matrices]
    array = array[tuple(run or slice(None) for run in runs)]
    first, rows, columns = (
        None if run else torch.from_numpy(m.astype(np.float32)).to(device) for m, run in zip(matrices, runs)
    )
    planes = []
    for slab in _slabs(array):  # in slabs, so that a long scan is never wholly in floating point
        slab = _to_tensor(slab, device, fill)
        slab = slab if columns is None else torch.matmul(slab, columns.T)
        planes.append(slab if rows is None else torch.matmul(rows, slab))
    # A plain copy must not share memory with the source.
    planes = torch.cat(planes) if len(planes) > 1 or all(runs) else planes[0]
    return planes if first is None else torch.matmul(first, planes.flatten(1)).view(-1, *planes.shape[1:])


def _smoothing_matrix(length: int, sigma: float) -> np.ndarray:
    index = np.arange(length)
    weights = np.exp(-0.5 * ((index[:, None] - index) / sigma) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


def _resample_oblique(array, matrix, offset, shape, antialias, device, fill):
    import torch
    from torch.nn.functional import grid_sample

    # The variance that a triangle as wide as the target's voxel has beyond the one of trilinear interpolation.
    growth = np.linalg.norm(matrix, axis=1)
    variance = (growth**2 - 1) / 6
    if antialias and variance.max() > 0.01:
        matrices = [_smoothing_matrix(n, np.sqrt(max(v, 1e-4))) for n, v in zip(array.shape, variance)]
        array = _apply_axis_matrices(array, matrices, device, fill)
    else:
        array = _to_tensor(array, device, fill)
    length = np.asarray(array.shape)
    scale = 2.0 / np.maximum(length - 1, 1)
    unit = torch.from_numpy(matrix * scale[:, None])
    origin = torch.from_numpy(offset * scale - 1)
    result = torch.empty(shape, device=device)
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in shape[1:])
    plane = rows.view(-1, 1, 1) * unit[:, 1] + columns.view(1, -1, 1) * unit[:, 2] + origin
    thickness = max(1, _SLAB_VOXELS // (8 * shape[1] * shape[2]))
    for a in range(0, shape[0], thickness):
        depth = torch.arange(a, min(a + thickness, shape[0]), dtype=torch.float64)
        at = (plane + depth.view(-1, 1, 1, 1) * unit[:, 0]).flip(-1).to(device=device, dtype=torch.float32)
        result[a : a + thickness] = grid_sample(
            array[None, None], at[None], mode="bilinear", padding_mode="border", align_corners=True
        )[0, 0]
    return result


def resample(array, source: Grid, target: Grid, order="linear", antialias=True, fill=0.0, device="cpu"):
    """Values of an image on another grid.

    Parameters
    ----------
    array : numpy.ndarray or torch.Tensor
        (K, J, I) values on ``source``, any real type; what is not a finite number counts as ``fill``.
    source, target : Grid
        Any two grids; oblique, flipped and permuted ones included.
    order : {'linear', 'cubic'}
        Kernel where the grids' axes are parallel; oblique grids always use trilinear interpolation.
    antialias : bool
        Average over the target's voxel where it is larger than the source's.
    fill : float
        Value of target voxels whose centre lies outside the source's field of view.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    torch.Tensor
        float32, of the target's shape, on ``device``.
    """
    import torch

    start, stop = footprint(source, target, order)
    window = tuple(slice(a, b) for a, b in zip(start, stop))
    matrix, offset = index_map(source, target)
    local = offset - start
    axes = _parallel_axes(matrix, target.shape)
    if axes is None:
        result = _resample_oblique(array[window], matrix, local, target.shape, antialias, device, fill)
        result.masked_fill_(~coverage(source, target, device), fill)
    else:
        steps = [matrix[s, t] for t, s in enumerate(axes)]
        matrices = [
            axis_weights(np.arange(n) * step + local[s], stop[s] - start[s], step, order, antialias)
            for n, s, step in zip(target.shape, axes, steps)
        ]
        crop = array[window]
        crop = crop.permute(axes) if hasattr(crop, "permute") else crop.transpose(axes)
        result = _apply_axis_matrices(crop, matrices, device, fill)
        for t, (n, s) in enumerate(zip(target.shape, axes)):
            outside = np.flatnonzero(~_covered(np.arange(n) * steps[t] + offset[s], source.shape[s]))
            result.index_fill_(t, torch.from_numpy(outside).to(device), fill)
    return result
