"""Surfaces come from the child process, and only for masks that are still the same."""

import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed: the MRML layer is not tested here")

import ProximalFemurSegLib  # noqa: E402
from mrml_scenes import headless, make_labels, scene  # noqa: E402, F401
from ProximalFemurSegLib.desktop import surface_maker  # noqa: E402
from ProximalFemurSegLib.desktop.surface_maker import SurfaceMaker  # noqa: E402
from ProximalFemurSegLib.mrml.segmentation_node import mark_automatic, update_surface, write_labels  # noqa: E402
from ProximalFemurSegLib.running.child import Child  # noqa: E402
from test_mrml_surfaces import SEGMENTS, segmentation, surface  # noqa: E402


@pytest.fixture
def child(tmp_path):
    folder = Path(ProximalFemurSegLib.__file__).parents[1]
    child = Child([sys.executable, "-m", "ProximalFemurSegLib.desktop.worker"], cwd=folder, folder=tmp_path)
    yield child
    child.end()


def wait(child, maker):
    end = time.monotonic() + 120
    while maker.busy and time.monotonic() < end:
        child.poll()
        maker.poll()
        time.sleep(0.02)
    assert not maker.busy


def test_the_child_makes_what_slicer_would_make(scene, child, tmp_path):  # noqa: F811
    node = segmentation(scene, "oblique", make_labels())
    update_surface(node)
    points = surface(node, "cortical_left").GetNumberOfPoints()
    maker = SurfaceMaker(child)
    maker.make(node)
    assert surface(node, "cortical_left") is None, "an old surface is not shown beside new masks"
    mark_automatic(node)
    wait(child, maker)
    assert surface(node, "cortical_left").GetNumberOfPoints() == points
    assert [path.suffix for path in tmp_path.iterdir()] == [".log"]

    maker.make(node)
    write_labels(node, make_labels() * 0, SEGMENTS)
    wait(child, maker)
    assert surface(node, "cortical_left") is None, "the masks went on in the meantime"


def test_all_surfaces_come_at_once_or_slicer_would_make_those_that_lack(scene, child, monkeypatch):  # noqa: F811
    brought = []
    monkeypatch.setattr(surface_maker, "set_surface", lambda node, surfaces: brought.append(set(surfaces)))
    # Reading one of them takes all the time that a look may take.
    monkeypatch.setattr(surface_maker, "_MOST_SECONDS", 1e-4)
    maker = SurfaceMaker(child)
    maker.make(segmentation(scene, "straight", make_labels()))
    wait(child, maker)
    assert brought == [{"trabecular_left", "cortical_left"}]


def test_without_a_child_that_works_the_surface_is_made_here(scene, tmp_path):  # noqa: F811
    node = segmentation(scene, "straight", make_labels())
    child = Child([str(tmp_path / "nowhere")], folder=tmp_path)
    maker = SurfaceMaker(child)
    maker.make(node)
    wait(child, maker)
    assert surface(node, "cortical_left").GetNumberOfPoints() > 0
    assert not list(tmp_path.iterdir())


def test_a_node_that_was_removed_meanwhile_is_no_trouble(scene, child):  # noqa: F811
    node = segmentation(scene, "straight", make_labels())
    maker = SurfaceMaker(child)
    maker.make(node)
    scene.RemoveNode(node)
    wait(child, maker)
