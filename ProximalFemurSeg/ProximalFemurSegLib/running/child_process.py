"""A run in a child process: the window stays alive, a crash stays over there, and ending it frees everything."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import ProximalFemurSegError
from ..inference.result import SegmentationResult
from .process_tree import end_process_tree, start_process
from .progress import Progress, parse_progress
from .result_folder import read_result
from .runner import Job, Runner, State, Status

_LOG_CHARACTERS = 20_000


class ChildProcessRunner(Runner):
    """Runs ``proximal-femur-seg segment`` in a child process.

    The image goes to it and the result comes back through a temporary folder, in a thread, so that no call here makes
    a window wait.

    Parameters
    ----------
    command : sequence of str
        What to start; ``segment IMAGE --output ...`` is appended. For example
        ``[python, "-m", "ProximalFemurSegLib"]``.
    cwd : str or path, optional
        Folder to start it in.
    environment : mapping, optional
        Its whole environment; this process's if left out.
    folder : str or path, optional
        Where to make the temporary folders; the system's place if left out.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd=None,
        environment: Mapping[str, str] | None = None,
        folder=None,
    ):
        self._command = list(command)
        self._cwd = cwd
        self._environment = None if environment is None else dict(environment)
        self._folder = folder
        self._run = None

    def start(self, job: Job) -> None:
        self.cancel()
        self._run = _Run(job, self._command, self._cwd, self._environment, self._folder)
        self._run.thread.start()

    def poll(self) -> Status:
        return Status(State.IDLE) if self._run is None else self._run.status()

    def cancel(self) -> None:
        if self._run is not None:
            self._run.cancel()

    def result(self) -> SegmentationResult:
        if self._run is None or self._run.result is None:
            raise RuntimeError("There is no finished run.")
        return self._run.result

    def close(self) -> None:
        """End the run, and wait the moment until its processes and files are gone."""
        if self._run is not None:
            self._run.cancel()
            self._run.thread.join()
            self._run = None


class _Run:
    """One run: its thread writes the image, watches over the child, and reads the result."""

    def __init__(self, job, command, cwd, environment, folder):
        self.result = None
        self.thread = threading.Thread(target=self._work, name="proximal-femur-seg-run", daemon=True)
        self._job, self._command, self._cwd, self._environment = job, command, cwd, environment
        self._folder = Path(tempfile.mkdtemp(prefix="proximal-femur-seg-", dir=folder))
        self._log_path = self._folder / "log.txt"
        self._log_position, self._log_rest = 0, ""
        self._log_lines: list[str] = []
        self._progress = Progress("starting")
        self._ended: Status | None = None
        self._lock = threading.Lock()
        self._cancelled = threading.Event()

    def status(self) -> Status:
        with self._lock:
            if self._ended is not None:
                return self._ended
            if self._cancelled.is_set():
                return Status(State.CANCELLED)
            self._read_log()
            return Status(State.RUNNING, self._progress)

    def cancel(self):
        self._cancelled.set()

    def _work(self):
        try:
            status = self._carry_out()
        except ProximalFemurSegError as error:
            status = Status(State.FAILED, message=str(error))
        except Exception as error:  # the thread must always end with a word
            status = Status(
                State.FAILED, message=f"The segmentation could not be run ({type(error).__name__}: {error})."
            )
        with self._lock:
            if self._cancelled.is_set():
                status, self.result = Status(State.CANCELLED), None
            self._ended = status
        shutil.rmtree(self._folder, ignore_errors=True)

    def _carry_out(self) -> Status:
        from ..volume_io import write_volume

        image, output = self._folder / "image.nii", self._folder / "result"
        self._set_progress("writing the image")
        write_volume(self._job.volume, image)
        if self._cancelled.is_set():
            return Status(State.CANCELLED)
        self._set_progress("starting")
        arguments = ["segment", str(image), "--output", str(output), "--progress", "json"]
        code = self._wait_for_child([*self._command, *arguments, *self._job.options.arguments()])
        with self._lock:
            self._read_log(to_the_end=True)
        if self._cancelled.is_set() or code == 130:
            return Status(State.CANCELLED)
        if code != 0:
            return self._failure(code, image)
        self._set_progress("loading the result")
        self.result = read_result(output)
        return Status(State.DONE, Progress("done", 1, 1, 0.0), log=self._log())

    def _wait_for_child(self, command) -> int:
        with open(self._log_path, "wb") as log, open(self._folder / "output.txt", "wb") as output:
            process = start_process(command, stdout=output, stderr=log, cwd=self._cwd, env=self._environment)
        while True:
            try:
                return process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                if self._cancelled.is_set():
                    end_process_tree(process)
                    return process.returncode

    def _failure(self, code, image) -> Status:
        log = self._log()
        spoken = [line.strip() for line in self._log_lines if line.strip()]
        if code == 2 or (spoken and spoken[-1].startswith("Error: ")):
            # The user knows the image by its name, not by a temporary file.
            sentence = spoken[-1] if spoken else "The run was refused without a word."
            message = sentence.removeprefix("Error: ").replace(str(image), self._job.volume.name or "the image")
        elif code < 0:
            message = (
                f"The segmentation process was ended by the system (signal {-code}), most likely for want of memory; "
                "close other programs, or choose a smaller network or the CPU."
            )
        else:
            message = f"The segmentation process ended unexpectedly (exit code {code}); its log tells more."
        return Status(State.FAILED, message=message, log=log)

    def _set_progress(self, stage):
        with self._lock:
            self._progress = Progress(stage)

    def _read_log(self, to_the_end=False):
        try:
            with open(self._log_path, "rb") as log:
                log.seek(self._log_position)
                text = log.read().decode("utf-8", errors="replace")
                self._log_position = log.tell()
        except FileNotFoundError:
            return
        *lines, self._log_rest = (self._log_rest + text).split("\n")
        if to_the_end:
            lines.append(self._log_rest)
            self._log_rest = ""
        for line in lines:
            progress = parse_progress(line)
            if progress is not None:
                self._progress = progress
            elif line.strip():
                self._log_lines.append(line.rstrip("\r"))

    def _log(self) -> str:
        return "\n".join(self._log_lines)[-_LOG_CHARACTERS:]
