"""The networks a user can choose by name, how images are prepared for them, and their trained weights.

Weights lie as ``<stem>.safetensors`` with a card, ``<stem>.json``, in ``Resources/Models`` beside the package (inside
the package once it is installed as a wheel). Folders named in the environment variable PROXIMAL_FEMUR_SEG_MODELS are
looked through first, the user's own folder last. Networks that were fine-tuned are found in all of them and offered
beside those they started from (see `fine_tuned`); so are the weights of the folds of a cross-validation (see
`fold_weights`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from .errors import BadInputError
from .fine_tuned import SEPARATOR, find_fine_tuned, user_model_folder
from .fold_weights import find_folds
from .whole_file import whole_file, write_whole_text

ENVIRONMENT_VARIABLE = "PROXIMAL_FEMUR_SEG_MODELS"
CARD_FORMAT = 1


@dataclass(frozen=True)
class Preprocessing:
    """From an image in the patient to the array a network sees.

    Attributes
    ----------
    spacing_mm : tuple of float
        Voxel size along (D, H, W).
    orientation : str
        Patient direction in which each of (D, H, W) runs, one letter of R, L, A, P, S, I each.
    normalisation : str
        ``ct-window``: (clip(HU, -300, 1300) - 500) / 800. ``mr-percentile``: percentiles 1 and 99 of the image to -1
        and 1, clipped to [-1.5, 2]. ``by-modality``: whichever fits the image.
    window : tuple of int or None
        Voxels (D, H, W) in one pass; None is the whole volume.
    canonical_side : str or None
        The side the network knows; images of the other are mirrored along W. None: both look the same to it.
    blank_outside : bool
        Outside the region that the stage before found, the image is set to its lowest value.
    outside : float
        Normalised value of what lies outside the scan, or was blanked.
    exact_window : bool
        The network normalises over all it is shown, so that windows have this size in training and at run time.
    bone_hu : float or None
        CT: what the femur's compact bone is made to have (`inference.compact_bone`); None leaves HU as they are.
    """

    spacing_mm: tuple[float, float, float]
    orientation: str
    normalisation: str
    window: tuple[int, int, int] | None
    canonical_side: str | None = None
    blank_outside: bool = False
    outside: float = -1.0
    exact_window: bool = False
    bone_hu: float | None = None


@dataclass(frozen=True)
class Stage:
    """One network of a preset.

    Attributes
    ----------
    role : str
        ``periosteal``, ``endosteal``, ``bone`` (what the MR networks segment) or ``locator``.
    architecture, options
        Arguments of `networks.build_network`.
    preprocessing : Preprocessing
        How its input is made.
    weights : str
        Stem of its weights' file name.
    """

    role: str
    architecture: str
    options: dict = field(hash=False)
    preprocessing: Preprocessing
    weights: str


@dataclass(frozen=True)
class Preset:
    """A network, or a cascade of networks, that a user can choose.

    Attributes
    ----------
    name, title : str
        What to type and what to show.
    paper : str
        Where it is described.
    dimension : str
        ``2D`` or ``3D``.
    modality : str
        ``mr``, ``ct`` or ``any``.
    stages : tuple of Stage
        In the order in which they run.
    internal : bool
        True for a helper network that is not offered to users.
    origin : str or None
        Of a fine-tuned network the preset that it started from.
    """

    name: str
    title: str
    paper: str
    dimension: str
    modality: str
    stages: tuple[Stage, ...]
    internal: bool = False
    origin: str | None = None


# Coronal slices: D runs forwards, rows downwards, columns to the patient's left; 0.469 mm are 256 pixels over the
# papers' 120 mm field of view.
MR_FRAME = Preprocessing((1.5, 0.469, 0.469), "AIL", "mr-percentile", (48, 256, 256))
# The papers' 2D networks see the slices as they were scanned, small ones what the 3D networks see.
MR_SLICE_FRAME = Preprocessing((1.5, 0.234, 0.234), "AIL", "mr-percentile", (1, 512, 512))
MR_HALF_SLICE_FRAME = dataclasses.replace(MR_FRAME, window=(1, 256, 256))
# With instance norm all of a usual scan is one window.
MR_WHOLE_FRAME = dataclasses.replace(MR_FRAME, window=(64, 256, 256), exact_window=True)
CT_FRAME = Preprocessing((1.0, 0.8, 0.8), "SPL", "ct-window", (64, 192, 192), canonical_side="left", exact_window=True,
                         bone_hu=1100.0)
# Of the bone alone, cut out: smaller.
CT_BONE_FRAME = dataclasses.replace(CT_FRAME, window=(64, 112, 112), blank_outside=True)
LOCATOR_FRAME = Preprocessing((4.0, 4.0, 4.0), "SPL", "by-modality", None)

_PRESETS = (
    Preset(
        "unet3d-dilated-f16",
        "3D U-Net with dilated centre, 16 features, 3 levels, instance norm",
        "SciRep-2018, smaller than the paper's (F 16, L 3), with instance norm",
        "3D",
        "mr",
        (Stage("bone", "unet3d-dilated", {"base_features": 16, "levels": 3, "rates": [1, 2, 4, 8], "norm": "instance"},
               MR_WHOLE_FRAME, "unet3d-dilated-f16"),),
    ),
    Preset(
        "unet3d-dilated",
        "3D U-Net with dilated centre, 32 features, 4 levels",
        "SciRep-2018",
        "3D",
        "mr",
        (Stage("bone", "unet3d-dilated", {"base_features": 32, "levels": 4, "rates": [1, 2, 4, 8]}, MR_FRAME,
               "unet3d-dilated"),),
    ),
    Preset(
        "unet3d",
        "3D U-Net, 32 features, 4 levels",
        "arXiv-v2, SciRep-2018",
        "3D",
        "mr",
        (Stage("bone", "unet3d", {"base_features": 32, "levels": 4}, MR_FRAME, "unet3d"),),
    ),
    Preset(
        "unet3d-f16",
        "3D U-Net, 16 features, 3 levels, instance norm",
        "arXiv-v2, SciRep-2018 (F 16, L 3), with instance norm",
        "3D",
        "mr",
        (Stage("bone", "unet3d", {"base_features": 16, "levels": 3, "norm": "instance"}, MR_WHOLE_FRAME,
               "unet3d-f16"),),
    ),
    Preset(
        "patch2d",
        "CNN over 32 x 32 patches of three slices",
        "arXiv-v1 (CNN#1)",
        "2D",
        "mr",
        (Stage("bone", "patch2d", {"base_features": 32}, MR_SLICE_FRAME, "patch2d"),),
    ),
    Preset(
        "patch25d",
        "CNN over 32 x 32 patches in three planes",
        "ISMRM-2017",
        "2D",
        "mr",
        (Stage("bone", "patch25d", {"base_features": 32}, MR_SLICE_FRAME, "patch25d"),),
    ),
    Preset(
        "unet2d",
        "2D U-Net over three slices, 64 features, 4 levels",
        "SciRep-2018",
        "2D",
        "mr",
        (Stage("bone", "unet2d", {"base_features": 64, "levels": 4}, MR_SLICE_FRAME, "unet2d"),),
    ),
    Preset(
        "unet2d-dilated",
        "2D U-Net over three slices with dilated centre, 64 features, 4 levels",
        "SciRep-2018",
        "2D",
        "mr",
        (Stage("bone", "unet2d-dilated", {"base_features": 64, "levels": 4, "rates": [1, 2, 4, 8]}, MR_SLICE_FRAME,
               "unet2d-dilated"),),
    ),
    Preset(
        "unet2d-valid",
        "2D U-Net over three slices without padding, 32 features, 3 levels",
        "arXiv-v1 (CNN#2), arXiv-v2, SciRep-2018 (2D CNN*)",
        "2D",
        "mr",
        (Stage("bone", "unet2d-valid", {"base_features": 32, "levels": 3, "dropout": 0.5, "patches": 3}, MR_SLICE_FRAME,
               "unet2d-valid"),),
    ),
    Preset(
        "unet2d-f16",
        "2D U-Net over three slices, 16 features, 4 levels, 256 x 256, instance norm",
        "SciRep-2018, smaller than the paper's (F 64, 512 x 512), with instance norm",
        "2D",
        "mr",
        (Stage("bone", "unet2d", {"base_features": 16, "levels": 4, "norm": "instance"}, MR_HALF_SLICE_FRAME,
               "unet2d-f16"),),
    ),
    Preset(
        "unet2d-dilated-f16",
        "2D U-Net over three slices with dilated centre, 16 features, 4 levels, 256 x 256, instance norm",
        "SciRep-2018, smaller than the paper's (F 64, 512 x 512), with instance norm",
        "2D",
        "mr",
        (Stage("bone", "unet2d-dilated", {"base_features": 16, "levels": 4, "rates": [1, 2, 4, 8], "norm": "instance"},
               MR_HALF_SLICE_FRAME, "unet2d-dilated-f16"),),
    ),
    Preset(
        "unet2d-valid-f16",
        "2D U-Net over three slices without padding, 16 features, 3 levels, 256 x 256, instance norm",
        "arXiv-v1 (CNN#2), arXiv-v2, SciRep-2018 (2D CNN*), smaller than the papers' (F 32 or 64, 512 x 512), with"
        " instance norm",
        "2D",
        "mr",
        (Stage("bone", "unet2d-valid",
               {"base_features": 16, "levels": 3, "patch": 300, "patches": 3, "norm": "instance"},
               MR_HALF_SLICE_FRAME, "unet2d-valid-f16"),),
    ),
    Preset(
        "vnet",
        "V-Net cascade: periosteal, then endosteal, instance norm",
        "QCT-2021",
        "3D",
        "ct",
        (
            Stage("periosteal", "vnet", {"base_features": 16, "norm": "instance"}, CT_FRAME, "vnet-periosteal"),
            Stage("endosteal", "vnet", {"base_features": 16, "norm": "instance"},
                  CT_BONE_FRAME, "vnet-endosteal"),
        ),
    ),
    Preset(
        "locator",
        "Where the femora are: a small V-Net on a 4 mm grid",
        "none; stands in for cropping by hand",
        "3D",
        "any",
        (Stage("locator", "vnet", {"base_features": 8, "classes": 3, "norm": "instance"}, LOCATOR_FRAME, "locator"),),
        internal=True,
    ),
)

_DEFAULTS = {"mr": "unet3d-dilated-f16", "ct": "vnet"}


def all_presets(internal: bool = False) -> tuple[Preset, ...]:
    """Every preset, on request with the internal ones, each followed by the networks fine-tuned from it."""
    own = find_fine_tuned(_PRESETS, model_folders())
    return tuple(
        p
        for preset in _PRESETS
        if internal or not preset.internal
        for p in (preset, *(o for o in own if o.origin == preset.name))
    )


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises
    ------
    BadInputError
        If there is none; the sentence lists the names.
    """
    # Only what was fine-tuned has to be looked for on disk.
    for preset in all_presets(internal=True) if SEPARATOR in name else _PRESETS:
        if preset.name == name:
            return preset
    names = ", ".join(p.name for p in all_presets())
    raise BadInputError(f"There is no network named {name!r}; choose one of {names}.")


