"""Pictures of the panel in every state, on the test host: what a user sees, as far as it can be seen without Slicer.

    python Testing/Python/panel_screenshots.py --output FOLDER [--dark] [--width 460]

The widgets of Slicer and CTK are stand-ins, and so is the style; texts, order, enablement and space are the module's.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "ProximalFemurSeg")]

import slicer.util  # noqa: E402
from PySide6 import QtCore, QtGui, QtWidgets  # noqa: E402
from scipy import ndimage  # noqa: E402

from host.application import running  # noqa: E402
from ProximalFemurSegLib.desktop import stand_in  # noqa: E402
from ProximalFemurSegLib.mrml.segmentation_node import create_segmentation_node, write_labels  # noqa: E402
from ProximalFemurSegLib.mrml.segments import describe_segments  # noqa: E402
from ProximalFemurSegLib.mrml.volume_node import node_from_volume  # noqa: E402
from ProximalFemurSegLib.running.in_process import InProcessRunner  # noqa: E402
from ProximalFemurSegLib.running.progress import Progress  # noqa: E402
from ProximalFemurSegLib.running.runner import Runner, State, Status  # noqa: E402
from region_bones import Bone  # noqa: E402

DEVICES = {
    "torch": "2.7.1+cu126",
    "devices": [
        {"name": "cpu", "title": "CPU (8 threads)", "memory_gb": 31.2},
        {"name": "cuda:0", "title": "NVIDIA RTX 4070", "memory_gb": 11.7},
    ],
    "auto": "cuda:0",
}


class HalfWay(Runner):
    """A run that stands still in the middle, or runs to its end."""

    def __init__(self):
        self.inner, self.half = InProcessRunner(stand_in.segment), False

    def start(self, job):
        self.inner.start(job)

    def poll(self):
        if self.half:
            return Status(State.RUNNING, Progress("periosteal, left femur", 7, 12, 95.0, 0.46))
        return self.inner.poll()

    def cancel(self):
        self.half = False

    def result(self):
        return self.inner.result()


class Studio:
    """Takes the panel through its states."""

    def __init__(self, host, folder: Path, width: int):
        self.host, self.folder, self.width = host, folder, width
        self.runner, self.count = HalfWay(), 0
        host.module = host.load_module()
        host.module.packages.ensure_packages = lambda translate: True
        host.module.packages.torch_is_missing = lambda: False
        host.module.ProximalFemurSegLogic.createChild = lambda logic: None
        host.module.ProximalFemurSegLogic.createRunner = lambda logic: self.runner
        self.panel = host.open_module()
        run = self.panel.sections[0]
        run.networks = tuple(replace(entry, available=True) for entry in run.networks)
        self.panel.parent.setAutoFillBackground(True)
        self.panel.parent.show()

    def take(self, name: str, *opened: str) -> None:
        """A picture of the panel as high as it is, with these sections unfolded besides those that are."""
        sections = [getattr(self.panel.ui, f"{section}CollapsibleButton") for section in opened]
        for section in sections:
            section.collapsed = False
        self.panel.refresh()
        self.host.process_events(50)
        parent = self.panel.parent
        parent.resize(self.width, parent.layout().totalHeightForWidth(self.width))
        self.host.process_events(50)
        parent.resize(self.width, max(parent.layout().minimumSize().height(), 200))
        self.host.process_events(50)
        self.count += 1
        parent.grab().save(str(self.folder / f"{self.count:02d}-{name}.png"))
        for section in sections:
            section.collapsed = True

    def apply(self):
        self.panel.ui.applyButton.click()
        self.host.wait_for(lambda: self.panel.logic.session.status.over)
        self.host.process_events(300)

    def shoot(self):
        self.take("nothing-loaded")
        node_from_volume(stand_in.ball_image(name="Hip CT"), self.host.scene)
        self.host.process_events()
        self.panel.ui.inputSelector.setCurrentNode(self.host.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode"))
        self.panel.ui.modalityComboBox.setCurrentText("CT")
        self.panel.logic.devices = DEVICES
        self.take("ready")
        self.runner.half = True
        self.panel.ui.applyButton.click()
        self.host.wait_for(lambda: self.panel.ui.progressBar.value == 46)
        self.take("running")
        self.panel.ui.cancelButton.click()
        self.host.process_events(150)
        self.take("cancelled")
        self.apply()
        self.take("done")
        self.take("display-and-save", "display", "export", "advanced")
        self.panel.ui.nextSliceButton.click()
        self.take("review", "review")
        self.panel.ui.readerEdit.text = "AB"
        self.panel.ui.correctionButton.click()
        self.take("correction", "correction")
        self._draw()
        self.take("edited", "correction")
        self.panel.ui.correctionButton.click()
        self._divide()
        self._compare()
        self.take("comparison", "comparison")

    def _draw(self):
        parameters = self.panel.parameters
        from ProximalFemurSegLib.mrml.segmentation_node import masks_from_segmentation

        masks = masks_from_segmentation(parameters.segmentation, parameters.inputVolume)
        drawn = masks["cortical_left"].array.astype(np.uint8)
        drawn[:, :3, :3] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            drawn, parameters.segmentation, "cortical_left", parameters.inputVolume
        )
        self.host.process_events(500)

    def _divide(self):
        """A colleague's segmentation of a whole femur, divided."""
        bone = Bone(spacing=3.0)
        inner = ndimage.binary_erosion(bone.mask.array, iterations=1)
        labels = np.where(inner, 1, np.where(bone.mask.array, 2, 0)).astype(np.uint8)
        volume = node_from_volume(bone.mask.with_array(labels), self.host.scene, "Hip CT 2")
        segments = describe_segments({1: ("trabecular bone", "left"), 2: ("cortical bone", "left")})
        node = create_segmentation_node(self.host.scene, volume, segments, "Reader A")
        write_labels(node, labels, segments)
        before = self.panel.parameters.segmentation
        self.panel.parameters.segmentation = node
        self.panel.ui.divideButton.click()
        self.host.process_events(300)
        self.take("regions", "regions")
        self.panel.parameters.segmentation = before
        self.host.process_events(50)

    def _compare(self):
        parameters = self.panel.parameters
        reference = self.host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Reader B")
        reference.GetSegmentation().DeepCopy(parameters.segmentation.GetSegmentation())
        self.panel.ui.referenceSelector.setCurrentNode(reference)
        self.panel.ui.renewButton.click()
        self.panel.ui.compareButton.click()
        self.host.process_events(300)


