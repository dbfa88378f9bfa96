"""The library stands in floors: imports point down, and a face starts without what only its work needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "ProximalFemurSeg"


def test_imports_keep_to_the_contracts_of_pyproject():
    cli = pytest.importorskip("importlinter.cli")
    arguments = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    result = CliRunner().invoke(cli.lint_imports_command, arguments)
    assert result.exit_code == 0, result.output


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh Python has loaded after a statement."""
    code = f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_command_line_starts_without_what_only_its_commands_need():
    heavy = {"torch", "SimpleITK", "scipy", "PIL", "numpy", "slicer", "vtk"}
    assert loaded_by("import ProximalFemurSegLib.cli") & heavy == set()


def test_volume_needs_numpy_alone():
    assert loaded_by("import ProximalFemurSegLib.volume") & {"torch", "SimpleITK", "scipy", "vtk", "slicer"} == set()
    assert "numpy" in loaded_by("import ProximalFemurSegLib.volume")


@pytest.mark.parametrize("module", ["volume_io", "resampling", "preview", "models", "inference"])
def test_floors_one_and_two_load_neither_slicer_nor_qt(module):
    present = loaded_by(f"import ProximalFemurSegLib.{module}")
    assert present & {"slicer", "vtk", "vtkmodules", "qt", "ctk", "PySide6"} == set()


def test_lint_notices_an_import_that_points_up(tmp_path, monkeypatch):
    """The contract itself can fail: the same rules on a copy of the package whose volume imports the command line."""
    import shutil

    cli = pytest.importorskip("importlinter.cli")
    shutil.copytree(LIBRARY / "ProximalFemurSegLib", tmp_path / "ProximalFemurSegLib")
    volume = tmp_path / "ProximalFemurSegLib" / "volume.py"
    volume.write_text(volume.read_text() + "\nfrom .cli import main\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        f"from {cli.__name__} import lint_imports; "
        f"sys.exit(lint_imports(config_filename={str(ROOT / 'pyproject.toml')!r}, no_cache=True))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert run.returncode != 0
    assert "ProximalFemurSegLib.volume -> ProximalFemurSegLib.cli" in run.stdout
