"""How long the window stood still: a timer that should beat every few milliseconds, and the gaps between its beats."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from PySide6 import QtCore


class Heartbeat:
    """Beats while it is used in a ``with`` block.

    A gap is counted without the time in which the system let other processes go first: on a busy machine that says
    nothing about the module. Where the system does not tell that time, the processor time of this thread is taken.

    Attributes
    ----------
    gaps : list of (float, str)
        Seconds between two beats, and what was noted last.
    """

    def __init__(self, milliseconds=5):
        self.gaps, self.note = [], ""
        self._timer = QtCore.QTimer()
        self._timer.setInterval(milliseconds)
        self._timer.timeout.connect(self._beat)

    def __enter__(self):
        self._last = self._now()
        self._timer.start()
        return self

    def __exit__(self, *exception):
        self._timer.stop()

    @property
    def longest(self):
        return max(self.gaps)

    def _beat(self):
        now = self._now()
        self.gaps.append((now - self._last, self.note))
        self._last = now

    @staticmethod
    def _now():
        file = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        try:
            waited = int(file.read_text().split()[1]) * 1e-9
        except (OSError, IndexError, ValueError):
            return time.thread_time()
        return time.perf_counter() - waited
