"""The sections of the panel below the threshold, worked as a user works them, on the host in ``host/``."""

from types import SimpleNamespace

import numpy as np
import pytest

from panel_driver import add_volume, apply, draw, host, mask, open_panel, rows  # noqa: F401
from ProximalFemurSegLib.desktop import stand_in
from ProximalFemurSegLib.evaluation.correction_time import read_records
from ProximalFemurSegLib.fine_tuned import user_model_folder
from ProximalFemurSegLib.mrml.segmentation_node import masks_from_segmentation
from ProximalFemurSegLib.mrml.table_node import read_table
from ProximalFemurSegLib.mrml.volume_node import volume_from_node
from ProximalFemurSegLib.running.in_process import InProcessRunner
from slow_runner import SlowRunner


@pytest.fixture
def panel(host):  # noqa: F811
    add_volume(host)
    panel = open_panel(host)
    apply(host, panel)
    panel.parent.show()
    return panel


def section(panel, name):
    return next(one for one in panel.sections if type(one).__name__ == f"{name}Section")


def copy_as(host, panel, name):  # noqa: F811
    """Another reader's segmentation: the present one, a slice thicker."""
    node = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.GetSegmentation().DeepCopy(panel.parameters.segmentation.GetSegmentation())
    host.process_events()
    return node


def test_the_table_goes_to_the_clipboard_and_into_a_file(host, panel, tmp_path):  # noqa: F811
    from PySide6 import QtWidgets

    panel.ui.copyButton.click()
    lines = QtWidgets.QApplication.clipboard().text().splitlines()
    assert lines[0].split("\t")[:2] == ["Femur", "Structure"]
    assert lines[1].split("\t") == rows(panel)[0]
    host.said.path = str(tmp_path / "volumes.csv")
    panel.ui.saveTableButton.click()
    assert (tmp_path / "volumes.csv").read_text(encoding="utf-8").splitlines()[1] == ",".join(rows(panel)[0])
    host.said.path = ""
    panel.ui.saveTableButton.click()
    assert host.said.errors == []


def test_post_processing_is_live_and_goes_with_the_next_run(host, panel):  # noqa: F811
    titles = [panel.ui.postprocessComboBox.itemText(n) for n in range(panel.ui.postprocessComboBox.count)]
    panel.ui.postprocessComboBox.setCurrentIndex(titles.index("Nothing"))
    assert panel.parameters.postprocess == "none"
    assert panel.logic.session.live.result.measurements["postprocess"] == "none"
    host.wait_for(lambda: not panel.logic.session.live.moving)
    apply(host, panel)
    assert panel.logic.session.live.result.measurements["postprocess"] == "none"
    assert host.said.errors == []


def test_a_correction_is_timed_undone_and_kept_with_the_scene(host, panel, tmp_path):  # noqa: F811
    automatic = mask(panel)
    panel.ui.readerEdit.text = "AB"
    assert panel.ui.correctionButton.text == "Start"
    panel.ui.correctionButton.click()
    editor = section(panel, "Correction").editor
    assert editor.segmentationNode() is panel.parameters.segmentation
    assert editor.sourceVolumeNode() is panel.parameters.inputVolume
    assert (editor.observed, editor.shortcuts) == (True, True)
    assert panel.ui.correctionButton.text == "Finish"

    editor.saveStateForUndo()
    drawn = draw(host, panel)
    assert panel.ui.revertButton.enabled is True
    panel.ui.revertButton.click()
    assert np.array_equal(mask(panel), automatic)
    assert panel.ui.thresholdSlider.enabled is True
    editor.undo()
    host.wait_for(lambda: not panel.ui.thresholdSlider.enabled)
    assert np.array_equal(mask(panel), drawn), "the edits come back"

    panel.ui.correctionButton.click()
    assert (editor.observed, editor.shortcuts, editor.segmentationNode()) == (False, False, None)
    assert "AB: 0:" in panel.ui.correctionNoteLabel.text
    assert f"{(drawn & ~automatic).sum()} voxels added, 0 taken away" in panel.ui.correctionNoteLabel.text
    path = str(tmp_path / "case.mrb")
    assert host.scene.WriteToMRB(path)
    host.scene.Clear(0)
    host.process_events()
    assert host.scene.ReadFromMRB(path)
    host.process_events()
    assert "AB: 0:" in panel.ui.correctionNoteLabel.text
    assert host.said.errors == []


