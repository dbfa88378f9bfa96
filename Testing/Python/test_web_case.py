"""The browser face without a browser: image, run, threshold, brushes, regions' and comparison's refusals, files."""

import io
import json
import zipfile

import numpy as np
import pytest

from ProximalFemurSegLib.desktop import stand_in
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.mrml import parameters as p
from ProximalFemurSegLib.mrml.region_nodes import RegionNodes
from ProximalFemurSegLib.mrml.segmentation_node import masks_from_segmentation
from ProximalFemurSegLib.mrml.shown_result import shown_result
from ProximalFemurSegLib.mrml.volume_node import volume_from_node
from ProximalFemurSegLib.running.runner import State
from ProximalFemurSegLib.web import files
from ProximalFemurSegLib.web.compass import edge_letters, place_text
from slow_runner import SlowRunner
from web_cases import make_case, renew, segmented


@pytest.fixture(scope="module")
def one_case():
    made = make_case()
    yield made
    made.end()


@pytest.fixture
def case(one_case):
    """As good as new: making the views takes longer than any test."""
    renew(one_case)
    return one_case


def mask(case, segment="trabecular_left"):
    return masks_from_segmentation(case.segmentation, case.image)[segment].array


def paint(case, corner=3, segment="trabecular_left"):
    """A block, through the editor that the brushes use."""
    editor = case.app.segmentation_editor
    case.adapter.brushes.choose_segment(segment)
    drawn = mask(case, segment).astype(np.uint8)
    drawn[:corner, :corner, :corner] = 1
    editor.active_segment_modifier.set_segment_labelmap(segment, drawn)
    return drawn.astype(bool)


def test_an_image_lies_in_the_slices_in_place_of_the_one_before(case):
    case.open(stand_in.ball_image(name="first"))
    case.open(stand_in.ball_image(name="second"))
    volumes = case.app.scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    volumes.UnRegister(None)
    assert [volumes.GetItemAsObject(n).GetName() for n in range(volumes.GetNumberOfItems())] == ["second"]
    shown = {view.get_background_volume_id() for view in case.app.view_manager.get_slice_views()}
    assert shown == {case.image.GetID()}


def test_choices_stay_when_another_image_is_opened(case):
    case.choose(network="vnet", side="left", device="cpu")
    case.open(stand_in.ball_image())
    found = p.read_parameters(case.session.parameter_node)
    assert (found.network, found.side, found.device) == ("vnet", "left", "cpu")


def test_what_dicom_says_of_the_modality_is_chosen(case):
    volume = stand_in.ball_image()
    volume.metadata["modality"] = "CT"
    case.open(volume)
    assert p.read_parameters(case.session.parameter_node).modality == "ct"


def test_a_run_brings_the_masks_of_the_threshold(case):
    volume = segmented(case)
    assert case.session.status.state is State.DONE
    assert np.array_equal(mask(case), volume.array > 100 * stand_in.POINTS["threshold"])
    voxels = np.count_nonzero(volume.array > 40)
    assert case.session.measurements()["volumes"][0]["volume_mm3"] == pytest.approx(voxels * 3.0)


def test_the_slices_go_through_the_bone(case):
    volume = segmented(case)
    for view in case.app.view_manager.get_slice_views():
        matrix = view.get_view_node().GetSliceToRAS()
        normal = [matrix.GetElement(row, 2) for row in range(3)]
        place = [matrix.GetElement(row, 3) for row in range(3)]
        assert abs(np.dot(normal, np.subtract(place, volume.grid.center))) <= max(volume.grid.spacing)


def test_cancelling_leaves_the_scene_as_it_was(case):
    case.session.use(SlowRunner())
    case.open(stand_in.ball_image())
    case.session.start()
    case.poll()
    assert case.running
    case.session.cancel()
    case.poll()
    assert case.session.status.state is State.CANCELLED and case.segmentation is None


def test_opening_another_image_ends_the_run(case):
    runner = SlowRunner()
    case.session.use(runner)
    case.open(stand_in.ball_image())
    case.session.start()
    case.open(stand_in.ball_image(name="other"))
    assert runner.state is State.CANCELLED and not case.busy


def test_masks_table_and_undo_follow_the_threshold(case):
    volume = segmented(case)
    case.move_threshold(0.7)
    case.settle()
    assert np.array_equal(mask(case), volume.array > 70)
    case.undo()
    assert np.array_equal(mask(case), volume.array > 40)
    assert case.session.threshold == pytest.approx(0.4)
    case.redo()
    assert np.array_equal(mask(case), volume.array > 70)
    assert case.session.threshold == pytest.approx(0.7)


