"""What a segmentation run gives."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..volume import Grid, Volume
from .main_part import MainPart, find_main_part


@dataclass(eq=False)
class FemurRegion:
    """The part of an image in which one femur was looked for.

    Attributes
    ----------
    side : str or None
        'left', 'right', or None where neither shape nor user said which.
    start, stop : tuple of int
        (k, j, i) on the image's grid; regions of two femora do not overlap.
    network_grid : Grid
        Where the network looked, RAS; bone that reaches its border goes on beyond it.
    """

    side: str | None
    start: tuple[int, int, int]
    stop: tuple[int, int, int]
    network_grid: Grid

    @property
    def window(self) -> tuple[slice, slice, slice]:
        """To index an array on the image's grid."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop))


@dataclass(eq=False)
class Probabilities:
    """Probability maps on the image's grid, from which masks are made without running a network again.

    Attributes
    ----------
    maps : dict of str to Volume
        Role ('bone'; or 'periosteal' and, in a cascade, 'endosteal') to a float32 map, 0 to 1; 0 outside the regions.
    regions : list of FemurRegion
        One per femur, the left one first.
    operating_points : dict of str to dict
        Role to the thresholds on the weights' card: 'threshold', 'youden', 'roc'.
    network, modality, device : str
        What ran, on what, where.
    weights : dict of str to str
        Weights file to its sha256.
    seconds : dict of str to float
        Wall time of each step.
    messages : list of str
        What was decided or fallen back to, one sentence each.
    spread : numpy.ndarray or None
        Where several weights answered, float32 bits of what they know differently, of the part that `window` is.

    Notes
    -----
    The maps are not to be changed: where the bone is in them is looked up once (:meth:`main_part`).
    """

    maps: dict[str, Volume]
    regions: list[FemurRegion]
    operating_points: dict[str, dict[str, float]] = field(default_factory=dict)
    network: str = ""
    modality: str = ""
    device: str = ""
    weights: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    spread: np.ndarray | None = None
    _main_parts: dict = field(default_factory=dict, init=False, repr=False)

    def main_part(self, number: int) -> MainPart | None:
        """Where in a region (its number in the list) the bone is, in the outermost map."""
        if number not in self._main_parts:
            values = self.maps[self.outer_role].array[self.regions[number].window]
            self._main_parts[number] = find_main_part(values)
        return self._main_parts[number]

    def set_main_part(self, number: int, part: MainPart | None) -> None:
        """Tell where the bone is in a region, where another process has looked it up."""
        self._main_parts[number] = part

    @property
    def window(self) -> tuple[slice, slice, slice]:
        """The smallest box of the image that holds all regions, to index an array on the image's grid."""
        starts, stops = ([getattr(region, end) for region in self.regions] for end in ("start", "stop"))
        return tuple(slice(int(a), int(b)) for a, b in zip(np.min(starts, axis=0), np.max(stops, axis=0)))

    @property
    def outer_role(self) -> str:
        """The role whose mask holds all that is segmented."""
        return next(iter(self.maps))


@dataclass(eq=False)
class SegmentationResult:
    """Masks, volumes and how they came about.

    Attributes
    ----------
    probability : Volume
        float32 on the image's grid; for a cascade the periosteal one.
    endosteal_probability : Volume or None
        For a cascade.
    labels : Volume
        uint8 on the image's grid: 1 trabecular, 2 cortical bone; 11 and 12 those of the second femur (the right one,
        where both were segmented).
    sides : dict of int to (str, str or None)
        Label to the structure's name and its side.
    measurements : dict
        What ``measurements.json`` holds: ``volumes`` (a list of rows with side, structure, label, voxels, volume_mm3,
        volume_cm3, incomplete), network, weights, modality, device, threshold, threshold_method, postprocess, seconds,
        messages.
    threshold : dict of str to float
        Role to the probability above which a voxel is bone.
    probabilities : Probabilities
        To change the threshold without running the network again.
    window : tuple of slice
        The part of the image outside of which no voxel has a label.
    """

    probability: Volume
    endosteal_probability: Volume | None
    labels: Volume
    sides: dict[int, tuple[str, str | None]]
    measurements: dict[str, Any]
    threshold: dict[str, float]
    probabilities: Probabilities
    window: tuple[slice, slice, slice]

    @property
    def messages(self) -> list[str]:
        """What was decided or fallen back to, one sentence each."""
        return self.measurements["messages"]

    @property
    def network(self) -> str:
        """Name of the preset."""
        return self.probabilities.network

    @property
    def device(self) -> str:
        """Processor, precision and torch build."""
        return self.probabilities.device

    @property
    def timings(self) -> dict[str, float]:
        """Seconds per step."""
        return self.probabilities.seconds


def empty_array(shape, dtype) -> np.ndarray:
    """Zeros that take memory only where something is written.

    Maps of a whole scan are zero but for the hips; an allocator tuned for networks would fill them.
    """
    count = int(np.prod(shape))
    flags = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
    pages = mmap.mmap(-1, max(1, count * np.dtype(dtype).itemsize), **flags)
    return np.frombuffer(pages, dtype=dtype, count=count).reshape(shape)
