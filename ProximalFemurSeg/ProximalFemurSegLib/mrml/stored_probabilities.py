"""What must be known beside the probability maps to move the threshold again, kept with the map in the scene.

A scene that was saved, closed and opened again then needs no network to be run.
"""

from __future__ import annotations

import json

import numpy as np

from ..errors import BadInputError
from ..inference.description import describe_probabilities, restore_probabilities
from ..volume import Grid
from .volume_node import array_from_node, local_affine, volume_from_node, world_affine

ATTRIBUTE = "ProximalFemurSeg.Probabilities"


def store_description(probability_node, input_node, probabilities) -> None:
    """Write the description of the maps into the probability node."""
    # In the volume's own coordinates, so that it holds however the volume is moved later.
    to_local = local_affine(input_node) @ np.linalg.inv(world_affine(input_node))
    description = describe_probabilities(probabilities, to_local)
    description["image"] = {"shape": array_from_node(input_node).shape, "affine": local_affine(input_node).tolist()}
    probability_node.SetAttribute(ATTRIBUTE, json.dumps(description))


def has_description(probability_node) -> bool:
    """True if the node holds a map that this module made."""
    return probability_node is not None and bool(probability_node.GetAttribute(ATTRIBUTE))


def probabilities_from_nodes(input_node, probability_node, endosteal_node=None):
    """The probability maps in the scene, ready for a threshold.

    Parameters
    ----------
    input_node : vtkMRMLScalarVolumeNode
        The volume that was segmented.
    probability_node, endosteal_node : vtkMRMLScalarVolumeNode
        Its maps; their voxels are shared.

    Returns
    -------
    inference.Probabilities

    Raises
    ------
    BadInputError
        If the map was not made by this program, or the input has another grid by now.
    """
    text = probability_node.GetAttribute(ATTRIBUTE)
    if not text:
        raise BadInputError(f"'{probability_node.GetName()}' is no probability map of this module; press Apply first.")
    description = json.loads(text)
    stored = Grid(description["image"]["shape"], description["image"]["affine"])
    image = Grid(array_from_node(input_node).shape, local_affine(input_node))
    if not _same_corners(stored, image) or array_from_node(probability_node).shape != image.shape:
        raise BadInputError(
            f"The volume '{input_node.GetName()}' lies on another grid than its probability map; press Apply again."
        )
    _move_boxes(description["regions"], stored, image)
    to_world = world_affine(input_node) @ np.linalg.inv(local_affine(input_node))
    roles = description["roles"]
    nodes = dict(zip(roles, (probability_node, endosteal_node)))
    if len(roles) > 1 and endosteal_node is None:
        raise BadInputError("The endosteal probability map is gone from the scene; press Apply again.")
    grid = volume_from_node(input_node)
    maps = {role: grid.with_array(array_from_node(node), node.GetName()) for role, node in nodes.items() if node}
    return restore_probabilities(description, maps, to_world)


def _same_corners(one: Grid, other: Grid) -> bool:
    """True if both cover the same box of the patient; the order of their axes does not count."""
    apart = np.linalg.norm(one.corners()[:, None] - other.corners()[None], axis=-1)
    return bool(apart.min(axis=0).max() < 0.05 and apart.min(axis=1).max() < 0.05)


def _move_boxes(regions, stored: Grid, image: Grid) -> None:
    # Slicer turns the last axis of a left-handed volume round when it reads it.
    for region in regions:
        ends = np.array([region["start"], region["stop"]], dtype=float)
        ends[1] -= 1
        corners = image.ras_to_ijk(stored.ijk_to_ras(ends[:, ::-1]))[:, ::-1]
        region["start"] = np.round(corners.min(axis=0)).astype(int).tolist()
        region["stop"] = (np.round(corners.max(axis=0)).astype(int) + 1).tolist()
