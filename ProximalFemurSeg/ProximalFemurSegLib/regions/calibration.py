"""From Hounsfield units to bone mineral density, and how that was told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..errors import BadInputError
from ..orientation import reorient
from ..volume import Volume

_ROD_CORE = 0.6  # of a rod's radius: what lies further out is blurred
_ROD_RADII_MM = (4.0, 16.0)
_TISSUES = {"air": (-1100.0, -850.0), "fat": (-150.0, -50.0), "muscle": (20.0, 110.0)}  # HU


@dataclass(frozen=True)
class Calibration:
    """Density in mg/cm3 = slope x HU + intercept.

    Attributes
    ----------
    slope : float
        mg/cm3 per HU.
    intercept : float
        mg/cm3 at 0 HU.
    method : str
        'line', 'rods' or 'internal (air, fat, muscle)'.
    details : dict
        What it was told from, in plain values.
    """

    slope: float
    intercept: float
    method: str = "line"
    details: dict = field(default_factory=dict)

    def __post_init__(self):
        if not (np.isfinite(self.slope) and np.isfinite(self.intercept) and self.slope > 0):
            raise BadInputError(
                f"A calibration with slope {self.slope:g} and intercept {self.intercept:g} makes no sense: density "
                "grows with HU, about 0.5 to 1.5 mg/cm3 each."
            )

    def density(self, hu) -> np.ndarray:
        """mg/cm3 of HU."""
        return self.slope * np.asarray(hu, dtype=np.float64) + self.intercept

    def describe(self) -> dict:
        """In plain values."""
        return {"method": self.method, "slope": self.slope, "intercept_mg_cm3": self.intercept, **self.details}


def fit_calibration(hu: Sequence[float], densities: Sequence[float], method: str, **details) -> Calibration:
    """Least-squares line through pairs of HU and mg/cm3.

    Raises
    ------
    BadInputError
        Fewer than two different values, or a line that falls.
    """
    hu, densities = np.asarray(hu, dtype=np.float64), np.asarray(densities, dtype=np.float64)
    if len(hu) != len(densities) or len(hu) < 2 or np.ptp(hu) < 1e-6 or np.ptp(densities) < 1e-6:
        raise BadInputError("A calibration needs at least two materials of different density.")
    slope, intercept = np.polyfit(hu, densities, 1)
    residual = densities - (slope * hu + intercept)
    details = {
        "hu": [round(float(h), 2) for h in hu],
        "mg_cm3": [float(d) for d in densities],
        "residual_mg_cm3": round(float(np.sqrt((residual**2).mean())), 3),
        **details,
    }
    return Calibration(float(slope), float(intercept), method, details)


@dataclass(frozen=True)
class Rod:
    """A rod of known density that runs along the patient.

    Attributes
    ----------
    right_mm, anterior_mm : float
        RAS mm of its middle.
    radius_mm : float
    mg_cm3 : float
    """

    right_mm: float
    anterior_mm: float
    radius_mm: float
    mg_cm3: float


def read_rods(image: Volume, rods: Sequence[Rod]) -> Calibration:
    """Calibrate by rods whose places are given.

    Parameters
    ----------
    image : Volume
        CT in HU.
    rods : sequence of Rod

    Raises
    ------
    BadInputError
        A rod that lies outside the image.
    """
    axial = reorient(image, "SAR")
    slices, rows, columns = axial.grid.shape
    means = []
    chosen = np.unique(np.linspace(0.15 * (slices - 1), 0.85 * (slices - 1), min(slices, 40)).astype(int))
    corners = axial.grid.ijk_to_ras([[0, 0, 0], [columns - 1, rows - 1, slices - 1]])
    for rod in rods:
        values = []
        for k in chosen:
            # The rod runs along the patient, the slices perhaps do not lie across it.
            height = axial.grid.ijk_to_ras([(columns - 1) / 2, (rows - 1) / 2, k])[2]
            i, j, _ = axial.grid.ras_to_ijk([rod.right_mm, rod.anterior_mm, height])
            ri, rj = (int(np.ceil(rod.radius_mm / s)) + 1 for s in axial.grid.spacing[:2])
            box = np.mgrid[int(j) - rj : int(j) + rj + 2, int(i) - ri : int(i) + ri + 2]
            jj, ii = box[0].ravel(), box[1].ravel()
            inside = (jj >= 0) & (jj < rows) & (ii >= 0) & (ii < columns)
            distance = np.hypot((jj - j) * axial.grid.spacing[1], (ii - i) * axial.grid.spacing[0])
            core = inside & (distance <= _ROD_CORE * rod.radius_mm)
            values.append(axial.array[k, jj[core], ii[core]].astype(np.float64))
        values = np.concatenate(values)
        if len(values) < 10:
            low, high = corners.min(axis=0), corners.max(axis=0)
            raise BadInputError(
                f"The rod at right {rod.right_mm:g}, anterior {rod.anterior_mm:g} mm lies outside the image (right "
                f"{low[0]:.0f} to {high[0]:.0f}, anterior {low[1]:.0f} to {high[1]:.0f} mm): give its place in RAS mm."
            )
        low, high = np.percentile(values, (2, 98))
        means.append(float(values[(values >= low) & (values <= high)].mean()))
    places = [[round(rod.right_mm, 2), round(rod.anterior_mm, 2)] for rod in rods]
    return fit_calibration(means, [rod.mg_cm3 for rod in rods], "rods", rods_ra_mm=places)


def find_rods(image: Volume, densities: Sequence[float]) -> list[Rod]:
    """Find the rods of a calibration phantom under the patient.

    Rods are round, lie side by side at even distances, and look the same in every slice; the patient does not.

    Parameters
    ----------
    image : Volume
        CT in HU, axial, at least as wide as the phantom.
    densities : sequence of float
        mg/cm3 of the rods, from one end to the other in either direction, rising or falling; the ones that do not
        stand out of the phantom's body are found by the others' distances.

    Raises
    ------
    BadInputError
        If no such row of rods is found.
    """
    densities = [float(d) for d in densities]
    steps = np.diff(densities)
    if len(densities) < 3 or not (np.all(steps > 0) or np.all(steps < 0)):
        raise BadInputError("The rods' densities must be at least three, in rising or falling order.")
    axial = reorient(image, "SAR")
    slices = axial.array[:: max(1, axial.grid.shape[0] // 60)].astype(np.float32)
    mean, spread = slices.mean(axis=0), slices.std(axis=0)
    spacing = axial.grid.spacing[:2][::-1]
    candidates = _round_spots(ndimage.gaussian_filter(mean, 0.8), spread, spacing)
    row = _even_row(candidates, len(densities))
    if row is None:
        raise BadInputError(
            "No row of calibration rods was found in the image: give their places, or a slope and an intercept."
        )
    spots, step, missing = row
    hu = [spot[3] for spot in spots]
    # Brighter rods are denser; whichever end is darker continues with the rods that do not stand out.
    rising = hu[-1] > hu[0]
    ordered = sorted(densities) if rising else sorted(densities, reverse=True)
    radius = float(np.median([spot[2] for spot in spots]))
    first = np.array(spots[0][:2]) - (missing * step if rising else 0.0)
    height = (axial.grid.shape[0] - 1) / 2
    rods = []
    for number, density in enumerate(ordered):
        j, i = (first + number * step) / spacing
        right, anterior, _ = axial.grid.ijk_to_ras([i, j, height])
        rods.append(Rod(float(right), float(anterior), radius, density))
    return rods


def _round_spots(mean, spread, spacing) -> list[tuple[float, float, float, float]]:
    """Bright round spots that are alike in all slices: row and column in mm, radius in mm, HU."""
    noise = float(np.median(spread[(mean > -300) & (mean < 400)])) if np.any(mean > -300) else 0.0
    steady = spread <= max(60.0, 1.5 * noise)
    spots = []
    seen = np.zeros(mean.shape, bool)
    for level in (350, 250, 175, 125, 90, 65, 45, 30, 22):
        labels, count = ndimage.label((mean > level) & (mean < 1500))
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            part = labels[box] == number
            height, width = part.shape[0] * spacing[0], part.shape[1] * spacing[1]
            area = part.sum() * spacing[0] * spacing[1]
            radius = float(np.sqrt(area / np.pi))
            if not _ROD_RADII_MM[0] <= radius <= _ROD_RADII_MM[1] or max(height, width) > 2.5 * radius:
                continue
            if not steady[box][part].mean() > 0.8 or seen[box][part].any():
                continue
            rows, columns = np.nonzero(part)
            middle = (float(rows.mean() + box[0].start), float(columns.mean() + box[1].start))
            core = np.hypot((rows + box[0].start - middle[0]) * spacing[0], (columns + box[1].start - middle[1])
                            * spacing[1]) < 0.6 * radius
            values = mean[box][part][core]
            if values.std() > 25.0:
                continue
            seen[box] |= part
            spots.append((middle[0] * spacing[0], middle[1] * spacing[1], radius, float(values.mean())))
    return spots


def _even_row(spots, count: int):
    """Spots on a straight line at even distances with steadily changing HU; the line's step; how many are unseen."""
    best = None
    for a in range(len(spots)):
        for b in range(len(spots)):
            if a == b:
                continue
            start, step = np.array(spots[a][:2]), np.array(spots[b][:2]) - spots[a][:2]
            length = float(np.hypot(*step))
            if not 12.0 < length < 120.0 or step[1] <= 0:
                continue
            row = [spots[a], spots[b]]
            while len(row) < count:
                expected = start + len(row) * step
                near = [s for s in spots if np.hypot(s[0] - expected[0], s[1] - expected[1]) < 0.12 * length + 1.5]
                if not near:
                    break
                row.append(near[0])
            changes = np.diff([s[3] for s in row])
            steady = np.all(changes > 3.0) or np.all(changes < -3.0)
            if len(row) >= max(3, count - 1) and steady and (best is None or len(row) > len(best[0])):
                whole = (np.array(row[-1][:2]) - row[0][:2]) / (len(row) - 1)
                best = (row, whole, count - len(row))
    return best


