"""What of a result is compared with what of a reference: segments and label values that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ..errors import BadInputError
from ..volume import Grid, Volume
from .matrices import matrix_to_world
from .segmentation_node import masks_on_grid, reference_grid
from .volume_node import grid_from_node, volume_from_node

_INNER, _OUTER = "trabecular", "cortical"


@dataclass(frozen=True)
class Pair:
    """One structure of both nodes.

    Parameters
    ----------
    name : str
        What the user reads.
    result, reference : tuple of str
        Segment IDs, or label values as text, whose union is compared; empty for everything that is bone.
    shown : bool
        Whether its surface is seen from outside; the endosteal one lies within the periosteal one.
    """

    name: str
    result: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    shown: bool = True


def part_names(node) -> dict[str, str]:
    """Segment ID to name, or label value to itself, of a segmentation or label map node.

    Raises
    ------
    BadInputError
        A node of another kind.
    """
    if _is_segmentation(node):
        segmentation = node.GetSegmentation()
        return {name: segmentation.GetSegment(name).GetName() for name in segmentation.GetSegmentIDs()}
    values = np.unique(_label_map(node).array)
    return {str(value): str(value) for value in values.tolist() if value}


def suggest_pairs(result_node, reference_node) -> list[Pair]:
    """What to compare where nobody said.

    The whole bone (periosteal) and the trabecular bone (endosteal) of every side that both nodes know by this
    program's segment IDs; else segments and label values of the same name; else everything with everything.
    """
    result, reference = part_names(result_node), part_names(reference_node)
    known = _known_structures(result, reference)
    if known:
        return known
    by_name = {name.casefold(): part for part, name in reference.items()}
    shared = [(part, name) for part, name in result.items() if name.casefold() in by_name]
    if shared:
        return [Pair(name, (part,), (by_name[name.casefold()],)) for part, name in shared]
    return [Pair("bone")]


def _known_structures(result, reference) -> list[Pair]:
    pairs = []
    for ending in ("_left", "_right", ""):
        inner, outer = _INNER + ending, _OUTER + ending
        have = [{inner, outer} & set(parts) for parts in (result, reference)]
        side = f", {ending[1:]}" if ending else ""
        if have[0] == have[1] == {inner, outer}:
            pairs.append(Pair(f"whole bone{side}", (inner, outer), (inner, outer)))
        if inner in have[0] & have[1]:
            pairs.append(Pair(f"trabecular bone{side}", (inner,), (inner,), shown=len(have[0] | have[1]) == 1))
    return pairs


def pair_masks(result_node, reference_node, pairs: Sequence[Pair]) -> list[tuple[Volume, Volume]]:
    """The masks of each pair, in the scene's world, the references on the grid of their node.

    Returns
    -------
    list of tuple of Volume
        Result and reference. A result segmentation is sampled on the reference's grid, its ``metadata["resampled"]``
        says whether it was drawn on other voxels; a result label map keeps its own grid.

    Raises
    ------
    BadInputError
        If a node is neither segmentation nor label map, has no such part, or is under a transform that bends space.
    """
    references = _parts(reference_node, None)
    grid = next(iter(references.values())).grid if references else _own_grid(reference_node)
    results = _parts(result_node, grid)
    return [
        (
            _union(results, pair.result, result_node, grid),
            _union(references, pair.reference, reference_node, grid),
        )
        for pair in pairs
    ]


def _parts(node, grid: Grid | None) -> dict[str, Volume]:
    if _is_segmentation(node):
        return masks_on_grid(node, grid or _own_grid(node), matrix_to_world(node))
    volume = _label_map(node)
    return {name: volume.with_array(volume.array == int(name)) for name in part_names(node)}


def _own_grid(node) -> Grid:
    if not _is_segmentation(node):
        return grid_from_node(node)
    local = reference_grid(node)
    return Grid(local.shape, matrix_to_world(node) @ local.affine)


def _union(parts: dict[str, Volume], names, node, grid: Grid) -> Volume:
    missing = [name for name in names if name not in parts]
    if missing:
        raise BadInputError(f"'{node.GetName()}' has no part '{missing[0]}'; choose one of {', '.join(parts)}.")
    chosen = [parts[name] for name in names or parts]
    if not chosen:
        return Volume(np.zeros(grid.shape, bool), grid, node.GetName())
    array = reduce(np.logical_or, [part.array for part in chosen])
    resampled = any(part.metadata.get("resampled", False) for part in chosen)
    return Volume(array, chosen[0].grid, node.GetName(), metadata={"resampled": resampled})


def _is_segmentation(node) -> bool:
    return node.IsA("vtkMRMLSegmentationNode")


def _label_map(node) -> Volume:
    if not node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise BadInputError(f"'{node.GetName()}' holds no masks; choose a segmentation or a label map.")
    volume = volume_from_node(node)
    if volume.array.dtype.kind == "f":
        raise BadInputError(f"The label map '{node.GetName()}' holds no whole numbers; cast it to integers first.")
    return volume
