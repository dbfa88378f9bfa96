"""A run in this very process: for tests, batch work and scripts, where nobody waits for a window to be drawn."""

from __future__ import annotations

import traceback

from ..errors import CancelledError, ProximalFemurSegError
from ..inference.result import SegmentationResult
from .progress import Progress
from .runner import Job, Runner, State, Status


class InProcessRunner(Runner):
    """Runs to the end inside :meth:`start`.

    Parameters
    ----------
    segment : callable, optional
        Used instead of ``inference.segment``; same arguments.
    on_progress : callable, optional
        Called with a :class:`Status` at every step; calling :meth:`cancel` in it ends the run.
    """

    def __init__(self, segment=None, on_progress=None):
        self._segment = segment
        self._on_progress = on_progress or (lambda status: None)
        self._status = Status(State.IDLE)
        self._result = None
        self._cancelled = False

    def start(self, job: Job) -> None:
        self._cancelled, self._result = False, None
        self._set(Status(State.RUNNING, Progress("starting")))
        try:
            self._result = self._run(job)
        except CancelledError:
            self._set(Status(State.CANCELLED))
        except ProximalFemurSegError as error:
            self._set(Status(State.FAILED, message=str(error), log=traceback.format_exc()))
        except Exception as error:  # a face must live on, whatever went wrong in a network
            message = f"The segmentation ended with an unexpected error ({type(error).__name__}: {error})."
            self._set(Status(State.FAILED, message=message, log=traceback.format_exc()))
        else:
            self._set(Status(State.DONE, Progress("done", 1, 1, 0.0)))

    def poll(self) -> Status:
        return self._status

    def cancel(self) -> None:
        self._cancelled = True

    def result(self) -> SegmentationResult:
        if self._result is None:
            raise RuntimeError("There is no finished run.")
        return self._result

    def _run(self, job):
        segment = self._segment
        if segment is None:
            from ..inference import segment
        options = job.options
        return segment(
            job.volume,
            preset=options.network,
            modality=options.modality,
            side=options.side,
            device=options.device,
            threshold=options.threshold,
            postprocess=options.postprocess,
            uncertainty=options.uncertainty,
            progress=lambda stage, done, total: self._set(Status(State.RUNNING, Progress(stage, done, total))),
            cancelled=lambda: self._cancelled,
        )

    def _set(self, status):
        self._status = status
        self._on_progress(status)
