"""A reader's work in the scene: time by a clock that is told it, changes against arrays, and what a scene keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mrml_scenes import DIRECTIONS, headless, make_labels, make_volume_node, scene, slicer  # noqa: F401
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.evaluation.correction_time import compare_times, read_records
from ProximalFemurSegLib.evaluation.overlap import count_confusion
from ProximalFemurSegLib.evaluation.surface import surface_distances
from ProximalFemurSegLib.mrml.adapter import Adapter
from ProximalFemurSegLib.mrml.by_hand import begin_by_hand, discard, nothing_drawn
from ProximalFemurSegLib.mrml.correction_session import (
    CorrectionSession,
    correction_records,
    export_records,
    show_records,
)
from ProximalFemurSegLib.mrml.headless import HeadlessSlicer
from ProximalFemurSegLib.mrml.parameters import parameter_node
from ProximalFemurSegLib.mrml.segmentation_node import create_segmentation_node, write_labels
from ProximalFemurSegLib.mrml.segments import describe_segments
from ProximalFemurSegLib.mrml.stored_masks import masks_as_text, masks_from_text
from ProximalFemurSegLib.mrml.table_node import read_table
from ProximalFemurSegLib.volume import Grid, Volume

SEGMENTS = describe_segments({1: ("trabecular bone", "left"), 2: ("cortical bone", "left")})


class Time:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


def make_segmentation(scene, direction="straight", labels=None):  # noqa: F811
    node = create_segmentation_node(scene, make_volume_node(scene, direction), SEGMENTS, "draft")
    write_labels(node, make_labels() if labels is None else labels, SEGMENTS)
    return node


def begin(scene, node, time, reader="AB", **options):  # noqa: F811
    return CorrectionSession.begin(Adapter(scene), node, "s1", reader, "vnet", clock_time=time, **options)


def edit(node, labels, time, seconds):
    time.now += seconds
    write_labels(node, labels, SEGMENTS)


def corrected():
    """One layer of trabecular bone became cortical, one layer of cortical bone went."""
    labels = make_labels()
    labels[2, 3:7, 4:8] = 2
    labels[1] = 0
    return labels


def test_time_between_edits_counts_and_long_gaps_do_not(scene, time):  # noqa: F811
    node = make_segmentation(scene)
    session = begin(scene, node, time)
    edit(node, make_labels(), time, 12)
    edit(node, make_labels(), time, 25)
    edit(node, make_labels(), time, 300)
    time.now += 3
    record = session.finish()
    assert (record.active_s, record.idle_s) == (12 + 25 + 3, 300)
    assert (record.subject, record.reader, record.task, record.network) == ("s1", "AB", "correction", "vnet")
    edit(node, corrected(), time, 5)
    assert session.active_s == 40, "it no longer listens"


def test_going_through_the_slices_is_work_and_a_pause_is_none(scene, time):  # noqa: F811
    node = make_segmentation(scene)
    view = scene.AddNewNodeByClass("vtkMRMLSliceNode")
    session = begin(scene, node, time)
    time.now += 20
    view.SetSliceOffset(12.0)
    time.now += 20
    session.pause()
    time.now += 4000
    view.SetSliceOffset(14.0)
    assert session.paused and (session.active_s, session.idle_s) == (40, 0)
    edit(node, corrected(), time, 10)
    assert not session.paused, "an edit ends the pause"
    time.now += 6
    view.SetSliceOffset(16.0)
    assert (session.active_s, session.idle_s) == (46, 0)
    session.pause()
    time.now += 50
    session.resume()
    time.now += 1
    session.act()
    assert session.active_s == 47


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_was_changed_is_measured_by_structure(scene, time, direction):  # noqa: F811
    node = make_segmentation(scene, direction)
    session = begin(scene, node, time)
    edit(node, corrected(), time, 1)
    record = session.finish()
    before, after = make_labels(), corrected()
    counts = [count_confusion(before == value, after == value) for value in (1, 2)]
    assert record.voxels_added == sum(c.false_negatives for c in counts) == 16
    assert record.voxels_removed == sum(c.false_positives for c in counts) == 16 + 42
    assert record.dice == pytest.approx((counts[0] + counts[1]).dice)
    grid = Grid.from_parts(before.shape, (0.5, 0.75, 2.0))
    found = [surface_distances(before == value, after == value, grid) for value in (1, 2)]
    pooled = np.concatenate([d for f in found for d in (f.result_to_reference, f.reference_to_result)])
    assert record.asd_mm == pytest.approx(pooled.mean())


def test_segments_that_help_are_not_measured_and_one_that_was_deleted_is(scene, time):  # noqa: F811
    node = make_segmentation(scene)
    session = begin(scene, node, time)
    node.GetSegmentation().AddEmptySegment("helper", "Helper")
    helper = slicer.vtkSegment()
    helper.DeepCopy(node.GetSegmentation().GetSegment("cortical_left"))
    node.GetSegmentation().AddSegment(helper, "copy")
    node.GetSegmentation().RemoveSegment("trabecular_left")
    record = session.finish()
    assert (record.voxels_added, record.voxels_removed) == (0, int((make_labels() == 1).sum()))


def test_by_hand_there_is_no_draft(scene, time):  # noqa: F811
    node = make_segmentation(scene, labels=np.zeros_like(make_labels()))
    session = begin(scene, node, time, from_nothing=True)
    edit(node, make_labels(), time, 20)
    record = session.finish()
    assert (record.task, record.voxels_added, record.voxels_removed) == ("manual", int((make_labels() > 0).sum()), 0)
    assert record.dice is None and record.asd_mm is None


def test_an_empty_segmentation_to_draw_in(scene, time):  # noqa: F811
    volume = make_volume_node(scene, "straight")
    before = scene.GetNumberOfNodes()
    with pytest.raises(BadInputError, match="Name the reader"):
        begin_by_hand(Adapter(scene), volume, " ")
    assert scene.GetNumberOfNodes() == before
    session = begin_by_hand(Adapter(scene), volume, "CD", {11: ("trabecular bone", "right")}, clock_time=time)
    assert list(session.segmentation.GetSegmentation().GetSegmentIDs()) == ["trabecular_right"]
    assert session.from_nothing and nothing_drawn(session) and not session.lost
    discard(session)
    assert session.lost and CorrectionSession.restore(Adapter(scene)) is None
    assert scene.GetNumberOfNodes() == before


def saved_as_mrb(headless, folder):  # noqa: F811
    path = str(folder / "case.mrb")
    assert headless.scene.WriteToMRB(path)
    reader = HeadlessSlicer()
    assert reader.scene.ReadFromMRB(path)
    return reader


def saved_as_mrml(headless, folder):  # noqa: F811
    """As Slicer saves a scene: every node's file beside the .mrml."""
    for node in [headless.scene.GetNthNode(n) for n in range(headless.scene.GetNumberOfNodes())]:
        if node.IsA("vtkMRMLStorableNode") and node.GetSaveWithScene() and not node.IsA("vtkMRMLColorNode"):
            node.AddDefaultStorageNode()
            storage = node.GetStorageNode()
            if storage is not None:
                name = f"{node.GetID()}.{storage.GetDefaultWriteFileExtension()}"
                storage.SetFileName(str(folder / name))
                assert storage.WriteData(node), name
    path = str(folder / "case.mrml")
    assert headless.scene.Commit(path)
    reader = HeadlessSlicer()
    reader.scene.SetURL(path)
    reader.scene.SetRootDirectory(str(folder))
    assert reader.scene.Connect()
    return reader