def test_one_step_back_for_a_whole_drag_of_the_slider(case):
    volume = segmented(case)
    for threshold in (0.5, 0.55, 0.6):
        case.move_threshold(threshold)
    case.settle()
    case.undo()
    assert np.array_equal(mask(case), volume.array > 40)
    assert not case.adapter.brushes.can_undo


def test_painting_is_counted_locks_the_threshold_and_can_be_undone(case):
    volume = segmented(case)
    before = case.session.measurements()["volumes"][0]["volume_mm3"]
    drawn = paint(case)
    case.settle()
    assert np.array_equal(mask(case), drawn)
    assert case.session.measurements()["volumes"][0]["volume_mm3"] == pytest.approx(before + 27 * 3.0)
    with pytest.raises(BadInputError, match="edited by hand"):
        case.move_threshold(0.6)
    case.undo()
    assert np.array_equal(mask(case), volume.array > 40) and not case.session.live.edited


def test_drawing_is_heard(case, monkeypatch):
    heard = []
    monkeypatch.setattr(case, "_on_edited", lambda: heard.append(True))
    segmented(case)
    heard.clear()
    paint(case)
    assert heard


def test_a_new_segmentation_beside_the_edited_one(case):
    volume = segmented(case)
    drawn = paint(case)
    edited = case.segmentation
    case.renew()
    assert case.segmentation is not edited
    assert np.array_equal(mask(case), volume.array > 40)
    assert np.array_equal(masks_from_segmentation(edited, case.image)["trabecular_left"].array, drawn)
    # The brushes have gone over to it.
    assert case.adapter.brushes.segmentation is case.segmentation


def test_painting_one_bone_takes_its_place_from_the_other(case):
    case.choose(modality="ct")
    segmented(case)
    taken = paint(case, corner=12, segment="cortical_left")
    assert not np.any(mask(case, "trabecular_left") & taken)


def test_brushes_have_the_size_that_was_asked(case):
    from trame_slicer.segmentation import SegmentationEffectErase, SegmentationEffectPaint

    segmented(case)
    case.adapter.brushes.set_size(4.5, True)
    for effect in (SegmentationEffectPaint, SegmentationEffectErase):
        brush = case.app.segmentation_editor.get_effect(effect)
        assert brush.get_brush_diameter() == 4.5 and brush.is_sphere_brush()


def test_the_map_lies_over_the_slices_and_goes_again(case):
    segmented(case)
    node = p.get_reference(case.session.parameter_node, p.PROBABILITY)
    case.adapter.show_probability(node, 0.5)
    views = case.app.view_manager.get_slice_views()
    assert {(v.get_foreground_volume_id(), v.get_foreground_opacity()) for v in views} == {(node.GetID(), 0.5)}
    case.adapter.show_probability(node, 0.0)
    assert {v.get_foreground_volume_id() for v in views} == {None}


def test_compared_with_itself_the_result_is_perfect(case):
    volume = segmented(case)
    case.set_reference(volume.with_array((volume.array > 40).astype(np.uint8), "reader 2"))
    case.compare()
    rows = {row[0]: row[1] for row in case.comparison_table().rows}
    assert (rows["DSC"], rows["ASD (mm)"], rows["HD95 (mm)"]) == ("1.000", "0.00", "0.00")
    assert case.segmentation.GetDisplayNode().GetVisibility3D() == 0
    case.show(distances=False)
    assert case.segmentation.GetDisplayNode().GetVisibility3D() == 1


@pytest.mark.parametrize(
    ("modality", "structures"),
    [("mr", {"Trabecular bone, left"}), ("ct", {"Whole bone, left", "Trabecular bone, left"})],
)
def test_labels_of_the_program_are_compared_structure_by_structure(case, modality, structures):
    case.choose(modality=modality)
    volume = segmented(case)
    inner = volume.array > (40 if modality == "mr" else 70)
    outer = volume.array > (20 if modality == "mr" else 40)
    case.set_reference(volume.with_array(np.where(inner, 1, 2 * outer).astype(np.uint8), "truth"))
    case.compare()
    table = case.comparison_table()
    rows = {row[0]: set(row[1:]) for row in table.rows}
    assert set(table.header[1:]) == structures
    assert rows["DSC"] == {"1.000"} and rows["HD95 (mm)"] == {"0.00"}


def test_another_reference_takes_the_place_of_the_first(case):
    volume = segmented(case)
    case.set_reference(volume.with_array((volume.array > 60).astype(np.uint8), "one"))
    case.set_reference(volume.with_array((volume.array > 50).astype(np.uint8), "two"))
    maps = case.app.scene.GetNodesByClass("vtkMRMLLabelMapVolumeNode")
    maps.UnRegister(None)
    assert maps.GetNumberOfItems() == 1 and case.reference.GetName() == "two"


