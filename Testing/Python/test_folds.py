"""Folds: of the sizes that the paper has, each with the same mixture, the same for the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.training.folds import Subject, describe_subjects, stratified_folds
from ProximalFemurSegLib.training.pair_table import Pair
from ProximalFemurSegLib.volume import Grid, Volume
from ProximalFemurSegLib.volume_io import write_volume


def people(count, left=0.5, seed=1):
    rng = np.random.default_rng(seed)
    return [Subject(f"s{n:03d}", "left" if rng.random() < left else "right", float(rng.normal(1e5, 2e4)))
            for n in range(count)]


@pytest.mark.parametrize(
    ("count", "folds", "sizes"),
    [
        (86, 4, [21, 21, 22, 22]),  # SciRep-2018
        (85, 10, [8] * 5 + [9] * 5),  # QCT-2021: 85 of 100 subjects, 10-fold, "eight subjects in the validation set"
        (8, 8, [1] * 8),
        (7, 2, [3, 4]),
    ],
)
def test_sizes(count, folds, sizes):
    found = stratified_folds(people(count), folds, seed=3)
    assert [len(fold) for fold in found] == sizes
    assert sorted(name for fold in found for name in fold) == [s.name for s in people(count)]


@pytest.mark.parametrize("left", [0.5, 0.2])
@pytest.mark.parametrize("folds", [4, 10])
def test_every_fold_has_the_same_mixture(left, folds):
    subjects = people(86, left)
    sides = {s.name: s.side for s in subjects}
    volumes = {s.name: s.bone_mm3 for s in subjects}
    drawn, rng = {"stratified": [], "blind": []}, np.random.default_rng(0)
    for seed in range(20):
        dealt = stratified_folds(subjects, folds, seed)
        lefts = [Counter(sides[name] for name in fold)["left"] for fold in dealt]
        assert max(lefts) - min(lefts) <= 2
        shuffled = np.array_split(rng.permutation(list(volumes)), folds)
        for kind, parts in (("stratified", dealt), ("blind", shuffled)):
            drawn[kind].append(np.std([np.mean([volumes[name] for name in part]) for part in parts], ddof=1))
    # Folds that are drawn without looking differ more in the mean size of their bones.
    assert np.mean(drawn["stratified"]) < 0.5 * np.mean(drawn["blind"])


def test_the_same_seed_gives_the_same_folds_whatever_the_order():
    subjects = people(30)
    assert stratified_folds(subjects, 4, 7) == stratified_folds(subjects[::-1], 4, 7)
    assert stratified_folds(subjects, 4, 7) != stratified_folds(subjects, 4, 8)


@pytest.mark.parametrize(("count", "folds", "words"), [(3, 4, "3 subjects .* 4 folds"), (9, 1, "two folds at least")])
def test_impossible_folds(count, folds, words):
    with pytest.raises(BadInputError, match=words):
        stratified_folds(people(count), folds)


def femur_mask(path, heads):
    """A shaft and a head for each side; the patient's left is at negative R."""
    grid = Grid.from_parts((60, 40, 90), (3.0, 3.0, 3.0), (-133.5, -58.5, -120.0))
    k, j, i = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    x, y, z = np.moveaxis(grid.ijk_to_ras(np.stack([i, j, k], axis=-1)), -1, 0)
    mask = np.zeros(grid.shape, np.uint8)
    for side in heads:
        sign = -1 if side == "left" else 1
        head = (x - sign * 50) ** 2 + y**2 + (z - 30) ** 2 < 25**2
        mask |= head | ((np.hypot(x - sign * 80, y) < 16) & (z < 30)) | (
            (np.abs(x - sign * 65) < 16) & (np.hypot(y, z - 20) < 14))
    write_volume(Volume(mask, grid), path)
    return int(mask.sum()) * 27.0


def test_subjects_are_described_by_their_masks(tmp_path):
    volumes = {}
    for name, heads in {"l": ["left"], "r": ["right"], "b": ["left", "right"]}.items():
        volumes[name] = femur_mask(tmp_path / f"{name}.nrrd", heads)
    said = []
    pairs = [Pair("ann", tmp_path / "x", tmp_path / "l.nrrd"), Pair("ann", tmp_path / "x", tmp_path / "r.nrrd"),
             Pair("bob", tmp_path / "x", tmp_path / "r.nrrd"), Pair("eve", tmp_path / "x", tmp_path / "b.nrrd")]
    found = describe_subjects(pairs, "periosteal", lambda done, total: said.append((done, total)))
    assert found == [Subject("ann", "both", volumes["l"] + volumes["r"]), Subject("bob", "right", volumes["r"]),
                     Subject("eve", "both", volumes["b"])]
    assert said == [(n, 4) for n in range(4)]
    # A ball alone shows no side.
    grid = Grid.from_parts((20, 20, 20), (3.0, 3.0, 3.0))
    ball = sum((n - 10) ** 2 for n in np.meshgrid(*[np.arange(20)] * 3)) < 64
    write_volume(Volume(ball.astype(np.uint8), grid), tmp_path / "ball.nrrd")
    (subject,) = describe_subjects([Pair("kim", tmp_path / "x", tmp_path / "ball.nrrd")], "bone")
    assert subject.side == "unknown"
