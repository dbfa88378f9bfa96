"""Which Python a run of the desktop module is started with."""

import sys
import time
import types

import numpy as np
import pytest

from ProximalFemurSegLib.desktop import child_command, stand_in
from ProximalFemurSegLib.errors import ProximalFemurSegError
from ProximalFemurSegLib.running.child_process import ChildProcessRunner
from ProximalFemurSegLib.running.runner import Job, State


def program(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def slicer(monkeypatch, tmp_path):
    module = types.ModuleType("slicer")
    module.app = types.SimpleNamespace(slicerHome=str(tmp_path / "Slicer"))
    monkeypatch.setitem(sys.modules, "slicer", module)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return module


def test_pythonslicer_on_the_path_comes_first_then_that_of_slicers_home(slicer, tmp_path):
    at_home = program(tmp_path / "Slicer" / "bin", "PythonSlicer")
    assert child_command.python_executable() == str(at_home)
    on_path = program(tmp_path / "path", "PythonSlicer")
    assert child_command.python_executable() == str(on_path)


def test_an_executable_that_is_no_python_is_never_taken(slicer, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(program(tmp_path / "Slicer", "SlicerApp-real")))
    with pytest.raises(ProximalFemurSegError, match="PythonSlicer"):
        child_command.python_executable()


def test_the_worker_runs_from_its_folder_and_refuses_an_image_by_its_name(slicer, tmp_path):
    slicer.app.temporaryPath = str(tmp_path)
    child = child_command.create_child()
    assert child._command[0] == sys.executable
    runner = ChildProcessRunner(child)
    image = stand_in.ball_image()
    runner.start(Job(image.with_array(np.zeros_like(image.array))))
    end = time.monotonic() + 120
    while not runner.poll().over and time.monotonic() < end:
        time.sleep(0.05)
    status = runner.poll()
    runner.close()
    assert status.state is State.FAILED
    assert "'hip'" in status.message
    assert str(tmp_path) not in status.message
    assert "Traceback" not in status.log


def test_the_worker_says_what_there_is_to_run_networks_on(slicer, tmp_path):
    torch = pytest.importorskip("torch")
    slicer.app.temporaryPath = str(tmp_path)
    child = child_command.create_child()
    request = child.ask("devices")
    end = time.monotonic() + 120
    while not request.over and time.monotonic() < end:
        child.poll()
        time.sleep(0.05)
    child.end()
    assert request.reply["torch"] == torch.__version__
    cpu = request.reply["devices"][0]
    assert cpu["name"] == "cpu" and cpu["title"].startswith("CPU (")
    assert cpu["memory_gb"] > 0.5
    assert request.reply["auto"] in [device["name"] for device in request.reply["devices"]]
