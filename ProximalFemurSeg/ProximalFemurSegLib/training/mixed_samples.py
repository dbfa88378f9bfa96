"""Samples of two data sets in turns."""

from __future__ import annotations


class MixedSamples:
    """A data set made of two.

    Parameters
    ----------
    first, second : object
        With ``sample(index)``.
    share, every : int
        Of ``every`` samples the first ``share`` are the first data set's, the others the second's.
    """

    def __init__(self, first, second, share: int, every: int):
        self.first, self.second, self.share, self.every = first, second, share, every

    def sample(self, index: int):
        """Image (1, D, H, W) float32 and target (D, H, W) int64."""
        rounds, place = divmod(index, self.every)
        if place < self.share:
            return self.first.sample(rounds * self.share + place)
        return self.second.sample(rounds * (self.every - self.share) + place - self.share)
