"""What the tests of the command line share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from ProximalFemurSegLib.cli import main

LIBRARY = Path(__file__).resolve().parents[2] / "ProximalFemurSeg"


def invoke(*arguments):
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def start(*arguments, **variables):
    """Start the program in a process of its own, with pipes for its output."""
    return subprocess.Popen(
        [sys.executable, "-m", "ProximalFemurSegLib", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(LIBRARY), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Shells start background jobs deaf to Ctrl-C, and a test suite may be one.
        preexec_fn=None if os.name == "nt" else lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def assert_refused(result, *words):
    """Exit status 2, and one sentence on standard error that says certain words."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ") and line.endswith((".", ")"))
    for word in words:
        assert word in line


def files_in(folder):
    """Every file and folder below a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
