"""PySide6 with the habits of PythonQt: the ``qt`` module of desktop Slicer.

What differs between the two, and is bridged here:

- PythonQt has one flat namespace, PySide6 three modules.
- In PythonQt a Qt property is an attribute: ``button.enabled = True``, ``slider.value`` without parentheses. Setters
  (``setEnabled``) are there besides. Calling the property, ``slider.value()``, fails in PythonQt, and here.
- PythonQt connects by signature, ``button.connect("clicked(bool)", f)``, and drops arguments that ``f`` does not take.
- ``widget.name`` is the object name.
"""

from __future__ import annotations

import inspect
import types
import xml.etree.ElementTree as ElementTree
from functools import cache

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

# Virtual methods that happen to share their name with a property; Qt itself calls them.
_VIRTUAL = {"sizeHint", "minimumSizeHint"}


class _PropertyAsAttribute:
    """Reads as the property's value on an object, as the plain method on the class (``QTimer.singleShot``)."""

    def __init__(self, name, getter):
        self.name, self.getter = name, getter

    def __get__(self, instance, owner=None):
        return self.getter if instance is None else self.getter(instance)

    def __set__(self, instance, value):
        if not instance.setProperty(self.name, value):
            raise AttributeError(f"{type(instance).__name__}.{self.name} cannot be set to {value!r}")


def _make_properties_attributes(cls):
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        getter = getattr(cls, name, None) or getattr(cls, "is" + name[:1].upper() + name[1:], None)
        if callable(getter) and name not in _VIRTUAL:
            setattr(cls, name, _PropertyAsAttribute(name, getter))


def connect(self, signature, slot):
    """``sender.connect("signal(type,...)", slot)``, the slot called with no more arguments than it takes."""
    name, _, arguments = signature.partition("(")
    signal = getattr(self, name, None)
    if signal is None or not hasattr(signal, "connect"):
        raise AttributeError(f"{type(self).__name__} has no signal {signature}")
    arguments = arguments.rstrip(")").strip()
    declared = arguments.count(",") + 1 if arguments else 0
    takes = _number_of_arguments(slot)

    def call(*values):
        values = values[:declared]
        return slot(*(values if takes is None else values[:takes]))

    signal.connect(call)
    return True


def _refuse_absent_columns():
    """Qt 5 without assertions writes beyond its memory where a column of a table is not there: fail here instead."""
    header = QtWidgets.QHeaderView
    unguarded = header.setSectionResizeMode

    def guarded(self, *arguments):
        if len(arguments) == 2 and not 0 <= arguments[0] < self.count():
            raise IndexError(f"the table has {self.count()} columns, there is no column {arguments[0]}")
        unguarded(self, *arguments)

    header.setSectionResizeMode = guarded


def _number_of_arguments(function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


@cache
def qt_module():
    """The ``qt`` module; as in Slicer there is one in a process, and what imported it keeps it."""
    module = types.ModuleType("qt")
    for source in (QtCore, QtGui, QtWidgets):
        for name in dir(source):  # dir, not vars: PySide6 makes its classes when they are asked for
            if not name.startswith("_"):
                setattr(module, name, getattr(source, name))
    _refuse_absent_columns()
    for value in list(vars(module).values()):
        if inspect.isclass(value) and issubclass(value, QtCore.QObject):
            _make_properties_attributes(value)
    QtCore.QObject.name = property(lambda self: self.property("objectName"), lambda self, v: self.setObjectName(v))
    # PySide6 finds QObject.connect by itself and ignores one set on its classes; a subclass in Python has its own.
    for name, value in list(vars(module).items()):
        if inspect.isclass(value) and issubclass(value, QtCore.QObject) and name not in ("QObject", "QWidget"):
            try:
                setattr(module, name, type(name, (value,), {"connect": connect}))
            except TypeError:
                continue
    return module


class UiLoader(QtUiTools.QUiLoader):
    """Loads a .ui file with the host's own classes, and wires the scene to the MRML widgets as the file says."""

    def __init__(self, qt, custom_widgets):
        super().__init__()
        self._qt, self._custom = qt, custom_widgets

    def createWidget(self, class_name, parent=None, name=""):
        cls = self._custom.get(class_name) or getattr(self._qt, class_name, None)
        if cls is None:
            raise RuntimeError(f"the test host does not provide {class_name}")
        widget = cls(parent)
        widget.setObjectName(name)
        return widget

    def load(self, file, parent=None):
        root = ElementTree.parse(file.fileName()).getroot()
        widget = super().load(file, parent)
        receivers = [c.findtext("receiver") for c in root.iter("connection") if "setMRMLScene" in c.findtext("slot")]
        widget.scene_receivers = [widget.findChild(QtCore.QObject, name) for name in receivers]
        for class_element in root.iter("widget"):
            self._check_properties(widget, class_element)
        for child in widget.findChildren(QtWidgets.QWidget):
            if hasattr(child, "fold"):
                # The file says "collapsed" before the section has any content.
                child.fold()
        return widget

    @staticmethod
    def _check_properties(top, element):
        """Refuse a property that the widget does not have: Slicer would only print a warning nobody sees."""
        name = element.get("name")
        widget = top if top.objectName == name else top.findChild(QtCore.QObject, name)
        for entry in element.findall("property"):
            dynamic = entry.get("stdset") == "0"
            # Qt's loader itself makes a label's buddy, which is no property.
            known = entry.get("name") == "buddy" or widget.metaObject().indexOfProperty(entry.get("name")) >= 0
            if not dynamic and not known:
                raise RuntimeError(f"{element.get('class')} {name} has no property {entry.get('name')}")
