"""Time at work by a clock that is told the time, records that survive the disk, and the paper's comparison."""

import json
import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from scipy import stats

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.evaluation.correction_time import (
    ActivityClock,
    CorrectionRecord,
    compare_times,
    describe_correction,
    minutes_and_seconds,
    read_record,
    read_records,
    write_record,
)
from ProximalFemurSegLib.volume import Grid

START = datetime(2024, 5, 1, 9, 30, tzinfo=timezone(timedelta(hours=2)))
RECORD = CorrectionRecord(
    "s1", "AB", "correction", "2024-05-01T09:30:00+02:00", 480.0, 60.0, 30.0, 12, 3, 0.97, 0.2, "n"
)


def record(subject, task, seconds, reader="AB"):
    return replace(RECORD, subject=subject, task=task, active_s=seconds, reader=reader)


def test_gaps_longer_than_the_limit_are_left_out():
    clock = ActivityClock(idle_limit_s=10)
    for second in (100, 105, 115, 115.5, 200, 203):
        clock.act(second)
    assert clock.active_s == 5 + 10 + 0.5 + 3
    assert clock.idle_s == 84.5


def test_a_pause_counts_neither_way():
    clock = ActivityClock(idle_limit_s=10)
    clock.act(0)
    clock.pause()
    clock.act(5)
    clock.act(6)
    assert (clock.active_s, clock.idle_s) == (1, 0)


def test_time_does_not_go_back():
    clock = ActivityClock()
    clock.act(5)
    with pytest.raises(ValueError, match="went back by 2 s"):
        clock.act(3)


def test_what_was_changed_is_measured():
    """Of a draft of 4 x 4 x 4 voxels one layer is taken away and one added on the other side."""
    draft, finished = np.zeros((2, 8, 8, 8), bool)
    draft[2:6, 2:6, 2:6] = True
    finished[2:6, 2:6, 3:7] = True
    clock = ActivityClock()
    clock.act(0)
    clock.act(20)
    made = describe_correction("s1", "AB", START, clock, finished, Grid.from_parts((8, 8, 8)), draft, "unet3d")
    assert (made.task, made.voxels_added, made.voxels_removed) == ("correction", 16, 16)
    assert made.dice == pytest.approx(48 / 64)
    assert 0 < made.asd_mm < 1
    assert (made.active_s, made.start) == (20, START)
    alone = describe_correction("s1", "AB", START, clock, finished, Grid.from_parts((8, 8, 8)))
    assert (alone.task, alone.voxels_added, alone.voxels_removed) == ("manual", 64, 0)
    assert alone.dice is None and alone.asd_mm is None


def test_record_survives_the_disk(tmp_path):
    write_record(RECORD, tmp_path / "a.json")
    assert read_record(tmp_path / "a.json") == RECORD
    other = replace(RECORD, subject="Ärztin 2", dice=None, asd_mm=None, started="2024-05-01T07:30:00Z")
    write_record(other, tmp_path / "b.json")
    (tmp_path / "notes.json").write_text('{"not": "ours"}')
    assert read_records(tmp_path) == [RECORD, other]
    assert other.start == RECORD.start


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "guess"}, "its task is 'guess'"),
        ({"active_s": -1}, "active_s is -1"),
        ({"voxels_added": "many"}, "voxels_added is 'many'"),
        ({"started": "yesterday"}, "'yesterday' is no date"),
        ({"started": "2024-05-01T09:30:00"}, "no date and time with an offset"),
        ({"reader": " "}, "names no reader"),
        ({"dice": True}, "dice is True"),
        ({"version": 9}, "version 9"),
        ({"format": "other"}, "no record of correction time"),
    ],
)
def test_damaged_records_are_refused(tmp_path, change, words):
    write_record(RECORD, tmp_path / "a.json")
    value = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps({**value, **change}))
    with pytest.raises(BadInputError, match=words) as error:
        read_record(tmp_path / "a.json")
    assert "a.json" in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(BadInputError, match="cannot be read"):
        read_record(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(BadInputError, match="no JSON"):
        read_record(tmp_path / "text.json")
    with pytest.raises(BadInputError, match="holds no records"):
        read_records(tmp_path)
    with pytest.raises(BadInputError, match="does not exist"):
        read_records(tmp_path / "none")
    write_record(RECORD, tmp_path / "a.json")
    value = json.loads((tmp_path / "a.json").read_text())
    del value["active_s"]
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(BadInputError, match="lacks active_s"):
        read_record(tmp_path / "a.json")


def test_comparison_of_the_paper():
    """ISMRM-2017: 8 min against 14 min 30 s, which is 45 % less."""
    found = compare_times([record("s1", "correction", 480), record("s1", "manual", 870)])
    assert found.saved_s == 390
    assert found.saved_percent == pytest.approx(44.8, abs=0.05)
    assert minutes_and_seconds(found.manual.mean) == "14 min 30 s"
    assert minutes_and_seconds(found.correction.mean) == "8 min 00 s"


def test_pairs_are_of_one_reader_on_one_subject():
    rng = np.random.default_rng(0)
    correction, manual = rng.uniform(300, 600, 9), rng.uniform(600, 1000, 9)
    records = [record(f"s{n}", "correction", t) for n, t in enumerate(correction)]
    records += [record(f"s{n}", "manual", t) for n, t in enumerate(manual)]
    records += [record("s0", "manual", 9999.0, reader="CD"), record("s0", "correction", correction[0])]
    found = compare_times(records)
    assert found.paired == 9
    assert found.saved_s == pytest.approx((manual - correction).mean())
    assert found.saved_percent == pytest.approx(100 * (1 - correction.mean() / manual.mean()))
    assert found.p_value == pytest.approx(stats.wilcoxon(manual - correction).pvalue)
    assert found.saved_interval_s[0] < found.saved_s < found.saved_interval_s[1]
    assert (found.correction.count, found.manual.count) == (9, 10)


def test_without_pairs_the_means_are_compared():
    found = compare_times([record("s1", "correction", 100), record("s2", "manual", 400)])
    assert (found.paired, found.saved_s, found.saved_percent) == (0, 300, 75)
    assert math.isnan(found.p_value)
    assert math.isnan(compare_times([record("s1", "correction", 100)]).saved_s)


@pytest.mark.parametrize(
    ("seconds", "text"), [(59.6, "1 min 00 s"), (0, "0 s"), (-75, "-1 min 15 s"), (math.nan, "undefined")]
)
def test_times_as_readers_say_them(seconds, text):
    assert minutes_and_seconds(seconds) == text
