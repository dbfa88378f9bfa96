"""Errors whose message is a sentence for the person at the keyboard."""

from __future__ import annotations


class ProximalFemurSegError(Exception):
    """Base of every error this package raises on purpose; the message is one sentence a user can act on."""


class BadInputError(ProximalFemurSegError):
    """The input cannot be used; the message names the file, the problem and the remedy."""


class CancelledError(ProximalFemurSegError):
    """The user stopped the run; nothing was written."""
