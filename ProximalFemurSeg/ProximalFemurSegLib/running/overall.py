"""The steps of a run as one way from 0 to 1, with the seconds left of the whole."""

from __future__ import annotations

import time

from .progress import Progress

LOCATING = "finding the femora"
_FIRST, _NETWORK, _LAST = "before", "networks", "after"
# What each part weighs before the first run has been timed, in seconds on two processor cores.
_WEIGHTS = {_FIRST: 1.0, LOCATING: 4.0, _NETWORK: 14.0, _LAST: 2.0}
_AFTER = ("labels and volumes", "writing the results")
# Before so much time and so much of the way, a forecast would only jump about.
_LEAST_SECONDS, _LEAST_FRACTION = 1.0, 0.08


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
        self._weights = {**_WEIGHTS, **(weights or {})}
        self._seconds = dict.fromkeys(_WEIGHTS, 0.0)
        self._passes, self._begun, self._stage = 1, [], None
        self._part, self._reached = _FIRST, 0.0
        self._start = self._last = clock()

    def expect(self, passes: int) -> None:
        """So many passes of a network are to come in all; more may turn up."""
        self._passes = max(1, passes)

    def __call__(self, stage: str, done: float, total: float) -> None:
        now, part = self._clock(), self._part_of(stage)
        # A step that only begins took none of the time so far.
        self._seconds[part if done else self._part] += now - self._last
        self._last, self._part = now, part
        if self._part == _NETWORK and stage not in self._begun:
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
        if stage == LOCATING:
            return LOCATING
        if stage in _AFTER:
            return _LAST
        return _FIRST if self._part == _FIRST and stage.startswith("reading") else _NETWORK

    def _fraction(self, part, within):
        weights = dict(self._weights)
        passes = max(self._passes, len(self._begun))
        one, weights[_NETWORK] = weights[_NETWORK], weights[_NETWORK] * passes
        order = (_FIRST, LOCATING, _NETWORK, _LAST)
        over = sum(weights[earlier] for earlier in order[: order.index(part)])
        over += one * (len(self._begun) - 1 + within) if part == _NETWORK else weights[part] * within
        return min(over / sum(weights.values()), 1.0)

    def _seconds_left(self, now):
        passed = now - self._start
        if passed < _LEAST_SECONDS or self._reached < _LEAST_FRACTION:
            return None
        return round(passed / self._reached * (1 - self._reached), 1)
