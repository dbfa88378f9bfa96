"""The contract that every command keeps: exit status, streams, help, cancelling."""

from __future__ import annotations

import json
import os
import signal
import sys

import click
import pytest

from command_line import assert_refused, files_in, invoke, start
from ProximalFemurSegLib import __version__, cli
from ProximalFemurSegLib.cli.progress import Progress
from ProximalFemurSegLib.errors import CancelledError, ProximalFemurSegError
from ProximalFemurSegLib.running.progress import parse_progress

COMMANDS = (
    "cohort", "correction-times", "cross-validate", "demo", "distance-map", "evaluate", "fine-tune", "networks",
    "phantom", "regions", "segment", "train",
)


def test_help_lists_every_command():
    result = invoke("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.stdout
    assert "Research use only" in " ".join(result.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command):
    described = cli.main.get_command(None, command)
    for parameter in described.params:
        if isinstance(parameter, click.Option):
            assert parameter.help and parameter.help.endswith((".", ")")), parameter.name
        else:
            assert parameter.name.upper() in described.help
    assert described.short_help
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown-command"],
        ["segment"],
        ["segment", "image.nii.gz"],
        ["segment", "image.nii.gz", "--output", "out", "--no-such-option"],
        ["segment", "image.nii.gz", "--output", "out", "--side", "both-of-them"],
        ["segment", "image.nii.gz", "--output", "out", "--threshold", "1.5"],
        ["segment", "image.nii.gz", "--output", "out", "--threshold", "best"],
        ["phantom", "--modality", "pet", "--seed", "1", "--output", "out"],
        ["phantom", "--modality", "ct", "--seed", "-1", "--output", "out"],
        ["evaluate", "one.nii.gz"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2_without_a_traceback(arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr and "Traceback" not in result.stderr


def test_program_runs_as_a_module_and_answers_its_version():
    process = start("--version")
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output, errors) == (0, f"proximal-femur-seg, version {__version__}\n", "")


def test_bad_input_is_status_2_and_one_sentence_in_a_real_process(tmp_path):
    process = start("segment", tmp_path / "missing.nii.gz", "--output", tmp_path / "out")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert output == ""
    assert errors.startswith("Error: ") and "missing.nii.gz' does not exist" in errors and errors.count("\n") == 1
    assert files_in(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminate"])
def test_interrupted_run_is_status_130_and_leaves_nothing(tmp_path, number):
    process = start("phantom", "--modality", "ct", "--seed", 1, "--output", tmp_path / "out", "--progress", "json")
    assert "simulating" in process.stderr.readline()
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert output == ""
    assert "Cancelled" in errors and "Traceback" not in errors
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("failure", "status", "sentence"),
    [
        (CancelledError("The run was cancelled."), 130, "The run was cancelled."),
        (KeyboardInterrupt(), 130, "Cancelled; nothing was written."),
        (ProximalFemurSegError("The disk is full."), 1, "Error: The disk is full."),
    ],
    ids=["cancelled", "Ctrl-C", "other"],
)
def test_endings_have_a_status_and_a_sentence(monkeypatch, failure, status, sentence):
    def fail(*arguments, **options):
        raise failure

    monkeypatch.setattr("ProximalFemurSegLib.models.all_presets", fail)
    result = invoke("networks")
    assert (result.exit_code, result.stdout, result.stderr.strip()) == (status, "", sentence)


def test_defect_of_the_program_is_not_hidden(monkeypatch):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr("ProximalFemurSegLib.models.all_presets", fail)
    result = invoke("networks")
    assert result.exit_code == 1 and isinstance(result.exception, ZeroDivisionError)


def test_reader_that_goes_away_gets_no_traceback():
    process = start("segment", "--help")
    process.stdout.close()
    process.wait(timeout=120)
    assert process.stderr.read() == ""


def test_progress_as_json_is_what_other_faces_read(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Progress("json") as progress:
        progress("networks", 0, 4)
        now[0] = 2.0
        progress("networks", 1, 4)
        progress("writing", 1, 1)
    captured = capsys.readouterr()
    assert captured.out == ""
    read = [parse_progress(line) for line in captured.err.splitlines()]
    assert [(p.stage, p.done, p.total, p.seconds_left) for p in read] == [
        ("networks", 0, 4, None),
        ("networks", 1, 4, 6.0),
        ("writing", 1, 1, 0.0),
    ]


@pytest.mark.parametrize(("style", "terminal"), [("none", True), (None, False)])
def test_progress_is_silent_when_nobody_watches(capsys, monkeypatch, style, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with Progress(style) as progress:
        progress("networks", 1, 4)
    assert capsys.readouterr() == ("", "")


def test_progress_bar_names_every_stage(capsys):
    with Progress("bar") as progress:
        for stage in ("one", "two"):
            for done in range(3):
                progress(stage, done, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "one" in captured.err and "two" in captured.err


def test_networks_are_those_of_the_papers(monkeypatch, tmp_path):
    monkeypatch.setattr("ProximalFemurSegLib.models.model_folders", lambda: [tmp_path])
    result = invoke("networks", "--json")
    assert result.exit_code == 0
    listed = {entry["name"]: entry for entry in json.loads(result.stdout)["networks"]}
    assert {"unet3d", "unet3d-dilated", "vnet"} <= set(listed)
    vnet = listed["vnet"]
    assert (vnet["paper"], vnet["dimension"], vnet["modality"]) == ("QCT-2021", "3D", "ct")
    assert [stage["role"] for stage in vnet["stages"]] == ["periosteal", "endosteal"]
    for stage in vnet["stages"]:
        assert stage["parameters"] == pytest.approx(8.6e6, rel=0.03)
    for entry in listed.values():
        assert entry["weights_here"] is False
        assert all(stage["card"] is None and stage["threshold"] is None for stage in entry["stages"])
    assert "locator" not in listed


def test_networks_as_a_table():
    result = invoke("networks")
    assert result.exit_code == 0
    heading, *lines = result.stdout.splitlines()
    assert heading.split()[:3] == ["name", "modality", "kind"]
    assert any(line.startswith("vnet ") and "17.30 M" in line for line in lines)


def test_unreadable_folder_for_results_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert_refused(
        invoke("phantom", "--modality", "mr", "--seed", 1, "--output", tmp_path / "file"), "is a file", "another name"
    )
