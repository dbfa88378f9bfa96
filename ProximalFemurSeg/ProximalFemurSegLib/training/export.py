"""From a finished training to weights and a card that others can use."""

from __future__ import annotations

import dataclasses
import datetime
import platform
import subprocess
import sys
from pathlib import Path

import torch

from .. import models
from ..cpu_tuning import available_cpus
from ..errors import BadInputError
from ..networks import build_network, parameter_count
from .checkpoint_files import BEST, CHECKPOINT
from .training_log import read_log

USE = "Research use only; not a medical device."


def source_commit() -> str | None:
    """The commit of the checkout this code lies in (with ``+changes`` if files differ from it), or None."""
    here = Path(__file__).resolve().parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True,
                              timeout=20).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no", "--", str(here.parent)],
                                 cwd=here, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if changed else "")


def hardware() -> dict:
    """What this machine computes with."""
    cpu = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass
    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return {"cpu": cpu, "cores": available_cpus(), "gpu": gpus, "python": platform.python_version(),
            "torch": str(torch.__version__)}


def thin_curves(folder, points: int = 200) -> dict:
    """Loss, Dice and accuracy over steps and epochs, at most about ``points`` of each, from a training's log."""
    entries = read_log(folder)
    steps = [e for e in entries if "loss" in e]
    checks = [e for e in entries if "validation" in e]

    def thin(rows):
        stride = max(1, -(-len(rows) // points))
        return rows[::stride] + (rows[-1:] if (len(rows) - 1) % stride else [])

    steps, checks = (thin(rows) if rows else [] for rows in (steps, checks))
    names = sorted({name for e in checks for name in e["validation"]})
    curves = {
        "training": {name: [e[name] for e in steps] for name in ("step", "loss", "dice", "accuracy")
                     if all(name in e for e in steps)},
        "validation": {"step": [e["step"] for e in checks],
                       **{name: [e["validation"].get(name) for e in checks] for name in names}},
    }
    for part, rows in (("training", steps), ("validation", checks)):
        if rows and all("epoch" in e for e in rows):
            curves[part]["epoch"] = [e["epoch"] for e in rows]
    return curves


def _last_validation(folder) -> dict:
    return next((e["validation"] for e in reversed(read_log(folder)) if "validation" in e), {})


def export_training(folder, stage: models.Stage, data: dict, out_dir=None, which: str = "best", metrics=None,
                    operating_point=None, limits=(), command=None, commit=None) -> Path:
    """Write ``<stem>.safetensors`` and ``<stem>.json`` of a training.

    Parameters
    ----------
    folder : path
        Folder of the training.
    stage : models.Stage
        What was trained; its architecture and options must be those of the training.
    data : dict
        What it was trained on: at least ``description`` and ``simulated`` (bool).
    out_dir : path or None
        Where to; None is the folder of the shipped weights.
    which : str
        ``best`` (highest validation Dice) or ``last``; the averaged weights in both cases.
    metrics : dict or None
        What was measured on held-out data, beside the validation.
    operating_point : dict or None
        Thresholds on the probability, ``threshold`` at least; None is 0.5.
    limits : sequence of str
        What the weights are not for.
    command, commit : str or None
        What was run, and of which state of the source; None is this process's command line and checkout.

    Returns
    -------
    pathlib.Path
        The weights' file.

    Raises
    ------
    BadInputError
        If the folder holds no training, one of another network, or data lacks an entry.
    """
    folder = Path(folder)
    for entry in ("description", "simulated"):
        if entry not in data:
            raise BadInputError(f"The description of the training data lacks the entry {entry!r}.")
    path = folder / (BEST if which == "best" else CHECKPOINT)
    if not path.is_file():
        raise BadInputError(f"{folder} holds no training ({path.name} is missing).")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    recipe = saved["recipe"]
    network = build_network(stage.architecture, **stage.options)
    state = saved["network"] if which == "best" else saved["average"]
    if recipe["architecture"] != stage.architecture or {k: v.shape for k, v in network.state_dict().items()} != {
            k: v.shape for k, v in state.items()}:
        raise BadInputError(f"{folder} holds a training of {recipe['architecture']} {recipe['options']}, not of "
                            f"{stage.architecture} {stage.options}.")
    out_dir = Path(out_dir) if out_dir else Path(models.__file__).resolve().parent.parent / "Resources" / "Models"
    weights = out_dir / f"{stage.weights}.safetensors"
    checksum = models.save_weights(state, weights)
    curves = thin_curves(folder)
    card = {
        "format": models.CARD_FORMAT,
        "name": stage.weights,
        "role": stage.role,
        "use": USE,
        "trained_on": "simulated images" if data["simulated"] else "images of people",
        "architecture": stage.architecture,
        "options": models._plain(stage.options),
        "parameters": parameter_count(network),
        "preprocessing": dataclasses.asdict(stage.preprocessing),
        "data": data,
        "seed": recipe["seed"],
        "recipe": recipe,
        "training": {"steps": saved["step"], "minutes": round(saved["seconds"] / 60, 1), "weights": which,
                     "validation": saved.get("metrics") or _last_validation(folder)},
        "command": command if command is not None else " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": commit if commit is not None else source_commit(),
        "hardware": hardware(),
        "date": datetime.date.today().isoformat(),
        "metrics": metrics or {},
        "operating_point": operating_point or {"threshold": 0.5},
        "limits": list(limits),
        "curves": curves,
        "sha256": checksum,
    }
    models.write_card(card, weights.with_suffix(".json"))
    return weights