def default_preset(modality: str) -> Preset:
    """The best preset for ``mr`` or ``ct``.

    Raises
    ------
    BadInputError
        If there is none for that modality.
    """
    if modality not in _DEFAULTS:
        raise BadInputError(f"There is no network for the modality {modality!r}; choose one of {', '.join(_DEFAULTS)}.")
    return find_preset(_DEFAULTS[modality])


def model_folders() -> list[Path]:
    """Where weights are looked for, first match wins."""
    package = Path(__file__).resolve().parent
    named = [Path(p) for p in os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep) if p]
    return [*named, package.parent / "Resources" / "Models", package / "Models", user_model_folder()]


def _find(stage: Stage) -> Path | None:
    for folder in model_folders():
        path = folder / f"{stage.weights}.safetensors"
        if path.is_file() and path.with_suffix(".json").is_file():
            return path
    return None


def has_weights(preset: Preset) -> bool:
    """True if every stage of the preset has weights and a card here."""
    return all(_find(stage) for stage in preset.stages)


def fold_presets(preset: Preset) -> list[Preset]:
    """The preset with the weights of each fold of a cross-validation that is here in place of its own."""
    return find_folds(preset, model_folders())


def weights_path(stage: Stage) -> Path:
    """File with the stage's weights.

    Raises
    ------
    BadInputError
        If there are none here; the sentence says what to do.
    """
    path = _find(stage)
    if path is None:
        trained = [p.name for p in all_presets() if has_weights(p)]
        choice = f"choose {' or '.join(trained)}, " if trained else ""
        raise BadInputError(
            f"There are no trained weights {stage.weights!r} here ({stage.weights}.safetensors and its card "
            f"{stage.weights}.json): {choice}train them with the train command, or name a folder that has them in "
            f"the environment variable {ENVIRONMENT_VARIABLE}."
        )
    return path


