"""Regions of every femur in a mask, and all that is measured on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import BadInputError
from ..volume import Volume
from .calibration import Calibration
from .compartments import check_endosteal, region_volumes, reported_targets
from .definition import RegionDefinition
from .density import region_densities
from .division import PLANES, Division, divide
from .femora import FemurMask, separate_femora
from .geometry import measure_geometry
from .landmarks import FemurLandmarks, find_landmarks
from .thickness import ThicknessMap, cortical_thickness


@dataclass(frozen=True, eq=False)
class FemurRegions:
    """One femur, divided and measured.

    Attributes
    ----------
    femur : FemurMask
    landmarks : FemurLandmarks
    division : Division
        On the femur's own box.
    volumes : dict
        From `compartments.region_volumes`.
    geometry : dict
        From `geometry.measure_geometry`.
    thickness : ThicknessMap or None
        With an endosteal mask.
    densities : dict or None
        With a calibrated image.
    """

    femur: FemurMask
    landmarks: FemurLandmarks
    division: Division
    volumes: dict
    geometry: dict
    thickness: ThicknessMap | None = None
    densities: dict | None = None

    @property
    def side(self) -> str:
        return self.landmarks.side

    def describe(self) -> dict:
        """All numbers, in plain values."""
        marks = self.landmarks
        values = {
            "side": marks.side,
            "side_certain": marks.side_certain,
            "definition": self.division.definition.describe(),
            "volumes": self.volumes,
            "qct_2021_targets_mm3": reported_targets(self.volumes),
            "refused": self.division.refused,
            "landmarks": marks.describe(),
            "axes": {
                "neck": None if marks.neck is None else [round(float(x), 5) for x in marks.neck.axis],
                "shaft": None if marks.shaft is None else [round(float(x), 5) for x in marks.shaft.direction],
            },
            "head_radius_mm": marks.head_radius,
            "shaft_in_view_mm": marks.shaft_length_mm,
            "planes": {name: plane.describe() for name, plane in self.division.planes.items()},
            "geometry": self.geometry,
            "messages": marks.messages,
        }
        if self.thickness is not None:
            values["cortical_thickness"] = self.thickness.summary()
        if self.densities is not None:
            values["density"] = self.densities
        return values


@dataclass(frozen=True, eq=False)
class RegionsResult:
    """Every femur of a mask.

    Attributes
    ----------
    labels : Volume
        uint8 on the mask's grid; the same labels for both femora.
    femora : list of FemurRegions
    calibration : Calibration or None
    """

    labels: Volume
    femora: list[FemurRegions] = field(default_factory=list)
    calibration: Calibration | None = None

    def describe(self) -> dict:
        """All numbers, in plain values."""
        values = {"femora": [femur.describe() for femur in self.femora]}
        if self.calibration is not None:
            values["calibration"] = self.calibration.describe()
        return values

    def thickness_volume(self) -> Volume | None:
        """float32 mm on the mask's grid, in the voxels of the periosteal surface; None without thickness."""
        if all(femur.thickness is None for femur in self.femora):
            return None
        array = np.zeros(self.labels.grid.shape, np.float32)
        for femur in self.femora:
            if femur.thickness is not None:
                part = array[femur.femur.window]
                np.maximum(part, femur.thickness.on_grid(femur.femur.mask.grid), out=part)
        return Volume(array, self.labels.grid, "cortical thickness")


def measure_femur(
    femur: FemurMask,
    landmarks: FemurLandmarks,
    definition: RegionDefinition | None = None,
    endosteal: Volume | None = None,
    image: Volume | None = None,
    calibration: Calibration | None = None,
    planes: Mapping | None = None,
) -> FemurRegions:
    """Divide and measure one femur by given landmarks: what a moved landmark asks for.

    Parameters
    ----------
    femur : FemurMask
    landmarks : FemurLandmarks
        From `find_landmarks`.
    definition : RegionDefinition, optional
    endosteal, image : Volume, optional
        On the femur's box.
    calibration : Calibration, optional
        With it, density is measured on the image.
    planes : mapping of str to Plane, optional
        Cuts placed by hand.
    """
    division = divide(femur.mask, landmarks, definition, planes)
    thickness = None
    if endosteal is not None and endosteal.array.any():
        thickness = cortical_thickness(femur.mask, endosteal, division, landmarks.field)
    return FemurRegions(
        femur,
        landmarks,
        division,
        region_volumes(division, endosteal),
        measure_geometry(landmarks, endosteal),
        thickness,
        None if calibration is None else region_densities(image, calibration, division, endosteal),
    )


