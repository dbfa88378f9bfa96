"""How models look in figures, in colour and in grey, and axes that one failed case does not flatten."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .cohort import POSTPROCESSED

# Okabe and Ito's colours; the first four are those that the colour-blind tell apart best, and are strong on white.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#000000", "#E69F00", "#56B4E9", "#CC79A7", "#999999")
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 3)))
_FAR_OUT = 3.0  # times the interquartile range beyond the quartiles (Tukey, Exploratory Data Analysis, 1977)
_FEWEST = 8  # values of which quartiles tell anything
_WORTH_IT = 2.5  # times longer an axis must be for its far ends to be cut
_ROOM, _ZERO_ROOM = 0.06, 0.03  # of an axis
BEYOND = "Marks on an edge stand for cases beyond it, with their values."
"""What a caption says of an axis that was shortened."""


@dataclass(frozen=True)
class Look:
    """A colour, a mark and a line; a model after post-processing has those of the model, its marks hollow.

    Parameters
    ----------
    number : int
        Of the model in the table; every eighth looks the same.
    hollow : bool
        After post-processing.
    """

    number: int
    hollow: bool = False

    @property
    def color(self) -> str:
        """For matplotlib."""
        return _COLORS[self.number % len(_COLORS)]

    @property
    def line(self) -> dict:
        """Options of a line."""
        width = 0.9 if self.hollow else 1.5
        return {"color": self.color, "linestyle": _LINES[self.number % len(_LINES)], "linewidth": width}

    @property
    def mark(self) -> dict:
        """Options of marks."""
        face = "none" if self.hollow else self.color
        return {"color": self.color, "marker": _MARKS[self.number % len(_MARKS)], "markerfacecolor": face}


def looks_of(models) -> dict[str, Look]:
    """A look for each model, the same in all figures of a cohort.

    Examples
    --------
    >>> looks_of(["a", "a + PP", "b"])["a + PP"]
    Look(number=0, hollow=True)
    """
    plain = [model for model in models if not model.endswith(POSTPROCESSED)]
    return {
        model: Look(plain.index(model.removesuffix(POSTPROCESSED)), model.endswith(POSTPROCESSED)) for model in models
    }


def readable_range(groups) -> tuple[float, float]:
    """The values that an axis shall show: all, or, where that would flatten the rest, all but those far out.

    Parameters
    ----------
    groups : list of array_like
        The values of each model; at least one value.

    Examples
    --------
    >>> low, high = readable_range([[0.0, 0.95, 0.951, 0.952, 0.953, 0.954, 0.955, 0.956, 0.957]])
    >>> low > 0.84, high
    (True, 0.957)
    """
    groups = [np.asarray(group, dtype=np.float64) for group in groups if len(group)]
    everything = np.concatenate(groups)
    kept = []
    for group in groups:
        lower, upper = np.percentile(group, (25, 75))
        reach = _FAR_OUT * (upper - lower) if len(group) >= _FEWEST else math.inf
        # A mean is drawn, too.
        kept += [group[(group >= lower - reach) & (group <= upper + reach)], [group.mean()]]
    kept = np.concatenate(kept)
    low, high = float(kept.min()), float(kept.max())
    if np.ptp(everything) <= _WORTH_IT * (high - low):
        return float(everything.min()), float(everything.max())
    return low, high


def shorten_axis(axes, groups, from_zero: bool = False) -> bool:
    """End the vertical axis where `readable_range` says, and mark what lies beyond at its edges.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        In which everything has been drawn.
    groups : list of tuple of (Look, x, y)
        What was drawn.
    from_zero : bool
        The axis begins at 0, with room for whole marks, whether it is shortened or not.

    Returns
    -------
    bool
        Whether anything lies beyond.
    """
    values = [np.asarray(y, dtype=np.float64) for _, _, y in groups if len(y)]
    if not values:
        return False
    low, high = readable_range(values)
    everything = np.concatenate(values)
    shortened = bool(everything.min() < low or everything.max() > high)
    if shortened:
        room = _ROOM * (high - low or 1.0)
        axes.set_ylim(low - room, high + room)
    if from_zero:
        top = max(axes.get_ylim()[1], 1e-3)
        axes.set_ylim(-_ZERO_ROOM * top, top)
        low = min(low, 0.0)
    if shortened:
        _mark_beyond(axes, groups, low, high)
    return shortened


def _mark_beyond(axes, groups, low: float, high: float) -> None:
    from matplotlib.patheffects import withStroke

    bottom, top = axes.get_ylim()
    beyond: dict[tuple[float, bool], list[str]] = {}
    for look, x, y in groups:
        for place, value in zip(x, y):
            if low <= value <= high:
                continue
            below = bool(value < low)
            axes.plot([place], [bottom if below else top], markersize=5, clip_on=False, zorder=5, **look.mark)
            texts = beyond.setdefault((place, below), [])
            if f"{value:.3g}" not in texts:
                texts.append(f"{value:.3g}")
    for (place, below), texts in beyond.items():
        text = axes.annotate(
            ", ".join(texts),
            (place, bottom if below else top),
            xytext=(0, 5 if below else -5),
            textcoords="offset points",
            ha="center",
            va="bottom" if below else "top",
            rotation=90,
            fontsize=6.5,
            color="#444444",
            zorder=6,
        )
        text.set_path_effects([withStroke(linewidth=1.5, foreground="white")])
