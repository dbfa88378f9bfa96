"""What runs in Slicer imports nothing that `desktop.packages` does not ask for, and that Slicer does not bring."""

import ast
import sys
from pathlib import Path

import pytest

grimp = pytest.importorskip("grimp")

from ProximalFemurSegLib.desktop import packages  # noqa: E402

LIBRARY = "ProximalFemurSegLib"
# Of 3D Slicer itself, its application and the PyTorch extension.
SLICER = {"numpy", "slicer", "vtk", "vtkmodules", "qt", "ctk", "PythonQt", "PyTorchUtils"}
# Taken where it is installed, with scipy in its place where it is not.
OPTIONAL = {"cc3d"}
# What the panel calls, and what the child process runs, whose parts are imported by name while it runs.
ENTRIES = ("mrml", "desktop", "running", "presenter", "inference", "networks", "cli.segment")


def desktop_path():
    """Every module that the desktop can come to, also by imports within functions, and what of others they import."""
    graph = grimp.build_graph(LIBRARY, include_external_packages=True, cache_dir=None)
    entries = [f"{LIBRARY}.{entry}" for entry in ENTRIES]
    waiting = [m for m in graph.modules if any(m == entry or m.startswith(f"{entry}.") for entry in entries)]
    reached = set()
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            if module.startswith(LIBRARY):
                waiting += graph.find_modules_directly_imported_by(module)
    return reached


def test_every_package_is_slicers_or_asked_for():
    reached = desktop_path()
    foreign = {module for module in reached if not module.startswith(LIBRARY)} - set(sys.stdlib_module_names)
    assert {f"{LIBRARY}.mrml.session", f"{LIBRARY}.evaluation.cases", f"{LIBRARY}.volume_io"} <= reached
    assert foreign - SLICER - OPTIONAL == set(packages.REQUIRED), "both ways: nothing is asked for in vain"


def test_the_module_itself_imports_slicer_and_the_library_only():
    module = Path(packages.__file__).parents[2] / "ProximalFemurSeg.py"
    tree = ast.parse(module.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    assert names <= set(sys.stdlib_module_names) | SLICER | {LIBRARY, "SampleData"}
