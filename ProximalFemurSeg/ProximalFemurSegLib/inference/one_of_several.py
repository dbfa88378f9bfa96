"""The progress of several runs over an image as one."""

from __future__ import annotations


class OneOfSeveral:
    """The progress of one of several runs over the networks, as a part of the whole.

    Parameters
    ----------
    progress : callable or None
        Of the whole; as of `predict_probabilities`.
    count : int
        How many runs there are.
    title : str
        Put before the name of every step of this one.
    """

    def __init__(self, progress, count: int, title: str = ""):
        self._progress, self._count, self._title = progress, count, title

    def __call__(self, stage, done, total):
        if self._progress is not None:
            self._progress(self._title + stage, done, total)

    def expect(self, passes: int) -> None:
        """So many passes of a network are to come in this run."""
        tell = getattr(self._progress, "expect", None)
        if tell is not None:
            tell(passes * self._count)
