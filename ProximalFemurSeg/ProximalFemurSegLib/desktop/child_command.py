"""How desktop Slicer starts the process that works for the panel."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ..errors import ProximalFemurSegError
from ..running.child import Child

MODULE_FOLDER = Path(__file__).resolve().parents[2]


def python_executable() -> str:
    """Slicer's own Python, which sees the packages that Slicer sees.

    Raises
    ------
    ProximalFemurSegError
        If there is none.
    """
    import slicer

    home = getattr(slicer.app, "slicerHome", "")
    suffix = ".exe" if os.name == "nt" else ""
    candidates = [
        shutil.which("PythonSlicer"),
        str(Path(home, "bin", f"PythonSlicer{suffix}")) if home else None,
        # Slicer sets it to its PythonSlicer; outside of Slicer it is the Python that runs this.
        sys.executable,
    ]
    for candidate in candidates:
        if candidate and "python" in Path(candidate).name.lower() and os.access(candidate, os.X_OK):
            return candidate
    raise ProximalFemurSegError("Slicer's Python (PythonSlicer) was not found; reinstall Slicer.")


def child_command() -> list[str]:
    """Program and arguments of the worker, to be started in :data:`MODULE_FOLDER`."""
    return [python_executable(), "-m", "ProximalFemurSegLib.desktop.worker"]


def create_child() -> Child:
    """The process that works for the panel; it is not started before it is asked for something."""
    import slicer

    folder = slicer.app.temporaryPath
    return Child(child_command(), cwd=MODULE_FOLDER, environment=child_environment(), folder=folder)


def child_environment() -> dict:
    """The environment of a child: this process's, its output unbuffered and in UTF-8."""
    environment = dict(os.environ)
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8"
    return environment
