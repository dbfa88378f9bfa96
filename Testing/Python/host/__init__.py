"""A model of desktop Slicer: the module's own .ui and widget code on PySide6 and real MRML.

Slicer's Qt widgets are not to be had outside Slicer. This host stands in for what the module uses of them, on
PySide6, with the habits of PythonQt that a module's code depends on; the scene, its nodes and ``slicer.util`` are the
real ones of pip's ``slicer-core``. It is a model: that a test passes here shows that the module's own logic holds
together, not that the module loads in Slicer.
"""