def test_a_correction_goes_on_in_a_reopened_scene(host, panel, tmp_path):  # noqa: F811
    panel.ui.readerEdit.text = "AB"
    panel.ui.correctionButton.click()
    editor = section(panel, "Correction").editor
    path = str(tmp_path / "case.mrb")
    assert host.scene.WriteToMRB(path)
    host.scene.Clear(0)
    host.process_events()
    assert panel.ui.correctionButton.text == "Start"
    assert host.scene.ReadFromMRB(path)
    host.process_events()
    assert panel.ui.correctionButton.text == "Finish"
    assert editor.segmentationNode() is panel.parameters.segmentation is not None
    assert editor.sourceVolumeNode() is panel.parameters.inputVolume
    assert host.said.errors == []


def test_a_correction_goes_on_after_the_module_was_left(host, panel):  # noqa: F811
    panel.ui.readerEdit.text = "AB"
    panel.ui.correctionButton.click()
    editor = section(panel, "Correction").editor
    panel.exit()
    assert (editor.observed, editor.shortcuts, editor.segmentationNode()) == (False, False, None)
    panel.enter()
    assert panel.ui.correctionButton.text == "Finish"
    assert editor.segmentationNode() is panel.parameters.segmentation
    host.scene.Clear(0)
    host.process_events()
    assert panel.ui.correctionButton.text == "Start"
    assert host.said.errors == []


def draw_by_hand(host, editor):  # noqa: F811
    """A block in the first segment of what the editor holds; gives its number of voxels."""
    import slicer.util

    node, volume = editor.segmentationNode(), editor.sourceVolumeNode()
    drawn = np.zeros(volume_from_node(volume).array.shape, np.uint8)
    drawn[2:5, 3:7, 4:6] = 1
    segment = node.GetSegmentation().GetNthSegmentID(0)
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segment, volume)
    host.process_events()
    return int(drawn.sum())


def test_a_segmentation_from_nothing_is_timed_before_any_network_ran(host, tmp_path):  # noqa: F811
    add_volume(host)
    panel = open_panel(host)
    panel.parent.show()
    assert panel.ui.correctionButton.enabled is False
    panel.ui.byHandCheckBox.click()
    panel.ui.readerEdit.text = "CD"
    panel.ui.correctionButton.click()
    editor = section(panel, "Correction").editor
    assert editor.segmentationNode().GetName() == "hip by hand"
    assert panel.ui.byHandCheckBox.enabled is False
    panel.exit()
    panel.enter()
    assert editor.segmentationNode().GetName() == "hip by hand", "it goes on"
    count = draw_by_hand(host, editor)
    panel.ui.correctionButton.click()
    assert f"from nothing, {count} voxels drawn" in panel.ui.correctionNoteLabel.text
    assert panel.ui.saveTimesButton.visible is True
    host.said.path = str(tmp_path)
    panel.ui.saveTimesButton.click()
    (record,) = read_records(tmp_path)
    assert (record.subject, record.reader, record.task, record.voxels_added) == ("hip", "CD", "manual", count)
    assert host.said.errors == []


def test_who_draws_from_nothing_does_not_see_what_the_network_found(host, panel, tmp_path):  # noqa: F811
    automatic, display = mask(panel), panel.parameters.segmentation.GetDisplayNode()
    count = host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    panel.ui.byHandCheckBox.click()
    panel.ui.correctionButton.click()
    node = section(panel, "Correction").editor.segmentationNode()
    assert node is not panel.parameters.segmentation and not display.GetVisibility()
    assert list(node.GetSegmentation().GetSegmentIDs()) == list(
        panel.parameters.segmentation.GetSegmentation().GetSegmentIDs()
    )
    panel.ui.correctionButton.click()
    assert display.GetVisibility() and panel.ui.correctionNoteLabel.text == ""
    assert host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == count, "an empty one is not kept"

    panel.ui.correctionButton.click()
    drawn = draw_by_hand(host, section(panel, "Correction").editor)
    panel.ui.correctionButton.click()
    assert np.array_equal(mask(panel), automatic)
    panel.ui.exportPathEdit.currentPath = str(tmp_path)
    panel.ui.exportButton.click()
    assert [record.voxels_added for record in read_records(tmp_path)] == [drawn], "saved with the case"
    assert host.said.errors == []


