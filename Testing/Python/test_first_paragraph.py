"""What the module is for, sentence by sentence, with the shipped networks: on a phantom and on a real CT.

The real CT is not part of this repository: that half is skipped where PROXIMAL_FEMUR_SEG_DATA names no folder with it.
The tests of a case share one run, and each leaves things so that the next can go on from there.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from panel_driver import draw, rows

pytest.importorskip("torch", reason="torch is not installed: no network runs here")
pytest.importorskip("PySide6", reason="PySide6 is not installed: the module is not driven here")
pytest.importorskip("pydicom", reason="pydicom is not installed: no DICOM study is made here")

import ProximalFemurSegLib  # noqa: E402
from dicom_files import write_volume_as_series  # noqa: E402
from host.application import running  # noqa: E402
from host.dicom_study import load_series, place_of  # noqa: E402
from ProximalFemurSegLib import models  # noqa: E402
from ProximalFemurSegLib.mrml.segmentation_node import masks_from_segmentation  # noqa: E402
from ProximalFemurSegLib.mrml.volume_node import volume_from_node  # noqa: E402
from ProximalFemurSegLib.running.child import Child  # noqa: E402
from ProximalFemurSegLib.running.child_process import ChildProcessRunner  # noqa: E402
from ProximalFemurSegLib.volume_io import read_labels, read_volume  # noqa: E402

MODULE = Path(ProximalFemurSegLib.__file__).parents[1]
DATA = Path(os.environ.get("PROXIMAL_FEMUR_SEG_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
REAL = DATA / "ct" / "totalsegmentator-example.nii.gz"
STUDY = {"PatientID": "P1", "PatientName": "Doe^Jane", "StudyDescription": "Hip", "SeriesNumber": 3}


class Phantom:
    """The sample MR that comes with the extension, and its exact truth."""

    modality, least, structure = "MR", 0.93, (1,)
    missing = ""

    def read(self):
        samples = MODULE / "Resources" / "SampleData"
        return read_volume(samples / "hip-mr.nii.gz"), read_labels(samples / "hip-mr-truth.nii.gz")


class RealCT:
    """A real CT of 3 mm voxels with another program's labels; the left femur carries an implant."""

    modality, least, structure = "CT", 0.8, (1, 2)
    missing = "" if REAL.exists() else f"{REAL} is not here; set PROXIMAL_FEMUR_SEG_DATA"

    def read(self):
        return read_volume(REAL), read_labels(REAL.with_name("totalsegmentator-example-femur-hip-labels.nii.gz"))


class Case:
    """A study that was dropped in and segmented, in a Slicer that is open."""

    def __init__(self, source, host, folder):
        self.source, self.host, self.folder = source, host, folder
        self.image, self.truth = source.read()
        self.progress = []

    def drop_in_the_study(self):
        write_volume_as_series(self.image, self.folder / "study", self.source.modality, **STUDY)
        self.node = load_series(self.host.headless, self.folder / "study")
        self.host.process_events()

    def open_the_module(self):
        command = [sys.executable, "-m", "ProximalFemurSegLib.desktop.worker"]
        logic = self.host.load_module().ProximalFemurSegLogic
        logic.createChild = lambda own: Child(command, cwd=MODULE, folder=self.folder)
        logic.createRunner = lambda own: ChildProcessRunner(own.child)
        self.panel = self.host.open_module()
        self.panel.parent.show()

    def press_apply(self):
        self.panel.ui.applyButton.click()
        while self.panel.logic.running:
            self.host.process_events(50)
            shown = self.panel.ui.progressBar.value, self.panel.ui.statusLabel.text
            if shown not in self.progress[-1:]:
                self.progress.append(shown)
        self.finish()
        assert self.panel.ui.statusLabel.text == "Done.", self.host.said.errors

    def finish(self):
        self.host.wait_for(lambda: not self.panel.logic.busy, seconds=600)
        live = self.panel.logic.session.live
        self.host.wait_for(lambda: live is None or not live.moving, seconds=60)
        self.host.wait_for(lambda: not self.panel.logic.busy, seconds=600)

    def bone(self, node=None):
        """Every voxel that a segmentation calls bone."""
        masks = masks_from_segmentation(node or self.panel.parameters.segmentation, self.node)
        return np.logical_or.reduce([mask.array for mask in masks.values()])

    def segments(self):
        return list(self.panel.parameters.segmentation.GetSegmentation().GetSegmentIDs())


