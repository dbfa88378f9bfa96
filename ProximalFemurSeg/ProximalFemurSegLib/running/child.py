"""A process that works for this one, request by request, and stays ready between them.

Everything here returns at once: the window's process starts it, asks, and looks from time to time at what was said.
No thread is needed, and none would run: desktop Slicer keeps Python to itself while Qt waits for events.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .process_tree import end_process_tree, start_process
from .progress import Progress, read_progress

_LOG_CHARACTERS = 20_000
_KILLED, _SIGNALS = 9, 65
_LAUNCHER_SAYS = "exit abnormally"


@dataclass(eq=False)
class Request:
    """Something that the child was asked for.

    Attributes
    ----------
    number : int
        Its number in the conversation.
    progress : Progress or None
        The last that was heard of it.
    heard : float
        When that was, on ``time.monotonic``.
    reply : dict or None
        What the child answered.
    failure : str
        Why there will be no reply, one sentence; empty otherwise.
    """

    number: int
    progress: Progress | None = None
    heard: float = 0.0
    reply: dict | None = None
    failure: str = ""

    @property
    def over(self) -> bool:
        """True if nothing more will come."""
        return self.reply is not None or bool(self.failure)


@dataclass(eq=False)
class _Life:
    """One process, from its start to its end."""

    process: subprocess.Popen
    said: Path
    position: int = 0
    rest: str = ""
    log: list = field(default_factory=list)


class Child:
    """The child process; it is started when it is first asked, and again after it ended.

    Parameters
    ----------
    command : sequence of str
        What to start; it reads requests from its standard input as :mod:`running.worker` does.
    cwd : str or path, optional
        Folder to start it in.
    environment : mapping, optional
        Its whole environment; this process's if left out.
    folder : str or path, optional
        Where to make temporary folders; the system's place if left out.
    """

    def __init__(self, command: Sequence[str], cwd=None, environment: Mapping[str, str] | None = None, folder=None):
        self.folder = folder
        self._command, self._cwd = list(command), cwd
        self._environment = None if environment is None else dict(environment)
        self._life: _Life | None = None
        self._open: dict[int, Request] = {}
        self._count = 0

    @property
    def alive(self) -> bool:
        """True if the process is there."""
        return self._life is not None and self._life.process.poll() is None

    @property
    def busy(self) -> bool:
        """True while an answer is awaited."""
        return bool(self._open)

    @property
    def log(self) -> str:
        """The last of what the process said beside its answers."""
        return "" if self._life is None else "\n".join(self._life.log)[-_LOG_CHARACTERS:]

    def ask(self, task: str, **arguments) -> Request:
        """Ask for something; requests are worked through in their order.

        Parameters
        ----------
        task : str
            One of the worker's tasks.
        **arguments
            Plain values, as JSON knows them.
        """
        self._count += 1
        request = Request(self._count)
        try:
            if not self.alive:
                self._start()
            line = json.dumps({"number": request.number, "task": task, **arguments})
            self._life.process.stdin.write(line.encode("utf-8") + b"\n")
            self._life.process.stdin.flush()
        except OSError as error:
            request.failure = f"The segmentation process could not be started ({error})."
        else:
            self._open[request.number] = request
        return request

    def poll(self) -> None:
        """Read what the process said since the last time, into its requests."""
        if self._life is None:
            return
        code = self._life.process.poll()  # before reading: what it said last must not be lost
        self._read(to_the_end=code is not None)
        if code is not None and self._open:
            for request in self._open.values():
                request.failure = _death(code, self._life.log)
            self._open.clear()

    def end(self) -> None:
        """End the process and all that it started; what it was asked for is over without an answer."""
        for request in self._open.values():
            request.failure = "The segmentation process was ended."
        self._open.clear()
        if self._life is None:
            return
        life, self._life = self._life, None
        end_process_tree(life.process)
        with contextlib.suppress(OSError):
            life.process.stdin.close()
        with contextlib.suppress(OSError):  # Windows keeps a file until nobody writes to it
            life.said.unlink()

    def _start(self):
        self.end()
        with tempfile.NamedTemporaryFile(
            prefix="proximal-femur-seg-", suffix=".log", dir=self.folder, delete=False
        ) as said:
            options = {"stdin": subprocess.PIPE, "stdout": said, "stderr": subprocess.STDOUT}
            try:
                process = start_process(self._command, cwd=self._cwd, env=self._environment, **options)
            except OSError:
                Path(said.name).unlink()
                raise
        self._life = _Life(process, Path(said.name))

    def _read(self, to_the_end):
        life = self._life
        with open(life.said, "rb") as said:
            said.seek(life.position)
            text = said.read().decode("utf-8", errors="replace")
            life.position = said.tell()
        *lines, life.rest = (life.rest + text).split("\n")
        if to_the_end:
            lines.append(life.rest)
            life.rest = ""
        for line in lines:
            if not self._take(line) and line.strip():
                life.log.append(line.rstrip("\r"))
        del life.log[:-1000]

    def _take(self, line) -> bool:
        """True if a line was part of the conversation; libraries print, too."""
        if not line.startswith('{"number"'):
            return False
        try:
            values = json.loads(line)
            request = self._open.get(values["number"])
            if request is None:
                return True
            if "progress" in values:
                request.progress, request.heard = read_progress(values["progress"]), time.monotonic()
            else:
                request.reply, request.failure = values.get("reply"), values.get("failure", "")
                del self._open[request.number]
        except (ValueError, KeyError, TypeError):
            return False
        return True


def _death(code: int, log: Sequence[str]) -> str:
    # A shell passes the signal that ended a program on as 128 more than it, Slicer's launcher only in words.
    signal = -code if code < 0 else code - 128
    if signal == _KILLED:
        return (
            f"The segmentation process was ended by the system (signal {signal}), most likely for want of memory; "
            "close other programs, or choose a smaller network or the CPU."
        )
    if 0 < signal < _SIGNALS or any(_LAUNCHER_SAYS in line for line in log[-3:]):
        return (
            "The segmentation process crashed, or was ended by the system for want of memory; its log tells more. "
            "Close other programs, or choose a smaller network or the CPU."
        )
    return f"The segmentation process ended unexpectedly (exit code {code}); its log tells more."
