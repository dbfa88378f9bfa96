"""Regions in the panel: divided in the child process, moved by their landmarks, saved with the scene."""

import sys
from pathlib import Path

import numpy as np
import pytest

from panel_driver import host  # noqa: F401

pytest.importorskip("PySide6", reason="PySide6 is not installed: the module is not driven here")

import slicer.util  # noqa: E402

import ProximalFemurSegLib  # noqa: E402
from heartbeat import Heartbeat  # noqa: E402
from ProximalFemurSegLib.mrml.segmentation_node import create_segmentation_node, write_labels  # noqa: E402
from ProximalFemurSegLib.mrml.segments import describe_segments  # noqa: E402
from ProximalFemurSegLib.mrml.table_node import read_table  # noqa: E402
from ProximalFemurSegLib.mrml.volume_node import node_from_volume  # noqa: E402
from ProximalFemurSegLib.regions import RegionDefinition, measure_regions  # noqa: E402
from ProximalFemurSegLib.running.child import Child  # noqa: E402
from ProximalFemurSegLib.running.child_process import ChildProcessRunner  # noqa: E402
from region_bones import Bone  # noqa: E402

REGIONS = ["head", "neck", "trochanter", "intertrochanter", "shaft"]
LIMIT_SECONDS = 0.2


@pytest.fixture(scope="module")
def bone():
    """A femur, the inside of its cortex of two voxels, and its regions by two definitions."""
    bone = Bone(spacing=3.0)
    inner = bone.mask.array.copy()
    for axis in range(3):
        for step in (-2, 2):
            inner &= np.roll(bone.mask.array, step, axis)
    inner = bone.mask.with_array(inner)
    regions = [measure_regions(bone.mask, inner, definition=RegionDefinition(neck)) for neck in ("adaptive", "slab10")]
    return bone.mask, inner, [result.femora[0].volumes for result in regions]


class Lasting(Child):
    """Stays from test to test, and so remembers what it divided last."""

    def end(self):
        if self.over:
            super().end()

    over = False


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    folder = Path(ProximalFemurSegLib.__file__).parents[1]
    command = [sys.executable, "-m", "ProximalFemurSegLib.desktop.worker"]
    child = Lasting(command, cwd=folder, folder=tmp_path_factory.mktemp("child"))
    yield child
    child.over = True
    child.end()


@pytest.fixture
def panel(host, bone, child, monkeypatch):  # noqa: F811
    """A colleague's segmentation on a CT of 200 HU inside and 1000 HU cortex; torch is not there."""
    # Whoever divides in the window's process holds it up.
    monkeypatch.delattr("ProximalFemurSegLib.regions.measure.Femora.measure")
    monkeypatch.setattr(host.module.packages, "torch_is_missing", lambda: True)
    mask, inner, _ = bone
    labels = np.where(inner.array, 1, np.where(mask.array, 2, 0)).astype(np.uint8)
    volume = node_from_volume(mask.with_array(np.array([-50, 200, 1000], np.int16)[labels]), host.scene, "hip")
    segments = describe_segments({1: ("trabecular bone", "left"), 2: ("cortical bone", "left")})
    node = create_segmentation_node(host.scene, volume, segments, "femur")
    write_labels(node, labels, segments)
    logic = host.module.ProximalFemurSegLogic
    logic.createChild = lambda self: child
    logic.createRunner = lambda self: ChildProcessRunner(self.child)
    panel = host.open_module()
    panel.ui.segmentationSelector.setCurrentNode(node)
    return panel


def finish(host, panel):  # noqa: F811
    host.wait_for(lambda: not panel.logic.busy, seconds=120)


def divide(host, panel):  # noqa: F811
    panel.ui.divideButton.click()
    finish(host, panel)
    assert host.said.errors == []


def shown(panel, column=1):
    table = panel.ui.regionsTable
    return {table.item(r, 0).text(): float(table.item(r, column).text()) for r in range(table.rowCount)}


def move(panel, label, by):
    points = panel.logic.regions.nodes.marks["left:points"]
    (index,) = [n for n in range(points.GetNumberOfControlPoints()) if points.GetNthControlPointLabel(n) == label]
    points.SetNthControlPointPosition(index, *np.add(points.GetNthControlPointPosition(index), by))


