"""``serve`` with a stand-in for the networks; arguments as the command's."""

import os
import sys
from pathlib import Path

from ProximalFemurSegLib.cli import program
from ProximalFemurSegLib.running.child import Child
from ProximalFemurSegLib.web import application

LIBRARY = Path(__file__).resolve().parents[2] / "ProximalFemurSeg"


def create_child():
    worker = Path(__file__).with_name("stand_in_worker.py")
    return Child([sys.executable, str(worker)], environment={**os.environ, "PYTHONPATH": str(LIBRARY)})


if __name__ == "__main__":
    application.create_child = create_child
    program()
