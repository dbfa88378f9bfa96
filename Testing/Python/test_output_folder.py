"""A result appears whole or not at all."""

from __future__ import annotations

import errno

import pytest

from ProximalFemurSegLib.errors import BadInputError, ProximalFemurSegError
from ProximalFemurSegLib.output_folder import staged_output

NAMES = ("a.txt", "b.txt")


def everything_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_files_appear_when_the_block_ends_and_not_before(tmp_path):
    folder = tmp_path / "deep" / "result"
    with staged_output(folder, NAMES) as staging:
        (staging / "a.txt").write_text("1")
        assert not (folder / "a.txt").exists()
    assert everything_in(tmp_path) == ["deep", "deep/result", "deep/result/a.txt"]


@pytest.mark.parametrize("failure", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_failure_leaves_nothing_behind(tmp_path, failure):
    with pytest.raises(type(failure)):
        with staged_output(tmp_path / "deep" / "result", NAMES) as staging:
            (staging / "a.txt").write_text("half")
            raise failure
    assert everything_in(tmp_path) == []


def test_failure_keeps_an_earlier_result(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "mine.txt").write_text("not part of the result")
    with pytest.raises(RuntimeError):
        with staged_output(tmp_path, NAMES, overwrite=True) as staging:
            (staging / "a.txt").write_text("new")
            raise RuntimeError
    assert everything_in(tmp_path) == ["a.txt", "mine.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_earlier_result_is_refused_by_name(tmp_path):
    (tmp_path / "b.txt").write_text("old")
    with pytest.raises(BadInputError, match=r"already holds b\.txt.*--overwrite"):
        with staged_output(tmp_path, NAMES):
            pytest.fail("the block must not run")


def test_overwriting_removes_what_the_new_result_lacks_and_nothing_else(tmp_path):
    for name in (*NAMES, "mine.txt"):
        (tmp_path / name).write_text("old")
    with staged_output(tmp_path, NAMES, overwrite=True) as staging:
        (staging / "a.txt").write_text("new")
    assert everything_in(tmp_path) == ["a.txt", "mine.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


def test_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="is a file"):
        with staged_output(tmp_path / "file", NAMES):
            pass
    with pytest.raises(BadInputError, match="cannot be made"):
        with staged_output(tmp_path / "file" / "below", NAMES):
            pass


def test_full_disk_is_a_sentence(tmp_path):
    with pytest.raises(ProximalFemurSegError, match="No space left on device"):
        with staged_output(tmp_path / "result", NAMES):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert everything_in(tmp_path) == []