def internal_calibration(image: Volume, equivalents: Mapping[str, float]) -> Calibration:
    """Calibrate by the patient's own air, fat and muscle, instead of a phantom.

    Less exact than rods, and named as what it is. The densities that stand for the tissues depend on the scanner's
    voltage, so they are asked for.

    Parameters
    ----------
    image : Volume
        CT in HU.
    equivalents : mapping
        mg/cm3 of 'air', 'fat' and 'muscle'; any two or all three.

    Raises
    ------
    BadInputError
        A tissue that is not one of these, or of which the image shows too little.
    """
    unknown = sorted(set(equivalents) - set(_TISSUES))
    if unknown or len(equivalents) < 2:
        raise BadInputError("Internal calibration needs the densities of at least two of air, fat and muscle.")
    counts = np.zeros(1300)
    for plane in image.array:
        values = plane[(plane > -1100) & (plane < 200)].astype(np.int64) + 1100
        counts += np.bincount(values.ravel(), minlength=1300)[:1300]
    smooth = ndimage.gaussian_filter1d(counts, 4.0)
    hu = {}
    for name in equivalents:
        low, high = (int(v) + 1100 for v in _TISSUES[name])
        share = counts[low:high].sum() / max(counts.sum(), 1.0)
        peak = low + int(np.argmax(smooth[low:high]))
        if share < 0.005 or peak in (low, high - 1):
            raise BadInputError(f"The image shows too little {name} to calibrate by: give a slope and an intercept.")
        near = np.arange(peak - 12, peak + 13)
        near = near[(near >= 0) & (near < len(counts))]
        hu[name] = float((near * counts[near]).sum() / counts[near].sum()) - 1100.0
    names = list(equivalents)
    return fit_calibration(
        [hu[n] for n in names], [equivalents[n] for n in names], "internal (air, fat, muscle)", tissues=names
    )


