"""Which voxels of a mask belong to which femur."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..errors import BadInputError
from ..postprocessing import bounding_box, label_components
from ..volume import Volume

_SECOND = 0.3  # of the larger bone's volume: what is smaller is no second femur
_LEAST_MM3 = 15_000.0


@dataclass(frozen=True, eq=False)
class FemurMask:
    """One femur cut out of a mask.

    Attributes
    ----------
    mask : Volume
        bool, a box around the bone.
    window : tuple of slice
        Where the box lies in the whole array (k, j, i).
    """

    mask: Volume
    window: tuple[slice, slice, slice]

    def cut(self, volume: Volume | None) -> Volume | None:
        """The same box of another volume on the whole grid."""
        if volume is None:
            return None
        return Volume(volume.array[self.window], self.mask.grid, volume.name, volume.source, dict(volume.metadata))


def separate_femora(mask: Volume) -> list[FemurMask]:
    """Split a mask into one or two femora; specks go to the bone they are nearest to.

    Parameters
    ----------
    mask : Volume
        bool.

    Returns
    -------
    list of FemurMask
        From the patient's left to the right. Together they hold every voxel of the mask once.

    Raises
    ------
    BadInputError
        An empty mask, or one without a piece of the size of a proximal femur.
    """
    name = f"'{mask.source or mask.name or 'mask'}'"
    box = bounding_box(mask.array)
    if box is None:
        raise BadInputError(f"{name} is empty: there is no bone to divide.")
    labels, sizes = label_components(mask.array[box], 26)
    sizes = sizes.astype(np.float64)
    sizes[0] = 0
    grid = mask.grid.crop([s.start for s in box], [s.stop for s in box])
    order = np.argsort(sizes)[::-1]
    if sizes[order[0]] * grid.voxel_volume_mm3 < _LEAST_MM3:
        raise BadInputError(
            f"The largest piece of {name} measures {sizes[order[0]] * grid.voxel_volume_mm3 / 1000:.1f} cm3, too "
            "little for a proximal femur: check that it is the mask of a femur."
        )
    bones = [int(order[0])]
    if len(order) > 2 and sizes[order[1]] >= max(_SECOND * sizes[order[0]], _LEAST_MM3 / grid.voxel_volume_mm3):
        bones.append(int(order[1]))
    owner = np.zeros(len(sizes), np.uint8)
    for number, bone in enumerate(bones, start=1):
        owner[bone] = number
    owner[0] = 0
    specks = np.setdiff1d(np.arange(1, len(sizes)), bones)
    if len(specks) and len(bones) == 1:
        owner[specks] = 1
    elif len(specks):
        owner[specks] = _nearest(labels, grid, bones, specks)
    owned = owner[labels]
    found = []
    for number in range(1, len(bones) + 1):
        mine = owned == number
        inner = bounding_box(mine)
        window = tuple(slice(o.start + s.start, o.start + s.stop) for o, s in zip(box, inner))
        cropped = mask.grid.crop([s.start for s in window], [s.stop for s in window])
        array = np.ascontiguousarray(mine[inner])
        middle = cropped.ijk_to_ras(np.argwhere(array)[:, ::-1].mean(axis=0))[0]
        found.append((middle, FemurMask(Volume(array, cropped, mask.name, mask.source), window)))
    return [femur for _, femur in sorted(found, key=lambda pair: pair[0])]


def _nearest(labels, grid, bones, specks) -> np.ndarray:
    """1 or 2 for every speck: the bone whose voxels are nearest to it."""
    trees = []
    for bone in bones:
        points = grid.ijk_to_ras(np.argwhere(labels == bone)[:, ::-1])
        trees.append(cKDTree(points[:: max(1, len(points) // 20_000)]))
    index = np.argwhere(np.isin(labels, specks))
    first = {int(label): place for place, label in zip(index[::-1], labels[tuple(index[::-1].T)])}
    places = grid.ijk_to_ras(np.array([first[int(s)] for s in specks])[:, ::-1])
    return np.argmin([tree.query(places)[0] for tree in trees], axis=0) + 1


def compartments_of(labels: Volume) -> tuple[Volume, Volume | None]:
    """Periosteal and endosteal mask of a label map.

    Parameters
    ----------
    labels : Volume
        Any integers; 1 trabecular and 2 cortical bone (11 and 12 of the second femur) as this program writes them, or
        anything else for bone.

    Returns
    -------
    periosteal : Volume
        bool: every label.
    endosteal : Volume or None
        bool: labels 1 and 11, where each of them shares a piece of bone with cortex; else None, for 1 and 2 might be
        the names of two femora.
    """
    array = labels.array
    bone = labels.with_array(array != 0)
    values = set(np.unique(array).tolist()) - {0}
    if not {1, 2} <= values or not values <= {1, 2, 11, 12}:
        return bone, None
    box = bounding_box(bone.array)
    parts, sizes = label_components(bone.array[box], 26)
    inner = np.isin(array[box], (1, 11))
    inside = np.bincount(parts[inner], minlength=len(sizes))
    large = np.argsort(sizes[1:])[::-1][:2] + 1
    large = [p for p in large if sizes[p] * labels.grid.voxel_volume_mm3 > _LEAST_MM3]
    if not large or not all(0.05 * sizes[p] < inside[p] < 0.98 * sizes[p] for p in large):
        return bone, None
    return bone, labels.with_array(np.isin(array, (1, 11)))
