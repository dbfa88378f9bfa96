"""The host itself: puts the stand-ins where a module looks for Slicer, opens the module, and takes all away again."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
import types
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
import slicer.util
from PySide6 import QtCore, QtWidgets

from ProximalFemurSegLib.mrml.headless import HeadlessSlicer

from . import mrml_widgets, parameter_node, pythonqt, scripted_module

MODULE_FOLDER = Path(__file__).resolve().parents[3] / "ProximalFemurSeg"


class FakeApplication:
    """``slicer.app``: an event loop, no window."""

    def __init__(self, qapplication):
        self._qapplication = qapplication
        self.temporaryPath = QtCore.QDir.tempPath()
        self.startup, self.paused = [], 0

    def pauseRender(self):
        self.paused += 1

    def resumeRender(self):
        assert self.paused > 0, "nothing was paused"
        self.paused -= 1

    def processEvents(self, *arguments):
        self._qapplication.processEvents()

    def testingEnabled(self):
        return False

    def layoutManager(self):
        return None

    def clipboard(self):
        return self._qapplication.clipboard()

    def setOverrideCursor(self, cursor):
        pass

    def restoreOverrideCursor(self):
        pass

    def connect(self, signature, function):
        # startupCompleted() comes once, before any module is opened.
        self.startup.append((signature, function))

    def translate(self, context, text):
        return text

    def moduleManager(self):
        return types.SimpleNamespace(connect=lambda *arguments: True, disconnect=lambda *arguments: True)


class Said:
    """What the module told the user in dialogs and the status bar, and what the user answers."""

    def __init__(self):
        self.errors, self.infos, self.questions, self.status = [], [], [], []
        self.answer = True
        self.path = ""


class Host:
    """A running model of Slicer; use :func:`running`.

    Attributes
    ----------
    scene : vtkMRMLScene
    said : Said
    qt : module
    """

    def __init__(self, headless, qapplication, qt, said):
        self.headless, self.scene, self.qt, self.said = headless, headless.scene, qt, said
        self._qapplication = qapplication
        self._open = []

    def process_events(self, milliseconds=0):
        """Let timers fire and signals arrive, for at least so long."""
        end = QtCore.QElapsedTimer()
        end.start()
        while True:
            self._qapplication.processEvents()
            if end.elapsed() >= milliseconds:
                return
            QtCore.QThread.msleep(2)

    def wait_for(self, look, seconds=20):
        """Process events until ``look()`` is true."""
        end = QtCore.QElapsedTimer()
        end.start()
        while not look():
            if end.elapsed() > seconds * 1000:
                raise AssertionError("it never came")
            self.process_events(5)

    def load_module(self, name="ProximalFemurSeg"):
        """Import the module's main file as Slicer does, anew."""
        path = MODULE_FOLDER / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def open_module(self, name="ProximalFemurSeg"):
        """The module's widget, set up and entered."""
        module = sys.modules.get(name) or self.load_module(name)
        parent = QtWidgets.QWidget()
        QtWidgets.QVBoxLayout(parent)
        parent.isEntered = True
        widget = getattr(module, f"{name}Widget")(parent)
        widget.setup()
        widget.enter()
        self._open.append((widget, parent))
        self.process_events()
        return widget

    def widget(self):
        """The widget of the module opened last."""
        return self._open[-1][0]

    def close_modules(self):
        for widget, parent in self._open:
            widget.exit()
            widget.cleanup()
            parent.deleteLater()
        self._open.clear()
        self.process_events()