def test_the_panel_shows_what_the_library_measures_and_the_window_stays_alive(host, panel, bone):  # noqa: F811
    import slicer

    paused = []
    host.scene.AddObserver(host.scene.NodeAddedEvent, lambda *event: paused.append(slicer.app.paused))
    with Heartbeat() as heart:
        divide(host, panel)
    assert len(paused) > 10 and set(paused) == {1}, "views that draw themselves in between hold up the window"
    host.process_events(20)
    assert slicer.app.paused == 0
    assert max(heart.gaps)[0] < LIMIT_SECONDS, sorted(heart.gaps)[-3:]
    adaptive, slab = bone[2]
    assert [name.lower() for name in shown(panel)] == [*REGIONS, "total hip"]
    for column, key in ((1, "volume_mm3"), (2, "cortical_mm3"), (3, "trabecular_mm3")):
        for name, value in shown(panel, column).items():
            assert value == pytest.approx(adaptive[name.lower().replace(" ", "_")][key] / 1000, abs=0.051)
    nodes = panel.logic.regions.nodes
    assert nodes.segmentation.GetSegmentation().GetSegment("head_left").GetRepresentation("Closed surface")
    measures = {panel.ui.geometryTable.item(r, 0).text() for r in range(panel.ui.geometryTable.rowCount)}
    assert "Neck-shaft angle" in measures

    titles = [panel.ui.neckComboBox.itemText(n) for n in range(panel.ui.neckComboBox.count)]
    panel.ui.neckComboBox.setCurrentIndex(titles.index("10 mm slab"))
    finish(host, panel)
    assert shown(panel)["Neck"] == pytest.approx(slab["neck"]["volume_mm3"] / 1000, abs=0.051)
    assert shown(panel)["Neck"] < adaptive["neck"]["volume_mm3"] / 1000 - 1
    assert host.said.errors == []


def test_a_moved_landmark_is_followed_and_found_again_in_a_reopened_scene(host, panel, tmp_path):  # noqa: F811
    divide(host, panel)
    before = shown(panel)
    move(panel, "vastus ridge", (0, 0, 3))
    assert not panel.logic.regions.busy, "while it is dragged nothing is divided"
    move(panel, "vastus ridge", (0, 0, 3))
    host.wait_for(lambda: panel.logic.regions.busy)
    assert panel.ui.regionsNoteLabel.text == "Dividing the femur..."
    finish(host, panel)
    after = shown(panel)
    assert after["Intertrochanter"] - before["Intertrochanter"] == pytest.approx(
        before["Trochanter"] - after["Trochanter"], abs=0.11
    )
    assert after["Intertrochanter"] > before["Intertrochanter"] + 1
    assert after["Head"] == before["Head"]

    panel.ui.showMarksCheckBox.click()
    path = str(tmp_path / "case.mrb")
    assert host.scene.WriteToMRB(path)
    host.scene.Clear(0)
    host.process_events()
    assert shown(panel) == {}
    assert host.scene.ReadFromMRB(path)
    host.process_events()
    assert shown(panel) == after
    assert panel.ui.showMarksCheckBox.checked is False
    move(panel, "lesser trochanter lower", (0, 0, -4))
    host.wait_for(lambda: panel.logic.regions.busy)
    finish(host, panel)
    assert shown(panel)["Trochanter"] == after["Trochanter"], "what was placed before is still placed"
    assert shown(panel)["Shaft"] < after["Shaft"] - 1
    panel.ui.resetMarksButton.click()
    finish(host, panel)
    assert shown(panel) == before
    assert host.said.errors == []


def test_density_comes_with_a_calibration(host, panel):  # noqa: F811
    panel.ui.calibrationEdit.text = "0.8,2"
    divide(host, panel)
    header = [panel.ui.regionsTable.horizontalHeaderItem(c).text() for c in range(panel.ui.regionsTable.columnCount)]
    row = next(row for row in read_table(panel.logic.regions.nodes.table) if row["region"] == "shaft")
    share = float(row["cortical_cm3"]) / float(row["volume_cm3"])
    density = shown(panel, header.index("vBMD\n(mg/cm\u00b3)"))["Shaft"]
    assert density == pytest.approx(share * 802 + (1 - share) * 162, abs=0.51)
    from ProximalFemurSegLib.mrml.region_state import definition_of

    assert definition_of(panel.logic.regions.nodes) == ("adaptive", "lesser-trochanter", "0.8,2")
    assert panel.parameters.calibration == "0.8,2", "saved with the scene"
    panel.ui.calibrationEdit.text = "hydroxyapatite"
    panel.ui.divideButton.click()
    finish(host, panel)
    assert "'hydroxyapatite' is not understood" in panel.ui.regionsNoteLabel.text
    assert "Shaft" in shown(panel), "what was there stays"


def test_a_calibration_without_its_image_is_refused(host, panel):  # noqa: F811
    panel.ui.inputSelector.setCurrentNode(None)
    panel.ui.calibrationEdit.text = "0.8,2"
    panel.ui.divideButton.click()
    ((message, _),) = host.said.errors
    assert "choose it as the volume" in message


