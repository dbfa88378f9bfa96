"""Runs in this process and in a child: progress, result, refusal, crash, and an end that leaves nothing behind."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ProximalFemurSegLib.errors import BadInputError, CancelledError
from ProximalFemurSegLib.running.child import Child
from ProximalFemurSegLib.running.child_process import ChildProcessRunner
from ProximalFemurSegLib.running.in_process import InProcessRunner
from ProximalFemurSegLib.running.options import RunOptions
from ProximalFemurSegLib.running.progress import Progress, parse_progress
from ProximalFemurSegLib.running.runner import Job, State
from ProximalFemurSegLib.running.worker import Worker
from ProximalFemurSegLib.volume import Grid, Volume

GRID = Grid.from_parts((4, 5, 6), spacing=(1, 2, 3), origin=(7, 8, 9), direction=np.diag([-1.0, 1, 1]))
IMAGE = Volume(np.arange(120, dtype=np.int16).reshape(4, 5, 6), GRID, name="hip")

# Stands in for the worker: the same conversation, and a result that can be told from its input.
CHILD = """
import json, os, subprocess, sys, time
sys.path.insert(0, {library!r})
mode = {mode!r}
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.running.worker import Worker, requests_from_stdin, say_on_stdout
print("a warning of some library", flush=True)

def segment(volume, progress, **options):
    import numpy as np
    progress.expect(2)
    for n in range(3):
        progress("network", n + 1, 4)
    if mode == "refuse":
        raise BadInputError(f"'{{volume.name}}' has nothing in it: choose another.")
    if mode == "crash":
        print("it fell over", flush=True)
        os._exit(7)
    if mode == "killed":
        os.kill(os.getpid(), 9)
    if mode == "hang":
        code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"
        grandchild = subprocess.Popen([sys.executable, "-c", code])
        open({pids!r}, "w").write(f"{{os.getpid()}} {{grandchild.pid}}")
        time.sleep(120)
    from ProximalFemurSegLib.desktop import stand_in
    result = stand_in.segment(volume, threshold=0.5)
    result.measurements.update(asked=options, process=os.getpid())
    return result

