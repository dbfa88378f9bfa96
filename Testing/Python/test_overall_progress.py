"""One bar for the whole of a run: it never goes back, and its forecast becomes right."""

import pytest

from ProximalFemurSegLib.running.overall import LOCATING, OverallProgress, onward
from ProximalFemurSegLib.running.progress import Progress


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def play(clock, progress, steps):
    """Each step: stage, seconds, windows."""
    for stage, seconds, windows in steps:
        for n in range(windows):
            clock.now += seconds / windows
            progress(stage, n + 1, windows)


RUN = (("reading the image", 1, 1), (LOCATING, 4, 8), ("bone, left femur", 14, 7), ("labels and volumes", 2, 1))


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_more_passes_than_expected_only_make_it_wait(passes):
    told, clock = [], Clock()
    progress = OverallProgress(told.append, clock=clock)
    progress.expect(1)
    extra = [(f"bone, wider view {n}", 14, 7) for n in range(passes - 1)]
    play(clock, progress, [*RUN[:3], *extra, RUN[3]])
    overall = [step.overall for step in told]
    assert overall == sorted(overall)
    assert overall[-1] == pytest.approx(1.0)
    assert all(value < 1 for value in overall[:-1])


def test_the_seconds_left_are_right_where_the_weights_are():
    told, clock = [], Clock()
    progress = OverallProgress(told.append, clock=clock)
    progress.expect(1)
    play(clock, progress, RUN)
    at = 100.0
    for step, seconds in zip(told, [1, *[0.5] * 8, *[2] * 7, 2]):
        at += seconds
        if step.seconds_left is not None:
            assert step.seconds_left == pytest.approx(121 - at, abs=0.1)
    assert told[0].seconds_left is None, "a forecast from nearly nothing"
    assert sum(step.seconds_left is not None for step in told) > 12


def test_what_one_run_took_is_what_the_next_expects():
    clock = Clock()
    first = OverallProgress(lambda step: None, clock=clock)
    quick = (("reading the image", 1, 1), (LOCATING, 1, 4), ("bone", 30, 3), ("labels and volumes", 8, 1))
    play(clock, first, quick)
    told = []
    again = OverallProgress(told.append, first.learned(), clock)
    play(clock, again, quick)
    assert [round(step.overall * 40) for step in told] == [1, 1, 2, 2, 2, 12, 22, 32, 40]


def test_a_pass_weighs_the_same_however_many_there_were():
    clock = Clock()
    progress = OverallProgress(lambda step: None, clock=clock)
    progress.expect(2)
    play(clock, progress, (("periosteal", 10, 5), ("endosteal", 12, 3)))
    assert progress.learned()["networks"] == pytest.approx(11)


def test_several_runs_over_one_image_count_their_networks_and_forget_nothing_of_the_first():
    told, clock = [], Clock()
    progress = OverallProgress(told.append, clock=clock)
    progress.expect(3)
    folds = [(f"fold {n} of 3: {stage}", *rest) for n in (1, 2, 3) for stage, *rest in RUN[1:3]]
    play(clock, progress, [RUN[0], *folds, RUN[3]])
    overall = [step.overall for step in told]
    assert overall == sorted(overall) and overall[-1] == pytest.approx(1.0)
    # 1 + 4 + 3 x 14 + 2 seconds' weight: after the first network 19, after the second 33.
    assert told[15].overall == pytest.approx(19 / 49) and told[30].overall == pytest.approx(33 / 49)
    learned = progress.learned()
    assert learned[LOCATING] == pytest.approx(4) and learned["networks"] == pytest.approx((3 * 14 + 2 * 4) / 3)


def test_between_two_words_the_bar_goes_on_but_never_to_the_end():
    heard = Progress("bone", 0, 1, 40.0, 0.2)
    later = [onward(heard, seconds) for seconds in (0, 10, 20, 40, 400, 40000)]
    overall = [step.overall for step in later]
    assert overall == sorted(overall)
    assert overall[1] == pytest.approx(0.4), "a quarter of the time, a quarter of the way that was left"
    assert overall[-1] < 1
    assert all(step.seconds_left > 0 for step in later[:-1])
    assert onward(Progress("bone"), 10) == Progress("bone"), "without a forecast nothing is made up"


def test_a_quick_start_does_not_promise_too_much_where_an_earlier_run_was_timed():
    steps = (("reading the image", 0.1, 1), (LOCATING, 1.0, 4), ("bone", 40.0, 40))
    errors = []
    for weights in ({"networks": 40.0}, None):
        clock, told = Clock(), []
        progress = OverallProgress(told.append, weights, clock)
        play(clock, progress, steps)
        # Ten of the forty seconds of the network are over; the end is expected to take two.
        errors.append(abs(told[14].seconds_left - 32))
    assert errors[0] < 8 < errors[1]
