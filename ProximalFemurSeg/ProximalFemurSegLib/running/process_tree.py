"""Start a process so that it can be ended with everything it started, and end it."""

from __future__ import annotations

import os
import signal
import subprocess

_GRACE_SECONDS = 2.0


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
    return subprocess.Popen(list(command), stdin=subprocess.DEVNULL, **options)


def end_process_tree(process: subprocess.Popen) -> None:
    """End a process from :func:`start_process` and all that it started; waits until it is gone, a few seconds at most.

    A launcher (such as PythonSlicer) that is ended alone would leave its child alive, holding memory and the GPU.
    """
    if os.name == "nt":
        # Windows knows no group to signal; taskkill walks the tree.
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=subprocess.CREATE_NO_WINDOW,
            check=False,
        )
        process.wait(timeout=_GRACE_SECONDS)
        return
    _signal_group(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    # The head may be gone and others of the group not.
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group, number):
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass
