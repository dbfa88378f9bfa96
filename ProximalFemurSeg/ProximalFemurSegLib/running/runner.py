"""What a face asks of whatever carries out a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum

from ..inference.result import SegmentationResult
from ..volume import Volume
from .options import RunOptions
from .progress import Progress


@dataclass(frozen=True)
class Job:
    """One image and what is asked of it.

    Attributes
    ----------
    volume : Volume
        The image; its array may be shared with the scene and is only read.
    options : RunOptions
        What to do with it.
    """

    volume: Volume
    options: RunOptions = field(default_factory=RunOptions)


class State(Enum):
    """Where a run stands."""

    IDLE = "idle"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class Status:
    """A look at a run.

    Attributes
    ----------
    state : State
    progress : Progress
        The last that was heard of it.
    message : str
        Why it failed, one sentence for the user; empty otherwise.
    log : str
        What the run said besides, for whoever has to find the cause.
    """

    state: State
    progress: Progress = Progress("")
    message: str = ""
    log: str = ""

    @property
    def over(self) -> bool:
        """True if nothing more will come of the run."""
        return self.state in (State.DONE, State.CANCELLED, State.FAILED)


class Runner(ABC):
    """Carries out one run at a time; no call blocks longer than a moment unless it says so."""

    @abstractmethod
    def start(self, job: Job) -> None:
        """Begin; a run that is still going is cancelled first."""

    @abstractmethod
    def poll(self) -> Status:
        """Look at the run."""

    @abstractmethod
    def cancel(self) -> None:
        """End the run and everything it started; nothing is kept of it."""

    @abstractmethod
    def result(self) -> SegmentationResult:
        """What came of the run; only when its state is done."""

    def rest(self) -> None:
        """Nobody will ask for a run soon: give back memory and GPU, if nothing is running."""
        return

    def close(self) -> None:
        """Give back processes and files."""
        self.cancel()
