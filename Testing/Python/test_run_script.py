"""``run.py`` on machines of every kind: what it installs, in which order, and what it says when it cannot."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
TORCH = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))


@pytest.fixture
def script(monkeypatch, tmp_path):
    """run.py as a module, working on a folder of its own."""
    spec = importlib.util.spec_from_file_location("run_script", ROOT / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "installed.json")
    monkeypatch.setattr(module, "account_pip_settings", lambda: {})
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    return module


@pytest.fixture
def pip(script, monkeypatch):
    """Notes what pip is asked to install, and refuses what ``refuses`` says."""
    calls = SimpleNamespace(asked=[], refuses=lambda arguments: False)

    def install(*arguments, **variables):
        calls.asked.append(arguments)
        return SimpleNamespace(returncode=int(calls.refuses(arguments)), stdout="pip's own words")

    monkeypatch.setattr(script, "pip_install", install)
    return calls


def on(monkeypatch, script, platform="linux", gpu=False):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(script, "has_nvidia_gpu", lambda: gpu)


def test_wheel_on_the_machine_comes_first(script, pip, monkeypatch):
    on(monkeypatch, script)
    script.install_torch()
    assert pip.asked == [("--no-index", "--no-deps", TORCH)]


def test_linux_without_a_gpu_gets_the_small_build(script, pip, monkeypatch):
    on(monkeypatch, script)
    pip.refuses = lambda arguments: "--no-index" in arguments
    script.install_torch()
    assert f"--index-url={script.TORCH_CPU_INDEX}" in pip.asked[-1] and pip.asked[-1][-1] == TORCH


@pytest.mark.parametrize(("platform", "gpu"), [("linux", True), ("darwin", False), ("win32", False)])
def test_others_get_the_usual_build(script, pip, monkeypatch, platform, gpu):
    on(monkeypatch, script, platform, gpu)
    pip.refuses = lambda arguments: "--no-index" in arguments
    script.install_torch()
    assert pip.asked[-1] == (TORCH,)
    assert not any("--index-url" in word for call in pip.asked for word in call)


def test_usual_build_where_the_small_one_cannot_be_had(script, pip, monkeypatch):
    on(monkeypatch, script)
    pip.refuses = lambda arguments: len(arguments) > 1
    script.install_torch()
    assert pip.asked[-1] == (TORCH,)


def test_failure_of_pip_is_said_in_its_own_words(script, pip, monkeypatch):
    on(monkeypatch, script)
    pip.refuses = lambda arguments: True
    with pytest.raises(script.SetupError, match=r"pip's own words\npip could not install torch"):
        script.install_torch()


def test_torch_comes_before_what_would_bring_another_one(script, pip, monkeypatch):
    on(monkeypatch, script)
    monkeypatch.setattr(script, "create_environment", lambda: None)
    script.install("test")
    assert [call[-1] for call in pip.asked] == [TORCH, ".[test]"]
    assert "--constraint" in pip.asked[-1] and "--editable" in pip.asked[-1]


def test_second_run_installs_nothing_until_something_changes(script, pip, monkeypatch, tmp_path):
    on(monkeypatch, script)
    monkeypatch.setattr(script, "create_environment", lambda: None)
    monkeypatch.setattr(script, "quietly", lambda *a, **k: SimpleNamespace(returncode=0, stdout=""))
    script.install("test")
    first = len(pip.asked)
    script.install("test")
    script.install("web")
    script.install("")
    assert len(pip.asked) == first, "the tests' environment has the program and the browser application in it"

    pins = tmp_path / "constraints.txt"
    pins.write_text(script.CONSTRAINTS.read_text() + "\n# changed\n")
    monkeypatch.setattr(script, "CONSTRAINTS", pins)
    script.install("")
    assert len(pip.asked) > first
    again = len(pip.asked)
    script.install("test")
    assert len(pip.asked) > again, "the program alone is not enough for the tests"


@pytest.mark.parametrize(("command", "extra", "libraries"), [("serve", "web", True), ("segment", "", False)])
def test_the_browser_application_gets_what_it_needs_and_others_do_not(script, monkeypatch, command, extra, libraries):
    asked, there = [], []
    monkeypatch.setattr(script, "install", asked.append)
    monkeypatch.setattr(script, "apt_install", lambda packages: there.append(packages) or True)
    monkeypatch.setattr(script, "replace_process", lambda line, **_: [str(part) for part in line][-2:])
    assert script.main([command, "--help"]) == [command, "--help"]
    assert asked == [extra] and there == ([script.DRAWING_LIBRARIES] if libraries else [])


def test_missing_venv_module_is_installed_or_asked_for(script, monkeypatch):
    monkeypatch.setattr(script, "find_spec", lambda name: None)
    asked = []
    monkeypatch.setattr(script, "apt_install", lambda packages: asked.append(packages))
    with pytest.raises(script.SetupError, match="sudo apt install python3-venv"):
        script.create_environment()
    assert asked == [["python3-venv"]]

    monkeypatch.setattr(script, "apt_install", lambda packages: True)
    commands = []

    def quietly(command, **variables):
        commands.append(command)
        return SimpleNamespace(returncode=0, stdout="")

    monkeypatch.setattr(script, "quietly", quietly)
    script.create_environment()
    assert commands == [[sys.executable, "-m", "venv", "--clear", script.VENV]]


def test_system_packages_need_root(script, monkeypatch):
    monkeypatch.setattr(script.shutil, "which", lambda name: f"/usr/bin/{name}")
    present = {"there"}
    commands = []

    def quietly(command, **variables):
        commands.append(command[0])
        if command[0] == "dpkg-query":
            return SimpleNamespace(returncode=0, stdout="install ok installed" if command[-1] in present else "")
        present.update(command[command.index("--no-install-recommends") + 1 :])
        return SimpleNamespace(returncode=0, stdout="")

    monkeypatch.setattr(script, "quietly", quietly)
    monkeypatch.setattr(script.os, "geteuid", lambda: 1000, raising=False)
    assert script.apt_install(["there"]) is True
    assert script.apt_install(["there", "missing"]) is False
    assert "apt-get" not in commands
    monkeypatch.setattr(script.os, "geteuid", lambda: 0, raising=False)
    assert script.apt_install(["there", "missing"]) is True
    assert commands.count("apt-get") == 1


def test_environment_of_the_caller_does_not_mislead(script, monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    kept = script.environment()
    assert "/elsewhere" not in kept.values()
    assert kept["PIP_FIND_LINKS"] == "/wheels"


def test_old_python_is_refused_in_words(script, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(script.SetupError, match=r"needs Python 3\.11 or later"):
        script.main(["demo"])


def test_help_needs_nothing_installed():
    run = subprocess.run([sys.executable, "-I", str(ROOT / "run.py"), "--help"], capture_output=True, text=True)
    assert run.returncode == 0
    assert "run.py demo" in run.stdout and "run.py test" in run.stdout


def test_readme_and_continuous_integration_use_the_same_command():
    assert "python3 run.py test" in (ROOT / ".ci" / "run").read_text()
    readme = (ROOT / "README.md").read_text()
    assert readme.index("\npython3 run.py demo\n") < readme.index("\npython3 run.py test\n")
