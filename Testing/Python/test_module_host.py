"""The module's own .ui and widget code, driven as a user drives it, on the host in ``host/``.

The host is a model of desktop Slicer, made of PySide6 and real MRML: what passes here shows that the module's logic
holds together; that it loads and looks right in Slicer is only seen in Slicer.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed: the module is not driven here")
pytest.importorskip("PySide6", reason="PySide6 is not installed: the module is not driven here")

from host.application import running  # noqa: E402
from panel_driver import add_volume, apply, draw, host, mask, open_panel, rows  # noqa: E402, F401
from ProximalFemurSegLib.desktop import stand_in  # noqa: E402
from ProximalFemurSegLib.errors import BadInputError  # noqa: E402
from ProximalFemurSegLib.mrml import parameters as p  # noqa: E402
from ProximalFemurSegLib.mrml.segmentation_node import masks_from_segmentation  # noqa: E402
from ProximalFemurSegLib.running.in_process import InProcessRunner  # noqa: E402
from ProximalFemurSegLib.running.runner import State  # noqa: E402
from slow_runner import SlowRunner  # noqa: E402


def test_an_empty_scene_says_what_to_do_first(host):  # noqa: F811
    panel = open_panel(host)
    assert panel.ui.applyButton.enabled is False
    assert panel.ui.applyButton.toolTip == "Choose a hip MR or CT volume first."
    assert panel.ui.cancelButton.enabled is False
    assert panel.ui.thresholdSlider.enabled is False
    assert panel.ui.researchLabel.text == "Research use only; weights trained on simulated images."


def test_the_first_volume_is_chosen_and_apply_is_ready(host):  # noqa: F811
    node = add_volume(host)
    panel = open_panel(host)
    assert panel.ui.inputSelector.currentNode() is node
    assert panel.ui.applyButton.enabled is True


def test_a_volume_that_comes_while_the_panel_is_open_is_chosen_a_label_map_is_not(host):  # noqa: F811
    panel = open_panel(host)
    host.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    host.process_events()
    assert panel.ui.inputSelector.currentNode() is None
    node = add_volume(host)
    assert panel.ui.inputSelector.currentNode() is node
    add_volume(host)
    assert panel.ui.inputSelector.currentNode() is node, "what is chosen stays"


def shown_in_the_slices(host, node):  # noqa: F811
    composite = host.scene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    composite = composite or host.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetBackgroundVolumeID(node.GetID())


def dicom_series(host):  # noqa: F811
    """A volume as Slicer's DICOM module loads it: marked with its instances, and shown."""
    node = add_volume(host)
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3.1 1.2.3.2")
    shown_in_the_slices(host, node)
    return node


def test_of_several_series_the_one_in_the_slice_views_is_chosen(host):  # noqa: F811
    dicom_series(host)  # the localizer
    node = dicom_series(host)
    add_volume(host)
    assert open_panel(host).ui.inputSelector.currentNode() is node


def test_a_study_loaded_after_a_result_is_what_apply_segments_next(host):  # noqa: F811
    first = add_volume(host)
    shown_in_the_slices(host, first)
    panel = open_panel(host)
    apply(host, panel)
    result = panel.parameters.segmentation
    panel.exit()
    second = dicom_series(host)
    panel.enter()
    assert panel.ui.inputSelector.currentNode() is second
    assert not result.GetDisplayNode().GetVisibility(), "one patient's bone over another's image"
    assert panel.ui.statusLabel.text == "", "nothing was done on this image"
    assert panel.ui.messageLabel.text == (
        f"These are the volumes of '{result.GetName()}', which is of '{first.GetName()}'."
    )
    assert result.GetNodeReference("referenceImageGeometryRef") is first
    panel.ui.inputSelector.setCurrentNode(first)
    panel.exit()
    panel.enter()
    assert panel.ui.inputSelector.currentNode() is first, "what the user went back to stays"


def test_a_study_loaded_from_the_database_beside_the_panel_is_chosen_a_file_is_not(host):  # noqa: F811
    selection = host.scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    assert selection.GetID() == "vtkMRMLSelectionNodeSingleton"
    first = add_volume(host)
    panel = open_panel(host)
    for load, chosen in ((add_volume, 0), (dicom_series, 1)):
        node = load(host)
        shown_in_the_slices(host, node)
        selection.SetActiveVolumeID(node.GetID())
        host.process_events()
        assert panel.ui.inputSelector.currentNode() is (first, node)[chosen]


