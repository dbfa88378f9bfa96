"""One training on several processors or machines: the processes that torchrun starts, and what they tell each other."""

from __future__ import annotations

import datetime
import os
from contextlib import contextmanager

import torch
from torch import nn

from ..errors import BadInputError

# The first process prepares data and validates while the others wait; that may take hours.
_PATIENCE = datetime.timedelta(hours=24)


class Processes:
    """The processes of a training; this class is for one that is alone.

    Attributes
    ----------
    rank, count : int
        Which of how many this one is.
    device : torch.device
        Where it computes.
    """

    rank, count = 0, 1

    def __init__(self, device="cpu"):
        self.device = torch.device(device)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """A network whose gradients are the mean over the processes."""
        return network

    def without_exchange(self, network: nn.Module):
        """Context in which gradients are only gathered, for all but the last pass of a step."""
        return _nothing()

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over the processes."""
        return values

    def from_first(self, value):
        """What the first process says, for all of them; nobody goes on before it has spoken."""
        return value


class ManyProcesses(Processes):
    """Processes of torch.distributed, whose group is there."""

    def __init__(self, device):
        super().__init__(device)
        self.rank, self.count = torch.distributed.get_rank(), torch.distributed.get_world_size()

    def wrap(self, network: nn.Module) -> nn.Module:
        """As in `Processes`; on GPUs batch norm then sees the samples of all processes, on CPUs those of its own."""
        if self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        where = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=where)

    def without_exchange(self, network: nn.Module):
        """As in `Processes`."""
        return network.no_sync()

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """As in `Processes`."""
        total = values.to(self.device, copy=True)
        torch.distributed.all_reduce(total)
        return total.to(values.device)

    def from_first(self, value):
        """As in `Processes`; any value that can be pickled."""
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0, device=self.device)
        return box[0]


@contextmanager
def _nothing():
    yield


@contextmanager
def joined_processes(device="cpu"):
    """Join the processes that torchrun started with this one, or be alone.

    ::

        torchrun --nproc_per_node 2 -m ProximalFemurSegLib train ...

    Parameters
    ----------
    device : str or torch.device
        ``cuda`` gives each process of a machine a GPU of its own (nccl); ``cpu`` computes on the cores (gloo).

    Yields
    ------
    Processes

    Raises
    ------
    BadInputError
        If there are more processes than GPUs on this machine, or the device cannot be shared.
    """
    device = torch.device(device)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count < 2 or "MASTER_ADDR" not in os.environ:
        yield Processes(device)
        return
    if device.type == "cuda":
        here = int(os.environ.get("LOCAL_RANK", "0"))
        if here >= torch.cuda.device_count():
            raise BadInputError(f"torchrun started a process number {here + 1} on a machine with "
                                f"{torch.cuda.device_count()} GPUs; start one for each GPU.")
        device = torch.device("cuda", here)
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        raise BadInputError(f"A training on several processes runs on cpu or cuda, not on {device.type}.")
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield ManyProcesses(device)
    finally:
        torch.distributed.destroy_process_group()


def share_of_batch(batch_size: int, accumulate: int, count: int) -> int:
    """Samples of a step that one of so many processes computes.

    Raises
    ------
    BadInputError
        If they cannot be shared out evenly.

    Examples
    --------
    >>> share_of_batch(8, 2, 2)
    4
    """
    if batch_size % (accumulate * count):
        passes = f" in {accumulate} passes each" if accumulate > 1 else ""
        raise BadInputError(
            f"A batch of {batch_size} cannot be shared evenly by {count} processes{passes}; make the recipe's "
            f"batch_size a multiple of {accumulate * count}, or start another number of processes."
        )
    return batch_size // count


class ShareOfSamples:
    """Of every batch of a data set the part that one process computes, as a data set of its own.

    Parameters
    ----------
    dataset : object
        With ``sample(index)``.
    batch_size : int
        Samples of a step over all processes.
    rank, count : int
        Which of how many processes.
    """

    def __init__(self, dataset, batch_size: int, rank: int, count: int):
        self._dataset, self._batch, self._rank, self._share = dataset, batch_size, rank, batch_size // count

    def sample(self, index: int):
        """The sample of the whole data set that this process takes as number ``index``."""
        step, place = divmod(index, self._share)
        return self._dataset.sample(step * self._batch + self._rank * self._share + place)