SOURCES = {"phantom": Phantom(), "ct-of-a-patient": RealCT()}


@pytest.fixture(scope="module", params=SOURCES.values(), ids=SOURCES)
def case(request, tmp_path_factory):
    source = request.param
    if source.missing:
        pytest.skip(source.missing)
    if not models.has_weights(models.default_preset(source.modality.lower())):
        pytest.skip(f"the weights for {source.modality} are not here")
    with running() as host:
        case = Case(source, host, tmp_path_factory.mktemp("case"))
        case.drop_in_the_study()
        case.open_the_module()
        case.press_apply()
        yield case


def test_drop_in_a_dicom_study_open_the_module_press_apply(case):
    panel, place = case.panel, ["Doe^Jane", "Hip"]
    assert place_of(case.node) == place
    assert panel.ui.inputSelector.currentNode() is case.node, "the study's series is chosen by itself"
    shown = volume_from_node(case.node)
    assert shown.metadata["modality"] == case.source.modality
    parameters = panel.parameters
    for node in (parameters.segmentation, parameters.probabilityVolume, parameters.resultsTable):
        assert place_of(node) == place, "what came of it lies in the patient's study"
    truth = np.isin(case.truth.array, case.source.structure)
    if not shown.grid.is_close(case.truth.grid, 0.01):
        # Slicer turns the axes of what it loads.
        index = np.rint(case.truth.grid.ras_to_ijk(shown.grid.ijk_to_ras(ijk_of(shown)))).astype(int)
        truth = truth[index[..., 2], index[..., 1], index[..., 0]]
    found = case.bone()
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > case.source.least
    assert case.host.said.errors == []


def ijk_of(volume):
    return np.stack(np.meshgrid(*(np.arange(n) for n in volume.array.shape), indexing="ij")[::-1], axis=-1)


def test_watch_real_progress_with_the_time_left(case):
    percents = [percent for percent, _ in case.progress]
    # How often it moves depends on how fast the network is: at the least, it is not one jump from nothing to all.
    assert percents == sorted(percents) and len(set(percents) - {0, 100}) >= 2
    assert any(text.endswith("s left") for _, text in case.progress)
    assert any(text.startswith("Network for the") for _, text in case.progress)


def test_stop_it_if_they_like(case):
    panel, before = case.panel, case.bone()
    count = case.host.scene.GetNumberOfNodes()
    panel.ui.applyButton.click()
    case.host.wait_for(lambda: panel.ui.progressBar.value > 4, seconds=120)
    panel.ui.cancelButton.click()
    assert not panel.logic.child.alive, "nothing works on behind the user's back"
    assert panel.ui.statusLabel.text == "Cancelled; nothing was changed."
    case.finish()
    assert np.array_equal(case.bone(), before) and case.host.scene.GetNumberOfNodes() == count


def test_move_one_slider_and_see_the_mask_follow_the_probability_map_at_once(case):
    panel = case.panel
    first, before = panel.ui.thresholdSlider.value, case.bone()
    probability = volume_from_node(panel.parameters.probabilityVolume).array
    panel.ui.thresholdSlider.value = 0.9
    stricter = case.bone()
    assert stricter.sum() < before.sum() and not (stricter & ~before).any()
    # Filled holes are the only bone below the threshold.
    assert (probability[stricter] > 0.9).mean() > 0.99
    assert panel.parameters.probabilityVolume.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.9)
    shown = sum(float(row[2].split()[0]) for row in rows(panel) if not row[1].startswith("Whole"))
    assert shown == pytest.approx(stricter.sum() * case.image.grid.voxel_volume_mm3 / 1000, abs=0.21)
    panel.ui.modelThresholdButton.click()
    case.finish()
    assert np.array_equal(case.bone(), before) and panel.ui.thresholdSlider.value == pytest.approx(first)


