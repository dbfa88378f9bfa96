"""The CTK and qMRML widgets that the module uses, on PySide6.

The module reaches only those of their properties, signals and slots that Slicer's and CTK's public headers have (see
strictness.py).
"""

from __future__ import annotations

import slicer
from PySide6 import QtCore, QtWidgets

from .pythonqt import connect
from .strictness import strict


def _stored(kind, name, default, changed=None):
    """A Qt property that only keeps its value."""

    def get(self):
        return self.__dict__.get("_" + name, default)

    def put(self, value):
        self.__dict__["_" + name] = value
        if changed is not None:
            changed(self)

    return QtCore.Property(kind, get, put)


class ctkCollapsibleButton(QtWidgets.QGroupBox):
    """A titled section that folds."""

    contentsCollapsed = QtCore.Signal(bool)
    connect = connect
    _COLLAPSED_HEIGHT = 22

    def _get_text(self):
        return self.title

    def _set_text(self, text):
        self.setTitle(text)

    def fold(self):
        # Slicer's own hides its children and remembers which were shown; here they are cut off, and keep their state.
        self.setMaximumHeight(self._COLLAPSED_HEIGHT if self.collapsed else 16777215)
        self.contentsCollapsed.emit(self.collapsed)

    text = QtCore.Property(str, _get_text, _set_text)
    collapsed = _stored(bool, "collapsed", False, fold)


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that show one number."""

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)
    connect = connect
    _STEPS = 10000

    def __init__(self, parent=None):
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._box = QtWidgets.QDoubleSpinBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._slider.setRange(0, self._STEPS)
        self._slider.sliderMoved.connect(self._from_slider)
        self._box.valueChanged.connect(self._from_box)

    def _from_slider(self, position):
        low, high = self._box.minimum, self._box.maximum
        self._box.setValue(low + position / self._STEPS * (high - low))

    def _from_box(self, value):
        low, high = self._box.minimum, self._box.maximum
        self._slider.setValue(round(self._STEPS * (value - low) / max(high - low, 1e-12)))
        self.valueChanged.emit(value)

    value = QtCore.Property(float, lambda s: s._box.value, lambda s, v: s._box.setValue(v))
    minimum = QtCore.Property(float, lambda s: s._box.minimum, lambda s, v: s._box.setMinimum(v))
    maximum = QtCore.Property(float, lambda s: s._box.maximum, lambda s, v: s._box.setMaximum(v))
    singleStep = QtCore.Property(float, lambda s: s._box.singleStep, lambda s, v: s._box.setSingleStep(v))
    pageStep = _stored(float, "pageStep", 1.0)
    decimals = QtCore.Property(int, lambda s: s._box.decimals, lambda s, v: s._box.setDecimals(v))
    suffix = QtCore.Property(str, lambda s: s._box.suffix, lambda s, v: s._box.setSuffix(v))
    prefix = QtCore.Property(str, lambda s: s._box.prefix, lambda s, v: s._box.setPrefix(v))
    tracking = _stored(bool, "tracking", True)


class ctkPathLineEdit(QtWidgets.QWidget):
    """A path, typed or browsed for."""

    Files, Dirs, Writable = 0x01, 0x02, 0x10
    currentPathChanged = QtCore.Signal(str)
    connect = connect

    def __init__(self, parent=None):
        super().__init__(parent)
        self._edit, browse = QtWidgets.QLineEdit(), QtWidgets.QToolButton()
        browse.setText("...")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        layout.addWidget(browse)
        self._edit.textChanged.connect(self.currentPathChanged)

    currentPath = QtCore.Property(str, lambda s: s._edit.text, lambda s, v: s._edit.setText(v))
    filters = _stored(int, "filters", 0)
    settingKey = _stored(str, "settingKey", "")
    nameFilters = _stored("QStringList", "nameFilters", [])


class qMRMLWidget(QtWidgets.QWidget):
    """The top of a module's panel: passes the scene on to the widgets that its .ui file names."""

    connect = connect

    def __init__(self, parent=None):
        super().__init__(parent)
        self.scene_receivers = []

    def setMRMLScene(self, scene):
        for receiver in self.scene_receivers:
            receiver.setMRMLScene(scene)


