"""Which processor runs the networks, and in which precision."""

from __future__ import annotations

import os

from ..cpu_tuning import bf16_is_fast
from ..errors import BadInputError

_REMEDY = "choose --device auto or cpu, or install a PyTorch build for it (see pytorch.org)"


def choose_device(request: str = "auto"):
    """The torch device for a user's choice.

    Parameters
    ----------
    request : str
        ``auto`` (the first CUDA or ROCm GPU that works, else the CPU), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns
    -------
    torch.device

    Raises
    ------
    BadInputError
        If the name is unknown, or the device is not there; the sentence names the torch build and the remedy.
    """
    import torch

    kind, _, number = str(request).strip().lower().partition(":")
    if kind == "auto" and not number:
        return torch.device("cuda:0") if torch.cuda.is_available() and _works("cuda:0") else torch.device("cpu")
    if kind == "cpu" and not number:
        return torch.device("cpu")
    if kind == "mps" and not number:
        if not torch.backends.mps.is_available():
            raise BadInputError(
                "The device 'mps' needs an Apple GPU and a PyTorch built for it, and this PyTorch "
                f"({torch.__version__}) finds none; {_REMEDY}."
            )
        return torch.device("mps")
    if kind == "cuda" and (number.isdigit() or not number):
        return _cuda(int(number or 0), request)
    raise BadInputError(f"There is no device '{request}'; choose auto, cpu, cuda, cuda:N (N = 0, 1, ...) or mps.")


def _cuda(number: int, request: str):
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda or getattr(torch.version, "hip", None)
        reason = (
            f"this PyTorch ({torch.__version__}) finds no GPU with a driver for its CUDA {built}"
            if built
            else f"this PyTorch ({torch.__version__}) is built without CUDA"
        )
        raise BadInputError(f"The device '{request}' cannot be used: {reason}; {_REMEDY}.")
    count = torch.cuda.device_count()
    if number >= count:
        raise BadInputError(
            f"There is no device 'cuda:{number}': PyTorch sees {count} GPU(s), cuda:0 to cuda:{count - 1}."
        )
    return torch.device("cuda", number)


def _works(device: str) -> bool:
    """False for a GPU that PyTorch lists but has no kernels for."""
    import torch

    try:
        return bool((torch.ones(2, device=device) * 2).sum().item() == 4)
    except RuntimeError:
        return False


def list_devices() -> dict:
    """What there is to run networks on.

    Returns
    -------
    dict
        ``torch``: its version and build; ``devices``: the CPU first, then what else works, each with ``name`` (as for
        `choose_device`), ``title`` for the user and ``memory_gb`` (GiB; None where it is not known); ``auto``: the
        name of the one that is taken unasked.
    """
    import torch

    threads = torch.get_num_threads()
    devices = [_device("cpu", f"CPU ({threads} {'thread' if threads == 1 else 'threads'})", _computer_memory())]
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        name = f"cuda:{number}"
        if _works(name):
            memory = torch.cuda.get_device_properties(number).total_memory
            devices.append(_device(name, torch.cuda.get_device_name(number), memory))
    if torch.backends.mps.is_available():
        devices.append(_device("mps", "Apple GPU", None))
    return {"torch": torch.__version__, "devices": devices, "auto": str(choose_device("auto"))}


def _device(name, title, memory_bytes):
    return {"name": name, "title": title, "memory_gb": memory_bytes and round(memory_bytes / 2**30, 1)}


def _computer_memory():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def fast_precision(device):
    """The floating-point type in which convolutions are fastest on a device, without harm to the masks.

    Returns
    -------
    torch.dtype
        bfloat16 on CPUs with AVX512-BF16 or AMX and on GPUs since Ampere, float16 on Volta and Turing, else float32.
    """
    import torch

    if device.type == "cpu":
        return torch.bfloat16 if bf16_is_fast() else torch.float32
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16 if major == 7 else torch.float32
    return torch.float32


def describe_device(device, precision) -> str:
    """For example ``CPU (2 threads), bfloat16, torch 2.13.0+cpu``."""
    import torch

    if device.type == "cuda":
        what = f"{torch.cuda.get_device_name(device)} ({device})"
    elif device.type == "cpu":
        threads = torch.get_num_threads()
        what = f"CPU ({threads} thread{'s' if threads > 1 else ''})"
    else:
        what = "Apple GPU (mps)"
    return f"{what}, {str(precision).replace('torch.', '')}, torch {torch.__version__}"
