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
from ProximalFemurSegLib.desktop.layout import register_layouts
from ProximalFemurSegLib.desktop.sections import SECTIONS
from ProximalFemurSegLib.desktop.self_test import SelfTest
from ProximalFemurSegLib.mrml.result_nodes import hide, volume_of
from ProximalFemurSegLib.mrml.session import Session
from ProximalFemurSegLib.mrml.volume_node import is_dicom_series
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
        slicer.app.connect("startupCompleted()", registerLayouts)


def registerLayouts():
    """Make the module's layouts known before any scene that was saved in one of them is opened."""
    if slicer.app.layoutManager() is not None:
        register_layouts(slicer.app.layoutManager())


def registerSampleData():
    """Offer the extension's own sample images in the Sample Data module."""
    import SampleData

    module_folder = Path(__file__).resolve().parent
    icons, samples = module_folder / "Resources" / "Icons", module_folder / "Resources" / "SampleData"
    SampleData.SampleDataLogic.registerCustomSampleDataCategory("ProximalFemurSeg", title=_("Proximal Femur"))
    for name, title, file, kind in (
        ("HipMR", "HipMR", "hip-mr.nii.gz", "VolumeFile"),
        ("HipMR", "HipMR reference", "hip-mr-truth.seg.nrrd", "SegmentationFile"),
        ("HipCT", "HipCT", "hip-ct.nii.gz", "VolumeFile"),
        ("HipCT", "HipCT reference", "hip-ct-truth.seg.nrrd", "SegmentationFile"),
    ):
        if not (samples / file).exists():
            continue
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="ProximalFemurSeg",
            sampleName=title,
            thumbnailFileName=str(icons / f"{name}.png"),
            uris=(samples / file).as_uri(),
            fileNames=file,
            nodeNames=title,
            loadFileType=kind,
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
    postprocess: str = "auto"
    overlayOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.0
    hideBelowThreshold: bool = True
    fillMasks: bool = True
    showSurface: bool = True
    showUncertainty: bool = False
    signedDistance: bool = False
    referencePart: str = ""
    comparisonView: Annotated[int, WithinRange(0, 4)] = 0
    neckMode: str = "adaptive"
    distalLimit: str = "lesser-trochanter"
    calibration: str = ""
    showRegions: bool = True
    showLandmarks: bool = True
    probabilityVolume: vtkMRMLScalarVolumeNode
    endostealProbabilityVolume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    resultsTable: vtkMRMLTableNode
    uncertaintyVolume: vtkMRMLScalarVolumeNode


class ProximalFemurSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: its life, and its sections, which are in ProximalFemurSegLib.desktop.sections."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.parameters = None
        self.updating = False
        self.sections = ()
        self._guiTag = None
        self._observedSegmentation = None
        self._seen = set()

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        presenter.set_translator(lambda text: translate("ProximalFemurSeg", text))
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/ProximalFemurSeg.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = ProximalFemurSegLogic()
        self._pollTimer = self._timer(_POLL_MILLISECONDS, self.onPoll)
        self._settleTimer = self._timer(_SETTLE_MILLISECONDS, self.onSettle)
        self._settleTimer.setSingleShot(True)
        self.sections = [section(self) for section in SECTIONS]
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onNodeRemoved)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
        if selection:
            self.addObserver(selection, vtk.vtkCommand.ModifiedEvent, self.onActiveVolume)
        self.initializeParameterNode()

    def cleanup(self):
        """The application closes, or the module is reloaded."""
        self._pollTimer.stop()
        self._settleTimer.stop()
        for section in self.sections:
            section.close()
        self.setParameterNode(None)
        self.removeObservers()
        self.logic.close()

    def enter(self):
        self.initializeParameterNode()
        self.chooseNewInput()
        self.logic.ask_devices()
        self.watch()

    def exit(self):
        """Another module is opened; a run goes on and is loaded when it is done."""
        for section in self.sections:
            section.leave()
        self._letGo()
        self._seen = self._imageIDs()
        if not self.logic.busy:
            self.logic.rest()

    def onReload(self):
        """Reload the library with the module: Slicer itself would only reload this file."""
        for name in [name for name in sys.modules if name.split(".")[0] == "ProximalFemurSegLib"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        ScriptedLoadableModuleWidget.onReload(self)

    # The scene

    def onSceneStartClose(self, caller, event):
        self._pollTimer.stop()
        self._settleTimer.stop()
        for section in self.sections:
            section.leave()
        self.logic.forget()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()
            # What was asked before, as for devices, is still to be heard.
            self.watch()

    def onSceneEndImport(self, caller, event):
        # What a saved scene has chosen stays chosen, whatever its views show.
        self._seen = self._imageIDs()
        # The batch ends after the import, and Slicer's widgets take up its nodes only then.
        qt.QTimer.singleShot(0, self.onSceneImported)

    def onSceneImported(self):
        if self.parent.isEntered:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, caller, event, node):
        if not slicer.mrmlScene.IsClosing():
            qt.QTimer.singleShot(0, self.onNodesChanged)

    def onNodesChanged(self):
        if self.parameters:
            # In place of a volume that is gone Slicer's selectors take the next one.
            if self.logic.session.is_own_map(self.parameters.inputVolume):
                self.parameters.inputVolume = None
            self.chooseInput()
            self.logic.session.restore()
            self.refresh()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAdded(self, caller, event, node):
        if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not slicer.mrmlScene.IsImporting():
            qt.QTimer.singleShot(0, self.chooseInput)

    def onActiveVolume(self, caller, event):
        # The views follow after the event; Slicer's DICOM database can be a panel beside this one.
        qt.QTimer.singleShot(0, self.onVolumeShown)

    def onVolumeShown(self):
        if self.parameters and is_dicom_series(self.logic.adapter.shown_volume()):
            self.chooseNewInput()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())
        self.chooseInput()
        for section in self.sections:
            section.take_up()

    def chooseInput(self):
        """The volume in the slice views, else the first, until the user chooses one.

        A DICOM study often begins with a localizer, and Slicer shows the series that it loaded last.
        """
        if self.parameters and not self.parameters.inputVolume:
            images, shown = self._images(), self.logic.adapter.shown_volume()
            if images:
                self.parameters.inputVolume = shown if shown in images else images[0]

    def chooseNewInput(self):
        """The volume in the slice views, if it was loaded since this was last asked.

        Where there is a result only a DICOM series takes its image's place: other files are loaded for comparison, too.
        """
        shown, seen = self.logic.adapter.shown_volume(), self._seen
        self._seen = self._imageIDs()
        if self.logic.running or shown not in self._images() or shown.GetID() in seen:
            return
        before = self.parameters.segmentation
        if not before or is_dicom_series(shown):
            if before and volume_of(before) is not shown:
                # Nobody shall see one patient's bone over another's image.
                hide(before)
            self.parameters.inputVolume = shown

    def _images(self):
        # Label maps, a kind of volume to the scene, are none.
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        own = self.logic.session.is_own_map
        return [node for node in volumes if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not own(node)]

    def _imageIDs(self):
        return {node.GetID() for node in self._images()}

    def setParameterNode(self, parameterNode):
        self._letGo()
        self.parameters = parameterNode
        if parameterNode:
            self.updating = True
            self._guiTag = parameterNode.connectGui(self.ui)
            self.updating = False
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
            self.logic.session.restore()
            self._observeSegmentation(parameterNode.segmentation)
        self.refresh()

    def _letGo(self):
        if self.parameters:
            self.parameters.disconnectGui(self._guiTag)
            self.removeObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self.parameters, self._guiTag = None, None
        self._observeSegmentation(None)

    def onParameterNodeModified(self, caller=None, event=None):
        self.logic.session.restore()
        self._observeSegmentation(self.parameters.segmentation)
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

    # What goes on

    def watch(self):
        """Look at what is going on until it is over."""
        self._pollTimer.start()

    def settleSoon(self):
        """The masks have moved: what takes longer follows when they have come to rest."""
        self._settleTimer.start()
        for section in self.sections:
            section.refresh_results()

    def onPoll(self):
        running = self.logic.running
        with self.logic.adapter.drawn_once():
            status = self.logic.poll()
        if not self.logic.busy:
            self._pollTimer.stop()
            if not self.parent.isEntered:
                self.logic.rest()
            self.refresh()
        elif running:
            self.refresh()
        if running and status.over:
            self.show()
            if status.state is State.FAILED:
                logging.error("ProximalFemurSeg: %s\n%s", status.message, status.log)
                slicer.util.errorDisplay(status.message, detailedText=status.log)

    def onSettle(self):
        with self.logic.adapter.drawn_once():
            self.logic.session.settle()
            self.show()
        self.watch()
        self.refresh()

    def show(self):
        """Bring the views up to what is chosen."""
        for section in self.sections:
            section.show()

    def refresh(self):
        """Show the present state of things."""
        if self.parameters:
            for section in self.sections:
                section.refresh()

    def _timer(self, milliseconds, function):
        timer = qt.QTimer()
        timer.setInterval(milliseconds)
        timer.timeout.connect(function)
        return timer


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
        self.regions = self.comparison = None
        self.devices = None
        self._deviceRequest = None

    def getParameterNode(self):
        return ProximalFemurSegParameterNode(super().getParameterNode())

    def createChild(self):
        """The process that works for this one; it is started when it is first needed."""
        return child_command.create_child()

    def createRunner(self):
        """A runner in the child process."""
        return ChildProcessRunner(self.child)

    @property
    def running(self):
        """True while a segmentation is running."""
        return self.session.status.state is State.RUNNING

    @property
    def busy(self):
        """True while there is something to poll for."""
        makers = [maker for maker in (self.regions, self.comparison, self.adapter) if maker is not None]
        return self.running or any(maker.busy for maker in makers) or self._deviceRequest is not None

    @property
    def regions_shown(self):
        """True if the views show the regions of the chosen segmentation."""
        nodes = None if self.regions is None else self.regions.nodes
        node = None if nodes is None else nodes.segmentation
        return node is not None and self.getParameterNode().showRegions

    def poll(self):
        """Look at the run and at what else is on its way."""
        status = self.session.poll()
        if self.child:
            self.child.poll()
        self.adapter.poll()
        for maker in (self.regions, self.comparison):
            if maker:
                maker.poll()
        if self._deviceRequest and self._deviceRequest.over:
            self.devices, self._deviceRequest = self._deviceRequest.reply, None
        return status

    def ask_devices(self):
        """Find out, beside the window, what there is to run networks on; torch is loaded there, ready for a run."""
        if self.child and not self.devices and not self._deviceRequest and not packages.torch_is_missing():
            self._deviceRequest = self.child.ask("devices")

    def rest(self):
        """Give back memory and GPU while the user does something else, unless a run is going on."""
        self.session.rest()

    def forget(self):
        """The scene is being closed."""
        self.session.forget()
        self.adapter.forget()
        if self.regions:
            self.regions.close()
        if self.comparison:
            self.comparison.drop()

    def start(self, parameterNode, uncertainty="entropy"):
        """Begin to segment what the parameter node says; False if the user does not want what it needs installed."""
        if not self.ensurePackages():
            return False
        self.adapter.overlay_opacity = parameterNode.overlayOpacity
        self.session.start(uncertainty)
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
