"""What is missing is asked for, never installed unasked."""

import subprocess
import sys
import types

import pytest

from ProximalFemurSegLib.desktop import packages
from ProximalFemurSegLib.errors import ProximalFemurSegError


class Installer:
    """Stands in for slicer.packaging and slicer.util: installs nothing, remembers what was asked."""

    def __init__(self, monkeypatch, missing, answer=True, old=False, fails=None):
        self.missing, self.answer, self.installed, self.questions = list(missing), answer, [], []
        self.fails = fails
        monkeypatch.setattr(packages, "missing_packages", lambda: list(self.missing))
        slicer = types.ModuleType("slicer")
        slicer.util = types.SimpleNamespace(confirmOkCancelDisplay=self.ask, pip_install=self.install)
        monkeypatch.setitem(sys.modules, "slicer", slicer)
        packaging = types.ModuleType("slicer.packaging")
        packaging.pip_ensure = self.ensure
        if old:
            monkeypatch.setitem(sys.modules, "slicer.packaging", None)
        else:
            monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
        extension = types.ModuleType("PyTorchUtils")
        extension.PyTorchUtilsLogic = lambda: types.SimpleNamespace(installTorch=self.torch)
        monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)

    def ask(self, question):
        self.questions.append(question)
        return self.answer

    def install(self, requirements):
        if self.fails:
            raise self.fails
        self.installed += requirements.split()
        self.missing.clear()

    def ensure(self, requirements, requester=None):
        if not self.answer:
            raise RuntimeError("User declined package installation")
        self.install(" ".join(requirements))

    def torch(self, askConfirmation=False):
        assert self.questions and not askConfirmation, "torch is large: never without asking, nor twice"
        if self.fails:
            raise self.fails
        self.installed.append("torch")
        self.missing.remove("torch")
        return object()


def test_nothing_is_asked_when_nothing_is_missing(monkeypatch):
    installer = Installer(monkeypatch, [])
    assert packages.ensure_packages() is True
    assert (installer.installed, installer.questions) == ([], [])


def test_torch_comes_through_the_pytorch_extension_and_the_rest_through_slicer(monkeypatch):
    installer = Installer(monkeypatch, ["torch", "click", "PIL"])
    assert packages.ensure_packages() is True
    assert installer.installed == ["torch", "click", "pillow"]
    assert len(installer.questions) == 1 and "2 to 3 GB" in installer.questions[0]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("missing", [["torch"], ["click"]])
def test_declining_installs_nothing(monkeypatch, missing, old):
    installer = Installer(monkeypatch, missing, answer=False, old=old)
    assert packages.ensure_packages() is False
    assert installer.installed == []


def test_a_slicer_without_packaging_is_asked_in_the_old_way(monkeypatch):
    installer = Installer(monkeypatch, ["click", "safetensors"], old=True)
    assert packages.ensure_packages() is True
    assert installer.installed == ["click", "safetensors"]
    assert "click, safetensors" in installer.questions[0]


def test_without_the_pytorch_extension_the_message_names_it(monkeypatch):
    Installer(monkeypatch, ["torch"])
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(ProximalFemurSegError, match="extension 'PyTorch'"):
        packages.ensure_packages()


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(("missing", "name"), [("torch", "PyTorch"), ("click", "click")])
def test_an_installation_that_fails_says_so_and_what_to_look_at(monkeypatch, missing, name, old):
    Installer(monkeypatch, [missing], fails=subprocess.CalledProcessError(1, "pip install"), old=old)
    with pytest.raises(ProximalFemurSegError) as refusal:
        packages.ensure_packages()
    message = str(refusal.value)
    assert message.startswith(f"{name} could not be installed (Command 'pip install' returned non-zero exit status 1).")
    assert "internet" in message and "works without it" in message


def test_what_is_missing_is_found_without_importing(monkeypatch):
    monkeypatch.setattr(packages, "REQUIRED", {"json": "json", "no_such_package_here": "nothing"})
    assert packages.missing_packages() == ["no_such_package_here"]
