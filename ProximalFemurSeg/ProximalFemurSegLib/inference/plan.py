"""How large the windows are that a network runs over."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

_SMALLEST = 32  # voxels; below this a window shows a network too little of a hip to be worth a run
_LARGER = 1.125  # times the trained window: what an axis may have that is still taken in one piece
LEAST_SLABS = 8  # trained windows along an axis on which they are thin, in one window


@dataclass(frozen=True)
class WindowPlan:
    """Sizes in voxels along (D, H, W), and how overlapping windows are blended ('tent' or 'mean')."""

    window: tuple[int, int, int]
    stride: tuple[int, int, int]
    blend: str = "tent"


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def plan_windows(size, trained, multiple, budget_voxels: float, overlap: int = 16) -> WindowPlan:
    """The fewest, largest windows that fit into memory.

    A padded convolutional network takes an image of any size: one pass over all of it costs least and shows the
    network most. An image too large for the memory is cut along the axis that is longest beside the trained window,
    into windows of equal size.

    Parameters
    ----------
    size : tuple of int
        The image.
    trained : tuple of int or None
        The window the network was trained on; a smaller image is padded to it, and windows shrink below it only when
        the memory demands it. None: a network for whole images of any size.
    multiple : tuple of int
        What sizes the network takes.
    budget_voxels : float
        Largest window.
    overlap : int
        Least overlap of neighbouring windows in voxels; along an axis on which the trained window has only a slice or
        two no more than four of these.

    Examples
    --------
    >>> plan_windows((60, 256, 256), (48, 256, 256), (8, 8, 8), 1e9).window
    (64, 256, 256)
    >>> plan_windows((240, 192, 192), (64, 192, 192), (16, 16, 16), 3e6)
    WindowPlan(window=(80, 192, 192), stride=(64, 192, 192), blend='tent')
    """
    # A network of slices is shown no more of a hip by more of them.
    overlaps = [overlap if trained is None else min(overlap, 4 * t) for t in trained or (1, 1, 1)]
    worth = [_SMALLEST if trained is None else min(_SMALLEST, LEAST_SLABS * t) for t in trained or (1, 1, 1)]
    trained = trained or (1, 1, 1)
    size = tuple(max(n, t) for n, t in zip(size, trained))
    parts = [1, 1, 1]
    while True:
        window = tuple(
            _round_up(ceil((n + (p - 1) * o) / p), m) if p > 1 else _round_up(n, m)
            for n, p, m, o in zip(size, parts, multiple, overlaps)
        )
        limits = [max(m, min(w, n)) for m, w, n in zip(multiple, worth, size)]
        above = [a for a in range(3) if window[a] > _round_up(limits[a], multiple[a])]
        if prod(window) <= budget_voxels or not above:
            break
        larger = [a for a in above if window[a] > trained[a]] or above
        parts[max(larger, key=lambda a: window[a] / trained[a])] += 1
    stride = tuple(w if p == 1 else w - min(o, w // 2) for w, p, o in zip(window, parts, overlaps))
    return WindowPlan(window, stride)


def exact_plan(size, trained, multiple, padded: bool = False, overlap: int = 16) -> WindowPlan:
    """Windows as large as those of the training, evenly spread.

    For networks that normalise over all they are shown (instance norm): in a window of another size bone has another
    share, and so other values after every layer, which moves its borders by tenths of a millimetre.

    Parameters
    ----------
    size, trained, multiple, overlap
        As for `plan_windows`. An axis that is up to an eighth longer than the window is taken in one piece.
    padded : bool
        Whether the network has seen empty space around its images, and small ones are padded to the window. Else an
        axis that is shorter is taken as it is: padding would change what is normalised over, too.

    Examples
    --------
    >>> exact_plan((198, 192, 200), (64, 192, 192), (16, 16, 16))
    WindowPlan(window=(64, 192, 208), stride=(45, 192, 208), blend='tent')
    >>> exact_plan((48, 256, 250), (64, 256, 256), (8, 8, 8)).window
    (48, 256, 256)
    """
    window, stride = [], []
    for n, t, m in zip(size, trained, multiple):
        w = _round_up(t, m)
        if n <= _LARGER * w:
            w = s = _round_up(max(n, t) if padded else n, m)
        else:
            # Windows of a slice or two overlap less.
            count = ceil((n - min(overlap, w // 2)) / (w - min(overlap, w // 2)))
            s = ceil((n - w) / (count - 1))
        window.append(w)
        stride.append(s)
    return WindowPlan(tuple(window), tuple(stride))


def sliding_plan(trained, multiple, stride_along_slices: int) -> WindowPlan:
    """The papers' own way: the trained window, moved along the slice axis in steps, plain mean.

    QCT-2021 uses steps of one slice, S - 64 + 1 windows for S slices.
    """
    window = tuple(_round_up(t, m) for t, m in zip(trained, multiple))
    return WindowPlan(window, (min(stride_along_slices, window[0]), window[1], window[2]), "mean")