def dark_palette() -> QtGui.QPalette:
    """Slicer's dark style, more or less."""
    palette = QtGui.QPalette()
    roles = QtGui.QPalette.ColorRole
    for role, color in (
        (roles.Window, "#353535"),
        (roles.WindowText, "#ffffff"),
        (roles.Base, "#2a2a2a"),
        (roles.AlternateBase, "#424242"),
        (roles.Text, "#ffffff"),
        (roles.Button, "#353535"),
        (roles.ButtonText, "#ffffff"),
        (roles.ToolTipBase, "#ffffff"),
        (roles.Highlight, "#2a82da"),
        (roles.PlaceholderText, "#808080"),
    ):
        palette.setColor(role, QtGui.QColor(color))
    for role in (roles.WindowText, roles.Text, roles.ButtonText):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role, QtGui.QColor("#7f7f7f"))
    return palette


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=460, help="of the panel, in pixels")
    choices = parser.parse_args()
    choices.output.mkdir(parents=True, exist_ok=True)
    QtCore.QLoggingCategory.setFilterRules("qt.core.qobject.connect=false")
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    application.setStyle("Fusion")
    if choices.dark:
        application.setPalette(dark_palette())
    with running() as host:
        Studio(host, choices.output, choices.width).shoot()


if __name__ == "__main__":
    main()
