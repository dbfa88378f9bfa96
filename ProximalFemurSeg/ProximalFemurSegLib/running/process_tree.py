"""Start a process so that it can be ended with everything it started, and end it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

_MOST_SECONDS = 0.1


def start_process(command, **options) -> subprocess.Popen:
    """Start a command at the head of a process group of its own, without a console window.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    **options
        As of ``subprocess.Popen``.
    """
    if os.name == "nt":
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    else:
        options["start_new_session"] = True
    return subprocess.Popen(list(command), **{"stdin": subprocess.DEVNULL, **options})


def end_process_tree(process: subprocess.Popen) -> None:
    """End a process from :func:`start_process` and all that it started, at once and without a chance to tidy up.

    Returns after a tenth of a second at most, even if the system is not done with it by then: a window may be waiting.
    A launcher (such as PythonSlicer) that is ended alone would leave its child alive, holding memory and the GPU.
    """
    if os.name == "nt":
        # Windows knows no group to signal; taskkill walks the tree.
        subprocess.Popen(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
    else:
        # The head may be gone and others of the group not.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_MOST_SECONDS)