def test_a_file_loaded_beside_a_result_does_not_take_its_images_place(host):  # noqa: F811
    node = add_volume(host)
    panel = open_panel(host)
    apply(host, panel)
    panel.exit()
    shown_in_the_slices(host, add_volume(host))
    panel.enter()
    assert panel.ui.inputSelector.currentNode() is node
    assert panel.ui.thresholdSlider.enabled is True


def test_a_study_that_comes_in_mid_run_waits(host):  # noqa: F811
    node = add_volume(host)
    panel = open_panel(host, SlowRunner())
    panel.ui.applyButton.click()
    panel.exit()
    dicom_series(host)
    panel.enter()
    assert panel.ui.inputSelector.currentNode() is node


def test_what_dicom_seg_needs_is_said_on_the_panel(host):  # noqa: F811
    add_volume(host)
    panel = open_panel(host)
    apply(host, panel)
    panel.ui.exportCollapsibleButton.collapsed = False
    panel.parent.show()
    assert panel.ui.dicomButton.enabled is False
    assert panel.ui.dicomNoteLabel.visible is True
    assert "QuantitativeReporting" in panel.ui.dicomNoteLabel.text
    host.headless.modules.dicomPlugins = {"DICOMSegmentationPlugin": object}
    panel.refresh()
    assert panel.ui.dicomButton.enabled is False
    assert panel.ui.dicomNoteLabel.text == "DICOM SEG needs an image from Slicer's DICOM database."
    panel.parameters.inputVolume.SetAttribute("DICOM.instanceUIDs", "1.2.3.1 1.2.3.2")
    panel.refresh()
    assert panel.ui.dicomButton.enabled is True
    assert panel.ui.dicomNoteLabel.visible is False


@pytest.mark.parametrize(("edited", "kind"), [(False, "AUTOMATIC"), (True, "SEMIAUTOMATIC")])
def test_a_dicom_seg_says_what_drew_it(host, monkeypatch, edited, kind):  # noqa: F811
    import vtk

    add_volume(host).SetAttribute("DICOM.instanceUIDs", "1.2.3.1 1.2.3.2")
    panel = open_panel(host)
    apply(host, panel)
    if edited:
        draw(host, panel)
    host.headless.modules.dicomPlugins = {"DICOMSegmentationPlugin": object}
    exported = []
    monkeypatch.setattr(panel.logic.adapter, "export_dicom", exported.append)
    panel.refresh()
    before = mask(panel)
    panel.ui.dicomButton.click()
    segmentation = exported[0].GetSegmentation()
    said = {}
    for tag in ("DICOM.SegmentAlgorithmType", "DICOM.SegmentAlgorithmName"):
        said[tag] = vtk.mutable("")
        assert segmentation.GetSegment("trabecular_left").GetTag(tag, said[tag])
    assert str(said["DICOM.SegmentAlgorithmType"]) == kind
    assert str(said["DICOM.SegmentAlgorithmName"]).startswith("ProximalFemurSeg")
    host.process_events(300)
    assert np.array_equal(mask(panel), before) and panel.ui.thresholdSlider.enabled is not edited


def test_where_the_image_is_deleted_its_probability_map_is_not_taken_for_one(host):  # noqa: F811
    node = add_volume(host)
    panel = open_panel(host)
    apply(host, panel)
    host.scene.RemoveNode(node)
    host.process_events()
    assert panel.ui.inputSelector.currentNode() is None
    assert panel.ui.applyButton.enabled is False
    other = add_volume(host)
    assert panel.ui.inputSelector.currentNode() is other


def test_apply_brings_map_masks_and_volumes_into_scene_and_panel(host):  # noqa: F811
    node = add_volume(host)
    panel = open_panel(host)
    apply(host, panel)
    image = stand_in.ball_image().array
    assert np.array_equal(mask(panel), image > 40)
    assert panel.parameters.probabilityVolume.GetName() == "hip femur probability"
    assert panel.ui.segmentationSelector.currentNode() is panel.parameters.segmentation
    assert panel.ui.thresholdSlider.value == pytest.approx(0.4)
    assert panel.ui.thresholdSlider.enabled is True
    assert rows(panel) == [["Left", "Trabecular bone", f"{(image > 40).sum() * 3 / 1000:.1f}"]]
    assert "CPU (stand-in)" in panel.ui.resultNoteLabel.text
    assert panel.ui.statusLabel.text == "Done."
    assert panel.ui.inputSelector.currentNode() is node
    assert host.said.errors == []


