"""Make a phantom: an image as a scanner would give it, and the exact truth on the same grid."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from ..errors import BadInputError
from ..volume import Grid, Volume
from ..whole_file import write_whole_text
from . import ct_scanner, field_of_view, mr_scanner
from .anatomy_sample import AnatomySample, grid_points, sample_scene
from .pathology import add_implant, draw_cysts
from .random_fields import generator
from .scene import Scene
from .tissues import Tissue

TRABECULAR, CORTICAL = 1, 2
SECOND_SIDE = 10  # added to the labels of the other hip
LANDMARKS = "landmarks.json"
ROD_HU = (0.0, 50.0, 100.0, 150.0, 200.0)  # of the calibration rods, which stand for as many mg/cm3


@dataclass(frozen=True, eq=False)
class Phantom:
    """A simulated scan and what it shows.

    Attributes
    ----------
    image : Volume
        int16: HU, or MR signal.
    truth : Volume
        uint8: 1 trabecular, 2 cortical bone of the hip that was asked for; 11 and 12 of the other, where it is in view.
    regions : Volume
        uint8: 1 head, 2 neck, 3 trochanter, 4 intertrochanter, 5 shaft, of every femur in view.
    landmarks : dict
        By side, landmark name to RAS mm.
    parameters : dict
        How it was made, in plain values.
    """

    image: Volume
    truth: Volume
    regions: Volume
    landmarks: dict
    parameters: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Artefacts:
    """What goes wrong in the scan; None leaves it to chance as in a clinical cohort.

    Attributes
    ----------
    noise : float
        Factor on the noise.
    bias, fold_over, ghost, chemical_shift : float or None
        MR: logarithmic amplitude of the coil's shading; share of the signal folded in; share repeated by motion; shift
        of fat in voxels.
    cysts, metal : bool
        MR: bone cysts with hypointense foci. CT: an implant with streaks.
    rods : bool
        CT: five calibration rods under the patient (0 to 200 mg/cm3).
    """

    noise: float = 1.0
    bias: float | None = None
    fold_over: float | None = None
    ghost: float | None = None
    chemical_shift: float | None = None
    cysts: bool = False
    metal: bool = False
    rods: bool = False


def make_scene(seed: int, anatomy=None, device="cpu") -> Scene:
    """The patient of a seed: the project's own geometry, or real shapes.

    Parameters
    ----------
    seed : int
    anatomy : AnatomyLibrary or path, optional
        Real shapes to build on.
    device : str or torch.device
        Where the scene is computed.
    """
    if anatomy is None:
        from .hip_scene import ParametricScene

        return ParametricScene(seed, device=device)
    from .real_anatomy import AnatomyLibrary, RealScene

    library = anatomy if isinstance(anatomy, AnatomyLibrary) else AnatomyLibrary.load(anatomy, model_samples=8)
    return RealScene(library, seed)


def generate(
    modality: str,
    seed: int,
    side: str = "random",
    anatomy=None,
    grid: Grid | None = None,
    field: str = "hip",
    artefacts: Artefacts | None = None,
    wide: float = 0.0,
    device: str = "cpu",
    scene: Scene | None = None,
    sequence=None,
    **size,
) -> Phantom:
    """Simulate a scan.

    Parameters
    ----------
    modality : str
        'mr' (T1-weighted 3D FLASH, coronal, SciRep-2018) or 'ct' (QCT, axial, QCT-2021).
    seed : int
        Decides everything that is not named; the same seed gives the same bytes on the same kind of machine.
    side : str
        'left', 'right' or 'random': the hip in view, or the first one if both are.
    anatomy : AnatomyLibrary or path, optional
        Real shapes instead of the project's own.
    grid : Grid, optional
        Any grid, oblique or flipped too, instead of the usual one.
    field : str
        'hip', or for CT 'pelvis' (both hips; implied by rods).
    artefacts : Artefacts, optional
        What goes wrong.
    wide : float
        0 to 1: contrast beyond what the papers' scanners show.
    device : str
        Of the computation.
    scene : Scene, optional
        A patient made before, instead of the seed's.
    sequence : mr_scanner.FlashSequence or mr_scanner.SpinEchoSequence, optional
        Of an MR scan, instead of SciRep-2018's.
    **size
        Arguments of `field_of_view.mr_grid`, `ct_hip_grid` or `ct_pelvis_grid`.

    Raises
    ------
    BadInputError
        If modality, side or field is none of these.
    """
    for value, choices, what in (
        (modality, ("mr", "ct"), "modality"),
        (side, ("left", "right", "random"), "side"),
        (field, ("hip", "pelvis"), "field"),
    ):
        if value not in choices:
            raise BadInputError(f"The phantom's {what} {value!r} does not exist; choose one of {', '.join(choices)}.")
    artefacts = Artefacts() if artefacts is None else artefacts
    rng = np.random.default_rng([seed, 1])
    source = generator(rng.integers(2**62), device)
    scene = make_scene(seed, anatomy, device) if scene is None else scene
    drawn = "left" if rng.random() < 0.5 else "right"
    side = drawn if side == "random" else side
    femur = scene.femora[side]
    if grid is None:
        if modality == "mr":
            grid = field_of_view.mr_grid(femur, **size)
        elif field == "pelvis" or artefacts.rods:
            grid = field_of_view.ct_pelvis_grid(list(scene.femora.values()), **size)
        else:
            grid = field_of_view.ct_hip_grid(femur, **size)
    sample = sample_scene(scene, grid, device)
    if modality == "ct":
        image, parameters = _scan_ct(scene, sample, grid, rng, source, artefacts, wide)
    else:
        image, parameters = _scan_mr(scene, sample, grid, rng, source, artefacts, wide, sequence)
    truth, regions = _truth(scene, sample, grid, side, device)
    in_view = {1: TRABECULAR, 2: SECOND_SIDE + TRABECULAR}
    landmarks = {
        name: {
            "landmarks": {mark: [round(float(x), 4) for x in place] for mark, place in one.landmarks.items()},
            "head_radius": round(float(one.head_radius), 4),
        }
        for name, one in scene.femora.items()
        if name == side or bool((truth >= in_view[2]).any())
    }
    parameters = {
        "modality": modality,
        "seed": int(seed),
        "side": side,
        "anatomy": type(scene).__name__,
        "artefacts": asdict(artefacts),
        **parameters,
    }
    name = f"phantom-{modality}-{seed}"
    metadata = {"modality": modality.upper()}
    return Phantom(
        Volume(image, grid, f"{name}", metadata=metadata),
        Volume(truth, grid, f"{name} truth"),
        Volume(regions, grid, f"{name} regions"),
        landmarks,
        parameters,
    )


def save_phantom(phantom: Phantom, folder, overwrite: bool = False) -> dict[str, Path]:
    """Write image.nii.gz, truth.nii.gz, regions.nii.gz and landmarks.json into a folder; each complete or absent.

    The landmarks come last: where they are, the phantom is whole.

    Raises
    ------
    BadInputError
        If one of them exists and may not be overwritten.
    """
    from ..volume_io import write_volume

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.nii.gz" for name in ("image", "truth", "regions")}
    paths["landmarks"] = folder / LANDMARKS
    existing = [path for path in paths.values() if path.exists()]
    if existing and not overwrite:
        raise BadInputError(f"{existing[0]} already exists; choose another folder or allow overwriting.")
    write_volume(phantom.image, paths["image"])
    write_volume(phantom.truth, paths["truth"])
    write_volume(phantom.regions, paths["regions"])
    text = json.dumps({"femora": phantom.landmarks, "parameters": phantom.parameters}, indent=2) + "\n"
    write_whole_text(paths["landmarks"], text)
    return paths


def _truth(scene, sample: AnatomySample, grid: Grid, side: str, device) -> tuple[np.ndarray, np.ndarray]:
    whole, inner = sample.periosteal < 0, sample.endosteal < 0
    truth = torch.zeros(grid.shape, dtype=torch.uint8, device=whole.device)
    truth[whole] = CORTICAL
    truth[whole & inner] = TRABECULAR
    first = sample.sides.index(side) + 1
    truth[whole & (sample.owner != first)] += SECOND_SIDE
    regions = torch.zeros_like(truth)
    for number, name in enumerate(sample.sides, start=1):
        mine = whole & (sample.owner == number)
        for k in torch.nonzero(mine.flatten(1).any(1)).flatten().tolist():
            points = grid_points(grid, k, k + 1, device)[0][mine[k]]
            regions[k][mine[k]] = scene.femora[name].region(points).to(torch.uint8)
    return truth.cpu().numpy(), regions.cpu().numpy()


def _kji_spacing(grid: Grid) -> tuple[float, float, float]:
    return grid.spacing[::-1]


def _axis_along(grid: Grid, direction) -> int:
    """The array axis (0 k, 1 j, 2 i) that runs most along an RAS direction."""
    return 2 - int(np.argmax(np.abs(np.asarray(direction) @ grid.direction)))


def _scan_ct(scene, sample, grid, rng, source, artefacts: Artefacts, wide: float):
    spacing = _kji_spacing(grid)
    contrast = ct_scanner.draw_ct_contrast(rng, 1.0 + 0.3 * wide)
    scan = ct_scanner.draw_ct_scan(rng, 1.0 + wide)
    scan = replace(scan, noise_hu=scan.noise_hu * artefacts.noise)
    tissue = sample.tissue
    surroundings = ct_scanner.surroundings_hu(tissue, contrast)
    texture = ct_scanner.surroundings_texture(tissue, contrast)
    rods = _add_table(scene, surroundings, texture, sample, grid, artefacts.rods, contrast)
    image = ct_scanner.compose_ct(
        surroundings, sample.periosteal, sample.endosteal, sample.density, spacing, contrast, scan, source, texture
    )
    if artefacts.metal:
        superior = _axis_along(grid, (0, 0, 1))
        plane = tuple(axis for axis in range(3) if axis != superior)
        image = add_implant(image, sample.periosteal, spacing, plane, rng, source)
    image = image.round().clamp(-1024, 3071).to(torch.int16).cpu().numpy()
    return image, {"contrast": asdict(contrast), "scan": asdict(scan), **({"rods": rods} if artefacts.rods else {})}


def _add_table(scene, surroundings, texture, sample, grid, with_rods, contrast) -> list[dict]:
    """Draw the table, and calibration rods in a mat on it, into the air behind the patient."""
    coarse = Grid.from_parts((40, 50, 60), (8.0, 8.0, 8.0), (-240.0, -220.0, -160.0))
    points = grid_points(coarse, 0, 40).reshape(-1, 3)
    body = points[scene.surroundings(points) != int(Tissue.AIR)]
    back = float(body[:, 1].min()) if len(body) else -120.0
    mat = 26.0 if with_rods else 0.0
    surface = back - 6.0 - mat
    rods = [
        {"hu": hu, "mg_cm3": hu, "x": x, "y": surface + mat / 2, "radius": 8.0}
        for hu, x in zip(ROD_HU, np.linspace(-100, 100, len(ROD_HU)))
    ]
    table_hu = contrast.values[Tissue.TABLE]
    for k in range(grid.shape[0]):
        points = grid_points(grid, k, k + 1)[0].to(surroundings.device)
        air = (sample.tissue[k] == int(Tissue.AIR)) & (sample.periosteal[k] > 0)
        x, y = points[..., 0], points[..., 1]
        depth = surface - y
        plate = air & (depth > 0) & (depth < 12.0) & (x.abs() < 220.0)
        # A carbon shell over foam.
        surroundings[k][plate] = torch.where(
            (depth[plate] < 2.0) | (depth[plate] > 10.0), float(table_hu), -850.0
        )
        if with_rods:
            # Mat and rods are of one piece.
            pad = air & (depth <= 0) & (depth > -mat) & (x.abs() < 130.0)
            surroundings[k][pad] = texture[k][pad] = 0.0
            for rod in rods:
                inside = pad & ((x - rod["x"]).square() + (y - rod["y"]).square() < rod["radius"] ** 2)
                surroundings[k][inside] = rod["hu"]
    return rods


def _scan_mr(scene, sample, grid, rng, source, artefacts: Artefacts, wide: float, sequence):
    spacing = _kji_spacing(grid)
    contrast = mr_scanner.draw_mr_contrast(rng, wide, sequence)
    scan = mr_scanner.draw_mr_scan(rng, wide)
    named = {
        "bias": artefacts.bias,
        "fold_over": artefacts.fold_over,
        "ghost": artefacts.ghost,
        "fat_shift": artefacts.chemical_shift,
    }
    scan = replace(
        scan,
        noise=scan.noise * artefacts.noise,
        **{name: float(value) for name, value in named.items() if value is not None},
    )
    water, fat = mr_scanner.surroundings_signal(sample.tissue, contrast)
    beyond = _beyond(scene, grid, contrast, sample.tissue.device) if scan.fold_over > 0 else None
    cyst = draw_cysts(sample.endosteal, spacing, rng) if artefacts.cysts else None
    image = mr_scanner.compose_mr(
        water,
        fat,
        sample.periosteal,
        sample.endosteal,
        sample.density,
        spacing,
        contrast,
        scan,
        source,
        beyond,
        cyst,
    )
    gain = float(rng.uniform(120, 400))
    image = (image * gain).round().clamp(0, 32767).to(torch.int16).cpu().numpy()
    return image, {"contrast": asdict(contrast), "scan": asdict(scan), "gain": gain}


def _beyond(scene: Scene, grid: Grid, contrast, device) -> torch.Tensor:
    """Signal from within a quarter of the field of view beyond both ends of the rows, where it folds in."""
    _, rows, _ = grid.shape
    margin = rows // 4
    result = torch.zeros(grid.shape, device=device)
    for start, place in ((-margin, slice(rows - margin, rows)), (rows, slice(0, margin))):
        outside = grid.crop((0, start, 0), (grid.shape[0], start + margin, grid.shape[2]))
        sample = sample_scene(scene, outside, device)
        water, fat = mr_scanner.surroundings_signal(sample.tissue, contrast)
        signal = water + fat
        marrow = contrast.water[Tissue.FEMUR_TRABECULAR] + contrast.fat[Tissue.FEMUR_TRABECULAR]
        signal[sample.periosteal < 0] = contrast.water[Tissue.FEMUR_CORTICAL]
        signal[sample.endosteal < 0] = marrow
        result[:, place] += signal
    return result


__all__ = ["Artefacts", "Phantom", "generate", "make_scene", "save_phantom"]
