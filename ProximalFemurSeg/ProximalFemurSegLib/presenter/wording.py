"""The words of every face go through here, on their way into other languages."""

from __future__ import annotations

from functools import cache

_translate = None


def set_translator(function) -> None:
    """Have every text go through ``function(text)``, for a face that speaks other languages."""
    global _translate
    _translate = function
    _words.cache_clear()


def tr(text: str) -> str:
    """A text in the face's language."""
    return text if _translate is None else _translate(text)


def word(text: str) -> str:
    """A word that the library uses in results and for steps, in the face's language; any other text as it is.

    Examples
    --------
    >>> word("intertrochanter"), word("a colleague's own name")
    ('intertrochanter', "a colleague's own name")
    """
    return _words().get(text, text)


@cache
def _words() -> dict[str, str]:
    """One by one, because whoever translates collects what stands in the calls of `tr`."""
    return {
        "left": tr("left"),
        "right": tr("right"),
        "bone": tr("bone"),
        "bone, left": tr("bone, left"),
        "bone, right": tr("bone, right"),
        "whole bone": tr("whole bone"),
        "whole bone, left": tr("whole bone, left"),
        "whole bone, right": tr("whole bone, right"),
        "trabecular bone": tr("trabecular bone"),
        "trabecular bone, left": tr("trabecular bone, left"),
        "trabecular bone, right": tr("trabecular bone, right"),
        "cortical bone": tr("cortical bone"),
        "head": tr("head"),
        "neck": tr("neck"),
        "trochanter": tr("trochanter"),
        "intertrochanter": tr("intertrochanter"),
        "shaft": tr("shaft"),
        "undivided": tr("undivided"),
        "total hip": tr("total hip"),
        "Neck-shaft angle": tr("Neck-shaft angle"),
        "Alpha angle": tr("Alpha angle"),
        "Head diameter": tr("Head diameter"),
        "Femoral offset": tr("Femoral offset"),
        "Neck length": tr("Neck length"),
        "Neck width": tr("Neck width"),
        "Narrow neck, area": tr("Narrow neck, area"),
        "Narrow neck, second moment (bending up and down)": tr("Narrow neck, second moment (bending up and down)"),
        "Narrow neck, second moment (bending forth and back)": tr(
            "Narrow neck, second moment (bending forth and back)"
        ),
        "Narrow neck, cortical thickness": tr("Narrow neck, cortical thickness"),
        "starting": tr("starting"),
        "handing over the image": tr("handing over the image"),
        "finding the femora": tr("finding the femora"),
        "network": tr("network"),
        "calibrating the borders": tr("calibrating the borders"),
        "labels and volumes": tr("labels and volumes"),
        "writing the results": tr("writing the results"),
        "loading the result": tr("loading the result"),
        "done": tr("done"),
    }


def sentence(text: str) -> str:
    """A text with a capital at its beginning."""
    return text[:1].upper() + text[1:]
