"""The training loop: resumable at any moment, with a time budget, the same on CPU and GPU."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..cpu_tuning import available_cpus, bf16_is_fast, tune_malloc
from ..errors import BadInputError
from ..networks import build_network, use_channels_last
from .deep_supervision import DeeplySupervised, output_weights
from .feeding import Feeder
from .losses import find_loss
from .recipe import Recipe

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
LOG = "log.jsonl"


def save_atomically(state, path: Path) -> None:
    """torch.save under a temporary name, then move into place, so that a kill leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        torch.save(state, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def batch_dice(logits: torch.Tensor, target: torch.Tensor) -> float:
    """Mean Dice of the foreground classes that occur in the target or the result, by arg max; 1 if none does."""
    result = logits.argmax(dim=1)
    scores = []
    for label in range(1, logits.shape[1]):
        truth, found = target == label, result == label
        size = int(truth.sum()) + int(found.sum())
        if size:
            scores.append(2 * int((truth & found).sum()) / size)
    return sum(scores) / len(scores) if scores else 1.0


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Learning rate of a step (from 0), at a progress between 0 and 1."""
    rate = recipe.learning_rate * min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    if recipe.schedule == "cosine":
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        rate *= recipe.final_rate + (1 - recipe.final_rate) * fall
    return rate


class _ThreadChooser:
    """Finds out, again and again, how many CPU threads are fastest just now.

    Where other work shares the cores, two threads that wait for each other can be slower than one alone; which it is
    changes by the hour. Every `period` steps each count gets a few steps, and the fastest goes on.
    """

    def __init__(self, period: int = 200, probe: int = 4):
        most = available_cpus()
        self._counts = sorted({1, max(1, most // 2), most})
        self._period, self._probe, self._done, self._times = period, probe, 0, {}

    def before_step(self) -> None:
        """Set the thread count of the coming step."""
        place = self._done % self._period
        if place % self._probe == 0 and place // self._probe < len(self._counts):
            if place == 0:
                self._times = {}
            torch.set_num_threads(self._counts[place // self._probe])
        elif place == self._probe * len(self._counts):
            torch.set_num_threads(min(self._times, key=lambda count: min(self._times[count])))

    def after_step(self, seconds: float) -> None:
        """Note how long the step took."""
        if self._done % self._period < self._probe * len(self._counts):
            self._times.setdefault(torch.get_num_threads(), []).append(seconds)
        self._done += 1


def _make_optimizer(recipe: Recipe, network: nn.Module):
    # Biases and the scales of the normalisation are not shrunk: one-dimensional parameters have nothing to overfit.
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=recipe.learning_rate)


def _precision(recipe: Recipe, device: torch.device):
    if recipe.precision != "auto":
        return getattr(torch, recipe.precision)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if device.type == "cpu" and bf16_is_fast() else torch.float32


class _Average:
    """Exponential running average of the weights; statistics of batch norm are taken over as they are."""

    def __init__(self, network: nn.Module, decay: float):
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        # Short memory at first, so that the random first weights are soon forgotten.
        decay = min(self.decay, (step + 1) / (step + 10)) if self.decay else 0.0
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers()):
            mine.copy_(theirs)


@dataclass
class TrainingResult:
    """What a training left behind.

    Attributes
    ----------
    folder : pathlib.Path
        With checkpoint.pt (to resume), best.pt (the averaged weights that validated best), log.jsonl, recipe.json.
    network : torch.nn.Module
        The averaged weights at the end, in eval mode, on the CPU.
    steps : int
        Steps done.
    seconds : float
        Time spent over all runs.
    finished : bool
        False if it was stopped before its last step.
    """

    folder: Path
    network: nn.Module
    steps: int
    seconds: float
    finished: bool


def read_log(folder) -> list[dict]:
    """The entries of a training's log.jsonl; a line cut by a kill is left out."""
    entries = []
    path = Path(folder) / LOG
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                entries.append(json.loads(line))
    return entries


def _start_log(folder: Path, step: int) -> None:
    """Keep only what happened before the step at which a resumed training goes on."""
    entries = [e for e in read_log(folder) if e.get("step", 0) <= step] if step else []
    temporary = folder / f".{LOG}.tmp"
    temporary.write_text("".join(json.dumps(e) + "\n" for e in entries), encoding="utf-8")
    os.replace(temporary, folder / LOG)


def train(
    recipe: Recipe,
    dataset,
    out_dir,
    validation=None,
    resume: bool = False,
    device="cpu",
    workers: int = 1,
    threads: int | str | None = None,
    start=None,
    log_every: int = 20,
    progress=None,
    cancelled=None,
) -> TrainingResult:
    """Train a network.

    Parameters
    ----------
    recipe : Recipe
        What to train and how.
    dataset : object
        With ``sample(index) -> (image float32 (C, D, H, W), target int (D, H, W))``; step n (from 0) takes the samples
        n * batch_size onward.
    out_dir : path
        Folder for checkpoints and the log; see `TrainingResult`.
    validation : callable or None
        ``validation(network, step) -> dict`` with the averaged weights in eval mode, on the device; the network with
        the highest ``"dice"`` is kept as best.pt. Without one, best.pt is the last.
    resume : bool
        Go on from checkpoint.pt in the folder, if there is one; on the same machine with the same number of threads
        and no time budget the result equals that of a training that was never stopped.
    device : str or torch.device
        Where to train.
    workers : int
        Processes that prepare samples (the data set must be picklable); 0 uses a thread of this process.
    threads : int, 'auto' or None
        CPU threads of the network; ``auto`` tries now and then which count is fastest, which helps where other work
        shares the cores (and makes two runs differ in the last bits); None leaves torch's setting.
    start : dict or None
        State of a network to start from, instead of fresh weights.
    log_every : int
        Steps between two lines in the log; losses and Dice are means over them.
    progress : callable or None
        Called with each entry of the log, a dict.
    cancelled : callable or None
        Asked at every step; if true, a checkpoint is written and the training returns.

    Returns
    -------
    TrainingResult

    Raises
    ------
    BadInputError
        If the folder holds another training, or the recipe does not fit the data.
    """
    tune_malloc()
    chooser = _ThreadChooser() if threads == "auto" else None
    if isinstance(threads, int):
        torch.set_num_threads(threads)
    device = torch.device(device)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint_path = folder / CHECKPOINT
    if checkpoint_path.exists() and not resume:
        raise BadInputError(f"{folder} already holds a training; resume it or choose another folder.")

    torch.manual_seed(recipe.seed)
    network = build_network(recipe.architecture, **recipe.options)
    if start is not None:
        network.load_state_dict(start)
    use_channels_last(network.to(device))
    average = _Average(network, recipe.ema_decay)
    # What is trained may have outputs beside the network's own; what is kept and averaged is the network.
    trained = DeeplySupervised(network, recipe.deep_supervision).to(device) if recipe.deep_supervision else network
    optimizer = _make_optimizer(recipe, trained)
    dtype = _precision(recipe, device)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    loss_function = find_loss(recipe.loss, **recipe.loss_options)
    step, seconds_before, best = 0, 0.0, -math.inf

    if checkpoint_path.exists():
        saved = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
        # Budget and pace may change between runs; what decides the weights' meaning may not.
        for entry in ("architecture", "options", "deep_supervision", "optimizer", "batch_size", "seed"):
            if saved["recipe"].get(entry, 0) != recipe.to_dict()[entry]:
                raise BadInputError(f"{folder} holds a training with another {entry}; resume it with its own recipe, "
                                    f"or choose another folder.")
        network.load_state_dict(saved["network"])
        if trained is not network:
            trained.heads.load_state_dict(saved["heads"])
        average.network.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        scaler.load_state_dict(saved["scaler"])
        step, seconds_before, best = saved["step"], saved["seconds"], saved["best"]
    _start_log(folder, step)
    recipe_text = json.dumps(recipe.to_dict(), indent=2) + "\n"
    (folder / "recipe.json").write_text(recipe_text, encoding="utf-8")

    began = time.monotonic()

    def seconds() -> float:
        return seconds_before + time.monotonic() - began

    def progress_now() -> float:
        by_time = seconds() / 60 / recipe.minutes if recipe.minutes else 0.0
        return max(step / recipe.steps, by_time)

    def save_checkpoint() -> None:
        heads = {} if trained is network else trained.heads.state_dict()
        save_atomically({"recipe": recipe.to_dict(), "network": network.state_dict(), "heads": heads,
                         "average": average.network.state_dict(), "optimizer": optimizer.state_dict(),
                         "scaler": scaler.state_dict(), "step": step, "seconds": seconds(), "best": best},
                        checkpoint_path)

    def save_best(metrics: dict) -> None:
        save_atomically({"recipe": recipe.to_dict(), "network": average.network.state_dict(), "step": step,
                         "seconds": seconds(), "metrics": metrics}, folder / BEST)

    def write(entry: dict) -> None:
        with open(folder / LOG, "a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        if progress:
            progress(entry)

    def validate() -> None:
        nonlocal best
        metrics = dict(validation(average.network, step)) if validation else {}
        score = metrics.get("dice", step)
        if score > best:
            best = score
            save_best(metrics)
        if validation:
            write({"step": step, "validation": metrics, "seconds": round(seconds(), 1)})

    losses, scores, last_save, waited = [], [], time.monotonic(), 0.0
    validated, whole = -1, True
    finished = progress_now() >= 1
    with Feeder(dataset, step * recipe.batch_size, recipe.steps * recipe.batch_size, workers) as feeder:
        try:
            while not finished and not (cancelled and cancelled()):
                now = progress_now()
                rate = learning_rate(recipe, step, now)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                trained.train()
                if now >= 1 - recipe.freeze_norm:
                    for layer in network.modules():
                        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                            layer.eval()
                wait_began = time.monotonic()
                images, targets = feeder.next_batch(recipe.batch_size)
                step_began = time.monotonic()
                waited += step_began - wait_began
                if chooser:
                    chooser.before_step()
                images = images.to(device, memory_format=torch.channels_last_3d)
                targets = targets.to(device)
                # Dropout of a step depends on the step alone, so that a resumed training draws the same.
                torch.manual_seed(recipe.seed * 1_000_003 + step)
                with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                    outputs = trained(images)
                outputs = outputs if isinstance(outputs, list) else [outputs]
                parts = [loss_function(o, targets) * w for o, w in zip(outputs, output_weights(len(outputs)))]
                loss = sum(parts)
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                norm = nn.utils.clip_grad_norm_(trained.parameters(), recipe.clip_norm or math.inf)
                whole = False
                # One broken sample must not ruin the weights: a step without a finite gradient is left out.
                if bool(torch.isfinite(norm)) or scaler.is_enabled():
                    scaler.step(optimizer)
                scaler.update()
                average.update(network, step)
                step += 1
                whole = True
                losses.append(float(loss.detach()))
                if chooser:
                    chooser.after_step(time.monotonic() - step_began)
                scores.append(batch_dice(outputs[0].detach(), targets))
                finished = progress_now() >= 1
                if step % log_every == 0 or finished:
                    write({"step": step, "loss": round(sum(losses) / len(losses), 6),
                           "dice": round(sum(scores) / len(scores), 6), "rate": float(f"{rate:.4g}"),
                           "gradient_norm": float(f"{float(norm):.4g}"), "threads": torch.get_num_threads(),
                           "waited": round(waited, 1), "seconds": round(seconds(), 1)})
                    losses, scores, waited = [], [], 0.0
                if step % recipe.validate_every == 0 or finished:
                    validate()
                    validated = step
                if time.monotonic() - last_save > recipe.checkpoint_minutes * 60:
                    save_checkpoint()
                    last_save = time.monotonic()
        finally:
            # Also on Ctrl+C or a failing sample, unless it came in the middle of changing the weights.
            if whole:
                save_checkpoint()
    if finished and validated != step and not (folder / BEST).exists():
        validate()
    return TrainingResult(folder, average.network.cpu(), step, seconds(), finished)