def test_see_head_neck_trochanter_and_intertrochanter_volumes(case):
    case.panel.ui.divideButton.click()
    case.finish()
    assert case.host.said.errors == []
    table = case.panel.ui.regionsTable
    shown = {table.item(r, 0).text(): table.item(r, 1).text() for r in range(table.rowCount)}
    side = "" if len({row[0] for row in rows(case.panel)}) == 1 else "Right, "
    names = ["head", "neck", "trochanter", "intertrochanter"]
    volumes = {name: shown[f"{side}{name}" if side else name.capitalize()] for name in names}
    assert 20 < float(volumes["head"]) < 100
    # Both images end near the lesser trochanter: what they do not show is refused, with a reason. Volumes of all four
    # are in test_module_regions.py.
    for name in names[1:]:
        assert volumes[name] == "\N{EM DASH}" or 3 < float(volumes[name]) < 100
    missing = [name for name in names if volumes[name] == "\N{EM DASH}"]
    note = case.panel.ui.regionsNoteLabel.text
    assert all(name in note.lower() for name in missing)


def test_step_through_the_slices_that_most_deserve_a_second_look(case, monkeypatch):
    panel, visited = case.panel, []
    monkeypatch.setattr(panel.logic.adapter, "jump", visited.append)
    probability = volume_from_node(panel.parameters.probabilityVolume)
    for _ in range(3):
        panel.ui.nextSliceButton.click()
    # Of a cascade, the border that is the less certain.
    found = panel.logic.session.live.probabilities.maps.values()
    maps = [np.clip(m.array.astype(float), 1e-12, 1 - 1e-12) for m in found]
    assert np.allclose(maps[0], probability.array, atol=1e-6)
    entropy = np.max([-(p * np.log2(p) + (1 - p) * np.log2(1 - p)) for p in maps], axis=0)
    # Slices as they were scanned: the thickest.
    axis = 0
    sums = entropy.sum(axis=tuple(a for a in range(3) if a != axis))
    places = [round(probability.grid.ras_to_ijk(point)[2 - axis]) for point in visited]
    assert [sums[place] for place in places] == pytest.approx(np.sort(sums)[:-4:-1], rel=1e-3)
    assert panel.ui.reviewNoteLabel.text.startswith("3 of ")


def test_correct_the_mask_with_the_brushes_they_know_without_leaving_the_panel(case):
    panel = case.panel
    panel.ui.readerEdit.text = "AB"
    panel.ui.correctionButton.click()
    editor = next(section for section in panel.sections if hasattr(section, "editor")).editor
    assert editor.parent().parent() is not None and editor.segmentationNode() is panel.parameters.segmentation
    before = case.bone()
    editor.saveStateForUndo()
    case.drawn = draw(case.host, panel, case.segments()[0])
    assert (case.bone() & ~before).sum() > 0
    editor.undo()
    case.host.wait_for(lambda: panel.ui.thresholdSlider.enabled)
    assert np.array_equal(case.bone(), before)
    editor.redo()
    case.host.wait_for(lambda: not panel.ui.thresholdSlider.enabled)
    panel.ui.correctionButton.click()
    assert "AB: 0:" in panel.ui.correctionNoteLabel.text
    case.corrected = panel.parameters.segmentation


