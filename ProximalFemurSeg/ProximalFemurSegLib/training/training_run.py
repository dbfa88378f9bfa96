"""A training in progress: its state, and the steps that change it."""

from __future__ import annotations

import contextlib
import json
import math
import time
from pathlib import Path

import torch
from torch import nn

from ..errors import BadInputError
from ..networks import build_network, use_channels_last
from .checkpoint_files import BEST, CHECKPOINT, save_atomically
from .deep_supervision import DeeplySupervised, output_weights
from .early_stopping import has_stopped_gaining
from .feeding import Feeder
from .losses import class_counts, find_loss
from .optimisation import WeightAverage, choose_precision, learning_rate, make_optimizer
from .overlap_counts import dice_of, overlap_counts
from .training_log import append_to_log, start_log

# What decides the meaning of a checkpoint; budget and pace may change between runs.
_FIXED = ("architecture", "options", "deep_supervision", "optimizer", "batch_size", "seed")


class TrainingRun:
    """The state of a training, and the steps that change it.

    Parameters
    ----------
    recipe, folder, validation, processes, start, epoch_samples, progress
        As for `trainer.train`.

    Attributes
    ----------
    step : int
        Steps done.
    whole : bool
        False while the weights are being changed.
    finished, asked_to_stop : bool
        What `look` saw.
    """

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
        return self.recipe.share_done(self.step, self.seconds(), self.epoch_samples)

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
