"""Cover a slice with overlapping patches of a network whose output is smaller than its input, mirroring the border."""

from __future__ import annotations

import torch


def mirrored_index(size: int, before: int, after: int, device=None) -> torch.Tensor:
    """Indices that extend an axis by mirroring at its first and last element, any number of times.

    Examples
    --------
    >>> mirrored_index(4, 2, 3).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1, 0]
    >>> mirrored_index(1, 1, 1).tolist()
    [0, 0, 0]
    """
    index = torch.arange(-before, size + after, device=device)
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    index = index % period
    return torch.minimum(index, period - index)


def mirror_extend(x: torch.Tensor, before: tuple[int, int], after: tuple[int, int]) -> torch.Tensor:
    """(N, C, H, W) extended by mirroring rows and columns."""
    rows = mirrored_index(x.shape[2], before[0], after[0], x.device)
    columns = mirrored_index(x.shape[3], before[1], after[1], x.device)
    return x[:, :, rows][:, :, :, columns]


def patch_starts(size: int, output: int, count: int) -> list[int]:
    """Where patches with ``output`` voxels each begin, evenly spread so that they cover ``size`` voxels.

    At least ``count`` of them, or as many as it takes; a single one where one is as long as the axis.

    Examples
    --------
    >>> patch_starts(512, 413, 3), patch_starts(300, 413, 3), patch_starts(1000, 413, 2)
    ([0, 50, 99], [0], [0, 294, 587])
    """
    if size <= output:
        return [0]
    count = max(count, -(-size // output))
    return [int(step * (size - output) / (count - 1) + 0.5) for step in range(count)]


def average_patches(x: torch.Tensor, probabilities, patch: int, output: int, offset: int, count: int) -> torch.Tensor:
    """A slice's probabilities: the mean over all patches whose output holds a pixel (arXiv-v1, section II.C).

    Parameters
    ----------
    x : torch.Tensor
        (N, C, H, W).
    probabilities : callable
        Maps (N, C, patch, patch) to (N, classes, output, output).
    patch, output, offset : int
        Pixels along an axis of a network's input and output, and where in the input the output begins.
    count : int
        Patches along each axis, where the slice is larger than one output (arXiv-v1: 7; later papers: 3).

    Returns
    -------
    torch.Tensor
        (N, classes, H, W).
    """
    rows, columns = (patch_starts(size, output, count) for size in x.shape[2:])
    # Behind the last patch's output comes what its input needs, and where the slice is short, filling.
    after = [starts[-1] + patch - offset - size for starts, size in zip((rows, columns), x.shape[2:])]
    extended = mirror_extend(x, (offset, offset), tuple(after))
    total, hits = None, None
    for row in rows:
        for column in columns:
            part = probabilities(extended[:, :, row : row + patch, column : column + patch])
            part = part[:, :, : x.shape[2] - row, : x.shape[3] - column]
            if total is None:
                total = part.new_zeros(x.shape[0], part.shape[1], *x.shape[2:], dtype=torch.float32)
                hits = part.new_zeros(x.shape[2:], dtype=torch.float32)
            here = (slice(row, row + part.shape[2]), slice(column, column + part.shape[3]))
            total[(..., *here)] += part
            hits[here] += 1
    return total / hits