def calibration_from(text: str, image: Volume) -> Calibration:
    """The calibration that a text asks for.

    Parameters
    ----------
    text : str
        ``SLOPE,INTERCEPT`` (mg/cm3 per HU, mg/cm3); ``rods:D1,D2,...`` finds rods of these mg/cm3 in the image;
        ``internal:air=A,fat=F,muscle=M`` uses tissues that stand for these mg/cm3; or a .json file with "slope" and
        "intercept", or with "rods": a list of "x", "y" (RAS mm), "radius" (mm) and "mg_cm3".
    image : Volume
        CT in HU.

    Raises
    ------
    BadInputError
        A text that is none of these.
    """
    text = text.strip()
    try:
        if text.lower().endswith(".json"):
            return _calibration_from_file(Path(text), image)
        kind, _, rest = text.partition(":")
        if kind == "rods":
            return read_rods(image, find_rods(image, [float(word) for word in rest.split(",")]))
        if kind == "internal":
            pairs = [word.split("=") for word in rest.split(",")]
            return internal_calibration(image, {name.strip(): float(value) for name, value in pairs})
        slope, intercept = (float(word) for word in text.split(","))
        return Calibration(slope, intercept)
    except ValueError:
        raise BadInputError(
            f"The calibration '{text}' is not understood: give SLOPE,INTERCEPT, or rods:D1,D2,..., or "
            "internal:air=A,fat=F,muscle=M, or a .json file."
        ) from None


def _calibration_from_file(path: Path, image: Volume) -> Calibration:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if "rods" in data:
            rods = [Rod(float(r["x"]), float(r["y"]), float(r["radius"]), float(r["mg_cm3"])) for r in data["rods"]]
            return read_rods(image, rods)
        return Calibration(float(data["slope"]), float(data["intercept"]))
    except OSError as error:
        raise BadInputError(f"'{path}' cannot be read ({error.strerror}); check the name of the calibration.") from None
    except (KeyError, TypeError, json.JSONDecodeError):
        raise BadInputError(
            f"'{path}' is no calibration: it needs 'slope' and 'intercept', or 'rods' with x, y, radius and mg_cm3."
        ) from None