class Femora:
    """The femora of a mask, ready to be divided again and again: by other landmarks, or by another definition.

    Parameters
    ----------
    mask : Volume
        bool, periosteal: one femur or both.
    endosteal : Volume, optional
        bool, on the same voxels.
    side : {'auto', 'left', 'right'}
        Which femur; with both in the mask, that one alone.
    image : Volume, optional
        CT in HU on the same voxels.
    calibration : Calibration, optional

    Raises
    ------
    BadInputError
        Inputs that do not fit together, or no femur.
    """

    def __init__(
        self,
        mask: Volume,
        endosteal: Volume | None = None,
        side: str = "auto",
        image: Volume | None = None,
        calibration: Calibration | None = None,
    ):
        if endosteal is not None:
            check_endosteal(mask, endosteal)
            endosteal = endosteal.with_array(endosteal.array & mask.array)
        if calibration is not None and image is None:
            raise BadInputError("A calibration needs an image: give the CT that belongs to the mask.")
        if image is not None and not image.grid.is_close(mask.grid, 0.01):
            raise BadInputError(
                f"'{image.source or image.name}' does not lie on the voxels of '{mask.source or mask.name}': resample "
                "one of them to the other's grid first."
            )
        self.grid, self.name, self.calibration = mask.grid, mask.name, calibration
        bones = separate_femora(mask)
        self._count = len(bones)
        # Two come from the patient's left to the right.
        names = [side] if len(bones) == 1 else ["left", "right"]
        self._bones = [
            _Bone(name, bone, bone.cut(endosteal), bone.cut(image), calibration)
            for name, bone in zip(names, bones)
            if side in ("auto", name)
        ]

    def measure(
        self, definition: RegionDefinition | None = None, placed: Mapping | None = None, progress=None
    ) -> RegionsResult:
        """Divide and measure them; a femur of which nothing has changed is not divided again.

        Parameters
        ----------
        definition : RegionDefinition, optional
        placed : mapping, optional
            As of `measure_regions`.
        progress : callable, optional
            Called as progress(stage, done, total).
        """
        definition = RegionDefinition() if definition is None else definition
        placed = dict(placed or {})
        labels = np.zeros(self.grid.shape, np.uint8)
        found = []
        for number, bone in enumerate(self._bones):
            if progress is not None:
                progress("dividing the femur", number, len(self._bones))
            result = bone.measure(definition, _placed_for(placed, bone.name, self._count))
            part = labels[bone.femur.window]
            part[bone.femur.mask.array] = result.division.labels.array[bone.femur.mask.array]
            found.append(result)
        if progress is not None:
            progress("dividing the femur", len(self._bones), len(self._bones))
        return RegionsResult(Volume(labels, self.grid, f"{self.name} regions".strip()), found, self.calibration)


class _Bone:
    """One femur with what belongs to it, and what was made of it last."""

    def __init__(self, name: str, femur: FemurMask, endosteal, image, calibration):
        self.name, self.femur = name, femur
        self._others = (endosteal, image, calibration)
        self._field = self._last = None

    def measure(self, definition: RegionDefinition, placed: Mapping) -> FemurRegions:
        asked = (definition, repr(sorted(placed.items())))
        if self._last is None or self._last[0] != asked:
            points = {name: place for name, place in placed.items() if name not in PLANES}
            planes = {name: place for name, place in placed.items() if name in PLANES}
            landmarks = find_landmarks(self.femur.mask, self.name, points, self._field)
            self._field = landmarks.field
            self._last = (asked, measure_femur(self.femur, landmarks, definition, *self._others, planes))
        return self._last[1]


def measure_regions(
    mask: Volume,
    endosteal: Volume | None = None,
    side: str = "auto",
    definition: RegionDefinition | None = None,
    placed: Mapping | None = None,
    image: Volume | None = None,
    calibration: Calibration | None = None,
    progress=None,
) -> RegionsResult:
    """Divide and measure every femur of a mask.

    Parameters
    ----------
    mask : Volume
        bool, periosteal: one femur or both.
    endosteal : Volume, optional
        bool, on the same voxels.
    side : {'auto', 'left', 'right'}
        Which femur; with both in the mask, that one alone.
    definition : RegionDefinition, optional
    placed : mapping, optional
        Landmarks and planes placed by hand, RAS mm: by name, or by side and name where the mask holds both femora. A
        landmark is a place, a plane a `Plane` or a point and a normal.
    image : Volume, optional
        CT in HU on the same voxels.
    calibration : Calibration, optional
    progress : callable, optional
        Called as progress(stage, done, total).

    Raises
    ------
    BadInputError
        Inputs that do not fit together, or a side that is not there.
    """
    return Femora(mask, endosteal, side, image, calibration).measure(definition, placed, progress)


def _placed_for(placed: dict, side: str, count: int) -> dict:
    if set(placed) & {"left", "right"}:
        if set(placed) - {"left", "right"}:
            raise BadInputError("Placed landmarks are given by name, or by side and name, not both ways at once.")
        if side == "auto" and len(placed) == 1:
            return dict(next(iter(placed.values())))
        return dict(placed.get(side, {}))
    if placed and count == 2:
        raise BadInputError("The mask holds both femora: say of each placed landmark whether it is left or right.")
    return placed
