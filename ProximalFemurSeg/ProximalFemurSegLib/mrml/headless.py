"""A Slicer scene without Slicer's window: what code needs of desktop Slicer, set up on pip's ``slicer-core``."""

from __future__ import annotations

import tempfile
from types import SimpleNamespace

import slicer

from .adapter import Adapter

_MODULE_LOGICS = {
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Markups": "vtkSlicerMarkupsLogic",
}


class HeadlessSlicer:
    """A scene with the application and module logics that its nodes ask for.

    Keep the object for as long as the scene is used: files are read and written through it.

    Attributes
    ----------
    scene : vtkMRMLScene
        Empty but for the default colour nodes; files can be read into it and written from it (MRB too).
    application_logic : vtkSlicerApplicationLogic
    modules : types.SimpleNamespace
        ``modules.segmentations.logic()`` and so on, as ``slicer.modules`` of the desktop.
    adapter : Adapter
        For the functions of this layer.
    """

    def __init__(self):
        self.scene = slicer.vtkMRMLScene()
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.application_logic.SetMRMLScene(self.scene)
        colors = self.application_logic.GetColorLogic()
        colors.SetMRMLScene(self.scene)
        colors.AddDefaultColorNodes()
        self.application_logic.SetModuleLogic("Colors", colors)
        # The class is registered by a Slicer module that has no counterpart here.
        self.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
        self.modules = SimpleNamespace(colors=_module("Colors", colors))
        for name, class_name in _MODULE_LOGICS.items():
            self._add_logic(name, getattr(slicer, class_name)())
        self._connect_files()
        self.adapter = Adapter(self.scene)

    def _add_logic(self, name, logic):
        if hasattr(logic, "SetMRMLApplicationLogic"):
            logic.SetMRMLApplicationLogic(self.application_logic)
        logic.SetMRMLScene(self.scene)
        self.application_logic.SetModuleLogic(name, logic)
        setattr(self.modules, name.lower(), _module(name, logic))

    def _connect_files(self):
        # Reading and writing whole scenes goes through these two, even when every file is local.
        self._cache = tempfile.TemporaryDirectory(prefix="proximal-femur-seg-")
        self._remote = slicer.vtkMRMLRemoteIOLogic()
        self._remote.SetMRMLScene(self.scene)
        self._remote.GetCacheManager().SetRemoteCacheDirectory(self._cache.name)
        self._data = slicer.vtkDataIOManagerLogic()
        self._data.SetMRMLScene(self.scene)
        self._data.SetMRMLApplicationLogic(self.application_logic)
        self._data.SetAndObserveDataIOManager(self._remote.GetDataIOManager())
        self._remote.AddDataIOToScene()


def boot() -> HeadlessSlicer:
    """Set up a scene and make it ``slicer.mrmlScene``, with ``slicer.modules`` and ``slicer.applicationLogic``, so
    that functions of ``slicer.util`` written for the desktop find what they look for.

    Refused inside desktop Slicer, whose own scene it would replace.
    """
    if getattr(slicer, "app", None) is not None:
        raise RuntimeError("This is desktop Slicer: it has its own scene, and needs no other.")
    headless = HeadlessSlicer()
    slicer.mrmlScene = headless.scene
    slicer.modules = headless.modules
    slicer.applicationLogic = headless.application_logic
    return headless


def _module(name, logic):
    return SimpleNamespace(name=name, logic=lambda: logic)
