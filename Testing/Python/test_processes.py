"""A training on two processes is the training on one with the same batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ProximalFemurSegLib
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.training.processes import Processes, ShareOfSamples, joined_processes, share_of_batch
from ProximalFemurSegLib.training.trainer import train
from ProximalFemurSegLib.training.training_log import read_log
from train_together import BALLS, check, shared_recipe

HERE = Path(__file__).parent


def test_two_processes_train_as_one(tmp_path):
    """By torchrun and gloo: losses, accuracies, validations and weights, with accumulation and auxiliary outputs."""
    paths = [str(Path(ProximalFemurSegLib.__file__).parent.parent), str(HERE)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
               str(HERE / "train_together.py"), str(tmp_path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr[-3000:]
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {"rank0", "rank1", "done0", "done1"}
    assert (tmp_path / "rank1").read_text() == "1 of 2"

    alone = train(shared_recipe(), BALLS, tmp_path / "alone", check(), workers=0, log_every=1)
    logs = [read_log(tmp_path / name) for name in ("whole", "part", "alone")]
    # One writer: a line a step and two validations, no more.
    assert [len(log) for log in logs] == [8, 8, 8]
    for one, other in zip(logs[0], logs[2]):
        if "loss" in one:
            for name in ("loss", "dice", "accuracy", "rate", "gradient_norm"):
                assert one[name] == pytest.approx(other[name], abs=2e-5, rel=1e-3), name
        else:
            # In bfloat16, where a voxel at the threshold may fall to either side.
            for name, by in (("accuracy", 3e-3), ("dice", 2e-2), ("cross_entropy", 1e-3)):
                assert one["validation"][name] == pytest.approx(other["validation"][name], abs=by), name
    for name in ("whole", "part"):
        saved, expected = (torch.load(tmp_path / n / "checkpoint.pt", weights_only=True) for n in (name, "alone"))
        assert saved["step"] == expected["step"] == 6 and (tmp_path / name / "best.pt").is_file()
        for key, value in expected["network"].items():
            assert torch.allclose(saved["network"][key], value, atol=2e-5), key
    # What two processes began, one goes on with.
    longer = shared_recipe().replace(steps=8)
    assert train(longer, BALLS, tmp_path / "whole", check(), workers=0, resume=True).steps == 8
    assert alone.finished


def test_shares_of_a_batch():
    assert share_of_batch(12, 3, 2) == 6
    with pytest.raises(BadInputError, match="batch of 3 cannot be shared evenly by 2 processes; .* multiple of 2"):
        share_of_batch(3, 1, 2)
    with pytest.raises(BadInputError, match="by 2 processes in 2 passes each; .* multiple of 4"):
        share_of_batch(6, 2, 2)

    class Numbers:
        def sample(self, index):
            return index

    shares = [ShareOfSamples(Numbers(), 6, rank, 3) for rank in range(3)]
    assert [[s.sample(n) for n in range(4)] for s in shares] == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]


def test_alone_nothing_is_exchanged(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_processes("cpu") as processes:
        assert type(processes) is Processes and processes.first and processes.count == 1
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined_processes("cpu") as processes:
        assert type(processes) is Processes
    network = torch.nn.Linear(1, 1)
    assert processes.wrap(network) is network and processes.from_first("x") == "x"


def test_what_cannot_be_joined_is_refused(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(BadInputError, match="process number 2 on a machine with 1 GPUs"):
        with joined_processes("cuda"):
            pass
    with pytest.raises(BadInputError, match="on cpu or cuda, not on mps"):
        with joined_processes("mps"):
            pass
