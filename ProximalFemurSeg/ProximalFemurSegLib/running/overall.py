"""The steps of a run as one way from 0 to 1, with the seconds left of the whole."""

from __future__ import annotations

import time
from dataclasses import replace

from .progress import Progress

LOCATING = "finding the femora"
BEFORE, _NETWORK, _LAST = "before", "networks", "after"
# What each part weighs before the first run has been timed, in seconds on two processor cores.
_WEIGHTS = {BEFORE: 1.0, LOCATING: 4.0, _NETWORK: 14.0, _LAST: 2.0}
_AFTER = ("calibrating the borders", "labels and volumes", "writing the results")
# Before so much time and so much of the way, a forecast would only jump about.
_LEAST_SECONDS, _LEAST_FRACTION = 1.0, 0.08
_TRUSTED_SECONDS = 10.0


def onward(progress: Progress, seconds: float) -> Progress:
    """Where a run is likely to be some seconds after it was last heard of: a large window can take a minute.

    Half of what is left is gone through at the speed of the forecast, the rest slower and slower: it is never over
    before the run says so.

    Examples
    --------
    >>> onward(Progress("bone", 0, 1, 60.0, 0.4), 30.0)
    Progress(stage='bone', done=0, total=1, seconds_left=30.0, overall=0.7)
    """
    left, overall = progress.seconds_left, progress.overall
    if not left or overall is None or seconds <= 0:
        return progress
    share = seconds / left
    passed = share if share <= 0.5 else 1 - 0.25 / share
    return replace(progress, seconds_left=round(left * (1 - passed), 1), overall=overall + (1 - overall) * passed)


class OverallProgress:
    """Called with the steps of a run, tells how far the whole run has come.

    It never goes back: where more work turns up than was expected, it waits.

    Parameters
    ----------
    tell : callable
        Gets a :class:`Progress` at every step.
    weights : dict of str to float, optional
        What each part weighed in an earlier run, from :meth:`learned`.
    clock : callable
        Seconds.

    Examples
    --------
    >>> told = []
    >>> progress = OverallProgress(told.append)
    >>> progress.expect(2)
    >>> progress("periosteal, left femur", 1, 1)
    >>> progress("endosteal, left femur", 1, 2)
    >>> 0.5 < told[0].overall < told[1].overall < 1
    True
    """

    def __init__(self, tell, weights=None, clock=time.monotonic):
        self._tell, self._clock = tell, clock
        # What was timed is trusted as much as what this run shows in so many of its own seconds.
        self._trusted = _TRUSTED_SECONDS if weights else 0.0
        self._weights = {**_WEIGHTS, **(weights or {})}
        self._seconds = dict.fromkeys(_WEIGHTS, 0.0)
        self._passes, self._begun, self._stage = 1, [], None
        self._part, self._reached = BEFORE, 0.0
        self._start = self._last = clock()

    def expect(self, passes: int) -> None:
        """So many passes of a network are to come in all; more may turn up."""
        self._passes = max(1, passes)

    def __call__(self, stage: str, done: float, total: float) -> None:
        now, part = self._clock(), self._part_of(stage)
        # A step that only begins took none of the time so far.
        self._seconds[part if done else self._part] += now - self._last
        self._last, self._part = now, part
        if self._part == _NETWORK and stage not in self._begun and not stage.endswith(LOCATING):
            self._begun.append(stage)
        fraction = Progress(stage, done, total).fraction or 0.0
        self._reached = max(self._reached, self._fraction(self._part, fraction))
        self._tell(Progress(stage, done, total, self._seconds_left(now), self._reached))

    def learned(self) -> dict[str, float]:
        """What each part of this run weighed, for the next one on the same processor."""
        seconds = {part: spent for part, spent in self._seconds.items() if spent > 0}
        if _NETWORK in seconds and self._begun:
            seconds[_NETWORK] /= len(self._begun)
        return seconds

    def _part_of(self, stage):
        if stage.endswith(LOCATING):
            # Of several runs over one image only the first begins with it.
            return _NETWORK if self._begun else LOCATING
        if stage in _AFTER:
            return _LAST
        return BEFORE if self._part == BEFORE and stage.startswith("reading") else _NETWORK

    def _fraction(self, part, within):
        order = (BEFORE, LOCATING, _NETWORK, _LAST)
        over = sum(self._weight(earlier) for earlier in order[: order.index(part)])
        if part == _NETWORK:
            over += self._weights[_NETWORK] * (len(self._begun) - 1 + within)
        else:
            over += self._weight(part) * within
        return min(over / self._whole(), 1.0)

    def _weight(self, part):
        return self._weights[part] * (max(self._passes, len(self._begun)) if part == _NETWORK else 1)

    def _whole(self):
        return sum(self._weight(part) for part in self._weights)

    def _seconds_left(self, now):
        passed = now - self._start
        if passed < _LEAST_SECONDS or self._reached < _LEAST_FRACTION:
            return None
        whole = self._whole()
        speed = (passed + self._trusted) / (self._reached * whole + self._trusted)
        return round(whole * (1 - self._reached) * speed, 1)
