"""Which Python a run of the desktop module is started with."""

import subprocess
import sys
import types

import pytest

from ProximalFemurSegLib.desktop import child_command
from ProximalFemurSegLib.errors import ProximalFemurSegError


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


def test_the_command_runs_from_its_folder(slicer, monkeypatch):
    command = child_command.child_command()
    assert command[0] == sys.executable
    done = subprocess.run(
        [*command, "--version"],
        cwd=child_command.MODULE_FOLDER,
        env=child_command.child_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "proximal-femur-seg" in done.stdout
