"""The whole way on real MRML: choose, run, load, move the threshold, edit, run again, save and open."""

import time

import numpy as np
import pytest

from mrml_scenes import (
    DIRECTIONS,
    headless,  # noqa: F401
    make_transform,
    make_warp,
    rotation,
    scene,  # noqa: F401
    slicer,
)
from ProximalFemurSegLib.desktop import stand_in
from ProximalFemurSegLib.errors import BadInputError, CancelledError, ProximalFemurSegError
from ProximalFemurSegLib.mrml import parameters as p
from ProximalFemurSegLib.mrml.adapter import Adapter
from ProximalFemurSegLib.mrml.headless import HeadlessSlicer
from ProximalFemurSegLib.mrml.segmentation_node import is_edited, masks_from_segmentation
from ProximalFemurSegLib.mrml.session import Session, prepare, segment_volume_node
from ProximalFemurSegLib.mrml.table_node import read_table
from ProximalFemurSegLib.mrml.volume_node import node_from_volume, volume_from_node
from ProximalFemurSegLib.running.in_process import InProcessRunner
from ProximalFemurSegLib.running.runner import State
from slow_runner import SlowRunner


class RecordingAdapter(Adapter):
    def __init__(self, scene):  # noqa: F811
        super().__init__(scene)
        self.undo, self.shown = [], []

    def save_undo(self, node):
        self.undo.append(node)

    def show_result(self, nodes):
        self.shown.append(nodes)


@pytest.fixture
def adapter(scene):  # noqa: F811
    return RecordingAdapter(scene)


@pytest.fixture
def session(adapter):
    return Session(adapter, InProcessRunner(stand_in.segment))


def choose(session, volume, **parameters):
    node = node_from_volume(volume, session._adapter.scene)
    p.set_reference(session.parameter_node, p.INPUT, node)
    p.write_parameters(session.parameter_node, p.Parameters(**parameters))
    return node


def run(session):
    session.start()
    status = finish(session)
    assert status.state is State.DONE, status.message
    return session.live.nodes


def finish(session):
    """Poll as a panel does, until the run is over and its result loaded."""
    for _ in range(100):
        status = session.poll()
        if status.over:
            return status
    raise AssertionError(f"still {status}")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_run_gives_maps_masks_and_volumes_on_the_inputs_grid(session, direction):
    volume = stand_in.ball_image(direction=DIRECTIONS[direction])
    node = choose(session, volume, modality="ct")
    nodes = run(session)
    probability = volume_from_node(nodes.probability)
    assert np.allclose(probability.array, volume.array / 100)
    assert probability.grid.is_close(volume.grid)
    assert np.allclose(volume_from_node(nodes.endosteal).array, np.clip(volume.array / 100 - 0.3, 0, 1))
    masks = masks_from_segmentation(nodes.segmentation, node)
    # The model's threshold is 0.4 on both maps: bone above 40, marrow above 70.
    assert np.array_equal(masks["trabecular_left"].array, volume.array > 70)
    assert np.array_equal(masks["cortical_left"].array, (volume.array > 40) & (volume.array <= 70))
    rows = {row["structure"]: row for row in read_table(nodes.table)}
    assert rows["trabecular bone"]["volume_mm3"] == pytest.approx((volume.array > 70).sum() * 3.0)
    assert rows["whole bone"]["volume_cm3"] == pytest.approx((volume.array > 40).sum() * 3.0 / 1000)
    assert rows["whole bone"]["incomplete"] == "no"
    assert nodes.probability.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.4)
    assert not is_edited(nodes.segmentation)
    assert nodes.segmentation.GetSegmentation().ContainsRepresentation("Closed surface")


def test_the_parameter_node_knows_the_result(session, adapter):
    choose(session, stand_in.ball_image())
    nodes = run(session)
    node = session.parameter_node
    assert p.get_reference(node, p.SEGMENTATION) is nodes.segmentation
    assert p.get_reference(node, p.PROBABILITY) is nodes.probability
    assert p.get_reference(node, p.TABLE) is nodes.table
    assert p.get_reference(node, p.ENDOSTEAL) is None
    assert p.read_parameters(node).threshold == pytest.approx(0.4)
    assert adapter.shown == [nodes]


def test_both_femora_are_segments_of_one_segmentation(session):
    volume = stand_in.ball_image()
    node = choose(session, volume, side="both")
    masks = masks_from_segmentation(run(session).segmentation, node)
    assert list(masks) == ["trabecular_left", "trabecular_right"]
    both = masks["trabecular_left"].array | masks["trabecular_right"].array
    assert np.array_equal(both, volume.array > 40)
    assert not masks["trabecular_left"].array[:, :, 14:].any()


