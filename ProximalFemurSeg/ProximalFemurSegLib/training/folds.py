"""Who is in which fold of a cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import BadInputError
from .pair_cases import find_masked_femora, read_masks

UNKNOWN, BOTH = "unknown", "both"


@dataclass(frozen=True)
class Subject:
    """What folds are stratified by.

    Attributes
    ----------
    name : str
        Of the subject.
    side : str
        Of the femora in its masks: left, right, both, or unknown where too little is in view to tell.
    bone_mm3 : float
        Their volume.
    """

    name: str
    side: str
    bone_mm3: float


def describe_subjects(pairs, role: str, progress=None) -> list[Subject]:
    """The subjects of pairs, with the sides and volumes of their femora.

    Parameters
    ----------
    pairs : sequence of Pair
        See `pair_table.find_pairs`; pairs of one name are of one subject.
    role : str
        Of the first network that is to be trained on them.
    progress : callable, optional
        Called with (pairs done, pairs in all).

    Returns
    -------
    list of Subject
        Sorted by name.

    Raises
    ------
    BadInputError
        If a mask cannot be used.
    """
    sides: dict[str, set] = {}
    volumes: dict[str, float] = {}
    for done, pair in enumerate(pairs):
        if progress:
            progress(done, len(pairs))
        (grid, outer), _ = read_masks(pair, role)
        try:
            found = [side for side, *_ in find_masked_femora(pair, grid, outer)]
        except BadInputError:
            found = [pair.side or UNKNOWN]
        sides.setdefault(pair.name, set()).update(found)
        volumes[pair.name] = volumes.get(pair.name, 0.0) + float(outer.sum()) * grid.voxel_volume_mm3
    return [Subject(name, _one_side(sides[name]), round(volumes[name], 3)) for name in sorted(sides)]


def _one_side(sides: set) -> str:
    return next(iter(sides)) if len(sides) == 1 else BOTH if UNKNOWN not in sides else UNKNOWN


def stratified_folds(subjects, count: int, seed: int = 0) -> list[list[str]]:
    """Divide subjects into folds of equal size, each with the same mixture of sides and of bone sizes.

    SciRep-2018 partitions 86 subjects by stratified random sampling into groups of 21, 21, 22 and 22, but does not say
    what is stratified. Here the subjects are sorted by side, and within a side by the volume of the bone; of every
    ``count`` that follow each other one goes to each fold, by lot. What does not come out even is taken from all over
    that order and goes to the last folds.

    Parameters
    ----------
    subjects : sequence of Subject
        Each name once.
    count : int
        Number of folds.
    seed : int
        Of the lots; the same subjects and seed give the same folds.

    Returns
    -------
    list of list of str
        Names, sorted; the smaller folds first.

    Raises
    ------
    BadInputError
        If there are fewer subjects than folds, or fewer than two folds.

    Examples
    --------
    >>> people = [Subject(f"s{n:02d}", "left", 1.0 * n) for n in range(86)]
    >>> [len(fold) for fold in stratified_folds(people, 4)]
    [21, 21, 22, 22]
    """
    if count < 2:
        raise BadInputError(f"A cross-validation needs two folds at least, not {count}.")
    if len(subjects) < count:
        raise BadInputError(f"{len(subjects)} subjects cannot be divided into {count} folds; choose fewer folds.")
    rng = np.random.default_rng(seed)
    order = []
    # Up and down by turns: those who follow each other where the side changes have bones of one size.
    for n, side in enumerate(sorted({s.side for s in subjects})):
        of_side = sorted((s for s in subjects if s.side == side), key=lambda s: (s.bone_mm3, s.name))
        order += [s.name for s in (reversed(of_side) if n % 2 else of_side)]
    extra = len(order) % count
    chosen = {int((n + 0.5) * len(order) / extra) for n in range(extra)}
    even = [name for n, name in enumerate(order) if n not in chosen]
    odd = [order[n] for n in sorted(chosen)]
    folds: list[list[str]] = [[] for _ in range(count)]
    for start in range(0, len(even), count):
        for fold, n in zip(folds, rng.permutation(count)):
            fold.append(even[start + n])
    for fold, n in zip(folds[count - extra :], rng.permutation(extra)):
        fold.append(odd[n])
    return [sorted(fold) for fold in folds]
