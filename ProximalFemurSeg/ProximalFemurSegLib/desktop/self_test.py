"""The module's own test, run inside Slicer: the panel is worked as a user works it."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import slicer

from ..mrml.segmentation_node import masks_from_segmentation
from ..mrml.volume_node import node_from_volume
from ..running.in_process import InProcessRunner
from ..running.progress import Progress
from ..running.runner import Runner, State, Status
from . import packages, stand_in

_SECONDS = 600


class SelfTest:
    """To be mixed into a ``ScriptedLoadableModuleTest``, which runs every method with 'test' in its name."""

    def test_apply_threshold_and_edit(self):
        self.delayDisplay("Segment with a stand-in for the networks, in this process")
        panel, image = self._panel_with_image(InProcessRunner(stand_in.segment))
        self.assertTrue(panel.ui.applyButton.enabled, panel.ui.applyButton.toolTip)
        panel.ui.applyButton.click()
        self._wait_for(lambda: panel.logic.session.status.over)
        parameters = panel.parameters
        self._assert_mask(parameters.segmentation, parameters.inputVolume, image.array > 40)
        self.assertAlmostEqual(panel.ui.thresholdSlider.value, 0.4)
        self.assertEqual(panel.ui.resultTable.rowCount, 1)

        self.delayDisplay("Move the threshold")
        panel.ui.thresholdSlider.value = 0.65
        self._assert_mask(parameters.segmentation, parameters.inputVolume, image.array > 65)

        self.delayDisplay("Edit, run again: the edited segmentation stays")
        self._wait_for(lambda: not panel.logic.session.live.moving)
        edited = parameters.segmentation
        drawn = (image.array > 65).astype(np.uint8)
        drawn[0, 0, 0] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, edited, "trabecular_left", parameters.inputVolume)
        panel.ui.applyButton.click()
        self._wait_for(lambda: panel.logic.session.status.over)
        self.assertNotEqual(parameters.segmentation.GetID(), edited.GetID())
        self._assert_mask(edited, parameters.inputVolume, drawn.astype(bool))

    def test_cancel_and_scene_close_in_mid_run(self):
        self.delayDisplay("Cancel, and close the scene, while it runs")
        runner = _EndlessRunner()
        panel, _ = self._panel_with_image(runner)
        panel.ui.applyButton.click()
        self._wait_for(lambda: panel.ui.progressBar.value == 25)
        panel.ui.cancelButton.click()
        self.assertEqual(runner.state, State.CANCELLED)
        self.assertTrue(panel.ui.applyButton.enabled)
        panel.ui.applyButton.click()
        slicer.mrmlScene.Clear()
        self.assertEqual(runner.state, State.CANCELLED)
        slicer.app.processEvents()
        self.assertFalse(panel.ui.applyButton.enabled)

    def test_regions_follow_a_moved_landmark(self):
        """On the reference of the sample CT; passed over where that is not here."""
        from .child_command import MODULE_FOLDER

        sample = MODULE_FOLDER / "Resources" / "SampleData" / "hip-ct-truth.seg.nrrd"
        if not sample.exists():
            self.delayDisplay("Passed over: the sample case is not here")
            return
        self.delayDisplay("Divide the reference of the sample CT")
        panel, _ = self._panel_with_image(InProcessRunner(stand_in.segment))
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "reference")
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(sample))
        self.assertTrue(storage.ReadData(node))
        panel.parameters.segmentation = node
        panel.ui.divideButton.click()
        self._wait_for(lambda: not panel.logic.busy)
        table = panel.ui.regionsTable
        names = [table.item(row, 0).text() for row in range(table.rowCount)]
        self.assertEqual(names, ["Head", "Neck", "Trochanter", "Intertrochanter", "Shaft", "Total hip"])
        before = float(table.item(2, 1).text())

        self.delayDisplay("Move the vastus ridge up")
        points = panel.logic.regions.nodes.marks["left:points"]
        (index,) = [
            n for n in range(points.GetNumberOfControlPoints())
            if points.GetNthControlPointLabel(n) == "vastus ridge"
        ]  # fmt: skip
        place = [0.0, 0.0, 0.0]
        points.GetNthControlPointPosition(index, place)
        points.SetNthControlPointPosition(index, place[0], place[1], place[2] + 6)
        self._wait_for(lambda: float(table.item(2, 1).text()) < before - 1)

    def test_real_network_in_a_child_process(self):
        """On the sample MR; passed over where torch, the weights or the sample are not here."""
        from .. import models
        from .child_command import MODULE_FOLDER

        sample = MODULE_FOLDER / "Resources" / "SampleData" / "hip-mr.nii.gz"
        missing = packages.missing_packages()
        if missing or not sample.exists() or not models.has_weights(models.default_preset("mr")):
            self.delayDisplay(f"Passed over: no sample image or no weights here, or packages missing ({missing})")
            return
        from ..volume_io import read_volume

        self.delayDisplay("Segment the sample MR in a child process")
        panel, _ = self._panel_with_image(None, read_volume(sample))
        panel.ui.applyButton.click()
        self._wait_for(lambda: panel.logic.session.status.over)
        status = panel.logic.session.status
        self.assertEqual(status.state, State.DONE, status.message + status.log)
        self.assertGreater(panel.logic.session.measurements()["volumes"][0]["volume_cm3"], 20)

    def _panel_with_image(self, runner, image=None):
        image = image or stand_in.ball_image()
        slicer.util.selectModule("ProximalFemurSeg")
        panel = slicer.util.getModuleWidget("ProximalFemurSeg")
        panel.logic.session.use(runner or panel.logic.createRunner())
        if runner is not None:
            # The stand-in needs no packages and no weights.
            panel.logic.ensurePackages = lambda: True
            run = panel.sections[0]
            run.networks = tuple(replace(entry, available=True) for entry in run.networks)
        node = node_from_volume(image, slicer.mrmlScene)
        slicer.app.processEvents()
        panel.parameters.inputVolume = node
        return panel, image

    def _wait_for(self, look):
        end = time.monotonic() + _SECONDS
        while not look():
            self.assertLess(time.monotonic(), end, "it never came")
            slicer.app.processEvents()
            time.sleep(0.01)

    def _assert_mask(self, segmentation, volume, expected):
        mask = masks_from_segmentation(segmentation, volume)["trabecular_left"].array
        self.assertTrue(np.array_equal(mask, expected), f"{mask.sum()} voxels, not {expected.sum()}")


class _EndlessRunner(Runner):
    """Stays at a quarter until it is cancelled."""

    def __init__(self):
        self.state = State.IDLE

    def start(self, job):
        self.state = State.RUNNING

    def poll(self):
        return Status(self.state, Progress("network", 1, 4, 12.0))

    def cancel(self):
        if self.state is State.RUNNING:
            self.state = State.CANCELLED

    def result(self):
        raise RuntimeError("It never ends.")