def test_parent_transforms_move_input_and_results_together(session, scene):  # noqa: F811
    volume = stand_in.ball_image()
    node = choose(session, volume)
    pose = np.eye(4)
    pose[:3, :3] = rotation((1, 1, 0), 40)
    pose[:3, 3] = (30, -20, 10)
    transform = make_transform(scene, pose)
    node.SetAndObserveTransformNodeID(transform.GetID())
    nodes = run(session)
    assert volume_from_node(nodes.probability).grid.is_close(volume_from_node(node).grid)
    assert np.allclose(volume_from_node(node).grid.affine, pose @ volume.grid.affine)
    masks = masks_from_segmentation(nodes.segmentation, node)
    assert np.array_equal(masks["trabecular_left"].array, volume.array > 40)


def test_a_bent_input_is_refused_and_shown_as_such(session, scene):  # noqa: F811
    node = choose(session, stand_in.ball_image())
    node.SetAndObserveTransformNodeID(make_warp(scene).GetID())
    with pytest.raises(BadInputError, match="non-linear"):
        session.start()
    assert session.status.state is State.IDLE
    assert "non-linear" in session.panel_state().input_problem


def test_the_job_carries_the_choices_and_what_dicom_said(scene):  # noqa: F811
    node = node_from_volume(stand_in.ball_image(), scene)
    assert prepare(node, p.Parameters()).options.modality == "auto"
    hounsfield = slicer.vtkCodedEntry()
    hounsfield.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    node.SetVoxelValueUnits(hounsfield)
    job = prepare(node, p.Parameters(side="left", threshold=0.3, thresholdMethod="manual", network="vnet"))
    assert (job.options.modality, job.options.side, job.options.network) == ("ct", "left", "vnet")
    assert job.options.threshold == 0.3
    assert prepare(node, p.Parameters(threshold=0.3, thresholdMethod="otsu")).options.threshold == "otsu"
    with pytest.raises(BadInputError, match="middle"):
        prepare(node, p.Parameters(side="middle"))


def test_the_threshold_moves_the_masks_at_once_and_the_rest_when_it_settles(session, adapter):
    volume = stand_in.ball_image()
    node = choose(session, volume)
    nodes = run(session)
    count = adapter.scene.GetNumberOfNodes()
    for threshold in (0.55, 0.6, 0.7):
        assert session.move_threshold(threshold) == pytest.approx(threshold)
    assert np.array_equal(masks_from_segmentation(nodes.segmentation, node)["trabecular_left"].array, volume.array > 70)
    assert nodes.probability.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.7)
    assert session.measurements()["volumes"][0]["voxels"] == (volume.array > 70).sum()
    session.settle()
    assert read_table(nodes.table)[0]["volume_mm3"] == pytest.approx((volume.array > 70).sum() * 3.0)
    assert adapter.scene.GetNumberOfNodes() == count
    assert adapter.undo == [nodes.segmentation], "one state to come back to, for the whole drag"
    assert not is_edited(nodes.segmentation)
    parameters = p.read_parameters(session.parameter_node)
    assert (parameters.threshold, parameters.thresholdMethod) == (0.7, "manual")


@pytest.mark.parametrize(("method", "threshold"), [("model", 0.4), ("youden", 0.3), ("roc", 0.2)])
def test_named_thresholds_are_those_of_the_card(session, method, threshold):
    volume = stand_in.ball_image()
    node = choose(session, volume)
    run(session)
    session.move_threshold(0.9)
    assert session.move_threshold(method) == pytest.approx(threshold)
    session.settle()
    masks = masks_from_segmentation(session.live.nodes.segmentation, node)
    assert np.array_equal(masks["trabecular_left"].array, volume.array > 100 * threshold)
    assert p.read_parameters(session.parameter_node).thresholdMethod == method


def draw(nodes, segment_id="trabecular_left"):
    """Somebody paints a voxel."""
    import slicer.util

    mask = slicer.util.arrayFromSegmentBinaryLabelmap(nodes.segmentation, segment_id, nodes.input).copy()
    mask[0, 0, 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, nodes.segmentation, segment_id, nodes.input)
    return mask.astype(bool)


def test_a_second_run_writes_into_untouched_nodes(session, adapter):
    node = choose(session, stand_in.ball_image())
    first = run(session)
    count = adapter.scene.GetNumberOfNodes()
    p.write_parameters(session.parameter_node, p.Parameters(thresholdMethod="roc"))
    second = run(session)
    assert second == first
    assert adapter.scene.GetNumberOfNodes() == count
    masks = masks_from_segmentation(second.segmentation, node)
    assert np.array_equal(masks["trabecular_left"].array, stand_in.ball_image().array > 20)


