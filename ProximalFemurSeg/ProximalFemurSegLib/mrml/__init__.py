"""The MRML layer: what the library computes, as nodes of a Slicer scene.

Works on desktop Slicer and on pip's ``slicer-core`` alike: only ``vtk`` and ``vtkMRML*`` classes are used, no Qt, no
``slicer.app`` and no ``slicer.modules``. What the two differ in comes in through an :class:`adapter.Adapter`.
"""
