"""Runs in a child process: the window stays alive, a crash stays over there, and ending it frees everything."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from ..errors import ProximalFemurSegError
from ..inference.result import SegmentationResult
from .child import Child, Request
from .exchange import read_result, write_image
from .overall import onward
from .progress import Progress
from .runner import Job, Runner, State, Status

_SHARE_BEFORE, _SHARE_AFTER = 0.04, 0.03
"""Of the whole way: handing the image over and starting the process; loading the result."""
_MOST_SECONDS = 0.02


class ChildProcessRunner(Runner):
    """Segments in a :class:`~.child.Child`, which stays ready between runs.

    The image goes to it and the result comes back through a temporary folder, a few megabytes at every :meth:`poll`, so
    that no call makes a window wait.

    Parameters
    ----------
    child : Child
        Others may ask it for things, too.
    """

    def __init__(self, child: Child):
        self._child = child
        self._status, self._steps = Status(State.IDLE), None
        self._request: Request | None = None
        self._folder: Path | None = None
        self._result: SegmentationResult | None = None

    def start(self, job: Job) -> None:
        self.cancel()
        self._result = None
        self._status = Status(State.RUNNING, Progress("handing over the image", overall=0.0))
        self._steps = self._carry_out(job)

    def poll(self) -> Status:
        self._child.poll()
        end = time.monotonic() + _MOST_SECONDS
        while self._status.state is State.RUNNING and time.monotonic() < end:
            try:
                if next(self._steps):
                    break
            except ProximalFemurSegError as error:
                self._end(Status(State.FAILED, message=str(error), log=self._child.log))
            except OSError as error:
                self._end(Status(State.FAILED, message=f"The segmentation could not be run ({error})."))
        return self._status

    def cancel(self) -> None:
        if self._status.state is State.RUNNING:
            if self._request is not None:
                # Only so does it end at once, wherever it is, and give back memory and GPU.
                self._child.end()
            self._end(Status(State.CANCELLED))

    def result(self) -> SegmentationResult:
        if self._result is None:
            raise RuntimeError("There is no finished run.")
        return self._result

    def rest(self) -> None:
        if self._status.state is not State.RUNNING:
            self._child.end()

    def close(self) -> None:
        self.cancel()
        self._child.end()
        self._status, self._result = Status(State.IDLE), None

    def _carry_out(self, job: Job) -> Iterator[bool]:
        """The run in short steps; each gives True where there is nothing to do but wait."""
        self._folder = Path(tempfile.mkdtemp(prefix="proximal-femur-seg-", dir=self._child.folder))
        for _ in write_image(job.volume, self._folder):
            yield False
        self._say(Progress("starting", overall=_SHARE_BEFORE / 2))
        self._request = self._child.ask("segment", folder=str(self._folder), options=_arguments(job))
        while not self._request.over:
            if self._request.progress is not None:
                likely = onward(self._request.progress, time.monotonic() - self._request.heard)
                self._say(_within(likely, _SHARE_BEFORE, 1 - _SHARE_AFTER))
            yield True
        if self._request.failure:
            raise ProximalFemurSegError(self._request.failure)
        self._say(Progress("loading the result", overall=1 - _SHARE_AFTER))
        for result in read_result(self._folder, job.volume):
            self._result = result
            yield False
        self._end(Status(State.DONE, Progress("done", 1, 1, 0.0, 1.0), log=self._child.log))
        yield True

    def _say(self, progress):
        # A forecast that was too good must not turn the bar back.
        reached = max(progress.overall, self._status.progress.overall)
        self._status = Status(State.RUNNING, replace(progress, overall=reached))

    def _end(self, status):
        self._status, self._steps, self._request = status, None, None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _arguments(job: Job) -> dict:
    options = asdict(job.options)
    return {"preset": options.pop("network"), **options}


def _within(progress: Progress, low: float, high: float) -> Progress:
    return replace(progress, overall=low + (high - low) * (progress.overall or 0.0))