def test_a_second_run_never_writes_over_what_somebody_drew(session):
    node = choose(session, stand_in.ball_image())
    first = run(session)
    drawn = draw(first)
    second = run(session)
    assert second.segmentation is not first.segmentation
    assert second.probability is not first.probability
    assert second.table is not first.table
    assert np.array_equal(masks_from_segmentation(first.segmentation, node)["trabecular_left"].array, drawn)
    assert p.get_reference(session.parameter_node, p.SEGMENTATION) is second.segmentation
    assert not first.segmentation.GetDisplayNode().GetVisibility(), "two outlines at once would only confuse"


def test_an_empty_segmentation_of_the_users_is_filled_and_a_foreign_one_is_left_alone(session, adapter):
    node = choose(session, stand_in.ball_image())
    empty = adapter.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    p.set_reference(session.parameter_node, p.SEGMENTATION, empty)
    nodes = run(session)
    assert nodes.segmentation is empty
    assert list(masks_from_segmentation(empty, node)) == ["trabecular_left"]
    foreign = adapter.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "theirs")
    foreign.GetSegmentation().AddEmptySegment("tumour", "tumour")
    p.set_reference(session.parameter_node, p.SEGMENTATION, foreign)
    assert run(session).segmentation is not foreign
    assert list(foreign.GetSegmentation().GetSegmentIDs()) == ["tumour"]


def test_another_input_gets_nodes_of_its_own(session):
    choose(session, stand_in.ball_image())
    first = run(session)
    choose(session, stand_in.ball_image((18, 20, 22), name="other hip"))
    second = run(session)
    assert second.segmentation is not first.segmentation
    assert second.segmentation.GetName() == "other hip femur segmentation"


def test_the_threshold_leaves_an_edited_segmentation_alone_and_a_new_one_is_offered(session):
    node = choose(session, stand_in.ball_image())
    first = run(session)
    assert not session.panel_state().edited
    drawn = draw(first)
    assert session.panel_state().edited
    with pytest.raises(BadInputError, match="edited by hand"):
        session.move_threshold(0.7)
    session.renew()
    second = session.live.nodes
    assert second.segmentation is not first.segmentation
    assert second.probability is first.probability
    assert p.get_reference(session.parameter_node, p.SEGMENTATION) is second.segmentation
    assert np.array_equal(masks_from_segmentation(first.segmentation, node)["trabecular_left"].array, drawn)
    assert not first.segmentation.GetDisplayNode().GetVisibility()
    session.move_threshold(0.7)
    session.settle()
    assert not session.panel_state().edited
    masks = masks_from_segmentation(second.segmentation, node)
    assert np.array_equal(masks["trabecular_left"].array, stand_in.ball_image().array > 70)


@pytest.mark.parametrize("modality", ["mr", "ct"])
def test_undoing_a_move_of_the_threshold_goes_back_to_its_threshold(session, modality):
    """As the Segment Editor's undo does it: the old voxels come back."""
    import slicer.util

    volume = stand_in.ball_image()
    node = choose(session, volume, modality=modality)
    nodes = run(session)
    before = {name: mask.array.copy() for name, mask in masks_from_segmentation(nodes.segmentation, node).items()}
    volumes = session.measurements()["volumes"]
    session.move_threshold(0.55)
    session.settle()
    for name, mask in before.items():
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), nodes.segmentation, name, node)
    assert not session.panel_state().edited
    session.settle()
    assert p.read_parameters(session.parameter_node).threshold == pytest.approx(0.4)
    assert session.measurements()["volumes"] == volumes
    assert read_table(nodes.table)[0]["volume_mm3"] == pytest.approx(volumes[0]["volume_mm3"], abs=0.01)
    assert nodes.probability.GetDisplayNode().GetLowerThreshold() == pytest.approx(0.4)


def test_messages_are_not_repeated_and_go_with_what_they_are_about(session):
    volume = stand_in.ball_image()
    volume = volume.with_array(np.maximum(volume.array, np.int16(35) * (volume.array > 0)))
    choose(session, volume)
    run(session)
    whole = session.measurements()["messages"]
    session.move_threshold(0.3)
    cut = session.measurements()["messages"]
    assert len(cut) == len(whole) + 1, "at 0.3 the bone reaches the border, and that is said once"
    session.move_threshold(0.4)
    assert session.measurements()["messages"] == whole


