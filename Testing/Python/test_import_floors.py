"""What every file of the library imports and where, read from its source: floors, light starts, Python 3.9.

The floors themselves are those that pyproject.toml lists for import-linter; this reads them without it, and looks at
what it does not: imports at file scope, followed through the package, and syntax.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "ProximalFemurSeg"
PACKAGE = "ProximalFemurSegLib"
FILES = sorted((MODULE / PACKAGE).rglob("*.py"))
HEADLESS_TOP = "resampling"  # the highest floor that knows no Slicer is the one with this module
FACES = {"slicer", "vtk", "vtkmodules", "qt", "ctk", "PythonQt", "PySide6", "trame", "trame_slicer"}
BARE = {"torch", "numpy", "scipy"}
TORCH_AT_FILE_SCOPE = ("networks", "training", "phantom", "inference")
STANDARD = set(getattr(sys, "stdlib_module_names", ())) | {"__future__"}


def module_name(path: Path) -> str:
    parts = path.relative_to(MODULE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def statements(body):
    """The statements of a file that run when it is imported; TYPE_CHECKING blocks and functions do not."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(node.orelse)
            continue
        yield node
        for inner in ("body", "orelse", "finalbody", "handlers"):
            yield from statements(getattr(node, inner, []))


def imported(source: str, name: str, is_package: bool, modules, everywhere: bool) -> set[str]:
    """Dotted names that a file imports: of the package as modules, of others as they are written."""
    tree = ast.parse(source)
    found = set()
    for node in ast.walk(tree) if everywhere else statements(tree.body):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, base] if base else parts)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in modules else base)
    return found


def imports_of(name: str, everywhere: bool) -> set[str]:
    path = MODULES[name]
    return imported(path.read_text(encoding="utf-8"), name, path.name == "__init__.py", MODULES, everywhere)


def loaded_with(name: str) -> set[str]:
    """Top-level names of everything outside the package that importing a module loads."""
    waiting, seen, outside = [name], set(), set()
    while waiting:
        module = waiting.pop()
        if module in seen or module not in MODULES:
            continue
        seen.add(module)
        # Importing a.b.c runs a and a.b as well.
        waiting += [module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)]
        for target in imports_of(module, everywhere=False):
            if target.split(".")[0] == PACKAGE:
                waiting.append(target)
            else:
                outside.add(target.split(".")[0])
    return outside - STANDARD


