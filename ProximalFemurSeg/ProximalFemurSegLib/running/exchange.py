"""An image on its way to a child process and a result on its way back: arrays as files, the rest as JSON.

The parent's side works in short steps, because in the window's process nothing may take long: Slicer's own Python runs
in the thread that draws, and other threads of it stand still while Qt waits for events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import ProximalFemurSegError
from ..inference.description import describe_probabilities, restore_probabilities
from ..inference.main_part import MainPart
from ..inference.result import SegmentationResult, empty_array
from ..volume import Grid, Volume

_STEP_BYTES = 8 << 20
_IMAGE, _GEOMETRY, _RESULT, _LABELS = "image.npy", "image.json", "result.json", "labels.npy"
_SPREAD = "spread.npy"


def write_image(volume: Volume, folder: Path) -> Iterator[None]:
    """Write an image into a folder; a generator that pauses after every few megabytes.

    Parameters
    ----------
    volume : Volume
        Its array may be shared with a scene and is only read.
    folder : pathlib.Path
        That exists.
    """
    geometry = {"affine": volume.grid.affine.tolist(), "name": volume.name, "metadata": volume.metadata}
    (folder / _GEOMETRY).write_text(json.dumps(geometry, default=str), encoding="utf-8")
    shape, dtype = volume.array.shape, volume.array.dtype
    target = np.lib.format.open_memmap(folder / _IMAGE, mode="w+", dtype=dtype, shape=shape)
    yield from _copy(volume.array, target)
    target.flush()


def read_image(folder: Path) -> Volume:
    """The image that :func:`write_image` wrote, its values as a file's would be taken.

    Raises
    ------
    BadInputError
        Constant, or mostly NaN.
    """
    from ..volume_io import usable_values

    about = json.loads((folder / _GEOMETRY).read_text(encoding="utf-8"))
    metadata = about["metadata"]
    array = usable_values(np.load(folder / _IMAGE), about["name"], metadata.setdefault("messages", []))
    return Volume(array, Grid(array.shape, about["affine"]), about["name"], metadata=metadata)


def write_result(result: SegmentationResult, folder: Path) -> None:
    """Write what came of a run into a folder: of its arrays only the part in which femora were looked for."""
    from ..report import plain

    part = result.probabilities.window
    for role, volume in result.probabilities.maps.items():
        np.save(folder / _map_name(role), np.ascontiguousarray(volume.array[part]))
    if result.probabilities.spread is not None:
        np.save(folder / _SPREAD, result.probabilities.spread)
    np.save(folder / _LABELS, np.ascontiguousarray(result.labels.array[part]))
    parts = [result.probabilities.main_part(number) for number in range(len(result.probabilities.regions))]
    for number, bone in enumerate(parts):
        if bone is not None:
            np.save(folder / _part_name(number), bone.inside)
    said = [message for message in result.messages if message not in result.measurements["remarks"]]
    description = {
        # What was said of these masks is said anew at the next threshold.
        "probabilities": {**describe_probabilities(result.probabilities), "messages": said},
        "names": {role: volume.name for role, volume in result.probabilities.maps.items()},
        "sides": {str(label): entry for label, entry in result.sides.items()},
        "threshold": result.threshold,
        "window": [[axis.start, axis.stop] for axis in result.window],
        "main_parts": [
            None if bone is None else {"box": [[axis.start, axis.stop] for axis in bone.box], "rest": bone.rest}
            for bone in parts
        ],
        "measurements": result.measurements,
    }
    (folder / _RESULT).write_text(json.dumps(plain(description)), encoding="utf-8")


def read_result(folder: Path, image: Volume) -> Iterator[SegmentationResult | None]:
    """What :func:`write_result` wrote; a generator that pauses after every few megabytes and ends with the result.

    Parameters
    ----------
    folder : pathlib.Path
        Where it was written.
    image : Volume
        What was segmented; the result lies on its grid.

    Raises
    ------
    ProximalFemurSegError
        If a file is missing or damaged.
    """
    try:
        description = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
        about, names = description["probabilities"], description["names"]
        maps = {role: image.with_array(empty_array(image.array.shape, np.float32), names[role]) for role in names}
        probabilities = restore_probabilities(about, maps)
        part = probabilities.window
        for role, volume in maps.items():
            yield from _copy(np.load(folder / _map_name(role), mmap_mode="r"), volume.array[part])
        if (folder / _SPREAD).is_file():
            probabilities.spread = np.load(folder / _SPREAD)
            yield None
        labels = empty_array(image.array.shape, np.uint8)
        yield from _copy(np.load(folder / _LABELS, mmap_mode="r"), labels[part])
        for number, about_part in enumerate(description["main_parts"]):
            bone = None
            if about_part is not None:
                box = tuple(slice(*ends) for ends in about_part["box"])
                bone = MainPart(box, np.load(folder / _part_name(number)), about_part["rest"])
            probabilities.set_main_part(number, bone)
            yield None
        yield SegmentationResult(
            probability=maps[probabilities.outer_role],
            endosteal_probability=maps.get("endosteal"),
            labels=image.with_array(labels, "segmentation"),
            sides={int(label): tuple(entry) for label, entry in description["sides"].items()},
            measurements=description["measurements"],
            threshold=description["threshold"],
            probabilities=probabilities,
            window=tuple(slice(*ends) for ends in description["window"]),
        )
    except (OSError, ValueError, KeyError) as error:
        raise ProximalFemurSegError(f"What came back of the segmentation cannot be read ({error}).") from None


def _map_name(role):
    return f"map-{role}.npy"


def _part_name(number):
    return f"main-part-{number}.npy"


def _copy(source, target) -> Iterator[None]:
    slices = max(1, _STEP_BYTES // max(1, source[:1].nbytes))
    for k in range(0, len(source), slices):
        target[k : k + slices] = source[k : k + slices]
        yield None
