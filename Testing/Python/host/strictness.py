"""Only what Slicer's and CTK's public headers offer: a call that desktop Slicer does not have fails here, too.

The lists are in ``public_api.json``, which says from which headers and commits they are; ``Testing/
read_public_headers.py`` makes it.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

from PySide6 import QtCore, QtWidgets

API = json.loads(Path(__file__).with_name("public_api.json").read_text(encoding="utf-8"))["classes"]
_MODULE = f"{Path(__file__).resolve().parents[3] / 'ProximalFemurSeg'}/"
_KINDS = ("properties", "slots", "signals", "invokables")
# PythonQt's own, on every object.
_PYTHONQT = {"connect", "disconnect", "name", "delete", "className", "setProperty", "property"}


@cache
def public_names(name: str) -> frozenset:
    """Everything that PythonQt reaches on an object of a class of the lists."""
    found = set(_PYTHONQT)
    while name in API:
        entry = API[name]
        found.update(*(entry[kind] for kind in _KINDS))
        name = entry["base"]
    qt_class = getattr(QtWidgets, name, None) or getattr(QtCore, name, None) or QtCore.QObject
    meta = qt_class.staticMetaObject
    found.update(meta.property(index).name() for index in range(meta.propertyCount()))
    return frozenset(found | {attribute for attribute in dir(qt_class) if not attribute.startswith("_")})


def _check(cls, attribute):
    caller = sys._getframe(2).f_code.co_filename
    if attribute.startswith("__") or not caller.startswith(_MODULE):
        return
    if attribute not in public_names(cls.__name__):
        header = API[cls.__name__]["header"]
        raise AttributeError(f"{cls.__name__} of Slicer has no '{attribute}' ({header}); {caller} asks for it")


def strict(cls):
    """A stand-in that lets the module reach only what the class of the same name has in Slicer."""

    def get(self, attribute):
        _check(cls, attribute)
        return base_get(self, attribute)

    def put(self, attribute, value):
        _check(cls, attribute)
        base_put(self, attribute, value)

    base_get, base_put = cls.__getattribute__, cls.__setattr__
    cls.__getattribute__, cls.__setattr__ = get, put
    return cls


class Recorded:
    """A strict stand-in for an object of Slicer without a life of its own: remembers calls, gives prepared answers.

    Parameters
    ----------
    class_name : str
        Of the lists.
    **answers
        What an attribute is, or what a call of it gives.
    """

    def __init__(self, class_name, **answers):
        unknown = set(answers) - public_names(class_name)
        if unknown:
            raise AttributeError(f"{class_name} of Slicer has no {sorted(unknown)}")
        self._class_name, self._answers, self.calls = class_name, answers, []

    def __getattr__(self, attribute):
        if attribute not in public_names(self._class_name):
            raise AttributeError(f"{self._class_name} of Slicer has no '{attribute}'")
        if attribute in self._answers and not callable(self._answers[attribute]):
            return self._answers[attribute]

        def call(*arguments):
            self.calls.append((attribute, *arguments))
            return self._answers[attribute](*arguments) if attribute in self._answers else None

        return call
