"""How many CPU threads a training runs on, where other work shares the cores."""

from __future__ import annotations

import torch

from ..cpu_tuning import available_cpus


class ThreadChooser:
    """Finds out, again and again, how many CPU threads are fastest just now.

    Where other work shares the cores, two threads that wait for each other can be slower than one alone; which it is
    changes by the hour. Every `period` steps each count gets a few steps, and the fastest goes on.

    Parameters
    ----------
    period : int
        Steps after which all counts are tried again.
    probe : int
        Steps that each count gets then.
    """

    def __init__(self, period: int = 200, probe: int = 4):
        most = available_cpus()
        self._counts = sorted({1, max(1, most // 2), most})
        self._period, self._probe, self._done, self._times = period, probe, 0, {}

    def before_step(self) -> None:
        """Set the thread count of the coming step."""
        place = self._done % self._period
        if place % self._probe == 0 and place // self._probe < len(self._counts):
            if place == 0:
                self._times = {}
            torch.set_num_threads(self._counts[place // self._probe])
        elif place == self._probe * len(self._counts):
            torch.set_num_threads(min(self._times, key=lambda count: min(self._times[count])))

    def after_step(self, seconds: float) -> None:
        """Note how long the step took."""
        if self._done % self._period < self._probe * len(self._counts):
            self._times.setdefault(torch.get_num_threads(), []).append(seconds)
        self._done += 1
