"""Noisy balls: samples that a small network learns in seconds, and that other processes can make too."""

import numpy as np


class Balls:
    """``sample(index)`` gives a ball of random place and size in noise, the same for the same index."""

    def __init__(self, size=(16, 16, 16), noise=0.3):
        self.size, self.noise = size, noise

    def sample(self, index):
        rng = np.random.default_rng([7, index])
        place = np.stack(np.meshgrid(*[np.arange(n) for n in self.size], indexing="ij"))
        middle = np.array([rng.uniform(0.35, 0.65) * n for n in self.size]).reshape(3, 1, 1, 1)
        radius = rng.uniform(0.25, 0.35) * min(self.size)
        ball = ((place - middle) ** 2).sum(axis=0) < radius**2
        image = ball + self.noise * rng.standard_normal(self.size)
        return image[None].astype(np.float32), ball.astype(np.int64)


class Failing(Balls):
    """Cannot make sample 3."""

    def sample(self, index):
        if index == 3:
            raise ValueError("no ball today")
        return super().sample(index)