class qMRMLNodeComboBox(QtWidgets.QComboBox):
    """The nodes of some types in a scene; follows the scene as nodes come, go and are renamed."""

    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeAddedByUser = QtCore.Signal(object)
    connect = connect

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._tags, self._ids = None, [], []
        self._current = None
        self.activated.connect(lambda index: self._select(self._ids[index]))

    nodeTypes = _stored("QStringList", "nodeTypes", [])
    showHidden = _stored(bool, "showHidden", False)
    showChildNodeTypes = _stored(bool, "showChildNodeTypes", True)
    noneEnabled = _stored(bool, "noneEnabled", False)
    noneDisplay = _stored(str, "noneDisplay", "None")
    addEnabled = _stored(bool, "addEnabled", True)
    removeEnabled = _stored(bool, "removeEnabled", True)
    renameEnabled = _stored(bool, "renameEnabled", False)
    editEnabled = _stored(bool, "editEnabled", False)
    selectNodeUponCreation = _stored(bool, "selectNodeUponCreation", True)
    baseName = _stored(str, "baseName", "")

    def setMRMLScene(self, scene):
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent)
            self._tags = [scene.AddObserver(event, self._scene_changed) for event in events]
        self._refresh()

    def currentNode(self):
        return self._scene.GetNodeByID(self._current) if self._scene is not None and self._current else None

    def setCurrentNode(self, node):
        self._select(node.GetID() if node is not None else None)

    currentNodeID = QtCore.Property(str, lambda s: s._current or "", lambda s, v: s._select(v or None))

    def nodeCount(self):
        return len([i for i in self._ids if i])

    def _scene_changed(self, caller, event):
        if not caller.IsBatchProcessing():
            self._refresh()

    def _accepts(self, node):
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if self.showChildNodeTypes:
            return any(node.IsA(name) for name in self.nodeTypes)
        return node.GetClassName() in self.nodeTypes

    def _refresh(self):
        nodes, before = [], self._ids.index(self._current) if self._current in self._ids else None
        if self._scene is not None:
            everything = (self._scene.GetNthNode(n) for n in range(self._scene.GetNumberOfNodes()))
            nodes = [node for node in everything if self._accepts(node)]
        self._ids = ([None] if self.noneEnabled else []) + [node.GetID() for node in nodes]
        blocked = self.blockSignals(True)
        self.clear()
        self.addItems(([self.noneDisplay] if self.noneEnabled else []) + [node.GetName() for node in nodes])
        self.blockSignals(blocked)
        wanted = self._current if self._current in self._ids else None
        if wanted is None and before is not None and self._ids:
            # As in Slicer: the row after that of a node that was removed, or the last one.
            wanted = self._ids[min(before, len(self._ids) - 1)]
        if wanted is None and not self.noneEnabled and self._ids:
            # As in Slicer: without a "None" some node is always selected.
            wanted = self._ids[0]
        self._select(wanted)

    def _select(self, node_id):
        blocked = self.blockSignals(True)
        self.setCurrentIndex(self._ids.index(node_id) if node_id in self._ids else -1)
        self.blockSignals(blocked)
        node_id = node_id if node_id in self._ids else None
        if node_id != self._current:
            self._current = node_id
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(node_id or "")


class qMRMLSegmentEditorWidget(QtWidgets.QFrame):
    """Slicer's editor, without effects: it knows its nodes, and undoes what was saved for undo."""

    currentSegmentIDChanged = QtCore.Signal(str)
    segmentationNodeChanged = QtCore.Signal(object)
    sourceVolumeNodeChanged = QtCore.Signal(object)
    connect = connect

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = self._editor_node = self._segmentation = self._volume = None
        self._history, self._effect, self._tags, self._importing = None, "", [], False
        self.observed = self.shortcuts = False
        self.setFrameShape(QtWidgets.QFrame.StyledPanel)
        layout = QtWidgets.QVBoxLayout(self)
        layout.addWidget(QtWidgets.QLabel("(the Segment Editor of Slicer stands here)"))
        self.setMinimumHeight(160)

    segmentationNodeSelectorVisible = _stored(bool, "segmentationNodeSelectorVisible", True)
    sourceVolumeNodeSelectorVisible = _stored(bool, "sourceVolumeNodeSelectorVisible", True)
    switchToSegmentationsButtonVisible = _stored(bool, "switchToSegmentationsButtonVisible", True)
    maskingSectionVisible = _stored(bool, "maskingSectionVisible", True)
    undoEnabled = _stored(bool, "undoEnabled", True)
    readOnly = _stored(bool, "readOnly", False)

    def setMRMLScene(self, scene):
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        if scene is None:
            self.setMRMLSegmentEditorNode(None)
        else:
            self._tags.append(scene.AddObserver(scene.StartImportEvent, self._import_starts))
            self._tags.append(scene.AddObserver(scene.EndBatchProcessEvent, self._batch_ends))

    def _import_starts(self, caller, event):
        self._importing = True

    def _batch_ends(self, caller, event):
        # After the end of an import: Slicer's own goes back to what its hidden selector knew before.
        if self._importing and self._segmentation is not None:
            self.setSegmentationNode(None)
        self._importing = False

    def setMRMLSegmentEditorNode(self, node):
        self._editor_node = node

    def mrmlSegmentEditorNode(self):
        return self._editor_node

    def setMaximumNumberOfUndoStates(self, count):
        self._states = count

    def setSegmentationNode(self, node):
        if self._editor_node is None:
            raise RuntimeError("an editor without its node shows nothing")
        if node is self._segmentation:
            return
        self._segmentation = node
        self._editor_node.SetAndObserveSegmentationNode(node)
        self._history = None
        if node is not None:
            self._history = slicer.vtkSegmentationHistory()
            self._history.SetMaximumNumberOfStates(self._states)
            self._history.SetSegmentation(node.GetSegmentation())
        self.segmentationNodeChanged.emit(node)

    def segmentationNode(self):
        return self._segmentation

    def setSourceVolumeNode(self, node):
        self._volume = node
        self._editor_node.SetAndObserveSourceVolumeNode(node)

    def sourceVolumeNode(self):
        return self._volume

    def saveStateForUndo(self):
        self._history.SaveState()

    def undo(self):
        self._history.RestorePreviousState()

    def redo(self):
        self._history.RestoreNextState()

    def setupViewObservations(self):
        self.observed = True

    def removeViewObservations(self):
        self.observed = False

    def installKeyboardShortcuts(self, widget=None):
        self.shortcuts = True

    def uninstallKeyboardShortcuts(self):
        self.shortcuts = False

    def setActiveEffectByName(self, name):
        self._effect = name

    def activeEffect(self):
        return self._effect or None


CTK = {cls.__name__: strict(cls) for cls in (ctkCollapsibleButton, ctkPathLineEdit, ctkSliderWidget)}
QMRML = {cls.__name__: strict(cls) for cls in (qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentEditorWidget)}
