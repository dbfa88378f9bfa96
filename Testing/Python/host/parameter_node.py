"""A stand-in for ``slicer.parameterNodeWrapper``: typed fields over a real vtkMRMLScriptedModuleNode.

Texts and references are written as Slicer's serializers write them (numbers by ``str``, bool as True/False, enums by
name, nodes as references with an empty parameter of the same name), so that saved scenes are comparable.
"""

from __future__ import annotations

import enum
import typing

import slicer
import vtk


class WithinRange:
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} to {self.maximum}")


class Choice:
    def __init__(self, choices):
        self.choices = choices

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"{value} is none of {self.choices}")


class _Field:
    def __init__(self, name, annotation, default):
        self.name = name
        self.annotations = typing.get_args(annotation)[1:] if hasattr(annotation, "__metadata__") else ()
        self.type = typing.get_args(annotation)[0] if self.annotations else annotation
        self.is_node = isinstance(self.type, type) and issubclass(self.type, slicer.vtkMRMLNode)
        self.is_enum = isinstance(self.type, type) and issubclass(self.type, enum.Enum)
        if default is None and not self.is_node:
            default = list(self.type)[0] if self.is_enum else self.type()
        self.default = default

    def write(self, node, value):
        if self.is_node:
            if value is not None and not isinstance(value, self.type):
                raise TypeError(f"{self.name} is a {self.type.__name__}")
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        if not isinstance(value, (int, float) if self.type is float else self.type):
            raise TypeError(f"{self.name} is a {self.type.__name__}, not {value!r}")
        for annotation in self.annotations:
            annotation.validate(value)
        node.SetParameter(self.name, value.name if self.is_enum else str(value))

    def read(self, node):
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.is_enum:
            return self.type[text]
        return text == "True" if self.type is bool else self.type(text)


class _Wrapper:
    """What the decorator adds to a class."""

    def __init__(self, parameterNode):
        self.parameterNode = parameterNode
        self._connectors, self._tags = {}, {}
        self._updating = False
        for field in self._fields.values():
            if not parameterNode.HasParameter(field.name):
                field.write(parameterNode, field.default)

    def connectGui(self, gui):
        tag = len(self._tags)
        connectors = []
        for widget in vars(gui).values():
            name = widget.property("SlicerParameterName")
            if name:
                if name not in self._fields:
                    raise ValueError(f"Cannot find a param with the given name: {name}")
                connectors.append((name, _Connector(widget, self._fields[name], self._from_gui)))
        self._connectors[tag] = connectors
        self._to_gui()
        self._tags[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._to_gui())
        return tag

    def disconnectGui(self, tag):
        for _, connector in self._connectors.pop(tag, ()):
            connector.release()
        if tag in self._tags:
            self.RemoveObserver(self._tags.pop(tag))

    def _from_gui(self, name, value):
        if not self._updating:
            setattr(self, name, value)

    def _to_gui(self):
        if self._updating:
            return
        self._updating = True
        try:
            for connectors in self._connectors.values():
                for name, connector in connectors:
                    connector.write(getattr(self, name))
        finally:
            self._updating = False

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, was):
        return self.parameterNode.EndModify(was)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        return self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        return self.parameterNode.Modified()


class _Connector:
    """Between one widget and one field; refuses pairs that Slicer's own connectors refuse."""

    def __init__(self, widget, field, changed):
        self._widget, self._field, self._changed = widget, field, changed
        kind = type(widget).__name__
        if kind == "qMRMLNodeComboBox" and field.is_node:
            self._signal = widget.currentNodeIDChanged
            self.read, self.write = widget.currentNode, widget.setCurrentNode
        elif kind == "QComboBox" and field.is_enum:
            label = getattr(field.type, "label", lambda member: member.name)
            members = list(field.type)
            widget.clear()
            widget.addItems([label(member) for member in members])
            self._signal = widget.currentIndexChanged
            self.read = lambda: members[widget.currentIndex]
            self.write = lambda value: widget.setCurrentIndex(members.index(value))
        elif kind == "ctkSliderWidget" and field.type is float:
            bounds = [a for a in field.annotations if isinstance(a, WithinRange)]
            if not bounds:
                raise RuntimeError("Cannot have a connection to ctkSliderWidget where the float types is unbounded.")
            widget.minimum, widget.maximum = bounds[0].minimum, bounds[0].maximum
            self._signal = widget.valueChanged
            self.read = lambda: widget.value
            self.write = lambda value: setattr(widget, "value", value)
        elif kind == "QCheckBox" and field.type is bool:
            self._signal = widget.stateChanged
            self.read = lambda: widget.checked
            self.write = lambda value: setattr(widget, "checked", value)
        elif kind == "QLineEdit" and field.type is str:
            self._signal = widget.textChanged
            self.read = lambda: widget.text
            self.write = lambda value: setattr(widget, "text", value) if widget.text != value else None
        else:
            raise RuntimeError(f"Unable to create GUI connector from datatype '{field.type}' to widget type '{kind}'")
        self._signal.connect(self._on_change)

    def _on_change(self, *_):
        self._changed(self._field.name, self.read())

    def release(self):
        self._signal.disconnect(self._on_change)


def parameterNodeWrapper(cls):
    """The decorator."""
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {name: _Field(name, hint, getattr(cls, name, None)) for name, hint in hints.items()}
    for name, field in fields.items():
        setattr(
            cls,
            name,
            property(
                lambda self, f=field: f.read(self.parameterNode),
                lambda self, value, f=field: f.write(self.parameterNode, value),
            ),
        )
    members = {name: value for name, value in vars(_Wrapper).items() if not name.startswith("__")}
    for name, value in {**members, "__init__": _Wrapper.__init__, "_fields": fields}.items():
        setattr(cls, name, value)
    return cls