Worker(say_on_stdout, segment).serve(requests_from_stdin())
"""


@pytest.fixture
def child(tmp_path):
    """Makes a runner whose child behaves as asked, its temporary folders in ``tmp_path/'runs'``."""
    runs = tmp_path / "runs"
    runs.mkdir()
    runners = []

    def make(mode):
        import ProximalFemurSegLib

        library = str(Path(ProximalFemurSegLib.__file__).parents[1])
        code = CHILD.format(library=library, mode=mode, pids=str(tmp_path / "pids"))
        runners.append(ChildProcessRunner(Child([sys.executable, "-c", code], folder=runs)))
        return runners[-1]

    yield make
    for runner in runners:
        runner.close()


def finish(runner, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = runner.poll()
        if status.over:
            return status
        time.sleep(0.02)
    raise AssertionError(f"still {status}")


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A process that nobody has waited for yet is dead all the same.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_child_gives_the_result_on_the_images_grid(child, tmp_path):
    runner = child("work")
    assert runner.poll().state is State.IDLE
    runner.start(Job(IMAGE, RunOptions(network="vnet", side="left", threshold=0.25)))
    status = finish(runner)
    assert (status.state, status.message) == (State.DONE, "")
    outcome = runner.result()
    assert outcome.probability.grid.is_close(GRID)
    assert np.allclose(outcome.probability.array, IMAGE.array / 100)
    assert np.array_equal(outcome.labels.array, IMAGE.array > 50)
    assert outcome.sides == {1: ("trabecular bone", "left")}
    assert outcome.threshold == {"bone": 0.5}
    assert outcome.probabilities.regions[0].network_grid.is_close(GRID)
    asked = {"preset": "vnet", "modality": "auto", "side": "left", "device": "auto", "threshold": 0.25}
    assert outcome.measurements["asked"] == {**asked, "postprocess": "auto", "uncertainty": "entropy"}
    assert status.log == "a warning of some library"
    assert [path.suffix for path in (tmp_path / "runs").iterdir()] == [".log"]
    runner.close()
    assert not list((tmp_path / "runs").iterdir())


def test_the_second_run_is_done_by_the_same_process_until_it_rests(child):
    runner = child("work")
    processes = []
    for _ in range(3):
        runner.start(Job(IMAGE))
        assert finish(runner).state is State.DONE
        processes.append(runner.result().measurements["process"])
        if len(processes) == 2:
            runner.rest()
            assert gone(processes[0]) or wait_for(lambda: gone(processes[0]))
    assert processes[0] == processes[1] != processes[2]


def test_progress_goes_from_the_start_to_the_end_and_never_back(child):
    runner = child("work")
    runner.start(Job(IMAGE))
    seen = []
    while not seen or not seen[-1].over:
        seen.append(runner.poll())
    overall = [status.progress.overall for status in seen]
    assert overall == sorted(overall)
    assert overall[0] < 0.05 and overall[-1] == 1.0


def test_starting_and_polling_do_not_wait_for_the_child(child, tmp_path):
    runner = child("hang")
    before = time.monotonic()
    runner.start(Job(IMAGE))
    runner.poll()
    assert time.monotonic() - before < 2, "the child sleeps for 120 s"
    progress = wait_for(lambda: runner.poll().progress if runner.poll().progress.done == 3 else None)
    assert (progress.stage, progress.fraction) == ("network", 0.75)
    assert 0.2 < progress.overall < 0.6


def wait_for(look, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


def wait_until_hanging(runner, pids):
    wait_for(lambda: runner.poll() and pids.exists() and len(pids.read_text().split()) == 2)
    return [int(pid) for pid in pids.read_text().split()]


@pytest.mark.skipif(os.name == "nt", reason="looks into /proc")
def test_cancel_ends_child_and_grandchild_and_removes_the_files(child, tmp_path):
    runner = child("hang")
    runner.start(Job(IMAGE))
    pids = wait_until_hanging(runner, tmp_path / "pids")
    before = time.monotonic()
    runner.cancel()
    assert runner.poll().state is State.CANCELLED
    assert time.monotonic() - before < 2, "the child sleeps for 120 s"
    # The system takes a moment over a process that was killed.
    wait_for(lambda: all(map(gone, pids)), seconds=5)
    assert not list((tmp_path / "runs").iterdir())
    runner.close()
    assert runner.poll().state is State.IDLE


@pytest.mark.skipif(os.name == "nt", reason="looks into /proc")
def test_the_child_ends_with_the_program_that_asked_it(child, tmp_path):
    runner = child("hang")
    runner.start(Job(IMAGE))
    head, _ = wait_until_hanging(runner, tmp_path / "pids")
    runner._child._life.process.stdin.close()  # as when that program crashes
    wait_for(lambda: gone(head), seconds=10)


def test_a_refusal_is_the_childs_sentence_and_the_next_run_is_welcome(child):
    runner = child("refuse")
    for _ in range(2):
        runner.start(Job(IMAGE))
        status = finish(runner)
        assert status.state is State.FAILED
        assert status.message == "'hip' has nothing in it: choose another."
    with pytest.raises(RuntimeError, match="no finished run"):
        runner.result()


def test_a_crash_gives_a_message_and_the_log_and_the_next_run_a_new_process(child):
    runner = child("crash")
    for _ in range(2):
        runner.start(Job(IMAGE))
        status = finish(runner)
        assert status.state is State.FAILED
        assert "exit code 7" in status.message
        assert "it fell over" in status.log


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_child_that_the_system_ends_is_told_from_a_crash(child):
    runner = child("killed")
    runner.start(Job(IMAGE))
    status = finish(runner)
    assert status.state is State.FAILED
    assert "signal 9" in status.message


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("kill -9 $$", "want of memory"),
        ("sh -c 'kill -9 $$'; exit $?", "ended by the system (signal 9)"),
        ("kill -11 $$", "crashed, or was ended by the system"),
        ("echo 'error: [python-real] exit abnormally - Report the problem.'; exit 1", "crashed, or was ended by"),
        ("echo 'ModuleNotFoundError'; exit 1", "ended unexpectedly (exit code 1); its log tells more"),
    ],
    ids=["killed", "killed-behind-a-shell", "segmentation-fault", "killed-behind-slicers-launcher", "python-error"],
)
def test_how_a_process_ended_is_told_through_what_started_it(tmp_path, end, words):
    child = Child(["sh", "-c", f"read line; {end}"], folder=tmp_path)
    request = child.ask("segment")
    wait_for(lambda: (child.poll(), request.over)[1])
    assert words in request.failure
    child.end()


def test_a_program_that_does_not_exist_is_a_failure_not_an_exception(tmp_path):
    runner = ChildProcessRunner(Child([str(tmp_path / "nowhere")], folder=tmp_path))
    runner.start(Job(IMAGE))
    status = finish(runner)
    assert status.state is State.FAILED
    assert "nowhere" in status.message
    runner.close()
    assert not list(tmp_path.iterdir())


def test_a_new_run_ends_the_old_one(child, tmp_path):
    runner = child("hang")
    runner.start(Job(IMAGE))
    first = wait_until_hanging(runner, tmp_path / "pids")
    (tmp_path / "pids").unlink()
    runner.start(Job(IMAGE))
    wait_for(lambda: all(map(gone, first)))
    assert runner.poll().state is State.RUNNING


def test_the_worker_answers_what_else_it_is_asked(tmp_path):
    said = []
    worker = Worker(said.append)
    worker.tasks["double"] = lambda number, value: {"value": 2 * value}
    worker.serve([{"number": 1, "task": "double", "value": 21}, {"number": 2, "task": "unknown"}])
    assert said[0] == {"number": 1, "reply": {"value": 42}}
    assert said[1]["number"] == 2 and "unknown" in said[1]["failure"]


def test_a_worker_without_memory_says_so_and_lives_on():
    said = []
    worker = Worker(said.append)
    worker.tasks["want"] = lambda number, size: {"size": len(np.ones(size, np.uint8))}
    worker.serve([{"number": 1, "task": "want", "size": 10**15}, {"number": 2, "task": "want", "size": 5}])
    assert said[0]["failure"].startswith("The computer's memory is too small for this image; close other programs")
    assert said[1] == {"number": 2, "reply": {"size": 5}}


def test_a_run_in_this_process_passes_the_options_on_and_reports():
    asked, seen = {}, []

    def segment(volume, progress, cancelled, **options):
        asked.update(options)
        progress("network", 1, 2)
        assert not cancelled()
        return f"result of {volume.name}"

    runner = InProcessRunner(segment, on_progress=lambda status: seen.append((status.state, status.progress.stage)))
    runner.start(Job(IMAGE, RunOptions(network="unet3d", device="cpu", threshold="otsu")))
    assert runner.poll().state is State.DONE
    assert asked == {
        "preset": "unet3d",
        "modality": "auto",
        "side": "auto",
        "device": "cpu",
        "threshold": "otsu",
        "postprocess": "auto",
        "uncertainty": "entropy",
    }
    assert (State.RUNNING, "network") in seen
    assert runner.result() == "result of hip"


def test_a_run_in_this_process_is_cancelled_from_its_progress():
    def segment(volume, progress, cancelled, **options):
        progress("network", 1, 2)
        if cancelled():
            raise CancelledError("stopped")
        return f"result of {volume.name}"

    runner = InProcessRunner(segment, on_progress=lambda status: status.progress.done and runner.cancel())
    runner.start(Job(IMAGE))
    assert runner.poll().state is State.CANCELLED


@pytest.mark.parametrize(
    ("error", "message"),
    [(BadInputError("'hip' is empty."), "'hip' is empty."), (KeyError("weights"), "KeyError")],
)
def test_an_error_in_this_process_is_a_status(error, message):
    def segment(volume, **options):
        raise error

    runner = InProcessRunner(segment)
    runner.start(Job(IMAGE))
    status = runner.poll()
    assert status.state is State.FAILED
    assert message in status.message
    assert "Traceback" in status.log


@pytest.mark.parametrize("line", ["", "{", "{}", '{"stage": "x", "done": "much"}', "[1]", "Epoch {3}"])
def test_lines_that_are_no_progress_are_left_alone(line):
    assert parse_progress(line) is None


def test_progress_without_a_total_has_no_fraction():
    assert parse_progress('{"stage": "loading"}') == Progress("loading")
    assert Progress("loading").fraction is None
    assert Progress("network", 5, 4).fraction == 1.0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (RunOptions(), ""),
        (RunOptions(threshold=0.5), ""),
        (RunOptions(side="both", modality="ct", threshold="otsu"), ""),
        (RunOptions(side="middle"), "middle"),
        (RunOptions(modality="pet"), "pet"),
        (RunOptions(threshold="best"), "best"),
        (RunOptions(threshold=1.5), "1.5"),
    ],
)
def test_impossible_options_say_why(options, word):
    assert word in options.check()
    assert bool(options.check()) == bool(word)