def test_a_correction_whose_segmentation_is_removed_ends_with_it(host, panel):  # noqa: F811
    panel.ui.byHandCheckBox.click()
    panel.ui.correctionButton.click()
    editor = section(panel, "Correction").editor
    host.scene.RemoveNode(editor.segmentationNode())
    host.wait_for(lambda: panel.ui.correctionButton.text == "Start")
    assert editor.segmentationNode() is None and panel.ui.correctionNoteLabel.text == ""
    assert host.said.errors == []


def test_refusing_to_revert_changes_nothing(host, panel):  # noqa: F811
    drawn = draw(host, panel)
    host.said.answer = False
    panel.ui.revertButton.click()
    assert np.array_equal(mask(panel), drawn)


def test_what_was_changed_is_shown_and_taken_away_again(host, panel):  # noqa: F811
    automatic = mask(panel)
    drawn = draw(host, panel)
    count = host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    panel.ui.changesButton.click()
    changes = host.scene.GetNthNodeByClass(count, "vtkMRMLSegmentationNode")
    masks = masks_from_segmentation(changes, panel.parameters.inputVolume)
    assert np.array_equal(masks["added"].array, drawn & ~automatic)
    assert not masks["removed"].array.any()
    assert np.array_equal(mask(panel), drawn)
    panel.ui.changesButton.click()
    assert host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == count


def test_two_readers_are_compared_in_millimetres_and_on_the_surface(host, panel):  # noqa: F811
    reference = copy_as(host, panel, "Reader B")
    panel.ui.thresholdSlider.value = 0.6
    host.wait_for(lambda: not panel.logic.session.live.moving)
    assert panel.ui.compareButton.enabled is False
    panel.ui.referenceSelector.setCurrentNode(reference)
    assert panel.ui.compareButton.enabled is True
    panel.ui.compareButton.click()
    assert host.said.errors == []
    image = stand_in.ball_image().array
    overlap = 2 * (image > 60).sum() / ((image > 60).sum() + (image > 40).sum())
    table = panel.ui.comparisonTable
    shown = {table.item(r, 0).text(): table.item(r, 1).text() for r in range(table.rowCount)}
    assert shown["DSC"] == f"{overlap:.3f}"
    # Values fall by 5 a millimetre: between 60 and 40 lie 4 mm, on voxels of 1 to 2 mm.
    assert float(shown["ASD (mm)"]) == pytest.approx(4, abs=0.6)
    assert len({table.rowHeight(r) for r in range(table.rowCount)}) == 1, "no row as high as text wrapped in a fold"
    model = host.scene.GetFirstNodeByClass("vtkMRMLModelNode")
    assert model.GetMesh().GetPointData().GetArray("SurfaceDistance") is not None
    display = panel.parameters.segmentation.GetDisplayNode()
    panel.ui.overlaySlider.value = 0.5
    assert not display.GetVisibility3D(), "the coloured surface stands there alone, whatever else is chosen"
    choices = panel.ui.comparisonViewComboBox
    assert choices.currentText == "Both, with distances in 3D"
    legend = host.scene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode")
    assert (legend.GetTitleText(), bool(legend.GetVisibility())) == ("distance (mm)", True)
    expected = {"Side by side": (True, True, False), "Result": (True, False, False), "Reference": (False, True, False)}
    for title, visible in expected.items():
        choices.setCurrentText(title)
        nodes = (panel.parameters.segmentation, reference, model)
        assert tuple(bool(node.GetDisplayNode().GetVisibility()) for node in nodes) == visible
    # Red where the two are 3 mm apart, whatever else there is.
    panel.ui.rangeSpinBox.value = 3.0
    panel.ui.signedCheckBox.click()
    panel.ui.compareButton.click()
    assert host.scene.GetNumberOfNodesByClass("vtkMRMLModelNode") == 1
    display = host.scene.GetFirstNodeByClass("vtkMRMLModelNode").GetDisplayNode()
    assert display.GetScalarRange() == pytest.approx((-3, 3))
    legend = host.scene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode")
    assert legend.GetTitleText() == "mm, + outside"
    model, third = host.scene.GetFirstNodeByClass("vtkMRMLModelNode"), copy_as(host, panel, "Reader C")
    panel.ui.referenceSelector.setCurrentNode(third)
    panel.ui.compareButton.click()
    assert host.said.errors == []
    assert not model.GetDisplayNode().GetVisibility(), "one map at a time"
    panel.ui.referenceSelector.setCurrentNode(panel.parameters.segmentation)
    assert panel.ui.compareButton.enabled is False
    assert "itself" in panel.ui.comparisonNoteLabel.text


