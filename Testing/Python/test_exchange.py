"""What goes to a child process and comes back is what went in and what it made of it."""

import numpy as np
import pytest

from ProximalFemurSegLib.desktop import stand_in
from ProximalFemurSegLib.errors import ProximalFemurSegError
from ProximalFemurSegLib.inference import apply_threshold
from ProximalFemurSegLib.inference.description import describe_probabilities, restore_probabilities
from ProximalFemurSegLib.running.exchange import read_image, read_result, write_image, write_result

OBLIQUE = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])


def last(steps):
    *_, result = steps
    return result


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, ">i2"])
def test_an_image_arrives_as_it_was(tmp_path, dtype):
    image = stand_in.ball_image(direction=OBLIQUE)
    image = image.with_array(image.array.astype(dtype)[:, ::-1])
    image.metadata["modality"] = "MR"
    for _ in write_image(image, tmp_path):
        pass
    read = read_image(tmp_path)
    assert np.array_equal(read.array, image.array)
    assert read.grid.is_close(image.grid, 1e-9)
    assert (read.name, read.metadata) == ("hip", {"modality": "MR", "messages": []})


def test_a_large_image_is_written_in_steps(tmp_path):
    image = stand_in.ball_image((40, 300, 400))
    assert sum(1 for _ in write_image(image, tmp_path)) == 2  # 9.6 MB
    assert np.array_equal(read_image(tmp_path).array, image.array)


@pytest.mark.parametrize("modality", ["mr", "ct"])
def test_a_written_result_is_read_back(tmp_path, modality, monkeypatch):
    image = stand_in.ball_image(direction=OBLIQUE)
    result = stand_in.segment(image, modality, side="both")
    write_result(result, tmp_path)
    read = last(read_result(tmp_path, image))
    assert np.array_equal(read.labels.array, result.labels.array)
    assert read.labels.grid.is_close(image.grid)
    assert np.array_equal(read.probability.array, result.probability.array)
    assert (read.endosteal_probability is None) == (modality == "mr")
    assert read.sides == result.sides
    assert read.threshold == result.threshold
    assert read.measurements["volumes"] == result.measurements["volumes"]
    assert read.messages == result.messages
    # The threshold can go on from there as from the result in memory; where the bone is need not be looked up again.
    monkeypatch.delattr("ProximalFemurSegLib.inference.result.find_main_part")
    for threshold in ("youden", 0.6):
        again, expected = (apply_threshold(r.probabilities, threshold) for r in (read, result))
        assert np.array_equal(again.labels.array, expected.labels.array)
        assert again.measurements["volumes"] == expected.measurements["volumes"]


def test_only_the_part_with_femora_is_handed_over(tmp_path):
    image = stand_in.ball_image()
    probabilities = stand_in.predict(image)
    probabilities.regions[0].start, probabilities.regions[0].stop = (5, 6, 7), (12, 14, 16)
    outside = np.ones(image.array.shape, bool)
    outside[probabilities.window] = False
    probabilities.maps["bone"].array[outside] = 0
    result = apply_threshold(probabilities, 0.4)
    write_result(result, tmp_path)
    assert np.load(tmp_path / "map-bone.npy").shape == (7, 8, 9)
    read = last(read_result(tmp_path, image))
    assert np.array_equal(read.probability.array, result.probability.array)
    assert np.array_equal(read.labels.array, result.labels.array)


def test_a_folder_that_lacks_something_is_refused(tmp_path):
    image = stand_in.ball_image()
    with pytest.raises(ProximalFemurSegError, match="result.json"):
        last(read_result(tmp_path, image))
    write_result(stand_in.segment(image), tmp_path)
    (tmp_path / "map-bone.npy").unlink()
    with pytest.raises(ProximalFemurSegError, match="map-bone"):
        last(read_result(tmp_path, image))


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