def test_what_is_no_femur_is_not_divided_and_says_why(case):
    segmented(case)
    with pytest.raises(BadInputError):
        case.divide("adaptive", "lesser-trochanter")


def test_a_division_on_its_way_into_the_scene_has_no_tables_yet(case):
    segmented(case)
    case.regions.nodes = RegionNodes(case.segmentation, segmentation=case.segmentation)
    assert case.region_tables() == ()
    case.regions.nodes = None


@pytest.mark.parametrize("act", ["divide", "compare"])
def test_without_a_result_it_says_what_to_do_first(case, act):
    case.open(stand_in.ball_image())
    with pytest.raises(BadInputError, match="Segment the image"):
        getattr(case, act)(*(["adaptive", "lesser-trochanter"] if act == "divide" else []))


# Files


@pytest.fixture
def light_report(monkeypatch):
    """The stand-in has no card, and its picture is not what is tested here."""
    monkeypatch.setattr("ProximalFemurSegLib.report.trained_on", lambda *_: "nothing")

    class Picture:
        def save(self, path, **_):
            path.write_bytes(b"picture")

    monkeypatch.setattr("ProximalFemurSegLib.report.segmentation_preview", lambda *_: Picture())


def archive(case):
    content = files.zip_of_result(shown_result(case.session.live), volume_from_node(case.image))
    return zipfile.ZipFile(io.BytesIO(content))


def labels_in(found, tmp_path):
    from ProximalFemurSegLib.volume_io import read_labels

    (tmp_path / "labels.nii.gz").write_bytes(found.read("segmentation.nii.gz"))
    return read_labels(tmp_path / "labels.nii.gz")


def test_the_archive_holds_the_files_of_the_command_line(case, light_report, tmp_path):
    volume = segmented(case, name="hip.nii.gz")
    found = archive(case)
    names = {
        "probability.nii.gz",
        "segmentation.nii.gz",
        "segmentation.json",
        "measurements.json",
        "measurements.csv",
        "preview.png",
    }
    assert set(found.namelist()) == names
    labels = labels_in(found, tmp_path)
    assert np.array_equal(labels.array, volume.array > 40) and labels.grid.is_close(volume.grid)
    said = json.loads(found.read("measurements.json"))
    assert said["image"] == "hip.nii.gz" and "edited" not in said
    assert said["volumes"][0]["voxels"] == np.count_nonzero(volume.array > 40)


def test_what_was_drawn_is_in_the_archive(case, light_report, tmp_path):
    segmented(case)
    drawn = paint(case)
    found = archive(case)
    assert np.array_equal(labels_in(found, tmp_path).array, drawn)
    said = json.loads(found.read("measurements.json"))
    assert said["edited"] and said["volumes"][0]["voxels"] == np.count_nonzero(drawn)
    row = found.read("measurements.csv").decode().splitlines()[1]
    assert f",{np.count_nonzero(drawn)}," in row


def test_an_upload_is_read_by_its_last_name(tmp_path):
    from ProximalFemurSegLib.volume_io import read_volume, write_volume

    volume = stand_in.ball_image()
    write_volume(volume, tmp_path / "x.nrrd")
    content = (tmp_path / "x.nrrd").read_bytes()
    for name in ("../../hip.nrrd", r"..\hip.nrrd", "hip.nrrd"):
        read = files.read_upload(name, content, read_volume)
        assert read.name.startswith("hip") and np.array_equal(read.array, volume.array)


@pytest.mark.parametrize(("name", "content"), [("notes.txt", b"x"), ("hip.nii.gz", b"no image")])
def test_an_upload_that_is_no_image_is_refused_by_name(name, content):
    from ProximalFemurSegLib.volume_io import read_volume

    with pytest.raises(BadInputError, match=name) as refused:
        files.read_upload(name, content, read_volume)
    assert "tmp" not in str(refused.value)


def test_sample_cases_are_here():
    assert files.sample_cases() == ("HipMR", "HipCT")


# Letters at the edges


def test_letters_of_the_three_standard_slices(case):
    case.open(stand_in.ball_image())
    found = {}
    for view in case.app.view_manager.get_slice_views():
        matrix = view.get_view_node().GetSliceToRAS()
        array = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
        found[view.get_orientation()] = "".join(edge_letters(array).values())
    # Left, right, top, bottom; patient right on the left.
    assert found == {"Axial": "RLAP", "Coronal": "RLSI", "Sagittal": "APSI"}


@pytest.mark.parametrize(("normal", "place", "text"), [((0, 0, 1), 12.34, "S 12.3 mm"), ((0, 1, 0), -3, "P 3.0 mm")])
def test_place_of_a_slice(normal, place, text):
    matrix = np.eye(4)
    matrix[:3, 2] = normal
    matrix[:3, 3] = np.multiply(normal, place)
    assert place_text(matrix) == text
