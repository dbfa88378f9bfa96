"""Pairs of images and masks, brought onto a network's grid once and kept in files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..errors import BadInputError, CancelledError
from ..inference.compact_bone import usual_bone
from ..inference.frames import extent, network_directions, network_grid
from ..inference.hip_view import PROXIMAL_MM, femur_box, shows_one_hip
from ..inference.normalisation import normalisation_for, normalise
from ..inference.sides import name_side
from ..resampling import coverage, resample
from ..volume import Grid
from ..volume_io import read_labels, read_volume
from ..whole_file import whole_file
from .pair_table import Pair

TARGET, OUTER = 1, 2  # bits of a case's label map
_AIR_HU = -1000.0
_COARSE_MM = 4.0
_LEAST_MM3 = 4000.0
# Around the bone, so that crops have room to move and see what surrounds it.
_MARGIN_MM = 50.0
_TRABECULAR = (1, 11)


@dataclass(frozen=True, eq=False)
class View:
    """What a network is shown of one image: all of it, or one femur.

    Attributes
    ----------
    name : str
        The pair's, with the side where it is known.
    image : numpy.ndarray
        float16 (D, H, W), normalised; right femora mirrored to left ones for a network that knows one side.
    labels : numpy.ndarray
        uint8 (D, H, W), bit 1 what the network shall find, bit 2 the whole bone.
    grid : Grid
        Of (D, H, W) before it was mirrored, RAS.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    grid: Grid


def read_masks(pair: Pair, role: str) -> tuple[tuple[Grid, np.ndarray], tuple[Grid, np.ndarray]]:
    """The whole bone and what a network of some role shall find, each a bool mask on the grid of its file.

    Raises
    ------
    BadInputError
        If a mask cannot be read, is empty, or does not tell what lies inside the cortex although the role asks for it.
    """
    labels = read_labels(pair.mask)
    values = [int(v) for v in np.unique(labels.array) if v]
    if not values:
        raise BadInputError(f"The mask {pair.mask} is empty; draw the bone in it, or leave the case out.")
    outer = labels.array != 0
    if role == "periosteal":
        return (labels.grid, outer), (labels.grid, outer)
    if role == "endosteal" and pair.endosteal is not None:
        inner = read_labels(pair.endosteal)
        return (labels.grid, outer), (inner.grid, inner.array != 0)
    inner = np.isin(labels.array, _TRABECULAR)
    if len(values) == 1 and role == "bone":
        inner = outer
    elif not inner.any() or (len(values) == 1 and role == "endosteal"):
        raise BadInputError(
            f"The mask {pair.mask} does not tell what lies inside the cortex: label it 1 and cortical bone 2, or "
            f"give a mask of its own in the column endosteal."
        )
    return (labels.grid, outer), (labels.grid, inner)


def _on_grid(grid: Grid, mask, target: Grid) -> np.ndarray:
    return resample(mask.astype(np.uint8), grid, target, "linear").numpy() > 0.5


def find_masked_femora(pair: Pair, grid: Grid, outer) -> list[tuple[str, np.ndarray, tuple[Grid, np.ndarray]]]:
    """Side, points in RAS mm, and place on a coarse grid of each of the femora in a mask of whole bone, left first.

    Raises
    ------
    BadInputError
        If the mask shows other than one or two bones, or not which side a single one is.
    """
    low, high = extent(grid.corners(), np.eye(3))
    coarse = network_grid(grid, np.eye(3)[::-1], (_COARSE_MM,) * 3, low[::-1], high[::-1])
    share = resample(outer.astype(np.uint8), grid, coarse, "linear").numpy()
    labels, count = ndimage.label(share > 0.25, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())[1:] * coarse.voxel_volume_mm3
    kept = [n for n in np.argsort(sizes)[::-1] if sizes[n] >= max(_LEAST_MM3, 0.1 * sizes.max())] if count else []
    if not 1 <= len(kept) <= 2:
        raise BadInputError(
            f"The mask {pair.mask} shows {len(kept)} separate bones; a mask of one or two proximal femora is needed."
        )
    found = []
    for n in kept:
        zone = labels == n + 1
        found.append((coarse.ijk_to_ras(np.argwhere(zone)[:, ::-1]), zone))
    if len(found) == 2:
        # The first RAS axis runs to the patient's right.
        found.sort(key=lambda femur: femur[0][:, 0].mean())
        return [(s, points, (coarse, zone)) for s, (points, zone) in zip(("left", "right"), found)]
    side, certain = (pair.side, True) if pair.side else name_side(found[0][0])
    if not certain:
        raise BadInputError(
            f"The mask {pair.mask} does not show which side its femur is; say it in the column side of a table."
        )
    return [(side, found[0][0], (coarse, found[0][1]))]


