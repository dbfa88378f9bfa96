"""How far a run has come, and the line of JSON that says so."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes
    ----------
    stage : str
        What is being done.
    done, total : float
        How much of this stage is over; a total of 0 is one not known.
    seconds_left : float or None
        Estimate for the whole run; None while there is none.
    overall : float or None
        How much of the whole run is over, 0 to 1; None if that is not known.
    """

    stage: str
    done: float = 0
    total: float = 0
    seconds_left: float | None = None
    overall: float | None = None

    @property
    def fraction(self) -> float | None:
        """How much of this stage is over, 0 to 1; None if that is not known."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total else None


def parse_progress(line: str) -> Progress | None:
    """The progress in one line of a run's standard error, or None if the line is something else.

    Examples
    --------
    >>> parse_progress('{"stage": "network", "done": 3, "total": 12, "seconds_left": 4.5}').fraction
    0.25
    >>> parse_progress("a warning of some library") is None
    True
    """
    if not line.lstrip().startswith("{"):
        return None
    try:
        return read_progress(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None


def read_progress(values: dict) -> Progress:
    """The progress in a JSON object; KeyError, ValueError or TypeError where it is none."""
    seconds_left, overall = (None if values.get(k) is None else float(values[k]) for k in ("seconds_left", "overall"))
    return Progress(
        stage=str(values["stage"]),
        done=float(values.get("done") or 0),
        total=float(values.get("total") or 0),
        seconds_left=seconds_left,
        overall=overall,
    )
