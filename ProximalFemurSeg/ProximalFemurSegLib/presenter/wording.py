"""The words of every face go through here, on their way into other languages."""

from __future__ import annotations

_translate = None


def set_translator(function) -> None:
    """Have every text go through ``function(text)``, for a face that speaks other languages."""
    global _translate
    _translate = function


def tr(text: str) -> str:
    """A text in the face's language."""
    return text if _translate is None else _translate(text)


def sentence(text: str) -> str:
    """A text with a capital at its beginning."""
    return text[:1].upper() + text[1:]