def test_load_a_colleagues_segmentation_and_see_where_the_two_differ_in_millimetres_on_the_surface(case):
    from ProximalFemurSegLib.evaluation.cases import evaluate_masks
    from ProximalFemurSegLib.volume_io import write_volume

    truth = case.truth.with_array(np.isin(case.truth.array, case.source.structure))
    write_volume(truth.with_array(truth.array.astype(np.uint8)), case.folder / "colleague.nii.gz")
    logic = case.host.headless.modules.volumes.logic()
    reference = logic.AddArchetypeVolume(str(case.folder / "colleague.nii.gz"), "colleague", 1)
    case.host.process_events()
    panel = case.panel
    panel.ui.referenceSelector.setCurrentNode(reference)
    panel.ui.compareButton.click()
    case.host.wait_for(lambda: not panel.logic.busy, seconds=120)
    assert case.host.said.errors == []
    table = panel.ui.comparisonTable
    shown = {table.item(r, 0).text(): float(table.item(r, 1).text()) for r in range(table.rowCount)}
    image = volume_from_node(case.node)
    theirs = volume_from_node(reference)
    expected = evaluate_masks(image.with_array(case.bone()), theirs.with_array(theirs.array > 0), interpolate=True)
    assert shown["DSC"] == pytest.approx(expected["dice"], abs=0.001)
    assert shown["ASD (mm)"] == pytest.approx(expected["asd_mm"], abs=0.02)
    model = case.host.scene.GetFirstNodeByClass("vtkMRMLModelNode")
    distances = model.GetMesh().GetPointData().GetArray("SurfaceDistance")
    assert 0 < np.mean([distances.GetValue(n) for n in range(distances.GetNumberOfTuples())]) < 8
    assert case.host.scene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode").GetTitleText() == "distance (mm)"
    assert place_of(model) == ["Doe^Jane", "Hip"]


def test_nothing_that_they_drew_is_ever_lost(case):
    panel, edited, drawn = case.panel, case.panel.parameters.segmentation, case.bone()
    assert not panel.ui.thresholdSlider.enabled and "Edited by hand" in panel.ui.thresholdHintLabel.text
    panel.ui.renewButton.click()
    case.finish()
    assert panel.parameters.segmentation is not edited
    assert np.array_equal(case.bone(edited), drawn), "another segmentation is made beside it"
    panel.parameters.segmentation = edited
    case.host.process_events()


def test_save_close_reopen_and_find_everything_as_it_was(case):
    panel, host = case.panel, case.host
    before = (rows(panel), case.bone(), case.segments(), panel.ui.thresholdSlider.value, table_texts(panel))
    notes = panel.ui.correctionNoteLabel.text
    panel.ui.exportPathEdit.currentPath = str(case.folder)
    panel.ui.exportButton.click()
    assert host.said.errors == []
    saved = {name.name.partition("-")[2] for name in case.folder.glob("3_hip-*")}
    assert {"volumes.csv", "regions.csv", "geometry.csv", "comparison.csv", "report.html", "report.pdf"} <= saved
    path = str(case.folder / "case.mrb")
    assert host.scene.WriteToMRB(path)
    host.scene.Clear(0)
    host.process_events()
    assert rows(panel) == []
    assert host.scene.ReadFromMRB(path)
    host.process_events()
    case.node = panel.parameters.inputVolume
    assert place_of(panel.parameters.segmentation) == ["Doe^Jane", "Hip"]
    after = (rows(panel), case.bone(), case.segments(), panel.ui.thresholdSlider.value, table_texts(panel))
    assert after[0] == before[0] and np.array_equal(after[1], before[1]) and after[2:] == before[2:]
    assert panel.ui.correctionNoteLabel.text == notes
    assert panel.ui.renewButton.visible, "it is known that it was drawn"
    assert host.said.errors == []


def table_texts(panel):
    """Regions, angles and comparison as they are shown."""
    tables = (panel.ui.regionsTable, panel.ui.geometryTable, panel.ui.comparisonTable)
    return [[[t.item(r, c).text() for c in range(t.columnCount)] for r in range(t.rowCount)] for t in tables]
