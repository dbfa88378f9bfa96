"""What the panel shows in every state."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from ProximalFemurSegLib import presenter
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.presenter import (
    NetworkEntry,
    PanelState,
    network_entries,
    present,
    result_messages,
    result_summary,
    result_table,
    status_text,
    time_left,
)
from ProximalFemurSegLib.running.progress import Progress
from ProximalFemurSegLib.running.runner import State, Status

HERE = NetworkEntry("vnet", "vnet (CT)", "", True)
READY = PanelState(input_name="hip", network=HERE)
RUNNING = Status(State.RUNNING, Progress("network", 3, 12, 65.0))


def test_nothing_can_be_applied_without_a_volume():
    view = present(PanelState())
    assert not view.apply_enabled
    assert view.apply_tooltip == "Choose a hip MR or CT volume first."
    assert (view.cancel_enabled, view.threshold_enabled, view.progress_visible) == (False, False, False)


def test_a_good_volume_can_be_segmented():
    view = present(READY)
    assert view.apply_enabled
    assert "'hip'" in view.apply_tooltip
    assert view.choices_enabled


def test_why_a_volume_cannot_be_segmented_is_the_tooltip():
    view = present(replace(READY, input_problem="'hip' is a single slice."))
    assert (view.apply_enabled, view.apply_tooltip) == (False, "'hip' is a single slice.")


def test_a_network_without_weights_cannot_be_applied():
    view = present(replace(READY, network=replace(HERE, available=False)))
    assert not view.apply_enabled
    assert "vnet" in view.apply_tooltip


def test_while_it_runs_only_cancel_is_left():
    view = present(replace(READY, status=RUNNING, has_result=True))
    assert (view.apply_enabled, view.cancel_enabled, view.choices_enabled, view.threshold_enabled) == (
        False,
        True,
        False,
        False,
    )
    assert (view.progress_visible, view.progress_percent) == (True, 25)
    assert view.status_text == "Network \N{EM DASH} 1 min 05 s left"


def test_one_bar_shows_the_whole_run_where_that_is_known():
    progress = Progress("network", 1, 1, 65.0, overall=0.4)
    assert present(replace(READY, status=Status(State.RUNNING, progress))).progress_percent == 40


def test_an_end_that_is_not_known_is_a_busy_bar():
    view = present(replace(READY, status=Status(State.RUNNING, Progress("starting"))))
    assert (view.progress_visible, view.progress_percent, view.status_text) == (True, None, "Starting...")


def test_a_result_can_be_thresholded_until_somebody_edits_it():
    assert not present(READY).threshold_enabled
    result = replace(READY, has_result=True)
    assert present(result).threshold_enabled
    assert present(result).threshold_hint == ""
    assert not present(result).renew_visible
    edited = present(replace(result, edited=True))
    assert (edited.threshold_enabled, edited.renew_visible) == (False, True)
    assert "Edited by hand" in edited.threshold_hint


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (Status(State.IDLE), ""),
        (Status(State.DONE), "Done."),
        (Status(State.CANCELLED), "Cancelled; nothing was changed."),
        (Status(State.FAILED, message="No femur was found."), "No femur was found."),
    ],
)
def test_how_a_run_ended(status, text):
    assert status_text(status) == text


def test_a_step_that_is_over_has_no_time_left():
    over = Status(State.RUNNING, Progress("bone, right femur", 4, 4, 0.0))
    assert status_text(over) == "Network for the bone, right femur..."


def test_of_several_runs_it_is_said_which_one_is_at_work():
    begun = Status(State.RUNNING, Progress("shifted forth image: finding the femora", 0, 4))
    assert status_text(begun) == "Shifted forth image: finding the femora..."


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s left"), (0.2, "1 s left"), (59, "59 s left"), (60, "1 min 00 s left")]
)
def test_time_left(seconds, text):
    assert time_left(seconds) == text


def test_volumes_are_a_table_that_marks_what_is_cut_off():
    rows = [
        {"side": "left", "structure": "trabecular bone", "volume_cm3": 83.26, "incomplete": False},
        {"side": None, "structure": "cortical bone", "volume_cm3": 41.0, "incomplete": True},
    ]
    table = result_table({"volumes": rows})
    assert table.header == ("Femur", "Structure", "Volume (cm\N{SUPERSCRIPT THREE})")
    assert table.rows == (("Left", "Trabecular bone", "83.3"), ("Side not known", "Cortical bone", "41.0 *"))
    assert "Incomplete" in table.notes[0]
    assert result_table({"volumes": rows[:1]}).notes == ()
    assert result_table({}).rows == ()


def test_summary_names_network_device_and_time():
    measured = {"network": "vnet", "device": "CPU, bfloat16", "seconds": {"total": 12.34}}
    assert result_summary(measured) == "vnet, CPU, bfloat16, 12.3 s"
    assert result_summary({}) == ""


def test_messages_speak_of_the_panels_choices():
    said = ["The femur may be the left one; --side says it.", "The image is CT (--modality mr says otherwise)."]
    assert result_messages({"messages": said}) == (
        "The femur may be the left one; 'Side' says it.",
        "The image is CT (if not, choose 'Image' under Advanced).",
    )


def fake_models(trained="simulated images", weights=("mr-net",)):
    presets = {
        "mr-net": SimpleNamespace(name="mr-net", title="An MR network", paper="P1", modality="mr", stages=["a"]),
        "ct-net": SimpleNamespace(name="ct-net", title="A CT network", paper="P2", modality="ct", stages=["b", "c"]),
    }

    def card(stage):
        if trained is None:
            raise BadInputError("no card")
        return {"trained_on": trained}

    return SimpleNamespace(
        all_presets=lambda: tuple(presets.values()),
        default_preset=lambda modality: presets[f"{modality}-net"],
        has_weights=lambda preset: preset.name in weights,
        card=card,
    )


def test_the_menu_says_what_each_network_was_trained_on_and_which_have_no_weights():
    auto, mr, ct = network_entries(fake_models())
    assert (auto.name, auto.available) == ("auto", True)
    assert auto.note.startswith("MR: mr-net; CT: ct-net.")
    assert "Trained on simulated images." in auto.note
    assert (mr.title, mr.available) == ("mr-net (MR)", True)
    assert mr.note == "An MR network (P1). Trained on simulated images."
    assert (ct.title, ct.available) == ("ct-net (CT), no weights", False)


def test_the_menu_without_any_weights():
    entries = network_entries(fake_models(trained=None, weights=()))
    assert not any(entry.available for entry in entries)


def test_the_real_menu_has_every_preset_once():
    from ProximalFemurSegLib import models

    names = [entry.name for entry in network_entries()]
    assert names == ["auto", *(preset.name for preset in models.all_presets())]
    assert "locator" not in names


def test_every_text_goes_through_the_translator():
    presenter.set_translator(lambda text: f"<{text}>")
    try:
        assert present(PanelState()).apply_tooltip == "<Choose a hip MR or CT volume first.>"
        view = present(replace(READY, status=Status(State.DONE)))
        assert (view.status_text, view.apply_tooltip) == ("<Done.>", "<Segment the femur in 'hip'>")
    finally:
        presenter.set_translator(None)