@pytest.mark.parametrize("save", [saved_as_mrb, saved_as_mrml])
@pytest.mark.parametrize("direction", ["straight", "oblique-left-handed"])
def test_a_session_goes_on_in_the_saved_scene_and_its_record_stays(headless, tmp_path, time, save, direction):  # noqa: F811
    node = make_segmentation(headless.scene, direction)
    session = begin(headless.scene, node, time, 'Ärztin "B"; <1>: 100 %')
    edit(node, make_labels(), time, 11)
    reader = save(headless, tmp_path)
    opened = CorrectionSession.restore(Adapter(reader.scene), clock_time=time)
    assert opened.paused and (opened.reader, opened.active_s) == (session.reader, 11)
    time.now += 86400
    opened.resume()
    time.now += 4
    assert opened.segmentation.GetName() == "draft"
    record = opened.finish()
    assert (record.active_s, record.idle_s) == (15, 0)
    assert (record.voxels_added, record.voxels_removed, record.dice, record.asd_mm) == (0, 0, 1, 0), "unchanged"
    assert CorrectionSession.restore(Adapter(reader.scene)) is None
    # The first scene went on, too; finished, its record is in the file.
    edit(node, corrected(), time, 2)
    record = session.finish()
    folder = tmp_path / "finished"
    folder.mkdir()
    again = save(headless, folder)
    assert correction_records(again.scene) == [record]
    assert again.scene.GetFirstNodeByName("Correction of draft").GetAttribute("ProximalFemurSeg.Draft") is None