def prepare_views(pair: Pair, stage, modality: str) -> list[View]:
    """What a network is shown of one pair, on its own grid and normalised as at inference.

    Parameters
    ----------
    pair : Pair
        What to read.
    stage : models.Stage
        Which network it is for.
    modality : {'mr', 'ct'}
        Decides the normalisation.

    Returns
    -------
    list of View
        One of the whole image for a network that does not know sides, if the image shows one hip; else one per femur
        in the mask, in which other bones' masks are left out.

    Raises
    ------
    BadInputError
        If a file cannot be used, the mask is empty or lies elsewhere than the image, does not tell what the network
        needs, or does not show the side.
    """
    if stage.role not in ("bone", "periosteal", "endosteal"):
        raise BadInputError(f"The {stage.role} network cannot be trained on pairs of images and masks.")
    volume = read_volume(pair.image)
    (outer_grid, outer), (inner_grid, inner) = read_masks(pair, stage.role)
    frame = stage.preprocessing
    directions = network_directions(volume.grid, frame.orientation)
    low, high = extent(volume.grid.corners(), directions)
    if frame.canonical_side is None and shows_one_hip(volume.grid):
        views = [(pair.side, low, high, None)]
    else:
        views = []
        for side, points, zone in find_masked_femora(pair, outer_grid, outer):
            if frame.canonical_side is None:
                # The very box of inference, whose percentiles are those of the normalisation.
                least, most, _ = femur_box(points, directions, frame, low, high)
                views.append((side, least, most, zone))
                continue
            least, most = extent(points, directions)
            axis = int(np.abs(directions[:, 2]).argmax())
            if directions[axis, 2] > 0:
                least[axis] = max(least[axis], most[axis] - PROXIMAL_MM)
            else:
                most[axis] = min(most[axis], least[axis] + PROXIMAL_MM)
            views.append((side, np.maximum(least - _MARGIN_MM, low), np.minimum(most + _MARGIN_MM, high), zone))
    cases = []
    for side, least, most, zone in views:
        if (most <= least).any():
            raise BadInputError(f"The mask {pair.mask} does not lie within its image {pair.image}; check the pair.")
        grid = network_grid(volume.grid, directions, frame.spacing_mm, least, most)
        air = _AIR_HU if modality == "ct" else 0.0
        values = resample(volume.array, volume.grid, grid, "cubic", fill=air)
        inside = coverage(volume.grid, grid)
        whole, wanted = _on_grid(outer_grid, outer, grid), _on_grid(inner_grid, inner, grid)
        if zone is not None:
            coarse, own = zone
            own = ndimage.binary_dilation(own, iterations=2)
            own = resample(own.astype(np.uint8), coarse, grid, "linear").numpy() > 0
            whole, wanted = whole & own, wanted & own
        if frame.bone_hu is not None and modality == "ct":
            values = usual_bone(values, grid, grid.ijk_to_ras(np.argwhere(whole)[:, ::-1]), frame.bone_hu)
        image = normalise(values, normalisation_for(frame.normalisation, modality), inside, frame.outside).numpy()
        known = inside.numpy()
        labels = (TARGET * (wanted & known) + OUTER * (whole & known)).astype(np.uint8)
        if not (labels & TARGET).any():
            raise BadInputError(f"The mask {pair.mask} does not lie within its image {pair.image}; check the pair.")
        image = image.astype(np.float16)
        if frame.canonical_side is not None and side != frame.canonical_side:
            image, labels = image[:, :, ::-1], labels[:, :, ::-1]
        name = f"{pair.name}-{side}" if side else pair.name
        cases.append(View(name, np.ascontiguousarray(image), np.ascontiguousarray(labels), grid))
    return cases


def prepare_pair(pair: Pair, stage, modality: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, image, labels) of every view of a pair; see `prepare_views`."""
    return [(view.name, view.image, view.labels) for view in prepare_views(pair, stage, modality)]


def _save(array: np.ndarray, path: Path) -> None:
    with whole_file(path) as unfinished:
        np.save(unfinished, array)


def save_case(folder: Path, name: str, image: np.ndarray, labels: np.ndarray) -> None:
    """Keep a case as NAME.image.npy and NAME.labels.npy, where `pair_data.PairSamples` finds it."""
    _save(image, folder / f"{name}.image.npy")
    _save(labels, folder / f"{name}.labels.npy")


def _fingerprint(pair: Pair, stage, modality: str) -> str:
    """Changes when a file or the way it is prepared does."""
    files = [p for p in (pair.image, pair.mask, pair.endosteal) if p is not None]
    states = [(str(p.resolve()), p.stat().st_mtime_ns, p.stat().st_size) for p in files]
    return hashlib.sha256(repr((states, pair.side, stage.role, stage.preprocessing, modality)).encode()).hexdigest()


def prepare_pairs(pairs, stage, modality: str, folder, progress=None, cancelled=None) -> dict[str, str]:
    """Prepare pairs and keep them as files; those that are there already and unchanged are not prepared again.

    Parameters
    ----------
    pairs : sequence of Pair
        What to prepare; see `pair_table.find_pairs`.
    stage, modality
        As for `prepare_pair`.
    folder : path
        Where the cases are kept: NAME.image.npy, NAME.labels.npy.
    progress : callable or None
        Called with (pairs done, pairs in all).
    cancelled : callable or None
        Asked before every pair.

    Returns
    -------
    dict
        The cases' names, two for a CT with both femora, and the subject that each is of.

    Raises
    ------
    BadInputError
        As `prepare_pair`.
    CancelledError
        If ``cancelled`` says so.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    subjects = {}
    for done, pair in enumerate(pairs):
        if cancelled and cancelled():
            raise CancelledError("The preparation of the training cases was cancelled.")
        if progress:
            progress(done, len(pairs))
        note = folder / f"{pair.name}{'-' + pair.side if pair.side else ''}.json"
        state = _fingerprint(pair, stage, modality)
        try:
            known = json.loads(note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        if known.get("state") != state:
            cases = prepare_pair(pair, stage, modality)
            for case in cases:
                save_case(folder, *case)
            known = {"state": state, "cases": [name for name, _, _ in cases]}
            note.write_text(json.dumps(known), encoding="utf-8")
        subjects.update(dict.fromkeys(known["cases"], pair.name))
    if progress:
        progress(len(pairs), len(pairs))
    return subjects