def test_the_volumes_of_an_edited_segmentation_are_counted_anew(session):
    volume = stand_in.ball_image()
    choose(session, volume, modality="ct")
    nodes = run(session)
    drawn = draw(nodes, "cortical_left")
    measured = session.measurements()
    assert measured["edited"] is True
    rows = {row["structure"]: row for row in measured["volumes"]}
    assert rows["cortical bone"]["voxels"] == drawn.sum()
    assert rows["whole bone"]["voxels"] == (volume.array > 40).sum() + 1
    assert rows["whole bone"]["side"] == "left"
    assert rows["cortical bone"]["incomplete"], "the drawn voxel lies in the corner of the image"
    assert not rows["trabecular bone"]["incomplete"]
    session.settle()
    table = {row["structure"]: row for row in read_table(nodes.table)}
    assert table["cortical bone"]["volume_mm3"] == pytest.approx(drawn.sum() * 3.0)
    nodes.segmentation.GetSegmentation().AddEmptySegment("cyst", "Bone cyst")
    assert [row["structure"] for row in session.measurements()["volumes"]].count("Bone cyst") == 1


def test_a_result_is_not_shown_as_that_of_another_volume_on_the_same_grid(session):
    first = choose(session, stand_in.ball_image())
    run(session)
    other = node_from_volume(stand_in.ball_image(name="fat image"), session._adapter.scene)
    p.set_reference(session.parameter_node, p.INPUT, other)
    session.restore()
    assert session.live is None
    p.set_reference(session.parameter_node, p.INPUT, first)
    session.restore()
    assert session.live is not None


def test_a_cancelled_run_leaves_the_scene_as_it_was(adapter):
    runner = SlowRunner()
    session = Session(adapter, runner)
    choose(session, stand_in.ball_image())
    session.start()
    assert session.poll().state is State.RUNNING
    assert session.poll().progress.seconds_left == 12.0
    count = adapter.scene.GetNumberOfNodes()
    session.cancel()
    assert runner.state is State.CANCELLED
    assert session.poll().state is State.CANCELLED
    assert adapter.scene.GetNumberOfNodes() == count
    assert session.live is None


def test_removing_the_input_in_mid_run_ends_the_run(adapter):
    runner = SlowRunner()
    session = Session(adapter, runner)
    node = choose(session, stand_in.ball_image())
    session.start()
    adapter.scene.RemoveNode(node)
    status = session.poll()
    assert status.state is State.FAILED
    assert "removed" in status.message
    assert runner.state is State.CANCELLED


def test_closing_the_scene_in_mid_run_ends_the_run_and_forgets_the_nodes(adapter):
    runner = SlowRunner()
    session = Session(adapter, runner)
    choose(session, stand_in.ball_image())
    session.start()
    session.forget()
    adapter.scene.Clear(0)
    assert runner.state is State.CANCELLED
    assert session.poll().state is State.IDLE
    assert session.panel_state().input_name == ""
    session.close()
    assert runner.closed


def test_an_input_that_changed_its_size_in_mid_run_is_noticed(adapter):
    import slicer.util

    runner = SlowRunner()
    session = Session(adapter, runner)
    node = choose(session, stand_in.ball_image())
    session.start()
    slicer.util.updateVolumeFromArray(node, np.zeros((5, 6, 7), np.int16))
    count = adapter.scene.GetNumberOfNodes()
    runner.finish()
    status = finish(session)
    assert status.state is State.FAILED
    assert "was changed after the run began" in status.message
    assert adapter.scene.GetNumberOfNodes() == count


def test_a_failed_run_says_why(adapter):
    def fail(volume, **options):
        raise BadInputError("No femur was found in 'hip'.")

    session = Session(adapter, InProcessRunner(fail))
    choose(session, stand_in.ball_image())
    session.start()
    assert session.poll().message == "No femur was found in 'hip'."
    with pytest.raises(BadInputError, match="Choose a hip"):
        p.set_reference(session.parameter_node, p.INPUT, None)
        session.start()


