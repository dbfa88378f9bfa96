"""Dividing femora, between the window's process and the child: what is asked for, and what comes back."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..postprocessing import bounding_box
from ..regions.calibration import calibration_from
from ..regions.definition import RegionDefinition
from ..regions.measure import Femora, RegionsResult
from ..running.exchange import read_image
from ..volume import Grid, Volume

_ORDER, _DIVISION = "order.pickle", "division.pickle"
_MARGIN_VOXELS = 2


@dataclass(frozen=True, eq=False)
class Bones:
    """The masks of a segmentation, cut down to where there is bone.

    Attributes
    ----------
    array : numpy.ndarray
        (K, J, I) uint8: 1 inside the cortex, 2 the rest of the bone.
    start : tuple of int
        Voxel (k, j, i) at which it begins.
    grid : Grid
        Of the whole segmentation.
    name : str
        Of the segmentation, for messages.
    has_inner : bool
        True if it is known what lies inside the cortex.
    """

    array: np.ndarray
    start: tuple[int, int, int]
    grid: Grid
    name: str
    has_inner: bool

    @classmethod
    def of(cls, mask: Volume, endosteal: Volume | None) -> Bones:
        """Of a bone's mask and the mask inside its cortex."""
        # With a margin, because a bone that reaches the edge of its array counts as cut off.
        box = bounding_box(mask.array, margin=_MARGIN_VOXELS) or (slice(0, 1),) * 3
        array = mask.array[box].astype(np.uint8) * 2
        if endosteal is not None:
            array[endosteal.array[box]] = 1
        return cls(array, tuple(axis.start for axis in box), mask.grid, mask.name, endosteal is not None)

    @property
    def window(self) -> tuple[slice, slice, slice]:
        return tuple(slice(first, first + count) for first, count in zip(self.start, self.array.shape))

    def same_as(self, other: Bones | None) -> bool:
        """True if the other has the same voxels in the same place."""
        return (
            other is not None
            and (self.start, self.has_inner) == (other.start, other.has_inner)
            and self.grid.is_close(other.grid)
            and np.array_equal(self.array, other.array)
        )

    def on_grid(self, values=None) -> Volume:
        """The part of the array on the whole grid; by default what is bone."""
        whole = np.zeros(self.grid.shape, bool if values is None else values.dtype)
        whole[self.window] = self.array > 0 if values is None else values
        return Volume(whole, self.grid, self.name)


@dataclass(frozen=True, eq=False)
class Order:
    """A division that is asked for.

    Attributes
    ----------
    bones : Bones
    definition : RegionDefinition
    placed : dict
        As of ``regions.measure_regions``.
    calibration : str
        As of ``regions.calibration_from``, for the image beside the order; empty without one.
    """

    bones: Bones
    definition: RegionDefinition
    placed: dict
    calibration: str = ""

    def write(self, folder: Path) -> None:
        """Leave it in a folder for the child."""
        (folder / _ORDER).write_bytes(pickle.dumps(self, protocol=5))


class RegionTask:
    """The child's side: divides, and remembers the last femora, so that a moved landmark takes less time."""

    def __init__(self):
        self._known, self._femora = None, None

    def __call__(self, number: int, folder: str) -> dict:
        """Carry out the order in a folder, and leave the division there."""
        place = Path(folder)
        order = pickle.loads((place / _ORDER).read_bytes())
        image = read_image(place) if order.calibration else None
        if image is not None or not order.bones.same_as(self._known):
            self._femora = _femora(order, image)
            # Voxels of an image that may have changed are not compared.
            self._known = None if image is not None else order.bones
        result = self._femora.measure(order.definition, order.placed)
        (place / _DIVISION).write_bytes(pickle.dumps(_light(result, order.bones), protocol=5))
        return {}


def read_division(folder: Path, bones: Bones) -> RegionsResult:
    """The division that the child left in a folder, on the whole grid; what it was found on stays over there."""
    result = pickle.loads((folder / _DIVISION).read_bytes())
    return replace(result, labels=replace(bones.on_grid(result.labels), name=f"{bones.name} regions".strip()))


def _femora(order, image):
    bones = order.bones
    inner = bones.on_grid(bones.array == 1) if bones.has_inner else None
    calibration = calibration_from(order.calibration, image) if image is not None else None
    return Femora(bones.on_grid(), inner, "auto", image, calibration)


def _light(result, bones):
    """The division without what only the next one needs."""
    femora = [replace(femur, landmarks=replace(femur.landmarks, field=None)) for femur in result.femora]
    return replace(result, labels=result.labels.array[bones.window], femora=femora)
