"""From a cold panel to a segmentation the window never stands still, and what the child does wrong stays over there."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from panel_driver import add_volume, host, mask  # noqa: F401

pytest.importorskip("PySide6", reason="PySide6 is not installed: the module is not driven here")

from heartbeat import Heartbeat  # noqa: E402
from ProximalFemurSegLib.desktop import stand_in  # noqa: E402
from ProximalFemurSegLib.evaluation import evaluate_masks  # noqa: E402
from ProximalFemurSegLib.mrml.comparison import distance_models, find_comparison  # noqa: E402
from ProximalFemurSegLib.mrml.segmentation_node import create_segmentation_node, write_labels  # noqa: E402
from ProximalFemurSegLib.mrml.segments import describe_segments  # noqa: E402
from ProximalFemurSegLib.mrml.volume_node import array_from_node, volume_from_node  # noqa: E402
from ProximalFemurSegLib.running.child import Child  # noqa: E402
from ProximalFemurSegLib.running.child_process import ChildProcessRunner  # noqa: E402
from ProximalFemurSegLib.running.runner import State  # noqa: E402
from ProximalFemurSegLib.volume import Volume  # noqa: E402

LIMIT_SECONDS = 0.2

# The worker of the module; only the networks are replaced.
CHILD = """
import os, sys, time
sys.path.insert(0, {library!r})
from ProximalFemurSegLib.desktop import stand_in, worker
from ProximalFemurSegLib.running.worker import requests_from_stdin

def segment(volume, progress, **options):
    if volume.name == "crash":
        print("the network fell over", flush=True)
        os._exit(9)
    result = stand_in.segment(volume, progress=progress, **options)
    time.sleep(60 if volume.name == "slow" else 0.3)
    return result

serving = worker.create_worker(segment)
serving.tasks["devices"] = lambda number: {{"torch": "none", "auto": "cpu", "devices": [
    {{"name": "cpu", "title": "CPU (2 threads)", "memory_gb": 8.0}}]}}
serving.serve(requests_from_stdin())
"""


@pytest.fixture
def panel(host, tmp_path):  # noqa: F811
    import ProximalFemurSegLib

    code = CHILD.format(library=str(Path(ProximalFemurSegLib.__file__).parents[1]))
    logic = host.module.ProximalFemurSegLogic
    logic.createChild = lambda self: Child([sys.executable, "-c", code], folder=tmp_path)
    logic.createRunner = lambda self: ChildProcessRunner(self.child)
    host.module.packages.torch_is_missing = lambda: False
    return host.open_module()


def finish(host, panel):  # noqa: F811
    host.wait_for(lambda: not panel.logic.busy, seconds=120)


def test_the_window_stays_alive_from_a_cold_panel_to_surfaces(host, panel):  # noqa: F811
    # The papers' MR: 512 x 512 x 60.
    add_volume(host, shape=(60, 512, 512), spacing=(0.234, 0.234, 1.5))
    panel.ui.inputSelector.setCurrentNode(host.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode"))
    with Heartbeat() as heart:
        panel.ui.applyButton.click()
        while panel.logic.running:
            host.process_events(5)
            heart.note = panel.ui.statusLabel.text
        heart.note = "surfaces"
        finish(host, panel)
        heart.note = "threshold"
        panel.ui.thresholdSlider.value = 0.5
        host.wait_for(lambda: not panel.logic.session.live.moving, seconds=60)
        finish(host, panel)
    assert panel.logic.session.status.state is State.DONE, panel.logic.session.status
    assert len(heart.gaps) > 50
    assert heart.longest[0] < LIMIT_SECONDS, sorted(heart.gaps)[-5:]
    segment = panel.parameters.segmentation.GetSegmentation().GetSegment("trabecular_left")
    assert segment.GetRepresentation("Closed surface").GetNumberOfPoints() > 1000


def add_reference(host, panel, volume, above):  # noqa: F811
    """A colleague's bone: where the image is above a value, beside a hip bone."""
    labels = np.where(array_from_node(volume) > above, 1, 0).astype(np.uint8)
    labels[:, :20, :20] = 2
    segments = describe_segments({1: ("bone", "left"), 2: ("bone", "left")})
    segments = [replace(s, segment_id=name, name=name) for s, name in zip(segments, ("femur_left", "hip_left"))]
    node = create_segmentation_node(host.scene, volume, segments, "colleague")
    write_labels(node, labels, segments)
    panel.ui.referenceSelector.setCurrentNode(node)
    return node


