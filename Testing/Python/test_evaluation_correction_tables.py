"""Correction times as the paper compares them, over all readers and of each, to read and to analyse."""

import csv
import io
import json

import pytest

from closed_form_cohort import write_cohort, write_table
from command_line import assert_refused, invoke
from ProximalFemurSegLib.evaluation.correction_tables import corrections_csv, time_table
from ProximalFemurSegLib.evaluation.correction_time import CorrectionRecord, write_record

STARTED = "2024-05-01T09:30:00+02:00"


def corrected(subject, reader, seconds, **draft):
    values = {"voxels_added": 10, "voxels_removed": 4, "dice": 0.96, "asd_mm": 0.3, "network": "n", **draft}
    return CorrectionRecord(subject, reader, "correction", STARTED, seconds, 0, 30, **values)


def by_hand(subject, reader, seconds):
    return CorrectionRecord(subject, reader, "manual", STARTED, seconds, 0, 30, 5000, 0)


def test_times_of_the_paper():
    table = time_table([corrected("a", "AB", 480.0), by_hand("a", "AB", 870.0)])
    assert [row[3] for row in table.rows] == ["8 min 00 s", "14 min 30 s"]
    assert "saves 6 min 30 s (45 %)" in table.note
    assert time_table([]) is None


def test_readers_and_their_drafts_by_hand():
    records = [
        corrected("a", "AB", 100.0),
        corrected("b", "AB", 140.0, voxels_added=30, dice=0.98, asd_mm=None),
        corrected("a", "CD", 300.0, dice=0.94, asd_mm=0.5),
        by_hand("a", "CD", 600.0),
    ]
    table = time_table(records)
    rows = {(row[0], row[1]): row[2:] for row in table.rows}
    assert list(rows) == [
        ("correcting a draft", "all"),
        ("correcting a draft", "AB"),
        ("correcting a draft", "CD"),
        ("from nothing", "all"),
        ("from nothing", "CD"),
    ]
    assert rows["correcting a draft", "AB"] == [
        "2", "2 min 00 s ± 28 s", "2 min 00 s", "20 ± 14", "4 ± 0", "0.970 ± 0.014", "0.30",
    ]  # fmt: skip
    assert rows["correcting a draft", "all"][:3] == ["3", "3 min 00 s ± 1 min 46 s", "2 min 20 s"]
    assert rows["correcting a draft", "all"][5:] == ["0.960 ± 0.020", "0.40 ± 0.14"]
    assert rows["from nothing", "CD"] == ["1", "10 min 00 s", "10 min 00 s", "–", "–", "–", "–"]
    # Of CD alone there is a pair.
    assert "saves 5 min 00 s (50 %) over 1 pair." in table.note


def test_p_values_are_not_printed_to_more_than_they_hold():
    many = [task(f"s{n}", "AB", seconds + n) for n in range(14) for task, seconds in ((corrected, 300), (by_hand, 800))]
    assert time_table(many).note.endswith("Wilcoxon p < 0.001.")
    few = [record for record in many if record.subject in ("s0", "s1", "s2")]
    assert time_table(few).note.endswith("Wilcoxon p = 0.25.")


def test_every_record_as_csv():
    text = corrections_csv([corrected("a", "AB", 480.25), by_hand("a", "AB", 870)])
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["subject"], first["reader"], first["task"], first["started"]) == ("a", "AB", "correction", STARTED)
    assert (float(first["active_s"]), float(first["dice"]), int(first["voxels_added"])) == (480.25, 0.96, 10)
    assert (second["task"], second["dice"], second["asd_mm"]) == ("manual", "", "")


def write_all(records, folder):
    folder.mkdir()
    for number, record in enumerate(records):
        write_record(record, folder / f"{number}.json")
    return folder


def test_a_folder_of_records_alone_is_compared(tmp_path):
    records = [corrected("a", "AB", 480), by_hand("a", "AB", 870), by_hand("b", "AB", 900)]
    folder = write_all(records, tmp_path / "times")
    done = invoke("correction-times", folder)
    assert done.exit_code == 0
    assert "A draft saves 6 min 30 s (45 %) over 1 pair." in " ".join(done.stdout.split())
    values = json.loads(invoke("correction-times", folder, "--json").stdout)
    assert (values["records"], values["paired"], values["saved_s"]) == (3, 1, 390)
    assert values["manual"]["mean_s"] == 885 and values["saved_low_95_s"] is None
    assert_refused(invoke("correction-times", tmp_path / "no"), "does not exist")


@pytest.fixture
def table(tmp_path):
    return write_table(write_cohort(tmp_path, (4, 5)), tmp_path / "table.csv")


def test_a_folder_of_records_becomes_part_of_the_report(table, tmp_path):
    folder = write_all([corrected("a", "AB", 480), by_hand("a", "AB", 870)], tmp_path / "records")
    out = tmp_path / "out"
    done = invoke("cohort", table, "-o", out, "--worst", 0, "--corrections", folder)
    assert done.exit_code == 0, done.output
    page = (out / "report.html").read_text(encoding="utf-8")
    assert '<h2 id="correction-time">' in page and "8\u00a0min\u00a000\u00a0s" in page
    assert "saves 6 min 30 s (45 %)" in page
    assert len((out / "corrections.csv").read_text(encoding="utf-8").splitlines()) == 3
    # A later report without them does not keep those of the earlier.
    assert invoke("cohort", table, "-o", out, "--worst", 0, "--overwrite").exit_code == 0
    assert not (out / "corrections.csv").exists()
