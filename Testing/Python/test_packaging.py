"""What is packaged is what is in the tree, and every description of the extension says the same."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "ProximalFemurSeg"

# Of slicer-extension-catalog-entry-schema-v1.0.1.json, in 3D Slicer's Schemas folder; it allows no other keys.
CATALOGUE_KEYS = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}


def cmake_values(path: Path) -> dict[str, list[str]]:
    """Every ``set(NAME value ...)`` of a CMake file, with ``${NAME}`` put in and comments left out."""
    text = re.sub(r"^\s*#.*$", "", path.read_text(), flags=re.MULTILINE)
    values: dict[str, list[str]] = {}
    for name, body in re.findall(r"^set\((\w+)\s+(.*?)\)\s*$", text, flags=re.MULTILINE | re.DOTALL):
        words = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', body)]
        values[name] = [re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]][0], word) for word in words]
    return values


def s4ext_values() -> dict[str, str]:
    lines = (ROOT / "ProximalFemurSeg.s4ext").read_text().splitlines()
    return dict(line.split(" ", 1) for line in lines if line.strip() and not line.startswith("#"))


def files_of_module(pattern: str) -> set[str]:
    return {
        path.relative_to(MODULE).as_posix()
        for path in MODULE.rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in path.as_posix()
    }


@pytest.mark.parametrize(
    ("name", "pattern"), [("MODULE_PYTHON_SCRIPTS", "*.py"), ("MODULE_PYTHON_RESOURCES", "Resources/**/*")]
)
def test_cmake_lists_every_file_once_and_no_other(name, pattern):
    listed = cmake_values(MODULE / "CMakeLists.txt")[name]
    in_tree = files_of_module(pattern)
    assert len(listed) == len(set(listed))
    assert set(listed) - in_tree == set(), "listed, but not in the tree"
    assert in_tree - set(listed) == set(), f"in the tree, but not listed in {name} of ProximalFemurSeg/CMakeLists.txt"


@pytest.mark.parametrize(
    ("keyword", "variable"),
    [
        ("homepage", "EXTENSION_HOMEPAGE"),
        ("category", "EXTENSION_CATEGORY"),
        ("contributors", "EXTENSION_CONTRIBUTORS"),
        ("description", "EXTENSION_DESCRIPTION"),
        ("iconurl", "EXTENSION_ICONURL"),
        ("screenshoturls", "EXTENSION_SCREENSHOTURLS"),
        ("depends", "EXTENSION_DEPENDS"),
        ("status", "EXTENSION_STATUS"),
        ("enabled", "EXTENSION_ENABLED"),
    ],
)
def test_s4ext_says_what_cmake_says(keyword, variable):
    assert s4ext_values()[keyword] == " ".join(cmake_values(ROOT / "CMakeLists.txt")[variable])


def test_catalogue_entry_keeps_to_the_schema_and_to_the_s4ext():
    entry = json.loads((ROOT / "ProximalFemurSeg.json").read_text())
    assert {"$schema", "category", "scm_url"} <= set(entry) <= set(CATALOGUE_KEYS)
    for key, value in entry.items():
        assert type(value) is CATALOGUE_KEYS[key], key
    assert 1 <= entry["tier"] <= 5

    described = s4ext_values()
    assert entry["category"] == described["category"]
    assert entry["scm_url"] == described["scmurl"]
    assert entry["scm_type"] == described["scm"]
    assert entry["scm_revision"] == described["scmrevision"]
    assert " ".join(entry["build_dependencies"]) == described["depends"]
    assert entry["build_subdirectory"] == described["build_subdirectory"]
    assert str(entry["tier"]) == described["tier"]
    assert str(int(entry["enabled"])) == described["enabled"]


def test_urls_of_pictures_name_files_of_the_repository():
    values = cmake_values(ROOT / "CMakeLists.txt")
    base = values["EXTENSION_HOMEPAGE"][0].replace("github.com", "raw.githubusercontent.com") + "/main/"
    for url in values["EXTENSION_ICONURL"] + values["EXTENSION_SCREENSHOTURLS"]:
        assert url.startswith(base)
        assert (ROOT / url[len(base) :]).is_file(), url


def test_icon_has_the_size_that_slicer_asks_for():
    with Image.open(MODULE / "Resources" / "Icons" / "ProximalFemurSeg.png") as icon:
        assert (icon.format, icon.size, icon.mode) == ("PNG", (128, 128), "RGBA")


def test_one_version_everywhere():
    import ProximalFemurSegLib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == ProximalFemurSegLib.__version__
    assert citation["license"] == "Apache-2.0"
    assert len(citation["references"]) == 5


def test_wheel_holds_the_package_the_weights_and_the_recipes(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(MODULE, source / "ProximalFemurSeg", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; {build}", str(tmp_path)], cwd=source, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    scripts = {name for name in files_of_module("*.py") if name.startswith("ProximalFemurSegLib/")}
    resources = {
        f"ProximalFemurSegLib/{folder}/{path.name}"
        for folder in ("Models", "Recipes")
        for path in (MODULE / "Resources" / folder).glob("*.*")
    }
    assert packed == scripts | resources


def test_repository_stays_small():
    # The Extensions Index asks for less than 100 MB; the weights together for less than 60 MB.
    sizes = {path: path.stat().st_size for path in files_of_module_paths()}
    assert sum(sizes.values()) < 100e6
    assert sum(size for path, size in sizes.items() if path.suffix == ".safetensors") < 60e6


def files_of_module_paths():
    return [MODULE / name for name in files_of_module("*")]
