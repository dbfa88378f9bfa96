"""Run a network over a volume on the processor at hand, and get by when memory runs out."""

from __future__ import annotations

import gc
import time
from contextlib import nullcontext
from math import prod

import torch

from ..cpu_tuning import tune_malloc
from ..errors import BadInputError, ProximalFemurSegError, is_out_of_memory
from ..networks import use_channels_last
from .devices import choose_device, describe_device, fast_precision
from .plan import LEAST_SLABS, plan_windows, sliding_plan
from .windows import predict_windows

# Feature maps of the first layer's width that are alive at the peak of a forward pass, measured; shortcuts keep copies.
_MAPS_ALIVE = {"vnet": 12, "patch2d": 18}
_MAPS_ALIVE_PLANAR, _MAPS_ALIVE_ELSE = 12, 9
# Of a network that takes a few slices at a time, bytes for every voxel of all of them: image, neighbours, logits.
_PLANAR_BYTES = 32
# Large enough for whole MR scans and for the V-Net's own window; more would bring little, and a scan of 600 slices with
# its maps has to stay under 3 GB.
_CPU_MEMORY = 1.25e9
_GPU_SHARE = 0.7


class Engine:
    """A device, a precision, and the fallbacks: smaller windows, then the CPU.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; see `choose_device`.
    precision : str
        ``auto`` (what is fast on the device), ``float32``, ``bfloat16`` or ``float16``.
    memory_bytes : float, optional
        What one forward pass may take; by default 1.25 GB on a CPU and 70 % of what is free on a GPU.
    say : callable, optional
        Gets one sentence for every fallback.

    Attributes
    ----------
    device : torch.device
        Where networks run; changes to the CPU when a GPU cannot do it.
    seconds : float
        Time spent in `predict` so far.

    Raises
    ------
    BadInputError
        If the device or precision cannot be used.
    """

    def __init__(self, device="auto", precision="auto", memory_bytes=None, say=None):
        self.device = choose_device(device)
        names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        if precision != "auto" and precision not in names:
            raise BadInputError(f"There is no precision '{precision}'; choose auto, {', '.join(names)}.")
        self._precision_request = names.get(precision)
        self.precision = self._precision_request or fast_precision(self.device)
        self.memory_bytes = memory_bytes
        self.seconds = 0.0
        self._say = say or (lambda sentence: None)
        if self.device.type == "cpu":
            tune_malloc()

    def describe(self) -> str:
        """Device, precision and torch build in words."""
        return describe_device(self.device, self.precision)

    @property
    def array_device(self):
        """Where to resample: Apple's backend lacks some of the operations."""
        return torch.device("cpu") if self.device.type == "mps" else self.device

    def predict(
        self, load, image, window, stride_along_slices=None, outside=-1.0, progress=None, cancelled=None, plan=None
    ):
        """Probabilities of a network's foreground classes over a whole volume.

        Parameters
        ----------
        load : callable
            ``load(device)`` gives the network on that device, ready to use.
        image : torch.Tensor
            (D, H, W) float32, normalised.
        window : tuple of int or None
            (d, h, w) the network was trained on; None if on whole images.
        stride_along_slices : int, optional
            Use the papers' sliding windows with this step; by default the fewest, largest windows.
        outside : float
            What lies outside the image.
        progress : callable, optional
            Called with (windows done, windows in all); starts again at 0 when windows have to be smaller.
        cancelled : callable, optional
            Asked before every window.
        plan : callable, optional
            ``plan(size, window, multiple)`` gives the `WindowPlan` for an image of some size, as long as memory lasts;
            by default the fewest, largest windows.

        Returns
        -------
        torch.Tensor
            (classes - 1, D, H, W) float32 on ``array_device``.

        Raises
        ------
        CancelledError
            If ``cancelled`` says so.
        ProximalFemurSegError
            If even the smallest windows do not fit into the computer's memory, or the network gives no numbers.
        """
        started = time.perf_counter()
        budget = None
        run = {"pad_value": outside, "progress": progress, "cancelled": cancelled}
        try:
            while True:
                outcome, failed = self._attempt(load, image, window, stride_along_slices, budget, run, plan)
                if outcome is not None:
                    return outcome
                # The failed attempt's frames are gone here, and with them its tensors.
                gc.collect()
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                stride_along_slices, budget = None, self._smaller(failed, image, window)
        finally:
            self.seconds += time.perf_counter() - started

    @torch.inference_mode()
    def _attempt(self, load, image, window, stride, budget, run, choose_plan):
        """(result, plan), or (None, plan) if memory ran out."""
        plan = None
        try:
            network = self._prepare(load)
            multiple = tuple(getattr(network, "size_multiple", (1, 1, 1)))
            if stride:
                plan = sliding_plan(window, multiple, stride)
            elif choose_plan and budget is None:
                plan = choose_plan(image.shape, window, multiple)
            else:
                # The window of the training is tried even where the estimate says that it is too large.
                budget = budget or max(self._budget_voxels(network, image.shape, window), prod(window or (1,)))
                plan = plan_windows(image.shape, window, multiple, budget)
            room = int(self._budget_voxels(network, image.shape, window) / prod(plan.window))
            batch = 1 if self.device.type == "cpu" else max(1, min(8, room))
            result = predict_windows(
                lambda windows: self._forward(network, windows),
                image.to(self.array_device)[None],
                plan.window,
                plan.stride,
                plan.blend,
                batch=batch,
                **run,
            )
            if bool(torch.isfinite(result).all()):
                return result, plan
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None, (plan, multiple) if plan else None
        if self.precision == torch.float32:
            raise ProximalFemurSegError(
                "The network gave values that are not numbers; its weights file may be damaged."
            )
        self._say(f"The network left the range of {self.precision}; it runs again in float32.".replace("torch.", ""))
        self.precision = torch.float32
        return self._attempt(load, image, window, stride, budget, run, choose_plan)

    def _prepare(self, load):
        network = load(self.device)
        if isinstance(network, torch.nn.Module):
            # Channels last is what oneDNN and the tensor cores compute in; other layouts are converted in every layer.
            network = use_channels_last(network.eval())
        return network

    def _forward(self, network, windows):
        windows = windows.to(device=self.device, memory_format=torch.channels_last_3d)
        mixed = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision) if mixed else nullcontext():
            logits = network(windows)
        logits = logits.float()
        if logits.shape[1] == 2:
            probability = torch.sigmoid(logits[:, 1:] - logits[:, :1])
        else:
            probability = torch.softmax(logits, dim=1)[:, 1:]
        return probability.to(self.array_device)

    def _budget_voxels(self, network, size, trained) -> float:
        """How many voxels of an image of some size a network may take in one pass."""
        memory = self.memory_bytes
        if memory is None:
            memory = _CPU_MEMORY
            if self.device.type == "cuda":
                memory = _GPU_SHARE * torch.cuda.mem_get_info(self.device)[0]
        modules = list(network.modules()) if isinstance(network, torch.nn.Module) else []
        convolutions = (torch.nn.Conv2d, torch.nn.Conv3d)
        features = next((m.out_channels for m in modules if isinstance(m, convolutions)), 1)
        at_once = getattr(network, "pixels_at_once", None)
        usual = _MAPS_ALIVE_PLANAR if at_once else _MAPS_ALIVE_ELSE
        alive = _MAPS_ALIVE.get(getattr(network, "name", ""), usual)
        maps = alive * features * (4 if self.precision == torch.float32 else 2)
        if not at_once:
            return memory / maps
        # However many slices: the maps are those of a few. A larger plane than the trained one may be cut.
        whole = [max(n, t) for n, t in zip(size[1:], (trained or (1, 1, 1))[1:])]
        for rows, columns in (whole, (trained or size)[1:]):
            least = LEAST_SLABS * rows * columns
            voxels = (memory - maps * at_once(rows, columns)) / _PLANAR_BYTES
            if voxels >= least:
                return voxels
        # Overlapping windows come out a little larger than the trained one.
        return 1.1 * least

    def _smaller(self, failed, image, trained):
        """The next budget in voxels, after memory ran out; None for a fresh start on the CPU."""
        if failed is not None:
            plan, multiple = failed
            smaller = plan_windows(image.shape, trained, multiple, prod(plan.window) / 2)
            if prod(smaller.window) < prod(plan.window):
                size = "x".join(map(str, smaller.window))
                self._say(f"Memory ran out on {self.device}: trying again with windows of {size} voxels.")
                return prod(plan.window) / 2
        if self.device.type != "cpu":
            self._say(f"The memory of {self.device} is too small: going on with the CPU, which is slower.")
            self.use_cpu()
            return None
        raise ProximalFemurSegError(
            "The computer's memory is too small for this image, even in small windows; close other programs, or crop "
            "the image around the hip."
        )

    def use_cpu(self):
        """Leave the GPU for good."""
        self.device = torch.device("cpu")
        self.precision = self._precision_request or fast_precision(self.device)
        tune_malloc()

    def on_device(self, work):
        """``work(array_device)``, and once more on the CPU if the GPU has no memory for it."""
        device = self.array_device
        try:
            return work(device)
        except Exception as error:
            if device.type == "cpu" or not is_out_of_memory(error):
                raise
        gc.collect()
        torch.cuda.empty_cache()
        self._say(f"The memory of {self.device} is too small: going on with the CPU, which is slower.")
        self.use_cpu()
        return work(self.array_device)
