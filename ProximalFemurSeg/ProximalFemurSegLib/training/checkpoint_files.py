"""The files of a training that hold weights."""

from __future__ import annotations

from pathlib import Path

import torch

from ..whole_file import whole_file

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"


def save_atomically(state, path: Path) -> None:
    """torch.save so that a kill leaves the old file or the new one."""
    with whole_file(path) as unfinished:
        torch.save(state, unfinished)
