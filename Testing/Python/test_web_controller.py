"""The page's state without a browser: what is chosen is done, what came of it is shown, what failed is said."""

import asyncio

import numpy as np
import pytest

from ProximalFemurSegLib.desktop import stand_in
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.mrml import parameters as p
from ProximalFemurSegLib.mrml.segmentation_node import masks_from_segmentation
from ProximalFemurSegLib.volume_io import write_volume
from web_cases import build_page, make_controller, renew

CHOICES = {"network": "auto", "modality": "auto", "side": "left", "device": "cpu"}
IMAGE = stand_in.ball_image()


@pytest.fixture(scope="module")
def one():
    controller = make_controller(CHOICES)
    yield controller
    controller.case.end()


@pytest.fixture
def controller(one):
    renew(one.case)
    one.case.choose(**CHOICES)
    one.state.update({"problem": "", "reference_name": "", "threshold": 0.5})
    one.refresh()
    return one


def do(*steps):
    """Carry out steps as the server does, and wait for what they set going."""

    async def main():
        for step in steps:
            going = step()
            if asyncio.iscoroutine(going):
                await going
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)

    asyncio.run(main())


def segmented(controller):
    do(lambda: controller.open(IMAGE), controller.start)
    return controller.state


def mask(controller):
    return masks_from_segmentation(controller.case.segmentation, controller.case.image)["trabecular_left"].array


def test_the_page_can_be_built(controller):
    html = build_page(controller)
    for test_id in ("image-file", "apply", "cancel", "threshold", "paint", "undo", "divide", "compare", "download"):
        assert f'data-testid="{test_id}"' in html
    assert "http" not in html.replace("http://www.w3.org", "")


def test_what_the_command_line_chose_is_chosen_in_the_page(controller):
    assert {name: controller.state[name] for name in CHOICES} == CHOICES


def test_networks_say_what_they_were_trained_on(controller):
    assert "simulated images" in controller.state.network_note


def test_an_image_can_be_segmented_and_nothing_without_one(controller):
    assert not controller.state.view["apply_enabled"]
    do(lambda: controller.open(IMAGE))
    assert controller.state.view["apply_enabled"] and controller.state.image_name == "hip"
    assert controller.state.window_range == [IMAGE.array.min(), IMAGE.array.max()]


def test_a_run_is_shown(controller):
    state = segmented(controller)
    assert state.has_result and state.view["status_text"] == "Done." and state.problem == ""
    assert state.volumes["rows"][0][2] == f"{np.count_nonzero(IMAGE.array > 40) * 3 / 1000:.1f}"
    assert state.threshold == 0.4 and state.view["threshold_enabled"]
    assert [entry["value"] for entry in state.segments] == ["trabecular_left"] and state.segment == "trabecular_left"


def test_choices_of_the_page_reach_the_run(controller):
    controller._on_choice(network="vnet", modality="ct", side="both", device="cpu")
    found = p.read_parameters(controller.case.session.parameter_node)
    assert (found.network, found.modality, found.side) == ("vnet", "ct", "both")
    assert "QCT" in controller.state.network_note or "Deng" in controller.state.network_note


def test_the_slider_moves_the_masks_and_they_settle(controller):
    segmented(controller)

    def move():
        controller.state.threshold = 0.6
        controller._on_threshold(threshold=0.6)

    async def rest():
        await asyncio.sleep(0.5)

    do(move, rest)
    assert np.array_equal(mask(controller), IMAGE.array > 60)
    assert controller.state.can_undo and not controller.case.session.live.moving
    do(controller.undo)
    assert np.array_equal(mask(controller), IMAGE.array > 40) and controller.state.threshold == 0.4


def test_showing_a_rounded_threshold_does_not_move_it(controller):
    segmented(controller)
    do(lambda: controller.move_threshold(0.4567))
    assert controller.state.threshold == 0.46
    do(lambda: controller._on_threshold(threshold=0.46))
    assert controller.case.session.threshold == pytest.approx(0.4567)


def test_the_map_is_shown_and_hidden(controller):
    segmented(controller)
    views = controller.case.app.view_manager.get_slice_views()
    controller.state.update({"show_map": True, "overlay": 0.3})
    controller._on_map()
    assert {view.get_foreground_opacity() for view in views} == {0.3}
    assert None not in {view.get_foreground_volume_id() for view in views}
    controller.state.show_map = False
    controller._on_map()
    assert {view.get_foreground_volume_id() for view in views} == {None}


def test_a_file_from_the_browser(controller, tmp_path):
    write_volume(IMAGE, tmp_path / "x.nii.gz")
    content = (tmp_path / "x.nii.gz").read_bytes()
    # Large files come in pieces.
    file = {"name": "patient.nii.gz", "content": [content[:100], content[100:]]}
    do(lambda: controller.upload_image([file]))
    assert controller.state.image_name == "patient" and not controller.state.reading
    assert controller.state.problem == ""


@pytest.mark.parametrize("files", [[], [{"name": "notes.pdf", "content": b"text"}]])
def test_no_file_or_a_wrong_one_leaves_the_case_as_it_is(controller, files):
    do(lambda: controller.open(IMAGE), lambda: controller.upload_image(files))
    assert controller.state.image_name == "hip" and not controller.state.reading
    assert bool(files) == ("notes.pdf" in controller.state.problem)


def test_what_cannot_be_done_is_said_and_the_page_lives_on(controller):
    do(lambda: controller.open(IMAGE), controller.divide)
    assert "Segment the image first" in controller.state.problem

    def fail():
        raise ZeroDivisionError("of the test")

    assert not controller.attempt(fail)
    assert "ZeroDivisionError" in controller.state.problem
    assert controller.attempt(lambda: None) and controller.state.problem == ""


def test_what_is_looked_at_meanwhile_does_not_hide_what_went_wrong(controller, monkeypatch):
    looks = iter([True, True, False])
    monkeypatch.setattr(type(controller.case), "busy", property(lambda case: next(looks, False)))
    do(lambda: controller.open(IMAGE), controller.divide)
    assert "Segment the image first" in controller.state.problem


def test_a_look_that_fails_is_not_the_last(controller, monkeypatch):
    looks, calls = iter([True, True, True, False]), []

    def poll():
        calls.append(True)
        raise ZeroDivisionError("of the test")

    monkeypatch.setattr(type(controller.case), "busy", property(lambda case: next(looks, False)))
    monkeypatch.setattr(controller.case, "poll", poll)
    do(controller.watch)
    assert len(calls) == 3 and "ZeroDivisionError" in controller.state.problem


def test_a_run_that_fails_says_why(controller):
    def refuse(volume, **options):
        raise BadInputError("'hip' has nothing in it: choose another.")

    from ProximalFemurSegLib.running.in_process import InProcessRunner

    controller.case.session.use(InProcessRunner(refuse))
    do(lambda: controller.open(IMAGE), controller.start)
    assert "nothing in it" in controller.state.problem and not controller.state.has_result


def test_a_reference_is_compared(controller):
    segmented(controller)
    truth = IMAGE.with_array((IMAGE.array > 40).astype(np.uint8), "truth")
    do(lambda: controller.set_reference(truth), controller.compare)
    assert ["DSC", "1.000"] in [list(row) for row in controller.state.comparison["rows"]]
    assert controller.state.distances and controller.state.reference_name == "truth"
