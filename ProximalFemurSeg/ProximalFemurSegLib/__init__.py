"""Segmentation of the proximal femur in hip MR and CT: the library behind every face of ProximalFemurSeg.

The package stands in floors, and an import only ever points down: voxels, networks and phantoms at the bottom;
inference, evaluation and training above them; then the MRML layer; and on top the thin faces (command line,
browser, desktop Slicer). Nothing heavy is imported here.
"""

__version__ = "0.1.0"