def test_the_choices_reach_the_run(host):  # noqa: F811
    add_volume(host)
    runner = SlowRunner()
    panel = open_panel(host, runner)
    panel.ui.sideComboBox.setCurrentText("Right")
    panel.ui.modalityComboBox.setCurrentText("CT")
    panel.ui.deviceComboBox.setCurrentText("CPU")
    names = [panel.ui.networkComboBox.itemText(n) for n in range(panel.ui.networkComboBox.count)]
    panel.ui.networkComboBox.setCurrentIndex(names.index("vnet (CT)"))
    assert "QCT-2021" in panel.ui.networkNoteLabel.text
    panel.ui.applyButton.click()
    options = runner.job.options
    assert (options.side, options.modality, options.device, options.network) == ("right", "ct", "cpu", "vnet")
    assert options.threshold == "model"


def test_progress_and_seconds_left_are_shown_and_cancel_ends_it(host):  # noqa: F811
    add_volume(host)
    runner = SlowRunner()
    panel = open_panel(host, runner)
    panel.parent.show()
    count = host.scene.GetNumberOfNodes()
    panel.ui.applyButton.click()
    host.wait_for(lambda: panel.ui.progressBar.value == 25)
    assert panel.ui.progressBar.visible is True
    assert panel.ui.statusLabel.text == "Network \N{EM DASH} 12 s left"
    assert (panel.ui.applyButton.enabled, panel.ui.cancelButton.enabled) == (False, True)
    assert panel.ui.inputSelector.enabled is False
    panel.ui.cancelButton.click()
    assert runner.state is State.CANCELLED
    assert panel.ui.statusLabel.text == "Cancelled; nothing was changed."
    assert (panel.ui.applyButton.enabled, panel.ui.cancelButton.enabled) == (True, False)
    assert panel.ui.progressBar.visible is False
    assert host.scene.GetNumberOfNodes() == count


def test_a_failure_is_told_with_its_log_and_the_panel_lives_on(host):  # noqa: F811
    def fail(volume, **options):
        raise BadInputError("No femur was found in 'hip'.")

    add_volume(host)
    panel = open_panel(host, InProcessRunner(fail))
    apply(host, panel)
    ((message, log),) = host.said.errors
    assert message == "No femur was found in 'hip'."
    assert "Traceback" in log
    assert panel.ui.statusLabel.text == message
    assert panel.ui.applyButton.enabled is True


def test_the_slider_moves_mask_overlay_and_volume_at_once(host):  # noqa: F811
    add_volume(host)
    panel = open_panel(host)
    apply(host, panel)
    image = stand_in.ball_image().array
    panel.ui.thresholdSlider.value = 0.65
    assert np.array_equal(mask(panel), image > 65)
    assert rows(panel)[0][2] == f"{(image > 65).sum() * 3 / 1000:.1f}"
    display = panel.parameters.probabilityVolume.GetDisplayNode()
    assert display.GetLowerThreshold() == pytest.approx(0.65)
    host.wait_for(lambda: not panel.logic.session.live.moving)
    table = panel.parameters.resultsTable
    assert float(table.GetCellText(0, 3)) == pytest.approx((image > 65).sum() * 3 / 1000)
    panel.ui.youdenThresholdButton.click()
    assert np.array_equal(mask(panel), image > 30)
    assert panel.ui.thresholdSlider.value == pytest.approx(0.3)
    panel.ui.modelThresholdButton.click()
    assert panel.ui.thresholdSlider.value == pytest.approx(0.4)
    panel.ui.otsuThresholdButton.click()
    assert 0.05 < panel.ui.thresholdSlider.value < 0.95
    assert host.said.errors == []


def test_the_sliders_two_decimals_do_not_round_the_networks_threshold(host, monkeypatch):  # noqa: F811
    monkeypatch.setitem(stand_in.POINTS, "threshold", 0.4371)
    add_volume(host)
    panel = open_panel(host)
    apply(host, panel)
    host.process_events(400)
    assert panel.ui.thresholdSlider.value == pytest.approx(0.44)
    assert panel.parameters.threshold == pytest.approx(0.4371)
    assert panel.parameters.thresholdMethod == "model"
    assert panel.logic.session.threshold == pytest.approx(0.4371)
    panel.ui.thresholdSlider.value = 0.45
    assert panel.logic.session.threshold == pytest.approx(0.45)


