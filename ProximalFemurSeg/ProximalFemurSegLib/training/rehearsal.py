"""Simulated hips of the look that the shipped weights know, mixed into a fine-tuning so that it is not forgotten.

Rehearsal of old samples is the plainest guard against forgetting (Robins, Connection Science 7, 1995). The samples are
drawn once and kept in files: drawing one takes about as long as a training step, and a few say what is to be kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .phantom_cases import bake_hip, save_case
from .phantom_cohort import BUILT, BUILT_HELD_OUT, built_scene
from .phantom_training import phantom_samples
from .validation import DiceValidation

HIPS, HELD_OUT_HIPS = 3, 2
SAMPLES, HELD_OUT_SAMPLES = 12, 6
EVERY = 4  # every fourth sample is a simulated one


class KeptSamples:
    """Samples of a data set, kept in files and given out over and over.

    Parameters
    ----------
    folder : path-like
        Where they are kept.
    count : int
        How many there are.
    """

    def __init__(self, folder, count: int):
        self.folder, self.count = Path(folder), count

    @classmethod
    def draw(cls, dataset, folder, count: int, progress=None) -> KeptSamples:
        """Draw the first samples of a data set and keep them.

        Parameters
        ----------
        dataset : object
            With ``sample(index)``, as `trainer.train` wants it.
        folder : path-like
            Made anew.
        count : int
            How many to draw.
        progress : callable, optional
            Called with (samples done, samples in all).
        """
        kept = cls(folder, count)
        kept.folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            if progress:
                progress(index, count)
            image, target = dataset.sample(index)
            np.savez(kept._path(index), image=np.asarray(image, np.float16), target=np.asarray(target, np.uint8))
        return kept

    def sample(self, index: int):
        """Image (1, D, H, W) float32 and target (D, H, W) int64."""
        with np.load(self._path(index % self.count)) as entry:
            return entry["image"].astype(np.float32), entry["target"].astype(np.int64)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:03d}.npz"


def bake_rehearsal_hips(folder, announce=None) -> Path:
    """Bake a few hips into ``folder/hips``, as `phantom_cohort.bake_cohort` does; those that are there are kept."""
    hips = Path(folder) / "hips"
    for letter, count, held_out in ((BUILT, HIPS, False), (BUILT_HELD_OUT, HELD_OUT_HIPS, True)):
        for number in range(count):
            name, side = f"{letter}{number:03d}", ("left", "right")[number % 2]
            if (hips / f"{name}-{side}.npy").exists():
                continue
            if announce:
                announce(f"simulated hip {name}")
            save_case(bake_hip(built_scene(number, held_out), side, name), hips)
    return Path(folder)


def prepare_rehearsal(stage, hips, folder, shape, shape_to_look, seed: int, progress=None):
    """Simulated samples for one network, and a measure of how well it knows others.

    Parameters
    ----------
    stage : models.Stage
        Which network.
    hips : path-like
        From `bake_rehearsal_hips`.
    folder : path-like
        Where the samples are kept.
    shape, shape_to_look : tuple of int
        (D, H, W) voxels of a sample to train on, and of one to measure with.
    seed : int
        Of the samples.
    progress : callable, optional
        Called with (samples done, samples in all).

    Returns
    -------
    KeptSamples
        To train on.
    DiceValidation
        Over samples of hips that no training saw.
    """
    kept = KeptSamples.draw(phantom_samples(stage, hips, shape=shape, seed=seed), folder, SAMPLES, progress)
    others = phantom_samples(stage, hips, held_out=True, shape=shape_to_look, seed=seed)
    return kept, DiceValidation(others, HELD_OUT_SAMPLES)
