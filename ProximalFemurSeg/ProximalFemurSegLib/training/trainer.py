"""The training loop: resumable at any moment, with a time budget, the same on CPU, GPU and several of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..cpu_tuning import tune_malloc
from .feeding import Feeder
from .processes import Processes, ShareOfSamples, share_of_batch
from .recipe import Recipe
from .thread_choice import ThreadChooser
from .training_run import TrainingRun


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
    run = TrainingRun(recipe, Path(out_dir), validation, processes, start, epoch_samples, progress)
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