def test_the_window_stays_alive_while_a_large_scan_is_compared(host, panel):  # noqa: F811
    volume = add_volume(host, shape=(60, 512, 512), spacing=(0.234, 0.234, 1.5))
    panel.ui.inputSelector.setCurrentNode(volume)
    panel.ui.applyButton.click()
    finish(host, panel)
    reference = add_reference(host, panel, volume, above=46)
    assert [panel.ui.referencePartComboBox.itemText(n) for n in range(4)] == [
        "Automatic", "femur_left", "hip_left", "All of it"
    ]  # fmt: skip
    with Heartbeat() as heart:
        panel.ui.compareButton.click()
        assert panel.ui.comparisonNoteLabel.text == "Comparing..."
        assert not panel.ui.compareButton.enabled
        finish(host, panel)
        heart.note = "shown"
        host.process_events(50)
    assert host.said.errors == []
    assert len(heart.gaps) > 50
    assert heart.longest[0] < LIMIT_SECONDS, sorted(heart.gaps)[-5:]
    # The numbers are those of the masks as numpy makes them.
    found, wanted = (array_from_node(volume) > above for above in (40, 46))
    table = panel.ui.comparisonTable
    shown = {table.item(r, 0).text(): table.item(r, 1).text() for r in range(table.rowCount)}
    assert shown["DSC"] == f"{2 * (found & wanted).sum() / (found.sum() + wanted.sum()):.3f}"
    expected = evaluate_masks(*(Volume(mask, volume_from_node(volume).grid) for mask in (found, wanted)))
    assert (shown["ASD (mm)"], shown["MSD (mm)"]) == (f"{expected['asd_mm']:.2f}", f"{expected['msd_mm']:.2f}")
    (model,) = distance_models(find_comparison(host.scene, panel.parameters.segmentation, reference))
    assert model.GetDisplayNode().GetVisibility()
    assert panel.ui.comparisonViewComboBox.currentIndex == 3

    panel.ui.compareButton.click()
    host.scene.RemoveNode(reference)
    finish(host, panel)
    assert not panel.logic.comparison.busy
    assert host.said.errors == []


def test_a_crash_of_the_child_leaves_the_panel_ready_for_the_next_run(host, panel):  # noqa: F811
    bad, good = add_volume(host, name="crash"), add_volume(host, name="hip")
    panel.ui.inputSelector.setCurrentNode(bad)
    panel.ui.applyButton.click()
    finish(host, panel)
    ((message, log),) = host.said.errors
    assert "exit code 9" in message
    assert "the network fell over" in log
    panel.ui.inputSelector.setCurrentNode(good)
    panel.ui.applyButton.click()
    finish(host, panel)
    assert panel.logic.session.status.state is State.DONE
    assert mask(panel).sum() == (stand_in.ball_image().array > 40).sum()


def test_cancel_and_leaving_end_the_child(host, panel):  # noqa: F811
    finish(host, panel)
    assert panel.logic.child.alive, "asked for the devices, it stays ready"
    assert panel.ui.deviceComboBox.itemText(0) == "Automatic: CPU (2 threads)"
    add_volume(host, name="slow")
    panel.ui.inputSelector.setCurrentNode(host.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode"))
    panel.ui.applyButton.click()
    host.wait_for(lambda: panel.ui.progressBar.value > 30)
    panel.ui.cancelButton.click()
    assert not panel.logic.child.alive
    assert panel.ui.statusLabel.text == "Cancelled; nothing was changed."
    panel.logic.devices = None
    panel.enter()
    assert panel.logic.child.alive
    finish(host, panel)
    panel.exit()
    assert not panel.logic.child.alive, "memory and GPU are free when another module is open"
