"""Which parts of the cases are left out of which training, and what they are left out with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadInputError
from ..volume import Grid
from .corrected_cases import CorrectedCase
from .pair_cases import TARGET, prepare_views, save_case

FOLDS = 4  # so many subjects are left out one by one; of more, so many groups of them


@dataclass(frozen=True, eq=False)
class Halves:
    """The two sides of a plane through a bone.

    Attributes
    ----------
    direction : numpy.ndarray
        (3,) RAS, across the plane.
    edge : float
        mm along it, where the plane lies.
    """

    direction: np.ndarray
    edge: float

    def of_image(self, grid: Grid, part: int) -> np.ndarray:
        """bool (K, J, I): the voxels of an image that belong to a half, 0 or 1."""
        along = grid.affine[:3, :3].T @ self.direction
        k, j, i = (np.arange(n) * step for n, step in zip(grid.shape, along[::-1]))
        position = (grid.origin @ self.direction + k[:, None, None] + j[:, None] + i).astype(np.float32)
        return (position > self.edge) == bool(part)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """A case, or a part of one, that a training does not see.

    Attributes
    ----------
    case : CorrectedCase
    fold : int
        Of the training that does not see it.
    halves : Halves or None
        With `part` the voxels that count; None is all.
    part : int
        Which half.
    """

    case: CorrectedCase
    fold: int
    halves: Halves | None = None
    part: int = 0

    @property
    def name(self) -> str:
        """For tables; on cards cases have numbers only."""
        return f"case {self.case.number}" + (f", part {self.part + 1}" if self.halves else "")

    def counted(self, grid: Grid) -> np.ndarray | None:
        """bool (K, J, I), the voxels of the image that count; None is all of them."""
        return None if self.halves is None else self.halves.of_image(grid, self.part)


def assign_folds(cases: list[CorrectedCase], seed: int = 0, most: int = FOLDS) -> list[int]:
    """The fold that leaves each case out: one subject after the other, or, of more than `most`, so many groups of them.

    Both hips of a subject are left out together, unless there is no other subject.
    """
    subjects = sorted({case.pair.name for case in cases})
    if len(subjects) == 1:
        return [number % most for number in range(len(cases))]
    if len(subjects) > most:
        subjects = [subjects[n] for n in np.random.default_rng(seed).permutation(len(subjects))]
    fold = {name: place % most for place, name in enumerate(subjects)}
    return [fold[case.pair.name] for case in cases]


def cut_in_halves(case: CorrectedCase, stage, modality: str, folder: Path) -> tuple[Halves, list[list[str]]]:
    """Cut the only case there is in two between the network's slices, and keep the halves as cases.

    In two, not in more: a network that normalises over what it sees learns nothing useful from a few slices.

    Parameters
    ----------
    case : CorrectedCase
        What to cut.
    stage : models.Stage
        Which network it is for.
    modality : {'mr', 'ct'}
        Of the image.
    folder : pathlib.Path
        Where the halves are kept for `pair_data.PairSamples`.

    Returns
    -------
    Halves
    list of list of str
        Names of the kept cases of either half.

    Raises
    ------
    BadInputError
        If the bone is too thin to be cut.
    """
    views = prepare_views(case.pair, stage, modality)
    direction = views[0].grid.direction[:, 2]
    positions = [_slice_positions(view.grid, direction) for view in views]
    bone = np.concatenate([p[(v.labels & TARGET).any(axis=(1, 2))] for v, p in zip(views, positions)])
    halves = Halves(direction, float(bone.min() + bone.max()) / 2)
    names: list[list[str]] = [[], []]
    for view, position in zip(views, positions):
        for part in range(2):
            here = (position > halves.edge) == bool(part)
            if (view.labels[here] & TARGET).any():
                name = f"{view.name}-half{part + 1}"
                save_case(folder, name, view.image[here], view.labels[here])
                names[part].append(name)
    if not all(names):
        raise BadInputError(
            f"The mask {case.pair.mask} is too thin to leave a part of it out; give it more slices, or another case."
        )
    return halves, names


def least_slices(folder: Path, names: list[str]) -> int:
    """Slices of the thinnest of some kept cases."""
    return min(np.load(folder / f"{name}.image.npy", mmap_mode="r").shape[0] for name in names)


def _slice_positions(grid: Grid, direction) -> np.ndarray:
    """mm along a direction of every slice of a grid."""
    slices = np.zeros((grid.shape[0], 3))
    slices[:, 2] = np.arange(grid.shape[0])
    return grid.ijk_to_ras(slices) @ direction