def test_a_comparison_says_when_the_masks_are_no_longer_those_compared(host, panel):  # noqa: F811
    panel.ui.referenceSelector.setCurrentNode(copy_as(host, panel, "Reader B"))
    panel.ui.compareButton.click()
    assert "Compare again" not in panel.ui.comparisonNoteLabel.text
    panel.ui.thresholdSlider.value = 0.6
    host.wait_for(lambda: not panel.logic.session.live.moving)
    panel.refresh()
    assert "press Compare again" in panel.ui.comparisonNoteLabel.text
    panel.ui.compareButton.click()
    assert "Compare again" not in panel.ui.comparisonNoteLabel.text
    assert host.said.errors == []


def test_review_goes_from_the_least_certain_slice_to_the_next(host, panel, monkeypatch):  # noqa: F811
    jumped = []
    monkeypatch.setattr(panel.logic.adapter, "jump", jumped.append)
    probability = volume_from_node(panel.parameters.probabilityVolume)
    p = np.clip(probability.array.astype(float), 1e-12, 1 - 1e-12)
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    per_slice = entropy.sum(axis=(1, 2))
    panel.ui.nextSliceButton.click()
    panel.ui.nextSliceButton.click()
    places = [probability.grid.ras_to_ijk(point)[2] for point in jumped]
    assert places == pytest.approx(np.round(places)) and places[0] != places[1]
    # Two slices may be equally uncertain.
    found = [per_slice[round(place)] for place in places]
    assert found == pytest.approx(np.sort(per_slice)[:-3:-1])
    assert panel.ui.reviewNoteLabel.text.startswith("2 of ")
    panel.ui.previousSliceButton.click()
    assert jumped[2] == jumped[0]
    assert panel.ui.previousSliceButton.enabled is False


def test_review_goes_by_error_where_there_is_a_reference(host, panel, monkeypatch):  # noqa: F811
    jumped = []
    monkeypatch.setattr(panel.logic.adapter, "jump", jumped.append)
    automatic = mask(panel)
    panel.ui.referenceSelector.setCurrentNode(copy_as(host, panel, "Reader B"))
    draw(host, panel)
    assert [panel.ui.rankComboBox.itemText(n) for n in range(2)] == ["Uncertainty", "Difference from the reference"]
    panel.ui.rankComboBox.setCurrentIndex(1)
    panel.ui.nextSliceButton.click()
    wrong = (mask(panel) != automatic).sum(axis=(1, 2))
    index = round(volume_from_node(panel.parameters.inputVolume).grid.ras_to_ijk(jumped[0])[2])
    assert wrong[index] == wrong.max() > 0
    assert "different" in panel.ui.reviewNoteLabel.text


