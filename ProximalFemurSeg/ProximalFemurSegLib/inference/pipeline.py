"""From an image on any grid to probability maps on the same grid."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..errors import BadInputError, CancelledError
from ..postprocessing import bounding_box, fill_holes, largest_component
from ..resampling import coverage, footprint, resample
from ..volume import Grid, Volume
from .border_calibration import calibrate_borders
from .box_growth import faces_reached, grown_box
from .compact_bone import usual_bone
from .frames import CanonicalImage, canonical_image, extent, network_directions, network_grid
from .hip_view import MARGIN_ACROSS_MM, MARGIN_ALONG_MM, PROXIMAL_MM, femur_box, shows_one_hip
from .locate import find_femora, locate_femora
from .modality import detect_modality
from .normalisation import normalisation_for, normalise
from .plan import exact_plan
from .result import FemurRegion, Probabilities, empty_array
from .sides import Femur, check_side, choose_sides, head_direction, name_side

_MOST_GROWTHS = 3
_LEAST_BONE_MM3 = 2000.0
_LEAST_GLANCE_MM3 = 40e3  # half of what a small femur has in a view of one hip
_LEAST_COVERED = 0.65  # of a femur that was seen at a glance; usual are nine tenths
DEFAULT_THRESHOLD = 0.5
_AIR_HU = -1000.0
_SEARCH_SPACING_MM = (4.0, 4.0, 4.0)


@dataclass(frozen=True, eq=False)
class _Hip:
    """Where to look for a femur: its side, if known, a box in mm along ``directions``, and its voxels, if known."""

    side: str | None
    directions: np.ndarray
    low: np.ndarray
    high: np.ndarray
    points: np.ndarray | None = None
    other: np.ndarray | None = None  # the voxels of the other femur that is segmented, too
    disputed: bool = False  # whether the side is to be found out by trying both


def predict_probabilities(
    volume: Volume,
    preset="auto",
    modality: str = "auto",
    side: str = "auto",
    device: str = "auto",
    slices: str = "all",
    stride: int | None = None,
    precision: str = "auto",
    memory_bytes: float | None = None,
    borders: str = "auto",
    progress=None,
    cancelled=None,
    models=None,
) -> Probabilities:
    """Run a preset's networks over an image.

    Parameters
    ----------
    volume : Volume
        Any orientation, voxel size and field of view; HU for CT.
    preset : str or Preset
        ``auto`` is the best one for the modality.
    modality : {'auto', 'mr', 'ct'}
        ``auto``: from the header, else from the values.
    side : {'auto', 'left', 'right', 'both'}
        ``auto`` is every femur in view.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    slices : {'all', 'central'}
        ``central``: in a view of one hip only the slices of the network's window in the middle, as in the MR papers.
    stride : int, optional
        Slide the trained window along the slices in such steps and average, as QCT-2021 does with 1; by default the
        fewest, largest windows that memory allows.
    precision : str
        ``auto``, ``float32``, ``bfloat16`` or ``float16``.
    memory_bytes : float, optional
        What one forward pass may take.
    borders : {'auto', 'profiles', 'network'}
        ``profiles``: of a CT cascade, the borders are moved to where the profiles of HU across the cortex have them;
        see `border_calibration.calibrate_borders`. ``auto``: so wherever a cascade runs over a CT. ``network``: never.
    progress : callable, optional
        Called with (stage, done, total). Where it has a method ``expect``, that is called with the number of network
        passes to come, as far as it is known.
    cancelled : callable, optional
        Asked between steps and before every window.
    models : optional
        Where presets, networks and cards come from; by default the package's `models`.

    Returns
    -------
    Probabilities

    Raises
    ------
    BadInputError
        If the image, or a choice, cannot be used, or an asked femur is not in the image.
    CancelledError
        If ``cancelled`` says so.
    ProximalFemurSegError
        If memory runs out in every way.
    """
    import torch

    if models is None:
        from .. import models
    check_side(side)
    if slices not in ("all", "central"):
        raise BadInputError(f"There is no choice of slices '{slices}'; choose all or central.")
    if stride is not None and stride < 1:
        raise BadInputError(f"The stride is a number of slices of at least 1, not {stride}.")
    if borders not in ("network", "profiles", "auto"):
        raise BadInputError(f"There is no choice of borders '{borders}'; choose network, profiles or auto.")
    with torch.inference_mode():
        run = _Run(volume, models, progress, cancelled)
        run.choose(preset, modality)
        calibrate = borders != "network" and run.has_cortex(needed=borders == "profiles")
        run.start_engine(device, precision, memory_bytes)
        found = run.predict(side, slices, stride)
    if not calibrate:
        return found
    if progress:
        progress("calibrating the borders", 0, 1)
    found = calibrate_borders(volume, found)
    if progress:
        progress("calibrating the borders", 1, 1)
    return found


def choose_preset(volume: Volume, preset="auto", modality: str = "auto", models=None):
    """The networks for an image.

    Parameters
    ----------
    volume, preset, modality, models
        As of `predict_probabilities`.

    Returns
    -------
    preset : models.Preset
    modality : {'mr', 'ct'}
    messages : list of str
        How they were chosen, one sentence each.

    Raises
    ------
    BadInputError
        If there is no such network, or it is for another modality.
    """
    if models is None:
        from .. import models
    image = canonical_image(volume)
    known, reason = detect_modality(Volume(image.array, image.grid, metadata=volume.metadata), modality)
    messages = [reason] if modality == "auto" or "But" in reason else []
    if isinstance(preset, str):
        chosen = preset
        preset = models.default_preset(known) if chosen == "auto" else models.find_preset(chosen)
        if chosen == "auto":
            messages.append(f"The network is {preset.name}, the best one for {known.upper()}.")
    if preset.modality not in (known, "any"):
        name = volume.source or volume.name or "the image"
        raise BadInputError(
            f"The network {preset.name} is for {preset.modality.upper()}, but '{name}' is taken as {known.upper()}; "
            f"choose another network, or --modality {preset.modality} if it is one."
        )
    return preset, known, messages


@dataclass(frozen=True, eq=False)
class _Found:
    """What the networks made of one hip, on their grid: maps by role, what the scan covers, and the bone's mask."""

    maps: dict
    grid: Grid
    inside: object
    bone: object = None

    @property
    def bone_mm3(self) -> float:
        return float(self.bone.sum()) * self.grid.voxel_volume_mm3

    def around(self, points, margin_mm: float) -> _Found:
        """The part that holds some points."""
        voxels = self.grid.ras_to_ijk(points)[:, ::-1]
        margin = margin_mm / np.asarray(self.grid.spacing[::-1])
        start = np.clip(np.floor(voxels.min(axis=0) - margin), 0, None).astype(int)
        stop = np.clip(np.ceil(voxels.max(axis=0) + margin) + 1, None, self.grid.shape).astype(int)
        part = tuple(slice(a, b) for a, b in zip(start, stop))
        maps = {role: values[part] for role, values in self.maps.items()}
        return _Found(maps, self.grid.crop(start, stop), self.inside[part])