def test_an_edited_segmentation_locks_the_threshold_until_a_new_one_is_asked_for(host):  # noqa: F811
    import slicer.util

    add_volume(host)
    panel = open_panel(host)
    panel.parent.show()
    apply(host, panel)
    first = panel.parameters.segmentation
    drawn = mask(panel).astype(np.uint8)
    drawn[0, 0, 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, first, "trabecular_left", panel.parameters.inputVolume)
    host.wait_for(lambda: not panel.ui.thresholdSlider.enabled)
    assert rows(panel)[0][2] == f"{drawn.sum() * 3 / 1000:.1f} *", "the volume follows the brush; it touches the border"
    assert panel.ui.resultNoteLabel.text.endswith("Edited by hand, unet3d-dilated-f16, CPU (stand-in)")
    assert panel.ui.renewButton.visible is True
    assert "Edited by hand" in panel.ui.thresholdHintLabel.text
    panel.ui.renewButton.click()
    assert panel.parameters.segmentation is not first
    assert panel.ui.thresholdSlider.enabled is True
    assert panel.ui.renewButton.visible is False
    kept = masks_from_segmentation(first, panel.parameters.inputVolume)["trabecular_left"].array
    assert np.array_equal(kept, drawn.astype(bool))
    apply(host, panel)
    assert np.array_equal(
        masks_from_segmentation(first, panel.parameters.inputVolume)["trabecular_left"].array, drawn.astype(bool)
    )


def test_removing_the_input_in_mid_run_ends_it_with_a_word(host):  # noqa: F811
    node = add_volume(host)
    runner = SlowRunner()
    panel = open_panel(host, runner)
    panel.ui.applyButton.click()
    host.scene.RemoveNode(node)
    host.wait_for(lambda: panel.logic.session.status.over)
    assert runner.state is State.CANCELLED
    assert "removed" in panel.ui.statusLabel.text
    assert panel.ui.applyButton.enabled is False


def test_closing_the_scene_in_mid_run_is_safe(host):  # noqa: F811
    add_volume(host)
    runner = SlowRunner()
    panel = open_panel(host, runner)
    panel.ui.applyButton.click()
    host.scene.Clear(0)
    host.process_events(150)
    assert runner.state is State.CANCELLED
    assert panel.ui.applyButton.enabled is False
    add_volume(host)
    panel.ui.inputSelector.setCurrentNode(host.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode"))
    assert panel.ui.applyButton.enabled is True
    assert host.said.errors == []


def test_leaving_and_coming_back_keeps_run_and_result(host):  # noqa: F811
    add_volume(host)
    runner = SlowRunner()
    panel = open_panel(host, runner)
    panel.ui.applyButton.click()
    panel.exit()
    runner.finish()
    host.wait_for(lambda: panel.logic.session.status.over)
    panel.enter()
    assert panel.parameters.segmentation is not None
    assert panel.ui.thresholdSlider.enabled is True
    panel.ui.thresholdSlider.value = 0.7
    assert np.array_equal(mask(panel), stand_in.ball_image().array > 70)


def test_everything_is_as_it_was_in_a_reopened_scene(host, tmp_path):  # noqa: F811
    add_volume(host)
    panel = open_panel(host)
    panel.ui.sideComboBox.setCurrentText("Right")
    apply(host, panel)
    panel.ui.thresholdSlider.value = 0.65
    panel.ui.overlaySlider.value = 0.5
    host.wait_for(lambda: not panel.logic.session.live.moving)
    before = rows(panel)
    path = str(tmp_path / "case.mrb")
    assert host.scene.WriteToMRB(path)
    host.scene.Clear(0)
    host.process_events()
    assert rows(panel) == []
    assert host.scene.ReadFromMRB(path)
    host.process_events()
    assert panel.ui.sideComboBox.currentText == "Right"
    assert panel.ui.thresholdSlider.value == pytest.approx(0.65)
    assert panel.ui.overlaySlider.value == pytest.approx(0.5)
    assert panel.ui.thresholdSlider.enabled is True
    assert rows(panel) == before
    panel.ui.thresholdSlider.value = 0.7
    assert np.array_equal(mask(panel, "trabecular_right"), stand_in.ball_image().array > 70)


def test_what_the_panel_saves_is_what_the_library_reads(host):  # noqa: F811
    add_volume(host)
    panel = open_panel(host)
    panel.ui.sideComboBox.setCurrentText("Both")
    panel.ui.modalityComboBox.setCurrentText("MR")
    panel.ui.deviceComboBox.setCurrentText("CPU")
    read = p.read_parameters(p.parameter_node(host.scene))
    assert (read.side, read.modality, read.device, read.network) == ("both", "mr", "cpu", "auto")


def test_a_surface_is_shown_or_not_as_ticked(host):  # noqa: F811
    add_volume(host)
    panel = open_panel(host)
    apply(host, panel)
    display = panel.parameters.segmentation.GetDisplayNode()
    assert display.GetVisibility3D()
    panel.ui.surfaceCheckBox.click()
    assert not display.GetVisibility3D()
    assert not panel.parameters.showSurface


def test_cleanup_ends_the_run_and_lets_go_of_the_scene(host):  # noqa: F811
    add_volume(host)
    runner = SlowRunner()
    panel = open_panel(host, runner)
    panel.ui.applyButton.click()
    host.close_modules()
    assert runner.closed
    add_volume(host, name="later")
    host.process_events(150)
    assert host.said.errors == []


def test_reloading_in_mid_run_ends_it_and_brings_the_library_anew(host, monkeypatch):  # noqa: F811
    import slicer.util

    library = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "ProximalFemurSegLib"}

    def reload(name):
        host.close_modules()
        host.module = host.load_module(name)

    monkeypatch.setattr(slicer.util, "reloadScriptedModule", reload)
    add_volume(host)
    runner = SlowRunner()
    panel = open_panel(host, runner)
    panel.ui.applyButton.click()
    try:
        panel.onReload()
        assert runner.closed and runner.state is State.CANCELLED
        assert sys.modules["ProximalFemurSegLib.presenter"] is not library["ProximalFemurSegLib.presenter"]
        again = open_panel(host, SlowRunner())
        assert again.ui.inputSelector.currentNode().GetName() == "hip"
        host.close_modules()
    finally:
        # The other tests go on with the library that they imported.
        for name in [name for name in sys.modules if name.split(".")[0] == "ProximalFemurSegLib"]:
            del sys.modules[name]
        sys.modules.update(library)
    assert host.said.errors == []


