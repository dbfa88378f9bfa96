"""What the command writes and a child's parent reads is the result that the command had."""

import sys
from pathlib import Path

import numpy as np
import pytest

import ProximalFemurSegLib
from ProximalFemurSegLib.desktop import stand_in
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.inference import apply_threshold
from ProximalFemurSegLib.inference.description import describe_probabilities, restore_probabilities
from ProximalFemurSegLib.report import write_segmentation
from ProximalFemurSegLib.running.child_process import ChildProcessRunner
from ProximalFemurSegLib.running.result_folder import read_result
from ProximalFemurSegLib.running.runner import Job, State

OBLIQUE = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])


@pytest.mark.parametrize("modality", ["mr", "ct"])
def test_a_written_result_is_read_back(tmp_path, monkeypatch, modality):
    monkeypatch.setattr("ProximalFemurSegLib.models.card", lambda stage: {"trained_on": "simulated images"})
    image = stand_in.ball_image(direction=OBLIQUE)
    result = stand_in.segment(image, modality, side="both")
    write_segmentation(result, image, tmp_path)
    read = read_result(tmp_path)
    assert np.array_equal(read.labels.array, result.labels.array)
    assert read.labels.grid.is_close(image.grid)
    assert np.array_equal(read.probability.array, result.probability.array)
    assert (read.endosteal_probability is None) == (modality == "mr")
    assert read.sides == result.sides
    assert read.threshold == result.threshold
    assert read.measurements["volumes"] == result.measurements["volumes"]
    assert read.messages == result.messages
    # The threshold can go on from there as from the result in memory.
    for threshold in ("youden", 0.6):
        again, expected = (apply_threshold(r.probabilities, threshold) for r in (read, result))
        assert np.array_equal(again.labels.array, expected.labels.array)
        assert again.measurements["volumes"] == expected.measurements["volumes"]


def test_an_incomplete_folder_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="measurements.json"):
        read_result(tmp_path)
    (tmp_path / "measurements.json").write_text("{}")
    (tmp_path / "segmentation.json").write_text("{}")
    with pytest.raises(BadInputError, match="lacks 'threshold'"):
        read_result(tmp_path)


def test_a_description_moves_with_its_coordinates():
    probabilities = stand_in.predict(stand_in.ball_image(direction=OBLIQUE), sides=("left", "right"))
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = OBLIQUE, (5, 6, 7)
    description = describe_probabilities(probabilities, move)
    back = restore_probabilities(description, probabilities.maps, np.linalg.inv(move))
    for one, other in zip(back.regions, probabilities.regions):
        assert (one.side, one.start, one.stop) == (other.side, other.start, other.stop)
        assert one.network_grid.is_close(other.network_grid)
    assert back.operating_points == probabilities.operating_points
    moved = restore_probabilities(description, probabilities.maps)
    assert np.allclose(moved.regions[0].network_grid.affine, move @ probabilities.regions[0].network_grid.affine)


def test_the_real_command_in_a_child_refuses_an_image_by_its_name(tmp_path):
    image = stand_in.ball_image()
    constant = image.with_array(np.zeros_like(image.array))
    folder = Path(ProximalFemurSegLib.__file__).parents[1]
    runner = ChildProcessRunner([sys.executable, "-m", "ProximalFemurSegLib"], cwd=folder, folder=tmp_path)
    runner.start(Job(constant))
    import time

    end = time.monotonic() + 120
    while not runner.poll().over and time.monotonic() < end:
        time.sleep(0.05)
    status = runner.poll()
    runner.close()
    assert status.state is State.FAILED
    assert "'hip'" in status.message
    assert str(tmp_path) not in status.message
    assert "Traceback" not in status.log