def test_uncertainty_is_a_map_of_bits_on_the_image(host, panel):  # noqa: F811
    panel.ui.uncertaintyCheckBox.click()
    node = panel.parameters.uncertaintyVolume
    shown, image = volume_from_node(node), volume_from_node(panel.parameters.inputVolume)
    assert shown.grid.is_close(image.grid)
    assert shown.array.max() == pytest.approx(1.0, abs=0.01)
    assert np.allclose(shown.array[image.array == 50], 1.0)
    assert not shown.array[image.array == 0].any()
    display = panel.parameters.segmentation.GetDisplayNode()
    assert (bool(display.GetVisibility2DFill()), bool(display.GetVisibility2DOutline())) == (False, True)
    legend = host.scene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode")
    assert (legend.GetTitleText(), bool(legend.GetVisibility())) == ("bit", True)
    panel.ui.uncertaintyCheckBox.click()
    assert display.GetVisibility2DFill() and not legend.GetVisibility()


def test_one_map_at_a_time_lies_over_the_image(host, panel):  # noqa: F811
    box, slider = panel.ui.uncertaintyCheckBox, panel.ui.overlaySlider
    slider.value = 0.5
    box.click()
    legend = host.scene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode")
    assert (box.checked, slider.value, bool(legend.GetVisibility())) == (True, 0.0, True)
    slider.value = 0.3
    assert (box.checked, slider.value, bool(legend.GetVisibility())) == (False, pytest.approx(0.3), False)
    assert panel.parameters.showUncertainty is False
    slider.value = 0.0
    box.click()
    assert (box.checked, slider.value, bool(legend.GetVisibility())) == (True, 0.0, True)
    assert host.said.errors == []


def test_the_legend_of_a_scene_that_was_opened_is_drawn_anew(host, panel):  # noqa: F811
    panel.ui.uncertaintyCheckBox.click()
    legend = host.scene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode")
    before = legend.GetMTime()
    panel.onSceneImported()
    assert legend.GetMTime() > before and legend.GetVisibility()
    panel.ui.uncertaintyCheckBox.click()
    before = legend.GetMTime()
    panel.onSceneImported()
    assert legend.GetMTime() == before and not legend.GetVisibility()


class WithFolds(InProcessRunner):
    """Of several folds the networks disagree by half a bit on one slice."""

    def __init__(self):
        super().__init__(self.segment)
        self.asked = []

    def segment(self, volume, uncertainty="entropy", **options):
        self.asked.append(uncertainty)
        result = stand_in.segment(volume, **options)
        if uncertainty == "folds":
            spread = np.zeros(volume.array.shape, np.float32)
            spread[5] = 0.5
            result.probabilities.spread = spread
        return result


def test_the_spread_between_folds_can_be_asked_for_where_there_are_several(host, panel, monkeypatch):  # noqa: F811
    runner, jumped, shown = WithFolds(), [], []
    logic = panel.logic
    logic.session.use(runner)
    monkeypatch.setattr(logic.adapter, "jump", jumped.append)
    monkeypatch.setattr(logic.adapter, "show_uncertainty", lambda node, visible: shown.append(node))
    logic.child = SimpleNamespace(poll=lambda: None, end=lambda: None)
    panel.ui.uncertaintyCheckBox.click()
    for count, possible in ((0, False), (1, False), (4, True)):
        monkeypatch.setattr("ProximalFemurSegLib.models.fold_presets", lambda preset, n=count: [preset] * n)
        panel.refresh()
        assert (panel.ui.variantsButton.enabled, panel.ui.foldsButton.enabled) == (True, possible)
    assert str(user_model_folder()) in panel.ui.foldsButton.toolTip
    panel.ui.foldsButton.click()
    host.wait_for(lambda: not panel.ui.progressBar.visible and logic.session.status.over)
    node = panel.parameters.uncertaintyVolume
    assert volume_from_node(node).array.max() == 0.5
    panel.ui.nextSliceButton.click()
    assert round(volume_from_node(panel.parameters.inputVolume).grid.ras_to_ijk(jumped[-1])[2]) == 5
    assert panel.ui.reviewNoteLabel.text.endswith("in dispute between the folds")
    # The map in the views follows the result: after the next run it is the entropy's again.
    apply(host, panel)
    assert runner.asked == ["folds", "entropy"]
    assert volume_from_node(panel.parameters.uncertaintyVolume).array.max() == pytest.approx(1, abs=0.01)
    assert shown[-1] is panel.parameters.uncertaintyVolume and host.said.errors == []