@pytest.mark.parametrize("modality", ["mr", "ct"])
@pytest.mark.parametrize("direction", ["straight", "oblique", "oblique-left-handed"])
def test_a_saved_scene_goes_on_where_it_was(headless, tmp_path, direction, modality):  # noqa: F811
    volume = stand_in.ball_image(direction=DIRECTIONS[direction])
    session = Session(RecordingAdapter(headless.scene), InProcessRunner(stand_in.segment))
    choose(session, volume, modality=modality)
    run(session)
    session.move_threshold(0.55)
    session.settle()
    volumes = session.measurements()["volumes"]
    path = str(tmp_path / "case.mrb")
    assert headless.scene.WriteToMRB(path)

    reader = HeadlessSlicer()
    assert reader.scene.ReadFromMRB(path)
    opened = Session(RecordingAdapter(reader.scene), InProcessRunner(stand_in.segment))
    opened.restore()
    state = opened.panel_state()
    assert (state.has_result, state.edited, state.input_name) == (True, False, "hip")
    assert opened.measurements()["volumes"] == volumes
    opened.move_threshold(0.65)
    opened.settle()
    nodes = opened.live.nodes
    turned = slice(None, None, -1) if "left-handed" in direction else slice(None)
    mask = masks_from_segmentation(nodes.segmentation, nodes.input)["trabecular_left"].array
    expected = volume.array > 65 if modality == "mr" else volume.array > 95
    assert np.array_equal(mask, expected[turned])


def test_restoring_without_a_result_is_no_error(session):
    session.restore()
    assert session.live is None
    choose(session, stand_in.ball_image())
    session.restore()
    assert session.live is None
    assert session.measurements() == {}
    assert session.move_threshold(0.5) is None
    session.settle()
    session.renew()


def test_a_script_segments_and_waits(adapter):
    node = node_from_volume(stand_in.ball_image(), adapter.scene)
    nodes = segment_volume_node(adapter, node, InProcessRunner(stand_in.segment), p.Parameters(side="right"))
    assert list(masks_from_segmentation(nodes.segmentation, node)) == ["trabecular_right"]

    def fail(volume, **options):
        raise BadInputError("No femur.")

    def stop(volume, **options):
        raise CancelledError("stopped")

    with pytest.raises(ProximalFemurSegError, match="No femur"):
        segment_volume_node(adapter, node, InProcessRunner(fail))
    with pytest.raises(CancelledError):
        segment_volume_node(adapter, node, InProcessRunner(stop))


def test_a_step_of_the_slider_on_a_papers_mr_is_quick(session, adapter):
    """512 x 512 x 60, as in the papers; time of this process alone, so that a busy machine does not count."""
    adapter.update_surface = lambda node: None  # it waits until the slider rests
    volume = stand_in.ball_image((60, 512, 512), (0.234, 0.234, 1.5))
    node = choose(session, volume)
    run(session)
    steps = []
    for threshold in (0.5, 0.52, 0.54, 0.56, 0.58):
        before = time.process_time()
        session.move_threshold(threshold)
        steps.append(time.process_time() - before)
    assert min(steps) < 0.15, steps
    mask = masks_from_segmentation(session.live.nodes.segmentation, node)["trabecular_left"].array
    assert np.array_equal(mask, volume.array > 58)


def test_the_spread_between_folds_is_kept_with_the_scene_and_ranks_the_slices(session, adapter, tmp_path):
    from ProximalFemurSegLib.mrml.review import slices_by_uncertainty
    from ProximalFemurSegLib.mrml.uncertainty_node import is_of_former_result

    asked = []

    def segment(volume, uncertainty="entropy", **options):
        asked.append(uncertainty)
        result = stand_in.segment(volume, **options)
        if uncertainty == "folds":
            spread = np.zeros(volume.array.shape, np.float32)
            spread[5, 10:14, 10:14], spread[7, 10:12, 10:14] = 0.5, 0.5
            result.probabilities.spread = spread
        return result

    session.use(InProcessRunner(segment))
    choose(session, stand_in.ball_image())
    session.start("folds")
    assert finish(session).state is State.DONE
    ranked = slices_by_uncertainty(session.live.probabilities)
    assert [(one.index, one.reason) for one in ranked] == [(5, "spread"), (7, "spread")]
    # 16 voxels of 1 x 1.5 mm, half a bit each.
    assert ranked[0].area_mm2 == pytest.approx(12.0)
    node = p.get_reference(session.parameter_node, p.UNCERTAINTY)
    assert volume_from_node(node).array.max() == np.float32(0.5)
    assert node.GetDisplayNode().GetWindowLevelMax() == 0.5

    bundle = str(tmp_path / "scene.mrb")
    assert adapter.scene.WriteToMRB(bundle)
    adapter.scene.Clear(0)
    session.forget()
    adapter.scene.SetURL(bundle)
    assert adapter.scene.ReadFromMRB(bundle, True)
    session.restore()
    assert [one.index for one in slices_by_uncertainty(session.live.probabilities)] == [5, 7]

    session.start()
    assert finish(session).state is State.DONE
    node = p.get_reference(session.parameter_node, p.UNCERTAINTY)
    assert is_of_former_result(node) and session.live.probabilities.spread is None
    assert asked == ["folds", "entropy"]
