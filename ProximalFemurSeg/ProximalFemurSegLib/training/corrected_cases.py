"""The cases that a user corrected: checked before anything is trained, and their truth on the image's own grid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadInputError
from ..evaluation.cases import align
from ..inference.hip_view import shows_one_hip
from ..inference.modality import detect_modality
from ..models import sha256
from ..orientation import closest_reorientation, reorient
from ..volume import Volume
from ..volume_io import read_volume
from .pair_cases import find_masked_femora, read_masks
from .pair_table import Pair

_ANY_AXES = "SPL"


@dataclass(frozen=True, eq=False)
class CorrectedCase:
    """An image with a corrected mask on the same grid.

    Attributes
    ----------
    number : int
        From 1, in the order of the names; what the card calls it, which names nobody.
    pair : Pair
        Its files.
    side : str
        What `segment` is asked for: the side of the only femur in the mask, or ``auto``.
    description : dict
        For the card: checksums, voxel sizes in mm (i, j, k) and their number, femora in the mask.
    """

    number: int
    pair: Pair
    side: str
    description: dict

    def image(self) -> Volume:
        """The image, read anew."""
        return read_volume(self.pair.image)

    def truth(self, role: str, image: Volume) -> np.ndarray:
        """What a network of some role shall find, bool on the image's grid."""
        _, (grid, mask) = read_masks(self.pair, role)
        return _on_image(Volume(mask, grid), image)


def read_cases(pairs, preset, modality: str = "auto") -> list[CorrectedCase]:
    """Check pairs that are to teach a network.

    Parameters
    ----------
    pairs : sequence of Pair
        What to check.
    preset : models.Preset
        The network.
    modality : {'auto', 'mr', 'ct'}
        What the images are; ``auto`` finds out.

    Returns
    -------
    list of CorrectedCase

    Raises
    ------
    BadInputError
        If an image is of another modality than the network's, or a mask is empty, cannot be read, lies on another grid
        than its image, or does not show which side its femur is.
    """
    cases = []
    for number, pair in enumerate(pairs, start=1):
        image = read_volume(pair.image)
        seen, reason = detect_modality(image, modality)
        if preset.modality not in (seen, "any"):
            raise BadInputError(
                f"The network {preset.name} is for {preset.modality.upper()}, but {pair.image} is not: "
                f"{reason[0].lower()}{reason[1:].rstrip('.')}; choose a network for {seen.upper()}."
            )
        (grid, outer), (inner_grid, inner) = read_masks(pair, "endosteal" if pair.endosteal else preset.stages[0].role)
        _on_image(Volume(outer, grid, source=pair.mask), image)
        _on_image(Volume(inner, inner_grid, source=pair.endosteal or pair.mask), image)
        sides = []
        if preset.stages[0].preprocessing.canonical_side is not None or not shows_one_hip(image.grid):
            sides = [side for side, *_ in find_masked_femora(pair, grid, outer)]
        description = {
            "case": number,
            "image_sha256": content_checksum(pair.image),
            "mask_sha256": content_checksum(pair.mask),
            **({"endosteal_sha256": content_checksum(pair.endosteal)} if pair.endosteal else {}),
            "voxel_size_mm": [round(size, 4) for size in image.grid.spacing],
            "voxels": list(image.grid.shape[::-1]),
            "sides": sides or ["one hip"],
        }
        cases.append(CorrectedCase(number, pair, sides[0] if len(sides) == 1 else "auto", description))
    return cases


def taught_roles(preset, cases) -> list[str]:
    """Which of a preset's networks the masks of all cases can teach, in their order."""
    return [stage.role for stage in preset.stages if all(_tells(case.pair, stage.role) for case in cases)]


def _tells(pair: Pair, role: str) -> bool:
    try:
        read_masks(pair, role)
    except BadInputError:
        return False
    return True


def _on_image(mask: Volume, image: Volume) -> np.ndarray:
    """A mask's voxels in the order of its image's.

    Raises
    ------
    BadInputError
        If they lie on different grids.
    """
    align(mask, image)
    # Equal up to the order of their axes.
    turned = reorient(mask, _ANY_AXES).array
    return closest_reorientation(image.grid, _ANY_AXES).undo(turned)


def content_checksum(path) -> str:
    """sha256 of a file, or of all files of a folder (DICOM) in the order of their names."""
    path = Path(path)
    if path.is_file():
        return sha256(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(bytes.fromhex(sha256(file)))
    return digest.hexdigest()