def test_a_case_is_saved_as_files_that_open_elsewhere(host, panel, tmp_path):  # noqa: F811
    import SimpleITK as sitk

    reference = copy_as(host, panel, "Reader B")
    drawn = draw(host, panel)
    panel.ui.referenceSelector.setCurrentNode(reference)
    panel.ui.compareButton.click()
    panel.ui.exportPathEdit.currentPath = str(tmp_path)
    assert panel.ui.exportButton.enabled is True
    panel.ui.exportButton.click()
    assert host.said.errors == []
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "hip.seg.nrrd", "hip-probability.nrrd", "hip-volumes.csv", "hip-comparison.csv", "hip-report.html",
        "hip-distance-1.vtp", "hip-report.pdf",
    }  # fmt: skip
    saved = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "hip.seg.nrrd"))) > 0
    assert saved.sum() == drawn.sum()
    probability = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "hip-probability.nrrd")))
    assert np.allclose(probability, stand_in.ball_image().array / 100)
    printed = (tmp_path / "hip-report.pdf").read_bytes()
    assert printed.startswith(b"%PDF-") and printed.count(b"/Type /Page\n") == 1, "one sheet"
    page = (tmp_path / "hip-report.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page and "Edited by hand" in page and "Reader" not in page.split("<h2>")[0]
    assert rows(panel)[0][2].split()[0] in page
    assert panel.ui.reportButton.enabled is True
    assert panel.parameters.segmentation.GetStorageNode() is None or "hip.seg" not in str(
        panel.parameters.segmentation.GetStorageNode().GetFileName()
    )

    host.said.answer, before = False, (tmp_path / "hip-report.html").stat().st_mtime_ns
    panel.ui.exportButton.click()
    assert "hip-report.html" in host.said.questions[-1]
    assert (tmp_path / "hip-report.html").stat().st_mtime_ns == before


def test_the_uncertainty_is_saved_with_the_case_while_it_is_of_this_result(host, panel, tmp_path):  # noqa: F811
    import SimpleITK as sitk

    def export(name):
        folder = tmp_path / name
        folder.mkdir()
        panel.ui.exportPathEdit.currentPath = str(folder)
        panel.ui.exportButton.click()
        assert host.said.errors == []
        return folder / "hip-uncertainty.nrrd"

    assert not export("never shown").exists()
    panel.ui.uncertaintyCheckBox.click()
    saved = sitk.ReadImage(str(export("shown")))
    p = np.clip(stand_in.ball_image().array / 100.0, 1e-12, 1 - 1e-12)
    assert np.allclose(sitk.GetArrayFromImage(saved), -(p * np.log2(p) + (1 - p) * np.log2(1 - p)), atol=0.01)
    probability = sitk.ReadImage(str(tmp_path / "shown" / "hip-probability.nrrd"))
    assert saved.GetSpacing() == pytest.approx(probability.GetSpacing())
    panel.ui.uncertaintyCheckBox.click()
    assert export("kept").exists()
    apply(host, panel)
    assert not export("of a former result").exists()


def test_display_choices_reach_masks_and_maps(host, panel):  # noqa: F811
    display = panel.parameters.segmentation.GetDisplayNode()
    overlay = panel.parameters.probabilityVolume.GetDisplayNode()
    assert (display.GetVisibility2DFill(), overlay.GetApplyThreshold()) == (1, 1)
    panel.ui.fillCheckBox.click()
    panel.ui.hideBelowCheckBox.click()
    assert (bool(display.GetVisibility2DFill()), overlay.GetApplyThreshold()) == (False, 0)
    panel.ui.thresholdSlider.value = 0.6
    host.wait_for(lambda: not panel.logic.session.live.moving)
    assert overlay.GetApplyThreshold() == 0, "the choice stays when the threshold moves"


def test_the_overlay_follows_its_slider_at_once_not_one_step_behind(host, panel, monkeypatch):  # noqa: F811
    shown = []
    monkeypatch.setattr(panel.logic.adapter, "show_probability", lambda node, opacity: shown.append(opacity))
    panel.ui.overlaySlider.value = 0.5
    assert shown[-1] == pytest.approx(0.5)
    panel.ui.overlaySlider.value = 0.0
    assert shown[-1] == 0.0


def test_everything_but_apply_works_without_torch(host, monkeypatch):  # noqa: F811
    monkeypatch.setattr(host.module.packages, "torch_is_missing", lambda: True)
    monkeypatch.setattr(host.module.packages, "ensure_packages", lambda translate: False)
    add_volume(host)
    panel = open_panel(host, SlowRunner())
    assert "PyTorch is not installed" in panel.ui.deviceNoteLabel.text
    panel.ui.applyButton.click()
    assert panel.ui.applyButton.enabled is True
    one = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "A")
    other = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "B")
    import slicer.util

    image = stand_in.ball_image().array
    for node, level in ((one, 40), (other, 60)):
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(panel.parameters.inputVolume)
        node.GetSegmentation().AddEmptySegment("trabecular_left", "bone")
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            (image > level).astype(np.uint8), node, "trabecular_left", panel.parameters.inputVolume
        )
    panel.ui.segmentationSelector.setCurrentNode(one)
    assert rows(panel) == [["Left", "Trabecular bone", f"{(image > 40).sum() * 3 / 1000:.1f}"]]
    panel.ui.referenceSelector.setCurrentNode(other)
    panel.ui.compareButton.click()
    assert host.said.errors == []
    assert panel.ui.comparisonTable.rowCount > 3


