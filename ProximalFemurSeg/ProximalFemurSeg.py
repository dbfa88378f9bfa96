"""The desktop module: a panel in 3D Slicer around ProximalFemurSegLib."""

import enum
import importlib
import logging
import sys
from pathlib import Path
from typing import Annotated

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from ProximalFemurSegLib import presenter
from ProximalFemurSegLib.desktop import child_command, packages
from ProximalFemurSegLib.desktop.adapter import DesktopAdapter
from ProximalFemurSegLib.desktop.self_test import SelfTest
from ProximalFemurSegLib.mrml.session import Session
from ProximalFemurSegLib.running.child_process import ChildProcessRunner
from ProximalFemurSegLib.running.runner import State

_POLL_MILLISECONDS = 100
_SETTLE_MILLISECONDS = 250


class ProximalFemurSeg(ScriptedLoadableModule):
    """What Slicer knows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Proximal Femur Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["ProximalFemurSeg contributors"]
        self.parent.helpText = _(
            "Segments the proximal femur in hip MR and CT with convolutional neural networks: probability map, "
            "trabecular and cortical bone, and volumes. Research use only; weights trained on simulated images."
        )
        self.parent.acknowledgementText = _(
            "The networks follow Deniz et al. 2018 (MR, doi:10.1038/s41598-018-34817-6) and Deng et al. 2021 (CT)."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Offer the extension's own sample images in the Sample Data module."""
    import SampleData

    module_folder = Path(__file__).resolve().parent
    icons, samples = module_folder / "Resources" / "Icons", module_folder / "Resources" / "SampleData"
    SampleData.SampleDataLogic.registerCustomSampleDataCategory("ProximalFemurSeg", title=_("Proximal Femur"))
    for name, file in (("HipMR", "hip-mr.nii.gz"), ("HipCT", "hip-ct.nii.gz")):
        if not (samples / file).exists():
            continue
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="ProximalFemurSeg",
            sampleName=name,
            thumbnailFileName=str(icons / f"{name}.png"),
            uris=(samples / file).as_uri(),
            fileNames=file,
            nodeNames=name,
        )


# The names of the members are what a saved scene holds, and what the command line takes: never rename one.
class Side(enum.Enum):
    auto = "auto"
    left = "left"
    right = "right"
    both = "both"

    def label(self):
        return {"auto": _("Automatic"), "left": _("Left"), "right": _("Right"), "both": _("Both")}[self.name]


class Modality(enum.Enum):
    auto = "auto"
    mr = "mr"
    ct = "ct"

    def label(self):
        return {"auto": _("Automatic"), "mr": _("MR"), "ct": _("CT")}[self.name]


@parameterNodeWrapper
class ProximalFemurSegParameterNode:
    """What is saved with the scene; the fields are those of ProximalFemurSegLib.mrml.parameters."""

    inputVolume: vtkMRMLScalarVolumeNode
    side: Side = Side.auto
    modality: Modality = Modality.auto
    network: str = "auto"
    device: str = "auto"
    threshold: Annotated[float, WithinRange(0.01, 0.99)] = 0.5
    thresholdMethod: str = "model"
    overlayOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.0
    showSurface: bool = True
    probabilityVolume: vtkMRMLScalarVolumeNode
    endostealProbabilityVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    resultsTable: vtkMRMLTableNode


class ProximalFemurSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._networks = ()
        self._programmatic = False
        self._observedSegmentation = None

    # Life of the panel

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        presenter.set_translator(lambda text: translate("ProximalFemurSeg", text))
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/ProximalFemurSeg.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = ProximalFemurSegLogic()

        self._pollTimer = qt.QTimer()
        self._pollTimer.setInterval(_POLL_MILLISECONDS)
        self._pollTimer.timeout.connect(self.onPoll)
        self._settleTimer = qt.QTimer()
        self._settleTimer.setSingleShot(True)
        self._settleTimer.setInterval(_SETTLE_MILLISECONDS)
        self._settleTimer.timeout.connect(self.onSettle)

        self._fillNetworks()
        self._fillDevices()
        self.ui.resultTable.setColumnCount(3)
        self.ui.resultTable.verticalHeader().setVisible(False)
        header = self.ui.resultTable.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(1, qt.QHeaderView.Stretch)

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)

        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.ui.cancelButton.connect("clicked(bool)", self.onCancel)
        self.ui.renewButton.connect("clicked(bool)", self.onRenew)
        self.ui.networkComboBox.connect("currentIndexChanged(int)", self.onNetwork)
        self.ui.deviceComboBox.connect("currentIndexChanged(int)", self.onDevice)
        self.ui.thresholdSlider.connect("valueChanged(double)", self.onThreshold)
        self.ui.overlaySlider.connect("valueChanged(double)", self.onOverlay)
        self.ui.surfaceCheckBox.connect("toggled(bool)", self.onSurface)
        for method, button in self._thresholdButtons().items():
            button.connect("clicked(bool)", lambda checked=False, method=method: self.onThresholdMethod(method))

        self.initializeParameterNode()

    def cleanup(self):
        """The application closes, or the module is reloaded."""
        self._pollTimer.stop()
        self._settleTimer.stop()
        self.setParameterNode(None)
        self.removeObservers()
        self.logic.close()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        """Another module is opened; a run goes on and is loaded when it is done."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self._parameterNodeGuiTag = None
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
            self._parameterNode = None
        self._observeSegmentation(None)
        if not self.logic.busy:
            self.logic.rest()

    def onReload(self):
        """Reload the library with the module: Slicer itself would only reload this file."""
        for name in [name for name in sys.modules if name.split(".")[0] == "ProximalFemurSegLib"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event):
        self._pollTimer.stop()
        self._settleTimer.stop()
        self.logic.forget()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()
        else:
            self.refresh()

    def onSceneEndImport(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller, event, node):
        if not slicer.mrmlScene.IsClosing():
            qt.QTimer.singleShot(0, self.onNodesChanged)

    def onNodesChanged(self):
        if self._parameterNode:
            self.logic.session.restore()
            self.refresh()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            first = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if first:
                self._parameterNode.inputVolume = first

    def setParameterNode(self, parameterNode):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self._parameterNode = parameterNode
        self._parameterNodeGuiTag = None
        if self._parameterNode:
            self._programmatic = True
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self._programmatic = False
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
            self.logic.session.restore()
        self._observeSegmentation(self._parameterNode.segmentation if self._parameterNode else None)
        self.refresh()

    # What the user does

    def onApply(self):
        with slicer.util.tryWithErrorDisplay(_("The segmentation could not be started.")):
            if self.logic.start(self._parameterNode):
                self._pollTimer.start()
        self.refresh()

    def onCancel(self):
        self.logic.session.cancel()
        self.refresh()

    def onPoll(self):
        running = self.logic.session.status.state is State.RUNNING
        status = self.logic.poll()
        if not self.logic.busy:
            self._pollTimer.stop()
            if not self.parent.isEntered:
                self.logic.rest()
        if running and status.over:
            if status.state is State.FAILED:
                logging.error("ProximalFemurSeg: %s\n%s", status.message, status.log)
                slicer.util.errorDisplay(status.message, detailedText=status.log)
            self.onSurface()
        if running:
            self.refresh()

    def onNetwork(self, index):
        if self._parameterNode and not self._programmatic and index >= 0:
            self._parameterNode.network = self._networks[index].name

    def onDevice(self, index):
        if self._parameterNode and not self._programmatic and index >= 0:
            self._parameterNode.device = self.ui.deviceComboBox.itemData(index)

    def onThreshold(self, value):
        # The slider shows two decimals: that it rounds the threshold of a result is no wish for another one.
        present, decimals = self.logic.session.threshold, self.ui.thresholdSlider.decimals
        same = present is not None and round(present, decimals) == round(value, decimals)
        if not self._programmatic and not same:
            self._moveThreshold(value)

    def onThresholdMethod(self, method):
        self._moveThreshold(method)

    def onSettle(self):
        self.logic.session.settle()
        self._pollTimer.start()
        self.onSurface()
        self.refresh()

    def onRenew(self):
        with slicer.util.tryWithErrorDisplay(_("No new segmentation could be made."), waitCursor=True):
            self.logic.session.renew()
        self._pollTimer.start()
        self.onSurface()
        self.refresh()

    def onOverlay(self, value):
        if self._parameterNode:
            self.logic.adapter.show_probability(self._parameterNode.probabilityVolume, value)

    def onSurface(self, checked=None):
        segmentation = self._parameterNode.segmentation if self._parameterNode else None
        if segmentation and segmentation.GetDisplayNode():
            segmentation.GetDisplayNode().SetVisibility3D(self._parameterNode.showSurface)

    def onParameterNodeModified(self, caller=None, event=None):
        self.logic.session.restore()
        self._observeSegmentation(self._parameterNode.segmentation)
        self.refresh()

    def onSegmentationModified(self, caller=None, event=None):
        # Somebody draws: the volumes follow when the brush has come to rest.
        if not self.logic.session.live or not self.logic.session.live.moving:
            self._settleTimer.start()

    def _observeSegmentation(self, segmentation):
        if segmentation is self._observedSegmentation:
            return
        # An undo in the Segment Editor only says that segments were modified.
        for event in (
            slicer.vtkSegmentation.SourceRepresentationModified,
            slicer.vtkSegmentation.SegmentModified,
            slicer.vtkSegmentation.SegmentAdded,
            slicer.vtkSegmentation.SegmentRemoved,
        ):
            if self._observedSegmentation:
                self.removeObserver(self._observedSegmentation, event, self.onSegmentationModified)
            if segmentation:
                self.addObserver(segmentation, event, self.onSegmentationModified)
        self._observedSegmentation = segmentation

    def _moveThreshold(self, threshold):
        with slicer.util.tryWithErrorDisplay(_("The threshold could not be set.")):
            if self.logic.session.move_threshold(threshold) is not None:
                self._settleTimer.start()
                self._showResults()

    # What the user sees

    def refresh(self):
        """Show the present state of things."""
        if not self._parameterNode:
            return
        self._showChoices()
        view = presenter.present(self.logic.session.panel_state(self._chosenNetwork()))
        self.ui.applyButton.enabled = view.apply_enabled
        self.ui.applyButton.toolTip = view.apply_tooltip
        self.ui.cancelButton.enabled = view.cancel_enabled
        for widget in (
            self.ui.inputSelector,
            self.ui.sideComboBox,
            self.ui.modalityComboBox,
            self.ui.networkComboBox,
            self.ui.deviceComboBox,
        ):
            widget.enabled = view.choices_enabled
        self.ui.progressBar.visible = view.progress_visible
        self.ui.progressBar.maximum = 0 if view.progress_percent is None else 100
        self.ui.progressBar.value = view.progress_percent or 0
        self.ui.statusLabel.text = view.status_text
        self.ui.statusLabel.visible = bool(view.status_text)
        self.ui.thresholdSlider.enabled = view.threshold_enabled
        live = self.logic.session.live
        points = live.probabilities.operating_points if live else {}
        for method, button in self._thresholdButtons().items():
            known = method in ("model", "otsu") or all(method in point for point in points.values())
            button.enabled = view.threshold_enabled and known
        self.ui.thresholdHintLabel.text = view.threshold_hint
        self.ui.thresholdHintLabel.visible = view.renew_visible
        self.ui.thresholdSlider.toolTip = view.threshold_hint or _(
            "Probability (0 to 1) above which a voxel is bone. The mask, its volume and the overlay follow at once."
        )
        self.ui.renewButton.visible = view.renew_visible
        self._showResults()

    def _showChoices(self):
        self._programmatic = True
        names = [entry.name for entry in self._networks]
        wanted = self._parameterNode.network
        self.ui.networkComboBox.setCurrentIndex(names.index(wanted) if wanted in names else 0)
        self.ui.networkNoteLabel.text = self._chosenNetwork().note
        index = self.ui.deviceComboBox.findData(self._parameterNode.device)
        self.ui.deviceComboBox.setCurrentIndex(max(index, 0))
        self._programmatic = False

    def _showResults(self):
        session = self.logic.session
        measurements = session.measurements()
        table = presenter.result_table(measurements)
        self.ui.resultTable.setHorizontalHeaderLabels(list(table.header))
        self.ui.resultTable.setRowCount(len(table.rows))
        for r, row in enumerate(table.rows):
            for c, text in enumerate(row):
                self.ui.resultTable.setItem(r, c, qt.QTableWidgetItem(text))
        self._fitTable()
        self.ui.resultNoteLabel.text = "\n".join([*table.notes, presenter.result_summary(measurements)]).strip()
        self.ui.messageLabel.text = "\n".join(presenter.result_messages(measurements))

    def _fitTable(self):
        """As high as its rows: an empty table must not push the rest out of sight."""
        table = self.ui.resultTable
        rows = sum(table.rowHeight(row) for row in range(table.rowCount))
        table.setFixedHeight(table.horizontalHeader().height + rows + 4)

    def _chosenNetwork(self):
        chosen = [entry for entry in self._networks if entry.name == self._parameterNode.network]
        return chosen[0] if chosen else self._networks[0]

    def _fillNetworks(self):
        self._programmatic = True
        self._networks = presenter.network_entries()
        for entry in self._networks:
            self.ui.networkComboBox.addItem(entry.title)
        self._programmatic = False

    def _fillDevices(self):
        self._programmatic = True
        devices = [("auto", _("Automatic")), ("cpu", _("CPU")), ("cuda", _("NVIDIA GPU (cuda)"))]
        if sys.platform == "darwin":
            devices[-1] = ("mps", _("Apple GPU (mps)"))
        for name, title in devices:
            self.ui.deviceComboBox.addItem(title, name)
        self._programmatic = False

    def _thresholdButtons(self):
        return {
            "model": self.ui.modelThresholdButton,
            "otsu": self.ui.otsuThresholdButton,
            "youden": self.ui.youdenThresholdButton,
            "roc": self.ui.rocThresholdButton,
        }


class ProximalFemurSegLogic(ScriptedLoadableModuleLogic):
    """Everything that can be done without the panel.

    Parameters
    ----------
    runner : ProximalFemurSegLib.running.runner.Runner, optional
        Carries out the runs; a child process of Slicer's Python if left out.
    """

    def __init__(self, runner=None):
        ScriptedLoadableModuleLogic.__init__(self)
        self.child = self.createChild()
        self.adapter = DesktopAdapter(slicer.mrmlScene, self.child)
        self.session = Session(self.adapter, runner or self.createRunner())

    def getParameterNode(self):
        return ProximalFemurSegParameterNode(super().getParameterNode())

    def createChild(self):
        """The process that works for this one; it is started when it is first needed."""
        return child_command.create_child()

    def createRunner(self):
        """A runner in the child process."""
        return ChildProcessRunner(self.child)

    @property
    def busy(self):
        """True while there is something to poll for."""
        return self.session.status.state is State.RUNNING or self.adapter.busy

    def poll(self):
        """Look at the run and at what else is on its way."""
        status = self.session.poll()
        if self.child:
            self.child.poll()
        self.adapter.poll()
        return status

    def rest(self):
        """Give back memory and GPU while the user does something else, unless a run is going on."""
        self.session.rest()

    def forget(self):
        """The scene is being closed."""
        self.session.forget()
        self.adapter.forget()

    def start(self, parameterNode):
        """Begin to segment what the parameter node says; False if the user does not want what it needs installed."""
        if not self.ensurePackages():
            return False
        self.adapter.overlay_opacity = parameterNode.overlayOpacity
        self.session.start()
        return True

    def ensurePackages(self):
        """Have what a run needs installed, after asking; False if the user does not want it."""
        return packages.ensure_packages(_)

    def process(self, inputVolume, parameters=None, runner=None):
        """Segment a volume and wait for it; for scripts and batch work.

        Returns
        -------
        ProximalFemurSegLib.mrml.result_nodes.ResultNodes
        """
        from ProximalFemurSegLib.mrml.session import segment_volume_node

        own = runner is None
        runner = runner or self.createRunner()
        try:
            return segment_volume_node(self.adapter, inputVolume, runner, parameters)
        finally:
            if own:
                runner.rest()

    def close(self):
        """End what is going on and give everything back."""
        self.adapter.forget()
        self.session.close()
        if self.child:
            self.child.end()


class ProximalFemurSegTest(SelfTest, ScriptedLoadableModuleTest):
    """Run by ctest, and by 'Reload and Test'; the ``test_*`` methods are in ProximalFemurSegLib.desktop.self_test."""

    def setUp(self):
        slicer.mrmlScene.Clear()
