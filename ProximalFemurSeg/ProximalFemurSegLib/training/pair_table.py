"""Which image belongs to which mask: from a table, or from the names in a folder."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInputError

IMAGE_NAMES = ("image",)
MASK_NAMES = ("mask", "truth", "label", "labels", "segmentation", "seg")
ENDOSTEAL_NAMES = ("endosteal",)
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")


@dataclass(frozen=True)
class Pair:
    """One case to learn from.

    Attributes
    ----------
    name : str
        The subject; both hips of one subject share it.
    image, mask : pathlib.Path
        The image (a file, or a folder with a DICOM series) and its mask.
    endosteal : pathlib.Path or None
        A mask of its own for what lies inside the cortex, where `mask` does not tell it by its labels.
    side : str or None
        ``left`` or ``right`` where the image shows one hip; None finds out.
    """

    name: str
    image: Path
    mask: Path
    endosteal: Path | None = None
    side: str | None = None


def find_pairs(source) -> list[Pair]:
    """The pairs that a table or a folder names.

    Parameters
    ----------
    source : path
        A .csv table with the columns image and mask and, on request, endosteal, side and subject, paths relative to
        the table's folder; or a folder, laid out in one of three ways:

        - a folder per subject with ``image.*`` and ``mask.*`` (or ``truth.*``, ``labels.*``, ``segmentation.*``),
          on request ``endosteal.*``; this is what the phantom command writes;
        - ``images/`` and ``masks/`` (or ``labels/``) with equal file names, on request ``endosteal/``;
        - files side by side, ``NAME.nii.gz`` and ``NAME-mask.nii.gz`` (or ``_mask``, ``-labels``, ...), on request
          ``NAME-endosteal.nii.gz``.

    Returns
    -------
    list of Pair
        Sorted by name.

    Raises
    ------
    BadInputError
        If there is no pair, a file is missing, or two pairs have one name.
    """
    source = Path(source)
    if source.is_dir():
        pairs = _pairs_of_subjects(source) or _pairs_of_two_folders(source) or _pairs_side_by_side(source)
        if not pairs:
            raise BadInputError(
                f"{source} holds no pairs of an image and a mask: give each subject a folder with image.nii.gz and "
                f"mask.nii.gz, or name the files in a table (.csv) with the columns image and mask."
            )
    elif source.is_file():
        pairs = _pairs_of_table(source)
    else:
        raise BadInputError(f"{source} does not exist; give a folder or a table (.csv) of image and mask pairs.")
    pairs = sorted(pairs, key=lambda pair: pair.name)
    names = [(pair.name, pair.side) for pair in pairs]
    for name, side in names:
        if names.count((name, side)) > 1:
            raise BadInputError(f"{source} names the subject {name} twice; give every pair a name of its own.")
        if set(name) & set('/\\:*?"<>|'):
            raise BadInputError(f"{source} names the subject {name!r}, which cannot be a file's name; change it.")
    return pairs


def are_phantoms(pairs) -> bool:
    """True if an image lies beside landmarks, as the phantom command leaves them and nobody has for a real scan."""
    return any(Path(pair.image).with_name("landmarks.json").is_file() for pair in pairs)


def _stem(path: Path) -> str | None:
    """The name without the ending of a volume's format, or None for other files."""
    name = path.name
    return next((name[: -len(s)] for s in _SUFFIXES if name.lower().endswith(s)), None)


def _volumes(folder: Path) -> dict[str, Path]:
    """Files, and folders (DICOM), of a folder by their name without ending."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        stem = path.name if path.is_dir() else _stem(path)
        if stem:
            found.setdefault(stem, path)
    return found


def _first(found: dict[str, Path], names) -> Path | None:
    return next((found[name] for name in names if name in found), None)


def _pairs_of_subjects(source: Path) -> list[Pair]:
    pairs = []
    for folder in sorted(p for p in source.iterdir() if p.is_dir() and not p.name.startswith(".")):
        found = _volumes(folder)
        image, mask = _first(found, IMAGE_NAMES), _first(found, MASK_NAMES)
        if image is not None and mask is not None:
            pairs.append(Pair(folder.name, image, mask, _first(found, ENDOSTEAL_NAMES)))
    return pairs


def _pairs_of_two_folders(source: Path) -> list[Pair]:
    images = source / "images"
    masks = next((source / n for n in ("masks", "labels", "truth") if (source / n).is_dir()), None)
    if not images.is_dir() or masks is None:
        return []
    of_masks = _volumes(masks)
    of_endosteal = _volumes(source / "endosteal") if (source / "endosteal").is_dir() else {}
    pairs = []
    for name, image in _volumes(images).items():
        if name not in of_masks:
            raise BadInputError(f"{image} has no mask of the same name in {masks}; add it, or take the image away.")
        pairs.append(Pair(name, image, of_masks[name], of_endosteal.get(name)))
    return pairs


def _pairs_side_by_side(source: Path) -> list[Pair]:
    found = {name: path for name, path in _volumes(source).items() if path.is_file()}
    pairs = []
    for name, image in found.items():
        mask, endosteal = (
            _first(found, [f"{name}{dash}{word}" for word in words for dash in "-_"])
            for words in (MASK_NAMES, ENDOSTEAL_NAMES)
        )
        if mask is not None:
            pairs.append(Pair(name, image, mask, endosteal))
    return pairs


def _pairs_of_table(table: Path) -> list[Pair]:
    try:
        with open(table, newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"The table {table} cannot be read ({error}); save it as .csv in UTF-8.") from error
    if not rows or not {"image", "mask"} <= set(rows[0]):
        raise BadInputError(f"The table {table} must have the columns image and mask and at least one row.")
    pairs = []
    for number, row in enumerate(rows, start=2):
        paths = {}
        for column in ("image", "mask", "endosteal"):
            value = (row.get(column) or "").strip()
            if not value:
                if column != "endosteal":
                    raise BadInputError(f"Line {number} of {table} has no {column}; fill it in or delete the line.")
                continue
            path = table.parent / value
            if not path.exists():
                raise BadInputError(f"Line {number} of {table} names {path}, which does not exist; correct the path.")
            paths[column] = path
        side = (row.get("side") or "").strip().lower() or None
        if side not in (None, "left", "right"):
            raise BadInputError(f"Line {number} of {table} has the side {side!r}; write left, right or nothing.")
        subject = (row.get("subject") or "").strip() or _stem(paths["image"]) or paths["image"].name
        pairs.append(Pair(subject, paths["image"], paths["mask"], paths.get("endosteal"), side))
    return pairs