def test_the_card_of_a_network_is_one_click_away(host, panel):  # noqa: F811
    names = [panel.ui.networkComboBox.itemText(n) for n in range(panel.ui.networkComboBox.count)]
    panel.ui.networkComboBox.setCurrentIndex(names.index("vnet (CT)"))
    panel.ui.cardButton.click()
    (text,) = host.said.infos
    assert "QCT-2021" in text and "Trained on" in text and "Limits" in text and "Dice" in text


def test_devices_are_named_with_memory_and_torch(host, panel):  # noqa: F811
    panel.logic.devices = {
        "torch": "2.7.1+cu126",
        "devices": [
            {"name": "cpu", "title": "CPU (8 threads)", "memory_gb": 31.2},
            {"name": "cuda:0", "title": "NVIDIA RTX 4070", "memory_gb": 11.7},
        ],
        "auto": "cuda:0",
    }
    panel.refresh()
    titles = [panel.ui.deviceComboBox.itemText(n) for n in range(panel.ui.deviceComboBox.count)]
    assert titles == [
        "Automatic: NVIDIA RTX 4070",
        "CPU (8 threads), 31.2 GB",
        "NVIDIA RTX 4070 (cuda:0), 11.7 GB",
    ]
    assert panel.ui.deviceNoteLabel.text == "PyTorch 2.7.1+cu126"
    panel.ui.deviceComboBox.setCurrentIndex(2)
    assert panel.parameters.device == "cuda:0"


def test_the_results_table_in_the_scene_follows(host, panel):  # noqa: F811
    volume = draw(host, panel).sum() * 3.0
    host.wait_for(lambda: read_table(panel.parameters.resultsTable)[0]["volume_mm3"] == pytest.approx(volume))


def test_no_column_of_a_wide_table_gives_way_to_the_others(host):  # noqa: F811
    from ProximalFemurSegLib.desktop.sections.section import fill_table, set_up_table
    from ProximalFemurSegLib.presenter.results import ResultTable as Table

    table = host.qt.QTableWidget()
    set_up_table(table, 0)
    header = table.horizontalHeader()
    fill_table(table, Table(("Region", "Volume (cm³)"), (("Intertrochanter", "32.5"),)))
    assert header.sectionResizeMode(0) == host.qt.QHeaderView.Stretch
    fill_table(table, Table(("Region", *["Volume (cm³)"] * 4), (("Intertrochanter", *["32.5"] * 4),)))
    assert header.sectionResizeMode(0) == host.qt.QHeaderView.ResizeToContents
