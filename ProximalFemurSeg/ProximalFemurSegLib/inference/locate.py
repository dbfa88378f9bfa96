"""Find the femora in a whole scan, coarsely, where the papers' authors cropped by hand."""

from __future__ import annotations

import numpy as np

from ..volume import Grid
from .frames import CanonicalImage, extent, network_directions, network_grid
from .normalisation import normalisation_for, normalise
from .sides import Femur, name_side

_LEAST_MM3 = 4000.0  # a tenth of a femoral head
_FRAGMENT_MM3 = 500.0
_FRAGMENT_GAP_MM = 24.0
_SHAFT_GAP_MM = 110.0  # of a femur seen in two pieces: from the head down to the shaft
_UNDISPUTED = 0.7
_APART_MM = 60.0  # hip centres of adults are 150 to 200 mm apart, of children more than 60


def locate_femora(image: CanonicalImage, stage, modality: str, engine, load, progress=None, cancelled=None):
    """Run the locator over a whole scan.

    Parameters
    ----------
    image : CanonicalImage
        The scan.
    stage : Stage
        The locator's; three classes: background, left femur, right femur.
    modality : {'ct', 'mr'}
        Decides the normalisation.
    engine : Engine
        What runs it.
    load : callable
        ``load(stage, device)`` gives the network.

    progress, cancelled : callable, optional
        As in `Engine.predict`.

    Returns
    -------
    list of Femur
        None, one or two, the left one first; points in the canonical image's millimetres.
    """
    from ..resampling import coverage, resample

    frame = stage.preprocessing
    directions = network_directions(image.grid, frame.orientation)
    low, high = extent(image.grid.corners(), directions)
    grid = network_grid(image.grid, directions, frame.spacing_mm, low, high)

    def prepare(device):
        inside = coverage(image.grid, grid, device)
        values = resample(image.array, image.grid, grid, "linear", device=device)
        return normalise(values, normalisation_for(frame.normalisation, modality), inside, frame.outside)

    coarse = engine.on_device(prepare)
    probability = engine.predict(
        lambda device: load(stage, device),
        coarse,
        frame.window,
        outside=frame.outside,
        progress=progress,
        cancelled=cancelled,
    )
    return find_femora(probability.float().cpu().numpy(), grid)


def find_femora(probability, grid: Grid) -> list[Femur]:
    """Femora from the locator's probabilities.

    Which voxels are femur the two maps decide together; which femur it is, its place beside the other one, else its
    shape, else the maps' opinion.

    Parameters
    ----------
    probability : numpy.ndarray
        (2, D, H, W), of left and right femur.
    grid : Grid
        Of (D, H, W).

    Returns
    -------
    list of Femur
        The left one first.
    """
    from scipy import ndimage

    left, right = probability
    parts, count = ndimage.label(left + right > 0.5, structure=np.ones((3, 3, 3)))
    volumes = np.bincount(parts.ravel(), minlength=count + 1)[1:] * grid.voxel_volume_mm3
    blobs = []
    for index in np.argsort(-volumes, kind="stable"):
        if volumes[index] < _FRAGMENT_MM3:
            break
        where = parts == index + 1
        points = grid.ijk_to_ras(np.argwhere(where)[:, ::-1])
        vote = float((left[where] - right[where]).sum() / (left[where] + right[where]).sum())
        blobs.append((volumes[index], points, vote))

    chosen = [b for b in blobs[:1] if b[0] >= _LEAST_MM3]
    if chosen:
        middle = chosen[0][1][:, 0].mean()
        chosen += [b for b in blobs[1:] if b[0] >= _LEAST_MM3 and abs(b[1][:, 0].mean() - middle) >= _APART_MM][:1]
    rest = [b for b in blobs if not any(b is c for c in chosen)]
    pieces = [_with_fragments(blob, rest) for blob in chosen]
    whole = [np.concatenate([points for _, points, _ in parts]) for parts in pieces]

    if len(chosen) == 2:
        by_side = sorted(whole, key=lambda points: points[:, 0].mean())
        return [Femur("left", True, by_side[0]), Femur("right", True, by_side[1])]
    return [_lone_femur(parts, points) for parts, points in zip(pieces, whole)]


def _lone_femur(pieces, points) -> Femur:
    """A femur that has no other beside it to be told from."""
    vote = sum(volume * vote for volume, _, vote in pieces) / sum(volume for volume, _, _ in pieces)
    side, certain = name_side(points, vote)
    agreement = vote if side == "left" else -vote
    return Femur(side, certain, points, disputed=agreement < _UNDISPUTED)


def _with_fragments(blob, fragments) -> list:
    """A femur, and the smaller pieces close to it, as an implant or a fracture leaves them, and its other part.

    A large piece above or below, with no room for another femur between, is the rest of this one. Blobs and pieces are
    (volume in mm3, points, vote).
    """
    from scipy.spatial import cKDTree

    _, points, _ = blob
    tree, middle = cKDTree(points), points.mean(axis=0)
    low, high = points[:, 2].min(), points[:, 2].max()

    def belongs(volume, piece):
        if tree.query(piece)[0].min() <= _FRAGMENT_GAP_MM:
            return True
        aside = np.linalg.norm((piece.mean(axis=0) - middle)[:2])
        gap = max(piece[:, 2].min() - high, low - piece[:, 2].max())
        return volume >= _LEAST_MM3 and aside < _APART_MM and gap < _SHAFT_GAP_MM

    return [blob, *(fragment for fragment in fragments if belongs(*fragment[:2]))]