def card(stage: Stage) -> dict:
    """The stage's card: data, seed, command, commit, hardware, curves, metrics, operating point, limits, checksum.

    Raises
    ------
    BadInputError
        If there is none here or it cannot be read.
    """
    path = weights_path(stage).with_suffix(".json")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"The card {path} cannot be read ({error}); put the original file back.") from error
    if not isinstance(entries, dict):
        raise BadInputError(f"The card {path} is not a table of entries; put the original file back.")
    return entries


def sha256(path) -> str:
    """Checksum of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def pack_weights(state: dict) -> dict:
    """Kernels in float16; vectors (biases, scales, statistics of batch norm) stay float32, which costs next to nothing
    and spares small variances; counters are left out.

    Raises
    ------
    ProximalFemurSegError
        If a weight is not finite or too large for float16.
    """
    import torch

    from .errors import ProximalFemurSegError

    packed = {}
    for name, value in state.items():
        if not value.is_floating_point():
            continue
        value = value.detach().to("cpu").to(torch.float16 if value.ndim > 1 else torch.float32).contiguous()
        if not bool(torch.isfinite(value).all()):
            raise ProximalFemurSegError(f"The weights {name} hold values that are not finite; this training failed.")
        packed[name] = value
    return packed


def save_weights(state: dict, path) -> str:
    """Write a network's state as safetensors.

    Returns
    -------
    str
        sha256 of the file.
    """
    from safetensors.torch import save

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        unfinished.write_bytes(save(pack_weights(state)))
        return sha256(unfinished)


def write_card(entries: dict, path) -> None:
    """Write a card as JSON."""
    write_whole_text(path, json.dumps(entries, indent=2, ensure_ascii=False) + "\n")


def read_weights(stage: Stage) -> dict:
    """The stage's weights as float32 tensors, after their checksum was compared with the card's.

    Raises
    ------
    BadInputError
        If they are missing, damaged, or belong to another network.
    """
    from safetensors.torch import load

    path = weights_path(stage)
    entries = card(stage)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != entries.get("sha256"):
        raise BadInputError(f"The weights {path} are not those of their card (sha256 differs): the file is damaged or "
                            f"incomplete; get both files again.")
    if entries.get("architecture") != stage.architecture:
        raise BadInputError(f"The weights {path} are for {entries.get('architecture')}, not for {stage.architecture}; "
                            f"get the files that belong to this version.")
    return {name: value.float() for name, value in load(data).items()}


def _plain(options):
    return json.loads(json.dumps(options, sort_keys=True))


_cache: dict = {}
_cache_lock = threading.Lock()


def load_network(stage: Stage, device="cpu"):
    """The stage's network with its trained weights, ready for inference; the same object for the same file.

    Parameters
    ----------
    stage : Stage
        Of a preset.
    device : str or torch.device
        Where it shall run.

    Returns
    -------
    torch.nn.Module
        float32, eval mode, channels last, without gradients. It is shared: do not change it.

    Raises
    ------
    BadInputError
        If the weights are missing, damaged, or belong to another network.
    """
    import torch

    from .networks import build_network, use_channels_last

    path = weights_path(stage)
    status = path.stat()
    key = (str(path), status.st_mtime_ns, status.st_size, str(torch.device(device)))
    with _cache_lock:
        if key not in _cache:
            state = read_weights(stage)
            # The card says what was trained: a recipe may have had other options than the preset.
            network = build_network(stage.architecture, **card(stage).get("options", stage.options))
            try:
                problems = network.load_state_dict(state, strict=False)
                misfits = [n for n in problems.missing_keys if not n.endswith("num_batches_tracked")]
                misfits += problems.unexpected_keys
            except RuntimeError:  # other sizes
                misfits = [stage.weights]
            if misfits:
                raise BadInputError(f"The weights {path} do not fit the network {stage.architecture} of their card; "
                                    f"get the files that belong to this version.")
            network.eval().requires_grad_(False)
            _cache[key] = use_channels_last(network.to(device))
        return _cache[key]


def forget_networks() -> None:
    """Free the networks that `load_network` keeps."""
    with _cache_lock:
        _cache.clear()
