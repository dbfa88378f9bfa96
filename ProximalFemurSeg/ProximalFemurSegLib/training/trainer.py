"""The training loop: resumable at any moment, with a time budget, the same on CPU, GPU and several of them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..cpu_tuning import tune_malloc
from ..errors import BadInputError
from ..networks import build_network, use_channels_last
from .deep_supervision import DeeplySupervised, output_weights
from .early_stopping import has_stopped_gaining
from .feeding import Feeder
from .losses import class_counts, find_loss
from .optimisation import WeightAverage, choose_precision, learning_rate, make_optimizer
from .processes import Processes, ShareOfSamples, share_of_batch
from .recipe import Recipe
from .thread_choice import ThreadChooser
from .training_log import append_to_log, start_log

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
# What decides the meaning of a checkpoint; budget and pace may change between runs.
_FIXED = ("architecture", "options", "deep_supervision", "optimizer", "batch_size", "seed")


def save_atomically(state, path: Path) -> None:
    """torch.save under a temporary name, then move into place, so that a kill leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        torch.save(state, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def overlap_counts(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """By arg max: for each foreground class its voxels in both and in either, (2, classes - 1); then those that are
    right, and all; float64, one row after the other."""
    result = logits.argmax(dim=1)
    both, sizes = [], []
    for label in range(1, logits.shape[1]):
        truth, found = target == label, result == label
        both.append(int((truth & found).sum()))
        sizes.append(int(truth.sum()) + int(found.sum()))
    return torch.tensor([*both, *sizes, int((result == target).sum()), target.numel()], dtype=torch.float64)


def dice_of(counts: torch.Tensor) -> float:
    """Mean Dice of the foreground classes that occur, from `overlap_counts`; 1 if none does."""
    both, sizes = counts[:-2].view(2, -1).tolist()
    scores = [2 * a / b for a, b in zip(both, sizes) if b]
    return sum(scores) / len(scores) if scores else 1.0


def batch_dice(logits: torch.Tensor, target: torch.Tensor) -> float:
    """Mean Dice of the foreground classes that occur in the target or the result, by arg max; 1 if none does."""
    return dice_of(overlap_counts(logits, target))


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
        False if it was stopped from outside before its end.
    stopped_early : bool
        True if it ended because the validation gained nothing any more.
    """

    folder: Path
    network: nn.Module
    steps: int
    seconds: float
    finished: bool
    stopped_early: bool = False


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
    epoch_samples: int | None = None,
    processes: Processes | None = None,
) -> TrainingResult:
    """Train a network.

    Parameters
    ----------
    recipe : Recipe
        What to train and how.
    dataset : object
        With ``sample(index) -> (image float32 (C, D, H, W), target int (D, H, W))``; step n (from 0) takes the samples
        n * batch_size onward. The image may be larger than the target by the margins of a planar network.
    out_dir : path
        Folder for checkpoints and the log; see `TrainingResult`.
    validation : callable or None
        ``validation(network, step) -> dict`` with the averaged weights in eval mode, on the device; the network with
        the highest ``"dice"`` is kept as best.pt, and early stopping looks at ``"accuracy"``. Without one, best.pt is
        the last.
    resume : bool
        Go on from checkpoint.pt in the folder, if there is one; on the same machine with the same number of threads
        and no time budget the result equals that of a training that was never stopped.
    device : str or torch.device
        Where to train; of several processes, what they say holds.
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
        Called with each entry of the log, a dict; in the first process only.
    cancelled : callable or None
        Asked at every step; if true (in the first process), a checkpoint is written and the training returns.
    epoch_samples : int or None
        Samples of an epoch, for a recipe that counts them; None is the length of the data set.
    processes : Processes or None
        Those that train together (see `processes.joined_processes`), each with the same arguments; None is this one
        alone. The first one writes, the others have to see what it writes to go on with it later.

    Returns
    -------
    TrainingResult

    Raises
    ------
    BadInputError
        If the folder holds another training, or the recipe does not fit the data.
    """
    tune_malloc()
    chooser = ThreadChooser() if threads == "auto" else None
    if isinstance(threads, int):
        torch.set_num_threads(threads)
    processes = processes or Processes(device)
    share = share_of_batch(recipe.batch_size, recipe.accumulate, processes.count)
    if epoch_samples is None and hasattr(dataset, "__len__"):
        epoch_samples = len(dataset)
    run = _Training(recipe, Path(out_dir), validation, processes, start, epoch_samples, progress)
    run.open(resume)
    run.look(cancelled)
    if processes.count > 1:
        dataset = ShareOfSamples(dataset, recipe.batch_size, processes.rank, processes.count)
    with Feeder(dataset, run.step * share, run.total_steps * share, workers) as feeder:
        try:
            run.validate_if_due()
            while not (run.finished or run.asked_to_stop):
                run.train_step(run.wait_for(feeder, share), chooser)
                run.look(cancelled)
                if run.step % log_every == 0 or run.finished or run.ends_epoch:
                    run.write_losses()
                run.validate_if_due()
                run.save_now_and_then()
        finally:
            # Also on Ctrl+C or a failing sample, unless it came in the middle of changing the weights.
            if run.whole:
                run.save_checkpoint()
    return TrainingResult(run.folder, run.average.network.cpu(), run.step, run.seconds(), run.finished,
                          run.stopped_early)


class _Training:
    """The state of a training, and the steps that change it."""

    def __init__(self, recipe, folder, validation, processes, start, epoch_samples, progress):
        self.recipe, self.folder, self.validation, self.processes = recipe, folder, validation, processes
        self.device, self.progress = processes.device, progress
        self.epoch_samples = epoch_samples
        self._check_epochs()
        self.total_steps = recipe.total_steps(epoch_samples)
        torch.manual_seed(recipe.seed)
        self.network = build_network(recipe.architecture, **recipe.options)
        if start is not None:
            self.network.load_state_dict(start)
        use_channels_last(self.network.to(self.device))
        self.average = WeightAverage(self.network, recipe.ema_decay)
        # What is trained may have outputs beside the network's own; what is kept and averaged is the network.
        self.trained, self.heads = self.network, None
        if recipe.deep_supervision:
            self.trained = DeeplySupervised(self.network, recipe.deep_supervision).to(self.device)
            self.heads = self.trained.heads
        self.optimizer = make_optimizer(recipe, self.trained)
        self.dtype = choose_precision(recipe, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.loss_function = find_loss(recipe.loss, **recipe.loss_options)
        self.step, self.seconds_before, self.best = 0, 0.0, -math.inf
        self.accuracies: list[float] = []
        self.validated, self.whole = 0, True
        self.classes = recipe.options.get("classes", 2)
        self.losses, self.scores, self.waited = [], [], 0.0
        self.began = self.last_save = time.monotonic()

    @property
    def counts_epochs(self) -> bool:
        """Whether epochs, and not steps, are the measure."""
        return self.recipe.epochs is not None or self.recipe.patience is not None

    def _check_epochs(self) -> None:
        if self.counts_epochs and not self.epoch_samples:
            raise BadInputError("The recipe counts epochs, but how many samples make one is not known of this data.")
        if self.recipe.patience is not None and self.validation is None:
            raise BadInputError("The recipe stops where the validation gains nothing, but there is no validation.")

    # How far it is.

    @property
    def ends_epoch(self) -> bool:
        """Whether the last step saw the last sample of an epoch, where epochs are the measure."""
        before, now = ((self.step - n) * self.recipe.batch_size // (self.epoch_samples or 1) for n in (1, 0))
        return self.counts_epochs and now > before

    def seconds(self) -> float:
        """Time spent over all runs."""
        return self.seconds_before + time.monotonic() - self.began

    def progress_now(self) -> float:
        """Between 0 and 1, by steps or by time."""
        by_time = self.seconds() / 60 / self.recipe.minutes if self.recipe.minutes else 0.0
        return max(self.step / self.total_steps, by_time)

    @property
    def stopped_early(self) -> bool:
        """Whether the validation gains nothing any more."""
        recipe = self.recipe
        return recipe.patience is not None and has_stopped_gaining(
            self.accuracies, recipe.patience, recipe.minimum_epochs, recipe.minimum_gain
        )

    def look(self, cancelled) -> None:
        """See how far it is and whether to stop; clocks differ, so the first process decides for all."""
        asked = bool(cancelled and cancelled())
        self.now, self.asked_to_stop = self.processes.from_first((self.progress_now(), asked))
        self.finished = self.now >= 1 or self.stopped_early

    # Files.

    def open(self, resume: bool) -> None:
        """Make the folder, or go on from its checkpoint."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / CHECKPOINT
        there = self.processes.from_first(path.exists())
        if there and not resume:
            raise BadInputError(f"{self.folder} already holds a training; resume it or choose another folder.")
        if there:
            self._load(path)
        self.parallel = self.processes.wrap(self.trained)
        if self.processes.first:
            start_log(self.folder, self.step)
            recipe_text = json.dumps(self.recipe.to_dict(), indent=2) + "\n"
            (self.folder / "recipe.json").write_text(recipe_text, encoding="utf-8")

    def _load(self, path: Path) -> None:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        entries = self.recipe.to_dict()
        for name in _FIXED:
            if saved["recipe"].get(name, 0) != entries[name]:
                raise BadInputError(f"{self.folder} holds a training with another {name}; resume it with its own "
                                    f"recipe, or choose another folder.")
        self.network.load_state_dict(saved["network"])
        if self.heads is not None:
            self.heads.load_state_dict(saved["heads"])
        self.average.network.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        self.step, self.seconds_before, self.best = saved["step"], saved["seconds"], saved["best"]
        self.accuracies = list(saved.get("accuracies", ()))
        self.validated = saved.get("validated", self.step)
        self.losses, self.scores = saved.get("unwritten", ([], []))

    def save_checkpoint(self) -> None:
        """All that is needed to go on."""
        if not self.processes.first:
            return
        state = {
            "recipe": self.recipe.to_dict(),
            "network": self.network.state_dict(),
            "heads": {} if self.heads is None else self.heads.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "seconds": self.seconds(),
            "best": self.best,
            "accuracies": self.accuracies,
            "validated": self.validated,
            "unwritten": [self.losses, self.scores],
        }
        save_atomically(state, self.folder / CHECKPOINT)

    def save_now_and_then(self) -> None:
        """A checkpoint, if the last one is old."""
        if time.monotonic() - self.last_save > self.recipe.checkpoint_minutes * 60:
            self.save_checkpoint()
            self.last_save = time.monotonic()

    def _save_best(self, metrics: dict) -> None:
        save_atomically({"recipe": self.recipe.to_dict(), "network": self.average.network.state_dict(),
                         "step": self.step, "seconds": self.seconds(), "metrics": metrics}, self.folder / BEST)

    def _write(self, entry: dict) -> None:
        if not self.processes.first:
            return
        if self.epoch_samples:
            epoch = round(self.step * self.recipe.batch_size / self.epoch_samples, 4)
            entry = {"step": entry["step"], "epoch": epoch, **entry}
        append_to_log(self.folder, entry)
        if self.progress:
            self.progress(entry)

    # A step.

    def wait_for(self, feeder: Feeder, share: int):
        """The samples of a step, a batch for each pass; takes note of how long they took."""
        began, passes = time.monotonic(), self.recipe.accumulate
        batches = [feeder.next_batch(share // passes) for _ in range(passes)]
        self.waited += time.monotonic() - began
        return batches

    def train_step(self, batches, chooser=None) -> None:
        """One step on a list of batches, one for each pass.

        Parameters
        ----------
        batches : list of (images, targets)
            Equally large.
        chooser : ThreadChooser or None
            Is told how long it took.
        """
        recipe, began = self.recipe, time.monotonic()
        if chooser:
            chooser.before_step()
        self.rate = learning_rate(recipe, self.step, self.now)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.trained.train()
        if self.now >= 1 - recipe.freeze_norm:
            for layer in self.trained.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
        # Dropout of a step depends on the step alone, so that a resumed training draws the same.
        torch.manual_seed(recipe.seed * 1_000_003 + self.step + self.processes.rank * 7_777_777)
        counts = self.processes.sum(sum(class_counts(targets, self.classes) for _, targets in batches))
        self.optimizer.zero_grad(set_to_none=True)
        loss, scores = 0.0, 0
        for number, (images, targets) in enumerate(batches, start=1):
            last = number == len(batches)
            with contextlib.nullcontext() if last else self.processes.without_exchange(self.parallel):
                part, seen = self._pass(images, targets, counts, 1 / len(batches))
            loss, scores = loss + part, scores + seen
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.trained.parameters(), recipe.clip_norm or math.inf)
        self.whole = False
        # One broken sample must not ruin the weights: a step without a finite gradient is left out.
        if bool(torch.isfinite(norm)) or self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update(self.network, self.step)
        self.step += 1
        self.whole = True
        self.gradient_norm = float(norm)
        if chooser:
            chooser.after_step(time.monotonic() - began)
        total = self.processes.sum(torch.cat([torch.tensor([loss], dtype=torch.float64), scores]))
        self.losses.append(float(total[0]) / self.processes.count)
        self.scores.append((dice_of(total[1:]), float(total[-2] / total[-1])))

    def _pass(self, images, targets, counts, share: float):
        """Add the gradient of a batch, a share of the step's; returns the share of the loss, and `overlap_counts`."""
        images = images.to(self.device, memory_format=torch.channels_last_3d)
        targets = targets.to(self.device)
        # What is only looked at, around what is learnt from, need not be made up.
        context = {} if images.shape[2:] == targets.shape[1:] else {"inside": True}
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            outputs = self.parallel(images, **context)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        counts = counts.to(self.device)
        parts = [self.loss_function(o, targets, counts) * w for o, w in zip(outputs, output_weights(len(outputs)))]
        loss = sum(parts) * share
        self.scaler.scale(loss).backward()
        return float(loss.detach()), overlap_counts(outputs[0].detach(), targets)

    def write_losses(self) -> None:
        """A line of the log: means over the steps since the last one."""
        count = len(self.losses)
        if not count:
            return
        dice, accuracy = (sum(values) / count for values in zip(*self.scores))
        entry = {"step": self.step, "loss": round(sum(self.losses) / count, 6), "dice": round(dice, 6),
                 "accuracy": round(accuracy, 6), "rate": float(f"{self.rate:.4g}"),
                 "gradient_norm": float(f"{self.gradient_norm:.4g}"), "threads": torch.get_num_threads(),
                 "waited": round(self.waited, 1), "seconds": round(self.seconds(), 1)}
        self._write(entry)
        self.losses, self.scores, self.waited = [], [], 0.0

    # Validation.

    def validate_if_due(self) -> None:
        """Validate, unless it was done at this step or is not due."""
        if self.step in (0, self.validated):
            return
        due = self.ends_epoch if self.counts_epochs else self.step % self.recipe.validate_every == 0
        if self.finished or due:
            self._validate()
            self.finished = self.finished or self.stopped_early

    def _validate(self) -> None:
        metrics = None
        if self.validation and self.processes.first:
            metrics = dict(self.validation(self.average.network, self.step))
        metrics = self.processes.from_first(metrics) or {}
        score = metrics.get("dice", self.step)
        if self.processes.first and score > self.best:
            self._save_best(metrics)
        if self.validation:
            self._write({"step": self.step, "validation": metrics, "seconds": round(self.seconds(), 1)})
        # All at once: stopped before this line, a training that goes on validates once more.
        gained = [metrics["accuracy"]] if self.recipe.patience is not None else []
        self.accuracies, self.best, self.validated = self.accuracies + gained, max(score, self.best), self.step
