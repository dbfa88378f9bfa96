"""Runs in this process and in a child: progress, result, refusal, crash, and an end that leaves nothing behind."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ProximalFemurSegLib.errors import BadInputError, CancelledError
from ProximalFemurSegLib.running.child_process import ChildProcessRunner
from ProximalFemurSegLib.running.in_process import InProcessRunner
from ProximalFemurSegLib.running.options import RunOptions
from ProximalFemurSegLib.running.progress import Progress, parse_progress
from ProximalFemurSegLib.running.runner import Job, State
from ProximalFemurSegLib.volume import Grid, Volume

GRID = Grid.from_parts((4, 5, 6), spacing=(1, 2, 3), origin=(7, 8, 9), direction=np.diag([-1.0, 1, 1]))
IMAGE = Volume(np.arange(120, dtype=np.int16).reshape(4, 5, 6), GRID, name="hip")

# Stands in for the command: the same arguments, files and exit codes, and a result that can be told from its input.
CHILD = """
import json, os, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, {library!r})
mode = {mode!r}
assert sys.argv[1] == "segment" and sys.argv[3] == "--output" and sys.argv[5:7] == ["--progress", "json"], sys.argv
image, output, rest = sys.argv[2], Path(sys.argv[4]), sys.argv[7:]
print("a warning of some library", file=sys.stderr)
for n in range(3):
    line = dict(stage="network", done=n + 1, total=4, seconds_left=5 - n)
    print(json.dumps(line), file=sys.stderr, flush=True)
if mode == "refuse":
    print(f"Error: '{{image}}' has nothing in it: choose another.", file=sys.stderr)
    sys.exit(2)
if mode == "crash":
    print("Traceback: it fell over", file=sys.stderr, flush=True)
    os._exit(7)
if mode == "killed":
    os.kill(os.getpid(), 9)
if mode == "hang":
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"
    grandchild = subprocess.Popen([sys.executable, "-c", code])
    Path({pids!r}).write_text(f"{{os.getpid()}} {{grandchild.pid}}")
    time.sleep(120)
import numpy as np
from ProximalFemurSegLib.volume_io import read_volume, write_volume
volume = read_volume(image)
probability = (volume.array / 120).astype(np.float32)
write_volume(volume.with_array(probability), output / "probability.nii.gz")
write_volume(volume.with_array((probability > 0.5).astype(np.uint8)), output / "segmentation.nii.gz")
(output / "segmentation.json").write_text(json.dumps({{"1": {{"name": "trabecular bone", "side": "left"}}}}))
grid = dict(shape=volume.grid.shape, affine=volume.grid.affine.tolist())
measurements = dict(
    arguments=rest, messages=["taken as MR"], remarks=[], threshold=dict(bone=0.5),
    operating_points=dict(bone=dict(threshold=0.5)),
    network="unet3d", modality="mr", device="CPU", weights={{}}, seconds=dict(total=1.5), volumes=[],
    regions=[dict(side="left", start=[0, 0, 0], stop=volume.grid.shape, network_grid=grid)],
)
(output / "measurements.json").write_text(json.dumps(measurements))
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
        runners.append(ChildProcessRunner([sys.executable, "-c", code], folder=runs))
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
    assert np.allclose(outcome.probability.array, IMAGE.array / 120)
    assert np.array_equal(outcome.labels.array, IMAGE.array > 60)
    assert outcome.sides == {1: ("trabecular bone", "left")}
    assert outcome.messages == ["taken as MR"]
    assert outcome.threshold == {"bone": 0.5}
    assert outcome.probabilities.regions[0].network_grid.is_close(GRID)
    assert outcome.probabilities.regions[0].stop == (4, 5, 6)
    expected = ["--network", "vnet", "--side", "left", "--threshold", "0.25"]
    assert outcome.measurements["arguments"] == expected
    assert status.log == "a warning of some library"
    assert not list((tmp_path / "runs").iterdir()) or finish_removal(tmp_path / "runs")


def finish_removal(folder, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end and list(folder.iterdir()):
        time.sleep(0.02)
    return not list(folder.iterdir())


def test_starting_and_polling_do_not_wait_for_the_child(child, tmp_path):
    runner = child("hang")
    before = time.monotonic()
    runner.start(Job(IMAGE))
    runner.poll()
    assert time.monotonic() - before < 2, "the child sleeps for 120 s"
    progress = wait_for(lambda: runner.poll().progress if runner.poll().progress.done == 3 else None)
    assert progress == Progress("network", 3, 4, 3.0)
    assert progress.fraction == 0.75


def wait_for(look, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


@pytest.mark.skipif(os.name == "nt", reason="looks into /proc")
def test_cancel_ends_child_and_grandchild_and_removes_the_files(child, tmp_path):
    runner = child("hang")
    runner.start(Job(IMAGE))
    pids = tmp_path / "pids"
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    before = time.monotonic()
    runner.cancel()
    assert runner.poll().state is State.CANCELLED
    assert time.monotonic() - before < 2, "the child sleeps for 120 s"
    runner.close()
    # The system takes a moment over a process that was killed.
    wait_for(lambda: all(gone(int(pid)) for pid in pids.read_text().split()), seconds=5)
    assert not list((tmp_path / "runs").iterdir())
    assert runner.poll().state is State.IDLE


def test_a_refusal_is_the_childs_sentence_and_names_the_image(child):
    runner = child("refuse")
    runner.start(Job(IMAGE))
    status = finish(runner)
    assert status.state is State.FAILED
    assert status.message == "'hip' has nothing in it: choose another."
    with pytest.raises(RuntimeError, match="no finished run"):
        runner.result()


def test_a_crash_gives_a_message_and_the_log(child):
    runner = child("crash")
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


def test_a_program_that_does_not_exist_is_a_failure_not_an_exception(tmp_path):
    runner = ChildProcessRunner([str(tmp_path / "nowhere")], folder=tmp_path)
    runner.start(Job(IMAGE))
    status = finish(runner)
    assert status.state is State.FAILED
    assert "nowhere" in status.message
    runner.close()


def test_a_new_run_ends_the_old_one(child, tmp_path):
    runner = child("hang")
    runner.start(Job(IMAGE))
    pids = tmp_path / "pids"
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    first = [int(pid) for pid in pids.read_text().split()]
    pids.unlink()
    runner.start(Job(IMAGE))
    wait_for(lambda: all(gone(pid) for pid in first))
    assert runner.poll().state is State.RUNNING


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


def test_what_is_left_to_the_program_is_not_an_argument():
    assert RunOptions().arguments() == ["--threshold", "model"]