def test_records_are_shown_and_exported_for_a_cohort(scene, time, tmp_path):  # noqa: F811
    with pytest.raises(BadInputError, match="no record"):
        export_records(scene, tmp_path)
    for from_nothing, seconds in ((False, 20), (True, 29)):
        node = make_segmentation(scene)
        session = begin(scene, node, time, from_nothing=from_nothing)
        edit(node, corrected(), time, seconds)
        session.finish()
    table = show_records(Adapter(scene))
    assert show_records(Adapter(scene)) is table
    assert [(row["task"], row["active_s"]) for row in read_table(table)] == [("correction", 20), ("manual", 29)]
    assert len(export_records(scene, tmp_path)) == 2
    found = compare_times(read_records(tmp_path))
    assert (found.paired, found.saved_s) == (1, 9)
    with pytest.raises(BadInputError, match="does not exist"):
        export_records(scene, tmp_path / "none")
    assert correction_records(scene) and parameter_node(scene).GetName() == "ProximalFemurSeg", "a node of its own"


def test_what_cannot_begin_or_end(scene, time):  # noqa: F811
    node = make_segmentation(scene)
    with pytest.raises(BadInputError, match="Name the reader"):
        CorrectionSession.begin(Adapter(scene), node, "s1", " ")
    with pytest.raises(BadInputError, match="is empty"):
        begin(scene, make_segmentation(scene, labels=np.zeros_like(make_labels())), time)
    session = begin(scene, node, time)
    with pytest.raises(BadInputError, match="being corrected already"):
        begin(scene, node, time)
    count = scene.GetNumberOfNodes()
    session.abandon()
    assert scene.GetNumberOfNodes() == count - 1
    session = begin(scene, node, time)
    scene.RemoveNode(node)
    with pytest.raises(BadInputError, match="was removed"):
        session.finish()
    session.abandon()
    assert CorrectionSession.restore(Adapter(scene)) is None


def test_a_closed_scene_is_let_go(scene, time):  # noqa: F811
    node = make_segmentation(scene)
    session = begin(scene, node, time)
    session.close()
    edit(node, corrected(), time, 5)
    assert session.active_s == 0
    scene.Clear(0)
    assert CorrectionSession.restore(Adapter(scene)) is None


@settings(max_examples=30, deadline=None)
@given(masks=arrays(bool, st.tuples(st.integers(1, 3), *[st.integers(1, 9)] * 3)))
def test_masks_as_text_come_back(masks):
    grid = Grid.from_parts(masks.shape[1:], (0.5, 0.7, 2.0), (3, 4, 5))
    given_ = {f"s{n}": Volume(mask, grid, f"Segment {n} é") for n, mask in enumerate(masks)}
    found = masks_from_text(masks_as_text(given_))
    assert list(found) == list(given_)
    for name, mask in given_.items():
        assert np.array_equal(found[name].array, mask.array)
        assert found[name].name == mask.name and found[name].grid.is_close(grid, 1e-12)


def test_a_femur_is_a_small_text():
    k, j, i = np.ogrid[:200, :200, :200]
    bone = np.hypot(np.hypot(k - 100, j - 90), i - 80) + 3 * np.sin(k / 5) < 60
    assert len(masks_as_text({"bone": Volume(bone, Grid.from_parts(bone.shape))})) < 60_000
