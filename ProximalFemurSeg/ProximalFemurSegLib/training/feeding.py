"""Samples, prepared in the background, in an order that depends on nothing but the step.

A data set is any object with ``sample(index) -> (image, target)``: float32 (C, D, H, W) and integer (D, H, W) arrays
or tensors. The same index must always give the same sample; that is what makes a training resumable.
"""

from __future__ import annotations

import os
import queue
import threading
import traceback

import numpy as np
import torch
import torch.multiprocessing as multiprocessing

from ..errors import ProximalFemurSegError


def _as_arrays(sample):
    image, target = sample
    image = np.ascontiguousarray(np.asarray(image), dtype=np.float32)
    target = np.asarray(target)
    # One byte per voxel through the pipe is enough for any label map here.
    return image, np.ascontiguousarray(target, dtype=np.uint8)


def _work(dataset, first, stride, samples, box, nice):
    torch.set_num_threads(1)
    if nice and hasattr(os, "nice"):
        os.nice(nice)
    parent = os.getppid()
    try:
        for index in range(first, samples, stride):
            item = (index, *_as_arrays(dataset.sample(index)))
            while True:
                try:
                    box.put(item, timeout=5)
                    break
                except queue.Full:
                    if os.getppid() != parent:  # the trainer was killed
                        os._exit(1)
    except BaseException:
        box.put((None, traceback.format_exc(), None))


class Feeder:
    """Prepares samples ``first`` to ``last - 1`` ahead of time and gives them out in order.

    Parameters
    ----------
    dataset : object
        With ``sample(index)``; must be picklable if workers is above 0.
    first, last : int
        Indices of the samples to give out, last excluded.
    workers : int
        Background processes, each on one thread; 0 uses one background thread of this process.
    ahead : int
        Samples kept ready per worker.
    nice : int
        How much the processes step back behind the training.
    """

    def __init__(self, dataset, first: int, last: int, workers: int = 1, ahead: int = 4, nice: int = 5):
        self._first = self._next = first
        self._processes, self._threads, self._boxes, self._stop = [], [], [], threading.Event()
        if workers > 0:
            context = multiprocessing.get_context("spawn")
            for worker in range(workers):
                box = context.Queue(maxsize=ahead)
                process = context.Process(target=_work, daemon=True,
                                          args=(dataset, first + worker, workers, last, box, nice))
                process.start()
                self._processes.append(process)
                self._boxes.append(box)
        else:
            box = queue.Queue(maxsize=ahead)
            self._boxes.append(box)
            thread = threading.Thread(target=self._work_in_thread, args=(dataset, first, last, box), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _work_in_thread(self, dataset, first, last, box):
        try:
            for index in range(first, last):
                if not self._put(box, (index, *_as_arrays(dataset.sample(index)))):
                    return
        except BaseException:
            self._put(box, (None, traceback.format_exc(), None))

    def _put(self, box, item) -> bool:
        """Wait for room in the box; False if the work is stopped first."""
        while not self._stop.is_set():
            try:
                box.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def next_sample(self):
        """The next (image, target) as tensors float32 (C, D, H, W) and int64 (D, H, W).

        Raises
        ------
        ProximalFemurSegError
            If preparing a sample failed; the message carries the reason.
        """
        which = (self._next - self._first) % len(self._boxes)
        while True:
            try:
                index, image, target = self._boxes[which].get(timeout=5)
                break
            except queue.Empty:
                if self._processes and not self._processes[which].is_alive():
                    raise ProximalFemurSegError(
                        "A process that prepares training samples ended unexpectedly, perhaps for want of memory."
                    ) from None
        if index is None:
            raise ProximalFemurSegError(f"A training sample could not be prepared:\n{image}")
        self._next += 1
        return torch.from_numpy(image), torch.from_numpy(target).long()

    def next_batch(self, size: int):
        """The next ``size`` samples, stacked: (B, C, D, H, W) and (B, D, H, W)."""
        images, targets = zip(*(self.next_sample() for _ in range(size)))
        return torch.stack(images), torch.stack(targets)

    def close(self):
        """Stop the background work."""
        self._stop.set()
        for process in self._processes:
            process.terminate()
        # A thread that is still at work in torch when Python ends takes the whole process down with it.
        for worker in (*self._processes, *self._threads):
            worker.join(timeout=10)
        for box in self._boxes:
            if hasattr(box, "cancel_join_thread"):
                box.cancel_join_thread()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
