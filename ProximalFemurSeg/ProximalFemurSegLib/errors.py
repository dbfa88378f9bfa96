"""Errors whose message is a sentence for the person at the keyboard."""

from __future__ import annotations

import contextlib

_MEMORY_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "not enough memory",
    "bad allocation",
    "alloc_failed",
)
# All that oneDNN says where it gets no memory for a convolution; of one that it does not know it says more.
_ONEDNN_PHRASES = ("could not create a primitive", "could not execute a primitive", "could not create a memory object")


class ProximalFemurSegError(Exception):
    """Base of every error this package raises on purpose; the message is one sentence a user can act on."""


class BadInputError(ProximalFemurSegError):
    """The input cannot be used; the message names the file, the problem and the remedy."""


class CancelledError(ProximalFemurSegError):
    """The user stopped the run; nothing was written."""


def is_out_of_memory(error: BaseException) -> bool:
    """True if an exception says that memory ran out, on any device and in any version of torch, numpy and ITK."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and (
        said in _ONEDNN_PHRASES or any(phrase in said for phrase in _MEMORY_PHRASES)
    )


@contextlib.contextmanager
def memory_explained():
    """Around work whose memory may run out; also a decorator.

    Raises
    ------
    ProximalFemurSegError
        With a remedy, in place of what a library says when it gets no memory.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ProximalFemurSegError(
            "The computer's memory is too small for this image; close other programs, or crop the image around the hip."
        ) from error