def read_floors() -> dict[str, int]:
    """Height of every top-level module, 0 the ground."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layers = ast.literal_eval(re.search(r"^layers = (\[.*?^\])", text, re.DOTALL | re.MULTILINE)[1])
    return {module.strip(): height for height, layer in enumerate(reversed(layers)) for module in layer.split(":")}


FLOORS = read_floors()
HEADLESS = [m for m in MODULES if m != PACKAGE and FLOORS[m.split(".")[1]] <= FLOORS[HEADLESS_TOP]]


def test_every_module_has_a_floor():
    assert {m.split(".")[1] for m in MODULES if m != PACKAGE} <= set(FLOORS)


@pytest.mark.parametrize("name", [m for m in MODULES if m != PACKAGE])
def test_imports_point_down(name):
    height = FLOORS[name.split(".")[1]]
    targets = {t.split(".")[1] for t in imports_of(name, everywhere=True) if t.startswith(PACKAGE + ".")}
    assert {t for t in targets if FLOORS[t] > height} == set()


@pytest.mark.parametrize("name", HEADLESS)
def test_two_lower_floors_know_no_slicer_no_vtk_and_no_qt(name):
    outside = {t.split(".")[0] for t in imports_of(name, everywhere=True)}
    assert outside & FACES == set()


@pytest.mark.parametrize(
    "name", [m for m in MODULES if m.split(".")[1:2] != [] and m.split(".")[1] not in TORCH_AT_FILE_SCOPE]
)
def test_torch_waits_until_it_is_used(name):
    assert "torch" not in {t.split(".")[0] for t in imports_of(name, everywhere=False)}


@pytest.mark.parametrize(
    "name",
    [PACKAGE]
    + [f"{PACKAGE}.{m}" for m in ("errors", "volume", "volume_io", "postprocessing", "thresholds", "evaluation")]
    + [f"{PACKAGE}.{m}" for m in ("models", "inference", "resampling")],
)
def test_light_modules_do_not_load_torch_by_way_of_another(name):
    assert "torch" not in loaded_with(name)


@pytest.mark.parametrize("part", ["networks", "phantom", "training"])
def test_networks_phantoms_and_training_start_on_a_bare_machine(part):
    assert loaded_with(f"{PACKAGE}.{part}") <= BARE


def test_volume_needs_numpy_alone():
    assert loaded_with(f"{PACKAGE}.volume") == {"numpy"}


@pytest.mark.parametrize("path", [*FILES, MODULE / "ProximalFemurSeg.py"], ids=lambda path: path.stem)
def test_syntax_is_that_of_python_3_9(path):
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    assert newer_than_3_9(path.read_text(encoding="utf-8")) == []


TYPES = {"int", "float", "str", "bool", "bytes", "list", "dict", "tuple", "set", "type", "object", "Path", "None"}
NEWER_KEYWORDS = {"zip": {"strict"}, "dataclass": {"slots", "kw_only"}, "dataclasses.dataclass": {"slots", "kw_only"}}
NEWER_MODULES = {"tomllib"}
NEWER_NAMES = {
    ("itertools", "pairwise"),
    ("datetime", "UTC"),
    ("enum", "StrEnum"),
    ("typing", "Self"),
    ("typing", "TypeAlias"),
}


def newer_than_3_9(source: str) -> list[str]:
    """What in a source Python 3.9 would not run, as far as its text tells."""
    try:
        tree = ast.parse(source, feature_version=(3, 9))
    except SyntaxError as error:
        return [str(error)]
    found = []
    annotations = set()
    for node in ast.walk(tree):
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            annotations.update(id(inner) for inner in ast.walk(part or ast.Pass()))
    # A newer module that may be missing, and is asked for as such, is no mistake.
    asked_for = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        and any(h.type is not None and "Error" in ast.unparse(h.type) for h in node.handlers)
        for inner in node.body
    }
    deferred = "from __future__ import annotations" in source
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.BitOr)
            and not (deferred and id(node) in annotations)
        ):
            if TYPES & {ast.unparse(side).split("[")[0] for side in (node.left, node.right)}:
                found.append(f"line {node.lineno}: union of types at run time")
        elif isinstance(node, ast.Call):
            newer = NEWER_KEYWORDS.get(ast.unparse(node.func), set()) & {k.arg for k in node.keywords}
            found += [f"line {node.lineno}: {ast.unparse(node.func)}({word}=...)" for word in newer]
        elif isinstance(node, ast.Import) and id(node) not in asked_for:
            found += [f"line {node.lineno}: {a.name}" for a in node.names if a.name in NEWER_MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += [f"line {node.lineno}: {a.name}" for a in node.names if (node.module, a.name) in NEWER_NAMES]
        elif (
            isinstance(node, ast.With)
            and len(node.items) > 1
            and source.splitlines()[node.lineno - 1].strip() == "with ("
        ):
            found.append(f"line {node.lineno}: with statement in parentheses")
    return found


# The reading itself can fail


@pytest.mark.parametrize(
    "source",
    [
        "match x:\n    case 1: pass",
        "Number = int | float",
        "isinstance(x, list | None)",
        "def f(x: int | None): pass",
        "zip(a, b, strict=True)",
        "import tomllib",
        "from itertools import pairwise",
        "with (\n    open(a) as b,\n    open(c) as d,\n):\n    pass",
    ],
)
def test_newer_syntax_is_noticed(source):
    assert newer_than_3_9(source)


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations\ndef f(x: int | None) -> str | int: pass",
        "mask = a | b",
        "zip(a, b)",
        "try:\n    import tomllib\nexcept ModuleNotFoundError:\n    pass",
    ],
)
def test_older_syntax_is_not(source):
    assert newer_than_3_9(source) == []


def test_relative_imports_are_followed():
    modules = {"P", "P.a", "P.b", "P.b.c"}
    source = "from . import a\nfrom .a import x\nfrom ..b import c\nimport torch.nn\ndef f():\n    import vtk\n"
    assert imported(source, "P.b.d", False, modules, True) == {"P.b", "P.b.a", "P.b.c", "torch.nn", "vtk"}
    assert "vtk" not in imported(source, "P.b.d", False, modules, False)
    assert imported("from .b import c", "P", True, modules, True) == {"P.b.c"}
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import vtk\nelse:\n    import slicer\n"
    assert imported(guarded, "P.a", False, modules, False) == {"typing", "slicer"}
