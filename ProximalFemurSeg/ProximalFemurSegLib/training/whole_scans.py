"""Whole simulated scans, as the phantom command makes them, mixed with samples that are drawn from baked hips.

Drawing gives every sample another pose, contrast and voxel size, but from anatomy that was sampled before; a whole scan
shows fine structures as the scanner's own grid does, and is normalised over all of the scan, as at run time. Networks
that saw both knew simulated scans far better than those that saw drawn samples alone.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

from ..phantom.generate import generate
from ..phantom.phantom_folders import make_missing
from .augmentation import Augmentation
from .coarse_voxels import CoarsenedSamples
from .pair_cases import prepare_pairs
from .pair_data import PairSamples
from .pair_table import Pair
from .phantom_cohort import built_scene, load_shapes, real_scene

TRAINING, HELD_OUT = "t", "h"  # first letter of a scan's name
WHOLE, EVERY = 3, 5  # of five samples, three are parts of whole scans
_AUGMENTATION = {
    "mr": Augmentation(scale=1.12, noise=0.1, gain=0.15, offset=0.08, bone_share=0.7),
    # HU mean something, and compact bone's are made the usual ones.
    "ct": Augmentation(scale=1.12, noise=0.04, gain=0.015, offset=0.012, bone_contrast=0.025, bone_share=0.7),
}
_COARSE_SHARE = {"mr": 0.65, "ct": 0.3}
# Scenes of numbers that no baked case has.
_FIRST_SCENE = 50_000
_WIDE = 0.5


def make_whole_scans(folder, modality: str, scans: int, held_out: int, anatomy=None, announce=None) -> Path:
    """Simulate scans to train on and others of held-out shapes to validate on; those that are there are kept.

    Parameters
    ----------
    folder : path-like
        Gets a folder for each.
    modality : {'mr', 'ct'}
    scans, held_out : int
        How many of both.
    anatomy : path-like or AnatomyLibrary, optional
        Real shapes (`phantom_cohort.load_shapes`), over which every other scan is then made.
    announce : callable, optional
        Called with a line of text for every scan that is made.
    """
    shapes = cache(lambda: load_shapes(anatomy))  # takes minutes

    def scan(number, held):
        scene_number = _FIRST_SCENE + number
        if anatomy is not None and number % 2:
            scene = real_scene(shapes(), scene_number, held)
        else:
            scene = built_scene(scene_number, held)
        # As coarse in plane as the MR networks see: a quarter of the papers' pixels, and of the time.
        size = {"matrix": 256} if modality == "mr" else {}
        wide = _WIDE if number % 3 == 2 else 0.0
        return generate(modality, 2 * scene_number + held, scene=scene, wide=wide, **size)

    makers = {f"{letter}{number:03d}": partial(scan, number, letter == HELD_OUT)
              for letter, count in ((TRAINING, scans), (HELD_OUT, held_out)) for number in range(count)}
    return make_missing(folder, makers, announce and (lambda name, done, total: announce(f"scan {name}")))


def whole_scan_samples(stage, modality: str, scans, folder, shape, held_out: bool = False, seed: int = 0):
    """Parts of the scans to train on, or of those held out, with coarse voxels in some.

    Parameters
    ----------
    stage : models.Stage
        Which network.
    modality : {'mr', 'ct'}
        Of the scans.
    scans : path-like
        From `make_whole_scans`.
    folder : path-like
        Where they are kept on the network's grid.
    shape : tuple of int
        (D, H, W) of a sample.
    held_out : bool
        Those to validate on.
    seed : int
        Of the samples.
    """
    places = sorted(Path(scans).glob(f"{HELD_OUT if held_out else TRAINING}[0-9]*"))
    pairs = [Pair(place.name, place / "image.nii.gz", place / "truth.nii.gz") for place in places]
    names = prepare_pairs(pairs, stage, modality, folder)
    samples = PairSamples(folder, names, stage, shape, seed, None if held_out else _AUGMENTATION[modality])
    frame = stage.preprocessing
    return CoarsenedSamples(samples, frame.spacing_mm, _COARSE_SHARE[modality], seed, frame.outside)
