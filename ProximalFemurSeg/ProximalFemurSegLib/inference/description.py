"""Everything about probability maps but the maps: kept as text, and put back together with the maps."""

from __future__ import annotations

import numpy as np

from ..volume import Grid
from .result import FemurRegion, Probabilities

_PLAIN = ("operating_points", "network", "modality", "device", "weights", "seconds", "messages")


def describe_probabilities(probabilities: Probabilities, transform=None) -> dict:
    """What JSON can hold of probability maps.

    Parameters
    ----------
    probabilities : Probabilities
        The maps themselves are left out.
    transform : array_like, optional
        (4, 4) from the maps' RAS mm to the coordinates to describe in; the same if left out.

    Returns
    -------
    dict
        operating_points, network, modality, device, weights, seconds and messages as they are; ``roles`` in the order
        of the maps; ``regions`` with side, start, stop and network_grid (shape and affine).
    """
    transform = np.eye(4) if transform is None else np.asarray(transform, dtype=np.float64)
    description = {name: getattr(probabilities, name) for name in _PLAIN}
    description["roles"] = list(probabilities.maps)
    description["regions"] = [_describe_region(region, transform) for region in probabilities.regions]
    return description


def describe_regions(probabilities: Probabilities) -> list[dict]:
    """Where femora were looked for: side, start and stop as voxels (k, j, i), and the network's grid in RAS mm."""
    return [_describe_region(region, np.eye(4)) for region in probabilities.regions]


def restore_probabilities(description: dict, maps: dict, transform=None) -> Probabilities:
    """The inverse of `describe_probabilities`.

    Parameters
    ----------
    description : dict
        Entries beside those of `describe_probabilities` are passed over.
    maps : dict of str to Volume
        Role to map.
    transform : array_like, optional
        (4, 4) from the coordinates described in to the maps' RAS mm.

    Raises
    ------
    KeyError
        If the description lacks an entry.
    """
    transform = np.eye(4) if transform is None else np.asarray(transform, dtype=np.float64)
    regions = []
    for entry in description["regions"]:
        grid = entry["network_grid"]
        regions.append(
            FemurRegion(
                side=entry["side"],
                start=tuple(entry["start"]),
                stop=tuple(entry["stop"]),
                network_grid=Grid(tuple(grid["shape"]), transform @ np.asarray(grid["affine"])),
            )
        )
    return Probabilities(maps=dict(maps), regions=regions, **{name: description[name] for name in _PLAIN})


def _describe_region(region, transform):
    return {
        "side": region.side,
        "start": [int(n) for n in region.start],
        "stop": [int(n) for n in region.stop],
        "network_grid": {
            "shape": [int(n) for n in region.network_grid.shape],
            "affine": (transform @ region.network_grid.affine).tolist(),
        },
    }
