"""Memory and thread settings that make a network run several times faster on a CPU."""

from __future__ import annotations

import ctypes
import sys

# Parameter numbers of glibc's mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4

_tuned = None


def tune_malloc() -> bool:
    """Make glibc keep freed memory instead of giving it back to the system.

    By default every feature map of a 3D network is a fresh anonymous mapping whose pages the kernel has to clear
    again; half of the time of a forward pass goes there. Afterwards the process keeps its peak memory until it ends.
    Calling it again costs nothing.

    Returns
    -------
    bool
        True if the allocator took the settings; False on systems without glibc.
    """
    global _tuned
    if _tuned is None:
        _tuned = False
        if sys.platform.startswith("linux"):
            try:
                mallopt = ctypes.CDLL("libc.so.6").mallopt
            except (OSError, AttributeError):
                return _tuned
            # The threshold for mmap cannot be set above 32 MiB; forbidding mmap altogether can.
            _tuned = all((mallopt(_M_MMAP_MAX, 0), mallopt(_M_TRIM_THRESHOLD, -1), mallopt(_M_TOP_PAD, 64 << 20)))
    return _tuned


def bf16_is_fast() -> bool:
    """True if this CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX), so that autocast pays."""
    import torch

    check = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    try:
        if check is None or not check():
            return False
    except (RuntimeError, AttributeError):
        return False
    try:
        with open("/proc/cpuinfo") as info:
            flags = next((line for line in info if line.startswith("flags")), "")
    except OSError:
        return True
    return "avx512_bf16" in flags or "amx_bf16" in flags


def available_cpus() -> int:
    """Number of cores this process may use (its affinity, not the machine's count)."""
    import os

    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
