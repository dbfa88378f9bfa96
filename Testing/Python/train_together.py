"""Run by test_processes.py in two processes of torchrun: train_together.py FOLDER."""

import sys
from pathlib import Path

import torch

from ProximalFemurSegLib.training.processes import joined_processes
from ProximalFemurSegLib.training.recipe import Recipe
from ProximalFemurSegLib.training.trainer import train
from ProximalFemurSegLib.training.validation import DiceValidation
from toy_samples import Balls

BALLS = Balls((8, 8, 8))


def shared_recipe(**changes):
    """Without dropout and batch norm, whose random numbers and statistics are those of each process; and without Adam,
    which makes whole steps of what rounding leaves where there is no gradient."""
    options = {"base_features": 2, "levels": 2, "norm": "instance"}
    return Recipe("unet3d", options, steps=6, warmup_steps=2, batch_size=4, accumulate=2, validate_every=3,
                  precision="float32", learning_rate=0.05, optimizer="sgd", loss="weighted-ce", deep_supervision=1,
                  **changes)


def check():
    return DiceValidation(BALLS, 2, first=10**6)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with joined_processes("cpu") as processes:
        (folder / f"rank{processes.rank}").write_text(f"{processes.rank} of {processes.count}")
        # Only the first process has a validation, a log and files; the other must not need any.
        here = {"workers": 0, "log_every": 1, "processes": processes}
        whole = train(shared_recipe(), BALLS, folder / "whole", check() if processes.first else print, **here)
        asked = []
        stopped = train(shared_recipe(), BALLS, folder / "part", check() if processes.first else print,
                        cancelled=lambda: asked.append(1) or (processes.first and len(asked) > 4), **here)
        assert (stopped.steps, stopped.finished) == (4, False), stopped
        rest = train(shared_recipe(), BALLS, folder / "part", check() if processes.first else print, resume=True,
                     **here)
        assert rest.finished and rest.steps == 6
        # Every process ends with the same weights.
        for name, value in whole.network.state_dict().items():
            assert torch.equal(processes.from_first(value), value), name
            assert torch.equal(rest.network.state_dict()[name], value), name
        (folder / f"done{processes.rank}").touch()
