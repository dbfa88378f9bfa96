"""A file appears whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from ProximalFemurSegLib.whole_file import whole_file, write_whole_text


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "table.csv"
    with whole_file(path) as unfinished:
        unfinished.write_text("new")
        assert not path.exists()
        assert unfinished.parent == tmp_path, "another disk could not be moved from in one go"
    assert path.read_text() == "new"
    assert names_in(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("failure", [OSError(28, "disk full"), ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_failure_in_the_middle_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, failure):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(type(failure)):
        with whole_file(path) as unfinished:
            unfinished.write_text("hal")
            raise failure
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["table.csv"]


def test_failure_of_the_move_leaves_nothing_behind(tmp_path):
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(OSError):
        with whole_file(tmp_path / "table.csv") as unfinished:
            unfinished.write_text("new")
    assert names_in(tmp_path) == ["table.csv"]


def test_a_block_that_wrote_nothing_fails_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(FileNotFoundError):
        with whole_file(path):
            pass
    assert path.read_text() == "old"


def test_writers_that_go_by_the_ending_find_it(tmp_path):
    # numpy appends .npy to any other ending, and the file would not be found again.
    with whole_file(tmp_path / "image.npy") as unfinished:
        np.save(unfinished, np.arange(3))
    assert np.load(tmp_path / "image.npy").tolist() == [0, 1, 2]
    assert names_in(tmp_path) == ["image.npy"]


def test_text_is_the_same_bytes_on_every_system(tmp_path):
    write_whole_text(tmp_path / "a.csv", "Größe\nmm\r\n")
    assert (tmp_path / "a.csv").read_bytes() == b"Gr\xc3\xb6\xc3\x9fe\nmm\r\n"
