"""Masks as text, small enough for an attribute of a node: what is saved with any scene, whatever files go with it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping

import numpy as np

from ..postprocessing import bounding_box
from ..volume import Grid, Volume


def masks_as_text(masks: Mapping[str, Volume]) -> str:
    """Masks as JSON: the box around each, its bits compressed.

    Parameters
    ----------
    masks : mapping of str to Volume
        bool, all on one grid; at least one.
    """
    grid = next(iter(masks.values())).grid
    parts = {name: {"name": mask.name, **_part(mask.array)} for name, mask in masks.items()}
    return json.dumps({"shape": grid.shape, "affine": grid.affine.tolist(), "masks": parts})


def masks_from_text(text: str) -> dict[str, Volume]:
    """The masks that `masks_as_text` wrote."""
    value = json.loads(text)
    grid = Grid(value["shape"], value["affine"])
    masks = {}
    for name, part in value["masks"].items():
        array = np.zeros(grid.shape, bool)
        if part["size"]:
            bits = np.frombuffer(zlib.decompress(base64.b64decode(part["bits"])), np.uint8)
            box = tuple(slice(start, start + size) for start, size in zip(part["start"], part["size"]))
            array[box] = np.unpackbits(bits, count=int(np.prod(part["size"]))).reshape(part["size"])
        masks[name] = Volume(array, grid, part["name"])
    return masks


def _part(mask: np.ndarray) -> dict:
    box = bounding_box(mask)
    if box is None:
        return {"start": [], "size": [], "bits": ""}
    bits = zlib.compress(np.packbits(mask[box]).tobytes(), 9)
    return {
        "start": [s.start for s in box],
        "size": [s.stop - s.start for s in box],
        "bits": base64.b64encode(bits).decode("ascii"),
    }