def test_nothing_is_started_when_the_user_declines_the_packages(host, monkeypatch):  # noqa: F811
    monkeypatch.setattr(host.module.packages, "ensure_packages", lambda translate: False)
    add_volume(host)
    runner = SlowRunner()
    panel = open_panel(host, runner)
    panel.ui.applyButton.click()
    assert runner.state is State.IDLE
    assert panel.ui.applyButton.enabled is True


def test_the_module_imports_neither_torch_nor_the_networks(host):  # noqa: F811
    assert "torch" not in vars(host.module)
    import subprocess

    folder = host.module.__file__.rpartition("/")[0]
    code = (
        f"import sys; sys.path[:0] = [{folder!r}, {str(sys.path[0])!r}]; "
        "from ProximalFemurSegLib.mrml.session import Session; import ProximalFemurSegLib.presenter; "
        "import ProximalFemurSegLib.running.child_process; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_self_test_for_slicer_passes_here_too(host, monkeypatch):  # noqa: F811
    monkeypatch.setattr("ProximalFemurSegLib.models.has_weights", lambda preset: False)  # no real run here
    open_panel(host)
    host.module.ProximalFemurSegTest().runTest()
    assert host.said.errors == []


def test_sample_data_are_files_of_the_extension(host, monkeypatch):  # noqa: F811
    import types

    registered = []

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataCategory(category, title=None):
            pass

        @staticmethod
        def registerCustomSampleDataSource(**entries):
            registered.append(entries)

    sample_data = types.ModuleType("SampleData")
    sample_data.SampleDataLogic = SampleDataLogic
    monkeypatch.setitem(sys.modules, "SampleData", sample_data)
    host.module.registerSampleData()
    assert all(entry["uris"].startswith("file:") for entry in registered)
    assert {entry["sampleName"]: entry["loadFileType"] for entry in registered} == {
        "HipMR": "VolumeFile",
        "HipMR reference": "SegmentationFile",
        "HipCT": "VolumeFile",
        "HipCT reference": "SegmentationFile",
    }
    assert all(Path(entry["thumbnailFileName"]).exists() for entry in registered)


SLICER_SOURCE = "PROXIMAL_FEMUR_SEG_SLICER_SOURCE"


@pytest.mark.skipif(
    not os.environ.get(SLICER_SOURCE), reason=f"{SLICER_SOURCE} does not name a local copy of Slicer's source"
)
def test_slicers_own_base_classes_and_parameter_node_wrapper_accept_the_module(monkeypatch):
    with running(Path(os.environ[SLICER_SOURCE]) / "Base" / "Python" / "slicer") as host:  # noqa: F811
        host.module = host.load_module()
        assert "slicer/parameterNodeWrapper" in sys.modules["slicer.parameterNodeWrapper"].__file__
        monkeypatch.setattr("ProximalFemurSegLib.models.has_weights", lambda preset: True)
        monkeypatch.setattr(host.module.packages, "ensure_packages", lambda translate: True)
        add_volume(host)
        panel = open_panel(host)
        panel.ui.sideComboBox.setCurrentText("Right")
        apply(host, panel)
        panel.ui.thresholdSlider.value = 0.65
        assert np.array_equal(mask(panel, "trabecular_right"), stand_in.ball_image().array > 65)
        assert p.read_parameters(p.parameter_node(host.scene)).side == "right"