class _Run:
    """One image on its way through the networks."""

    def __init__(self, volume, models, progress, cancelled):
        self.volume, self.models = volume, models
        self.name = f"'{volume.source or volume.name or 'the image'}'"
        self.image: CanonicalImage = canonical_image(volume)
        self.messages: list[str] = list(volume.metadata.get("messages", ()))
        self.seconds: dict[str, float] = {}
        self._report = progress or (lambda stage, done, total: None)
        self._expect = getattr(progress, "expect", lambda passes: None)
        self._cancelled = cancelled or (lambda: False)

    def choose(self, preset, modality):
        preset, self.modality, said = choose_preset(self.volume, preset, modality, self.models)
        self.messages.extend(said)
        self.preset = preset
        # Weights that are not here are complained of now, not after the femora were looked for.
        self.cards = {stage.role: self.models.card(stage) for stage in preset.stages}

    def has_cortex(self, needed: bool) -> bool:
        """Whether a CT and a network that finds the cortex are at hand; a clear refusal where they are needed."""
        found = self.modality == "ct" and "endosteal" in self.cards
        if needed and not found:
            raise BadInputError(
                f"The borders of {self.name} cannot be read from profiles: that takes a CT and a network that finds "
                "the cortex, such as vnet; leave the borders to the network."
            )
        return found

    def start_engine(self, device, precision, memory_bytes):
        from .engine import Engine

        self.engine = Engine(device, precision, memory_bytes, self.messages.append)

    def predict(self, side, slices, stride) -> Probabilities:
        started = time.perf_counter()
        hips = self._hips(side, slices)
        shape = self.volume.array.shape
        maps = {
            stage.role: self.volume.with_array(
                empty_array(shape, np.float32), f"{self.volume.name} {stage.role} probability".strip()
            )
            for stage in self.preset.stages
        }
        views = {role: self.image.change.apply(m.array) for role, m in maps.items()}
        regions = []
        self._expect(max(1, len(hips)) * len(self.preset.stages))
        for hip, found in self._segment_all(hips, side, stride):
            start, stop = self._box(hip, found.grid)
            with self._timed("resampling"):
                self._paint(found, start, stop, views)
            regions.append(self._region(self._side_of(hip, found), found.grid, start, stop))
        self.seconds["networks"] = self.engine.seconds
        self.seconds["total"] = time.perf_counter() - started
        stages = self.preset.stages
        return Probabilities(
            maps=maps,
            regions=regions,
            operating_points={stage.role: self._operating_points(stage.role) for stage in stages},
            network=self.preset.name,
            modality=self.modality,
            device=self.engine.describe(),
            weights={stage.weights: str(self.cards[stage.role].get("sha256", "")) for stage in stages},
            seconds={name: round(value, 3) for name, value in self.seconds.items()},
            messages=self.messages,
        )

    # Which hips, and where.

    def _hips(self, side, slices) -> list[_Hip]:
        frame = self.preset.stages[0].preprocessing
        directions = network_directions(self.image.grid, frame.orientation)
        low, high = extent(self.image.grid.corners(), directions)
        one_hip = shows_one_hip(self.image.grid)
        if one_hip and frame.canonical_side is None and side != "both":
            if slices == "central":
                middle, half = (low[0] + high[0]) / 2, frame.window[0] * frame.spacing_mm[0] / 2
                low[0], high[0] = max(low[0], middle - half), min(high[0], middle + half)
            # The side is seen from the bone once it is segmented.
            return [_Hip(None if side == "auto" else side, directions, low, high)]
        if slices == "central":
            self.messages.append("The central slices are only meant for a view of one hip: all slices were used.")
        found = self._locate()
        if not found and frame.canonical_side is None:
            return []
        whole = np.array([low, high]) @ directions
        if not found and one_hip and side in ("left", "right"):
            # A view as narrow as this is already what the crop would be.
            self.messages.append(f"The whole image is taken as a view of the {side} hip, as asked.")
            return [_Hip(side, directions, low, high, whole)]
        little = bool(found) and self._seen_mm3(found) < _LEAST_GLANCE_MM3
        if little and one_hip and frame.canonical_side is not None and side != "both":
            self.messages.append("Little of a femur was found at a glance: the whole image is taken as one hip.")
            return [_Hip("left" if side == "auto" else side, directions, low, high, whole, disputed=side == "auto")]
        femora = self._choose(found, side)
        return _side_by_side([self._around(femur, directions, frame, low, high) for femur in femora])

    def _seen_mm3(self, found: list[Femur]) -> float:
        """How much bone was seen at a glance."""
        voxel = np.prod(self.models.find_preset("locator").stages[0].preprocessing.spacing_mm)
        return float(voxel) * sum(len(femur.points) for femur in found)

    def _locate(self) -> list[Femur]:
        with self._timed("finding the femora"):
            return locate_femora(
                self.image,
                self.models.find_preset("locator").stages[0],
                self.modality,
                self.engine,
                self.models.load_network,
                self._progress("finding the femora"),
                self._cancelled,
            )

    def _choose(self, found, side) -> list[Femur]:
        femora, said = choose_sides(found, side, self.name)
        self.messages.extend(said)
        return femora

    def _around(self, femur: Femur, directions, frame, low, high) -> _Hip:
        """The box around a femur, within the scan along the slices; across them it may reach beyond the scan."""
        least, most, cut = femur_box(femur.points, directions, frame, low, high)
        if cut:
            self.messages.append(f"Of the {femur.side} femur only the upper {PROXIMAL_MM:.0f} mm were segmented.")
        return _Hip(femur.side, directions, least, most, femur.points, disputed=femur.disputed)

    # One hip through the stages.

    def _segment_all(self, hips, side, stride) -> list[tuple[_Hip, _Found]]:
        lone = side == "auto" and len(hips) == 1 and self._knows_sides
        if lone and hips[0].disputed:
            results = [self._segment_as_either(hips[0], stride)]
        else:
            results = [(hip, self._segment_hip(hip, stride)) for hip in hips]
            if lone and (self._is_of_other_side(*results[0]) or _misses_much(*results[0])):
                results = [self._segment_as_either(hips[0], stride, results[0])]
        bones = [(hip, found) for hip, found in results if found.bone_mm3 >= _LEAST_BONE_MM3]
        if not bones and not self._knows_sides and all(hip.points is not None for hip in hips):
            self.messages.append("No femur was found at a glance: the whole image was searched, which takes longer.")
            return self._search(side, stride)
        if side != "auto" or not bones:
            return results
        for hip, found in results:
            if found.bone_mm3 < _LEAST_BONE_MM3:
                self.messages.append(f"What looked like a {hip.side} femur turned out to be none and was left out.")
        return [(replace(hip, other=None) if len(bones) == 1 else hip, found) for hip, found in bones]

    @property
    def _knows_sides(self) -> bool:
        return self.preset.stages[0].preprocessing.canonical_side is not None

    def _is_of_other_side(self, hip: _Hip, found: _Found) -> bool:
        """Whether a segmented bone has the shape of the other side: a glance at a cropped scan may be wrong."""
        if found.bone_mm3 < _LEAST_BONE_MM3:
            return False
        seen, certain = name_side(_bone_points(found))
        return certain and seen != hip.side

    def _segment_as_either(self, hip: _Hip, stride, known=None) -> tuple[_Hip, _Found]:
        """Segment a femur as a left and as a right one, and keep the one that has the shape of its side."""
        tries = []
        for name, sign in (("left", 1.0), ("right", -1.0)):
            one = replace(hip, side=name)
            if known is not None and known[0].side == name:
                one, found = known
            else:
                found = self._segment_hip(one, stride)
            # A network that is shown the wrong side may find the shaft alone, which is of neither.
            shape = sign * head_direction(_bone_points(found))
            tries.append((not _misses_much(one, found), shape, one, found))
        _, _, hip, found = max(tries, key=lambda entry: entry[:2])
        self.messages.append(f"The side was not clear at a glance: seen as both, the femur is the {hip.side} one.")
        return hip, found

    def _search(self, side, stride) -> list[tuple[_Hip, _Found]]:
        """Let a network that knows no sides find the femora by itself."""
        stage = self.preset.stages[0]
        directions = network_directions(self.image.grid, stage.preprocessing.orientation)
        everywhere = _Hip(None, directions, *extent(self.image.grid.corners(), directions))
        found = self._segment_hip(everywhere, stride, find_bone=False)
        coarse = network_grid(found.grid, directions, _SEARCH_SPACING_MM, everywhere.low, everywhere.high)
        half = resample(found.maps[stage.role], found.grid, coarse, device="cpu").numpy() / 2
        femora = find_femora(np.broadcast_to(half, (2, *half.shape)), coarse)
        if not femora and side == "auto":
            self.messages.append("No femur was found: there is a probability map, but hardly any bone in it.")
            return [(everywhere, found)]
        results = []
        for femur in self._choose(femora, side):
            part = found.around(femur.points, MARGIN_ACROSS_MM)
            bone = self._outer_mask(stage, part.maps[stage.role], part.inside)
            hip = replace(everywhere, side=femur.side, points=femur.points)
            results.append((hip, replace(part, bone=bone)))
        return list(zip(_side_by_side([hip for hip, _ in results]), [found for _, found in results]))

    def _segment_hip(self, hip: _Hip, stride, find_bone=True) -> _Found:
        first, *others = self.preset.stages
        points = hip.points
        for growth in range(_MOST_GROWTHS + 1):
            grid = network_grid(self.image.grid, hip.directions, first.preprocessing.spacing_mm, hip.low, hip.high)
            with self._timed("resampling"):
                image, inside = self.engine.on_device(
                    lambda device, grid=grid: self._prepare(grid, first.preprocessing, device, points)
                )
            remark = "" if growth == 0 else ", wider view" if growth == 1 else f", wider view {growth}"
            outer = self._forward(first, hip, image, stride, remark)
            image, inside = (t.to(outer.device) for t in (image, inside))
            if not find_bone:
                return _Found({first.role: outer}, grid, inside)
            bone = self._outer_mask(first, outer, inside)
            wider = self._wider(hip, bone, grid) if growth < _MOST_GROWTHS else None
            if wider is None:
                break
            hip = wider
        maps = {first.role: outer}
        for stage in others:
            inner = self._within(stage, hip, image, bone, stride)
            # Marrow lies within the bone, whatever the second network says.
            maps[stage.role] = inner.minimum(outer.to(inner.device))
        return _Found(maps, grid, inside, bone)

    def _within(self, stage, hip: _Hip, image, bone, stride):
        """The probability (D, H, W) of a network that is shown the bone alone, or all of the image."""
        frame = stage.preprocessing
        if not frame.blank_outside:
            return self._forward(stage, hip, image, stride)
        box = bounding_box(bone.cpu().numpy())
        if box is None:
            return image.new_zeros(image.shape)
        alone = image[box].masked_fill(~bone[box], frame.outside)
        part = self._forward(stage, hip, alone, stride)
        whole = part.new_zeros(image.shape)
        whole[box] = part
        return whole

    def _forward(self, stage, hip: _Hip, image, stride, remark=""):
        """The probability (D, H, W) that one network gives, which may know only one side."""
        frame = stage.preprocessing
        mirror = frame.canonical_side is not None and hip.side not in (None, frame.canonical_side)
        # Around a bone cut out there is as much of nothing as in training.
        exact = partial(exact_plan, padded=frame.blank_outside) if frame.exact_window else None
        probability = self.engine.predict(
            lambda device: self.models.load_network(stage, device),
            image.flip(2) if mirror else image,
            frame.window,
            stride,
            frame.outside,
            self._progress((f"{stage.role}, {hip.side} femur" if hip.side else stage.role) + remark),
            self._cancelled,
            exact,
        )[0]
        return probability.flip(2) if mirror else probability

    def _wider(self, hip: _Hip, bone, grid: Grid) -> _Hip | None:
        """A larger box, if the bone leaves this one while the scan goes on."""
        if hip.points is None:
            return None
        vertical = int(np.abs(hip.directions[:, 2]).argmax())
        low, high = extent(grid.corners(), hip.directions)
        box = grown_box(
            low,
            high,
            faces_reached(bone.cpu().numpy(), grid),
            *extent(self.image.grid.corners(), hip.directions),
            vertical,
            hip.directions[vertical, 2] > 0,
            PROXIMAL_MM + 2 * MARGIN_ALONG_MM,
        )
        return None if box is None else replace(hip, low=box[0], high=box[1])

    def _prepare(self, grid: Grid, frame, device, points=None):
        self._check()
        inside = coverage(self.image.grid, grid, device)
        air = _AIR_HU if self.modality == "ct" else 0.0
        values = resample(self.image.array, self.image.grid, grid, "cubic", fill=air, device=device)
        if frame.bone_hu is not None and self.modality == "ct" and points is not None:
            values = usual_bone(values, grid, points, frame.bone_hu)
        kind = normalisation_for(frame.normalisation, self.modality)
        return normalise(values, kind, inside, frame.outside), inside

    def _outer_mask(self, stage, probability, inside):
        import torch

        threshold = float(self._operating_points(stage.role).get("threshold", DEFAULT_THRESHOLD))
        mask = ((probability > threshold) & inside.to(probability.device)).cpu().numpy()
        return torch.from_numpy(fill_holes(largest_component(mask))).to(probability.device)

    def _side_of(self, hip: _Hip, found: _Found) -> str | None:
        if hip.points is not None or found.bone is None or not found.bone.any():
            return hip.side
        seen, certain = name_side(_bone_points(found))
        if hip.side is None and not certain:
            self.messages.append("Too little of the shaft is in view to tell left from right; --side says it.")
        elif hip.side is not None and certain and seen != hip.side:
            self.messages.append(f"The bone looks like a {seen} femur, but is taken as the {hip.side} one, as asked.")
        return hip.side or (seen if certain else None)

    # Back on the image's grid.

    def _box(self, hip: _Hip, grid: Grid):
        """(start, stop) in the canonical image; cut half-way to the other femur."""
        start, stop = footprint(self.image.grid, grid)
        if hip.other is not None:
            left, right = (hip.points, hip.other) if hip.side == "left" else (hip.other, hip.points)
            # The last axis of the canonical image runs to the patient's left.
            left, right = (self.image.grid.ras_to_ijk(points)[:, 0] for points in (left, right))
            middle = int(np.ceil((left.min() + right.max()) / 2))
            if hip.side == "left":
                start[2] = np.clip(middle, start[2], stop[2] - 1)
            else:
                stop[2] = np.clip(middle, start[2] + 1, stop[2])
        return start, stop

    def _paint(self, found: _Found, start, stop, arrays):
        """Resample a hip's maps into the canonical views of the whole arrays."""
        box = tuple(slice(a, b) for a, b in zip(start, stop))
        target = self.image.grid.crop(start, stop)
        outer = None
        for role in found.maps:
            self._check()
            values = self.engine.on_device(lambda device, role=role: _spread(found, role, target, device))
            values = values.cpu().numpy()
            outer = values if outer is None else outer
            arrays[role][box] = np.minimum(values, outer)

    def _region(self, side, grid: Grid, start, stop) -> FemurRegion:
        change, shape = self.image.change, self.image.array.shape
        first, last = [0, 0, 0], [0, 0, 0]
        for axis, (source, flip) in enumerate(zip(change.order, change.flipped)):
            a, b = int(start[axis]), int(stop[axis])
            first[source], last[source] = (shape[axis] - b, shape[axis] - a) if flip else (a, b)
        affine = grid.affine.copy()
        affine[:3, 3] += change.grid(self.volume.grid).origin
        return FemurRegion(side, tuple(first), tuple(last), Grid(grid.shape, affine))

    # Small services.

    def _operating_points(self, role) -> dict:
        return dict(self.cards[role].get("operating_point") or {})

    def _progress(self, title):
        def report(done, total):
            self._check()
            self._report(title, done, total)

        return report

    def _check(self):
        if self._cancelled():
            raise CancelledError("The run was cancelled.")

    @contextmanager
    def _timed(self, name):
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def _misses_much(hip: _Hip, found: _Found) -> bool:
    """Whether a good part of what looked like the femur at a glance, as far as it is in the box, is not in the bone."""
    places = np.round(found.grid.ras_to_ijk(hip.points)[:, ::-1]).astype(int)
    places = places[((places >= 0) & (places < found.grid.shape)).all(axis=1)]
    bone = found.bone.cpu().numpy()
    return len(places) > 0 and float(bone[tuple(places.T)].mean()) < _LEAST_COVERED


def _bone_points(found: _Found) -> np.ndarray:
    """Voxels of a bone in mm."""
    return found.grid.ijk_to_ras(np.argwhere(found.bone.cpu().numpy())[:, ::-1])


def _side_by_side(hips: list[_Hip]) -> list[_Hip]:
    """Tell each of two hips where the other one is."""
    if len(hips) != 2:
        return hips
    return [replace(hip, other=other.points) for hip, other in zip(hips, reversed(hips))]


def _spread(found: _Found, role: str, target: Grid, device):
    """A probability map on another grid.

    Beside the scan's border the map is known on one side only: there the mean is over what is known, so that bone that
    leaves the scan is not lost in its last slice.
    """
    probability, known = found.maps[role].to(device), found.inside.to(device)
    if bool(known.all()):
        return resample(probability, found.grid, target, "cubic", device=device).clamp_(0, 1)
    values = resample(probability * known, found.grid, target, "linear", device=device)
    share = resample(known.to(probability.dtype), found.grid, target, "linear", device=device)
    return (values / share.clamp_min(1e-3)).clamp_(0, 1)