@contextlib.contextmanager
def running(slicer_python=None):
    """A host for the length of a ``with`` block; afterwards slicer is as it was before.

    Parameters
    ----------
    slicer_python : path-like, optional
        Folder ``Base/Python/slicer`` of a local copy of Slicer's source: its own ``ScriptedLoadableModule``, ``i18n``
        and ``parameterNodeWrapper`` then take the place of this host's.
    """
    qapplication = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    qt = pythonqt.qt_module()
    custom = {**mrml_widgets.CTK, **mrml_widgets.QMRML}
    qt.QSettings = _settings(tempfile.mkdtemp(prefix="settings-"))
    qt.QUiLoader = lambda: pythonqt.UiLoader(qt, custom)
    ctk = types.ModuleType("ctk")
    vars(ctk).update(mrml_widgets.CTK)
    said = Said()
    # PythonQt gives the path alone.
    qt.QFileDialog = types.SimpleNamespace(
        getSaveFileName=lambda *arguments: said.path, getExistingDirectory=lambda *arguments: said.path
    )
    headless = HeadlessSlicer()
    host = Host(headless, qapplication, qt, said)
    own = _own_modules() if slicer_python is None else {}
    modules = {"qt": qt, "ctk": ctk, **{f"slicer.{name}": module for name, module in own.items()}}
    attributes = {
        "mrmlScene": headless.scene,
        "modules": headless.modules,
        "app": FakeApplication(qapplication),
        "applicationLogic": headless.application_logic,
        **own,
        **mrml_widgets.QMRML,
    }
    utilities = {
        "errorDisplay": lambda text, *a, **k: said.errors.append((text, k.get("detailedText", ""))),
        "infoDisplay": lambda text, *a, **k: said.infos.append(text),
        "warningDisplay": lambda text, *a, **k: said.infos.append(text),
        "confirmOkCancelDisplay": lambda text, *a, **k: (said.questions.append(text), said.answer)[1],
        "confirmYesNoDisplay": lambda text, *a, **k: (said.questions.append(text), said.answer)[1],
        "showStatusMessage": lambda text, *a: said.status.append(text),
        "selectModule": lambda name: None,
        "getModuleWidget": lambda name: host.widget(),
        "modulePath": lambda name: str(MODULE_FOLDER / f"{name}.py"),
        "mainWindow": lambda: None,
    }
    with _set(sys.modules, modules, dict.get, dict.__setitem__, dict.pop), _attributes(slicer, attributes):
        with _attributes(slicer.util, utilities), _upstream(slicer_python, ctk):
            try:
                yield host
            finally:
                host.close_modules()
                sys.modules.pop("ProximalFemurSeg", None)


def _settings(folder):
    """``qt.QSettings`` of a user who starts afresh."""
    return lambda: QtCore.QSettings(os.path.join(folder, "Slicer.ini"), QtCore.QSettings.IniFormat)


def _own_modules():
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    for name in ("parameterNodeWrapper", "WithinRange", "Choice"):
        setattr(wrapper, name, getattr(parameter_node, name))
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr, i18n.translate = (lambda text: text), (lambda context, text: text)
    return {"ScriptedLoadableModule": scripted_module, "parameterNodeWrapper": wrapper, "i18n": i18n}


@contextlib.contextmanager
def _upstream(folder, ctk):
    """Slicer's own Python packages from a local copy of its source, found after those of slicer-core."""
    if folder is None:
        yield
        return
    # Slicer's connectors ask of every widget whether it is one of these; none of the host's is.
    absent = {}

    def unknown_class(name):
        if not name.startswith(("ctk", "qMRML")):
            raise AttributeError(name)
        return absent.setdefault(name, type(name, (), {}))

    ctk.__getattr__ = unknown_class
    names = ("qMRMLSliderWidget", "qMRMLSpinBox", "qMRMLRangeWidget", "qMRMLSubjectHierarchyTreeView")
    slicer.__path__.append(str(folder))
    loaded = set(sys.modules)
    try:
        with _attributes(slicer, {name: unknown_class(name) for name in names}):
            yield
    finally:
        slicer.__path__.remove(str(folder))
        for name in set(sys.modules) - loaded:
            if name.startswith("slicer."):
                del sys.modules[name]
                vars(slicer).pop(name.split(".")[1], None)


@contextlib.contextmanager
def _set(target, values, get, put, drop):
    before = {name: get(target, name) for name in values}
    for name, value in values.items():
        put(target, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                drop(target, name)
            else:
                put(target, name, value)


def _attributes(target, values):
    return _set(target, values, lambda t, n: vars(t).get(n), setattr, delattr)