def test_without_a_child_it_is_divided_here(host, panel, bone, monkeypatch):  # noqa: F811
    monkeypatch.undo()
    monkeypatch.setattr(panel.logic.regions, "_child", None)
    panel.ui.divideButton.click()
    assert host.said.errors == []
    assert shown(panel)["Head"] == pytest.approx(bone[2][0]["head"]["volume_mm3"] / 1000, abs=0.051)


def test_regions_take_the_place_of_the_masks_in_the_views(host, panel):  # noqa: F811
    divide(host, panel)
    source, nodes = panel.parameters.segmentation.GetDisplayNode(), panel.logic.regions.nodes
    mark = nodes.marks["left:points"].GetDisplayNode()
    assert (bool(source.GetVisibility3D()), bool(nodes.segmentation.GetDisplayNode().GetVisibility())) == (False, True)
    assert mark.GetVisibility()
    panel.ui.showRegionsCheckBox.click()
    assert (bool(source.GetVisibility3D()), bool(nodes.segmentation.GetDisplayNode().GetVisibility())) == (True, False)
    assert not mark.GetVisibility()


def test_the_bone_is_shown_again_once_its_regions_are_deleted(host, panel):  # noqa: F811
    divide(host, panel)
    source = panel.parameters.segmentation.GetDisplayNode()
    assert not source.GetVisibility3D()
    host.scene.RemoveNode(panel.logic.regions.nodes.segmentation)
    host.process_events()
    assert source.GetVisibility3D() and panel.ui.divideButton.text == "Divide"


def test_masks_that_changed_ask_for_another_division(host, panel):  # noqa: F811
    divide(host, panel)
    source, volume = panel.parameters.segmentation, panel.parameters.inputVolume
    before = shown(panel)
    for name in ("trabecular_left", "cortical_left"):
        drawn = slicer.util.arrayFromSegmentBinaryLabelmap(source, name, volume).copy()
        drawn[: len(drawn) // 4] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, source, name, volume)
    host.wait_for(lambda: "have changed" in panel.ui.regionsNoteLabel.text)
    assert shown(panel) == before
    divide(host, panel)
    assert shown(panel)["Shaft"] < before["Shaft"] - 1
    assert "have changed" not in panel.ui.regionsNoteLabel.text


def test_regions_that_somebody_drew_in_are_left_alone(host, panel):  # noqa: F811
    divide(host, panel)
    edited, volume = panel.logic.regions.nodes.segmentation, panel.parameters.inputVolume
    divide(host, panel)
    assert panel.logic.regions.nodes.segmentation is edited, "what nobody touched is written again"
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(edited, "head_left", volume).copy()
    drawn[:2] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, edited, "head_left", volume)
    divide(host, panel)
    nodes = panel.logic.regions.nodes
    assert nodes.segmentation is not edited and nodes.segmentation.GetScene() and edited.GetScene()
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(edited, "head_left", volume), drawn)
    panel.logic.regions.close()
    panel.refresh()
    assert panel.logic.regions.nodes.segmentation is nodes.segmentation, "the new ones are found again"


def test_what_cannot_be_divided_is_told(host, panel):  # noqa: F811
    source, volume = panel.parameters.segmentation, panel.parameters.inputVolume
    count = host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    for name in ("trabecular_left", "cortical_left"):
        nothing = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(nothing, source, name, volume)
    panel.ui.divideButton.click()
    finish(host, panel)
    assert "empty" in panel.ui.regionsNoteLabel.text
    assert host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == count


def test_closing_the_scene_while_it_divides_is_safe(host, panel):  # noqa: F811
    panel.ui.divideButton.click()
    assert panel.logic.regions.busy
    host.scene.Clear(0)
    host.process_events(100)
    assert not panel.logic.regions.busy
    assert panel.ui.divideButton.enabled is False
    assert host.said.errors == []


def test_regions_and_distances_are_not_drawn_in_one_place(host, panel):  # noqa: F811
    divide(host, panel)
    reference = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "reader")
    reference.GetSegmentation().DeepCopy(panel.parameters.segmentation.GetSegmentation())
    panel.ui.referenceSelector.setCurrentNode(reference)
    panel.ui.compareButton.click()
    finish(host, panel)
    assert host.said.errors == []
    regions = panel.logic.regions.nodes.segmentation.GetDisplayNode()
    assert not regions.GetVisibility(), "they would lie over the comparison"
    panel.ui.showRegionsCheckBox.setChecked(True)
    host.process_events(20)
    assert regions.GetVisibility() and not regions.GetVisibility3D()
    panel.ui.comparisonViewComboBox.setCurrentIndex(0)
    assert regions.GetVisibility() and regions.GetVisibility3D()
