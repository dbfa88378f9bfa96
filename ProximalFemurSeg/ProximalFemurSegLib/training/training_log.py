"""The log of a training: a line of JSON for every few steps and every validation."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ..whole_file import write_whole_text

LOG = "log.jsonl"


def read_log(folder) -> list[dict]:
    """The entries of a training's log.jsonl; a line cut by a kill is left out."""
    entries = []
    path = Path(folder) / LOG
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                entries.append(json.loads(line))
    return entries


def start_log(folder, step: int) -> None:
    """Keep only what happened up to the step at which a resumed training goes on."""
    folder = Path(folder)
    entries = [e for e in read_log(folder) if e.get("step", 0) <= step] if step else []
    write_whole_text(folder / LOG, "".join(json.dumps(e) + "\n" for e in entries))


def append_to_log(folder, entry: dict) -> None:
    """Write one more line."""
    with open(Path(folder) / LOG, "a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
