"""What of a result is compared with what of a reference: segments and label values that belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import BadInputError
from ..volume import Grid, Volume
from .matrices import matrix_to_world
from .part_names import is_femur, is_segmentation, label_map_of, part_names, side_of
from .segmentation_node import masks_on_grid, reference_grid

_INNER, _OUTER = "trabecular", "cortical"
EVERYTHING = "*"
"""Chosen in place of a part: all that a node holds."""


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


def suggest_pairs(result_node, reference_node, chosen: str = "") -> list[Pair]:
    """What to compare with what.

    The whole bone (periosteal) and the trabecular bone (endosteal) of every side that both nodes know by this
    program's segment IDs; else segments and label values of the same name; else the parts of the reference that are
    named a femur, each side with the result's; else, where the reference has but one part, everything with that.

    Parameters
    ----------
    result_node, reference_node : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode
    chosen : str, optional
        The part of the reference that the user wants compared, as of ``part_names``, or `EVERYTHING`.

    Raises
    ------
    BadInputError
        If nothing in the reference is known to be what the result is; the user has to choose.
    """
    result, reference = part_names(result_node), part_names(reference_node)
    if chosen == EVERYTHING:
        return [Pair("bone")]
    if chosen:
        if chosen not in reference:
            raise BadInputError(f"'{reference_node.GetName()}' has no part '{chosen}' any longer; choose another one.")
        return [Pair("bone", _of_side(result, side_of(reference[chosen])), (chosen,))]
    known = _known_structures(result, reference)
    if known:
        return known
    by_name = {name.casefold(): part for part, name in reference.items()}
    shared = [(part, name) for part, name in result.items() if name.casefold() in by_name]
    if shared:
        return [Pair(name, (part,), (by_name[name.casefold()],)) for part, name in shared]
    femora = [part for part, name in reference.items() if is_femur(name)]
    if femora:
        return _femora(result, {part: side_of(reference[part]) for part in femora}, len(reference), reference_node)
    if len(reference) > 1:
        raise BadInputError(
            f"'{reference_node.GetName()}' holds {len(reference)} structures ({_listed(reference.values())}), none of "
            "them named a femur; choose under Part which of them is compared."
        )
    return [Pair("bone")]


def _femora(result, sides, count, node) -> list[Pair]:
    """Every side of the result with the femora of that side, where the reference tells them apart."""
    own = {side_of(name) for name in result.values()} - {None}
    told = set(sides.values()) - {None}
    if not (own and told):
        return [Pair("bone", (), tuple(sides) if len(sides) < count else ())]
    if not own & told:
        raise BadInputError(
            f"'{node.GetName()}' has the {' and '.join(sorted(told))} femur, the result the "
            f"{' and '.join(sorted(own))} one; choose another reference."
        )
    return [
        Pair(f"bone, {side}", _of_side(result, side), tuple(part for part, named in sides.items() if named == side))
        for side in sorted(own & told)
    ]


def _of_side(result, side) -> tuple[str, ...]:
    """The parts of a result on one side; none, which is everything, where the names do not tell."""
    return tuple(part for part, name in result.items() if side_of(name) == side) if side else ()


def _listed(names) -> str:
    names = list(names)
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _known_structures(result, reference) -> list[Pair]:
    pairs = []
    for ending in ("_left", "_right", ""):
        inner, outer = _INNER + ending, _OUTER + ending
        have = [{inner, outer} & set(parts) for parts in (result, reference)]
        side = f", {ending[1:]}" if ending else ""
        covered = have[0] == have[1] == {inner, outer}
        if covered:
            pairs.append(Pair(f"whole bone{side}", (inner, outer), (inner, outer)))
        if inner in have[0] & have[1]:
            pairs.append(Pair(f"trabecular bone{side}", (inner,), (inner,), shown=not covered))
    return pairs


def joined(pairs: Sequence[Pair]) -> Pair:
    """All structures of some pairs as one."""
    names = []
    for sides in ([pair.result for pair in pairs], [pair.reference for pair in pairs]):
        names.append(tuple(dict.fromkeys(part for side in sides for part in side)) if all(sides) else ())
    return Pair("bone", *names)


def pair_masks(result_node, reference_node, pairs: Sequence[Pair]) -> Iterator[tuple[Volume, Volume]]:
    """The masks of each pair, in the scene's world, the references on the grid of their node.

    Yields
    ------
    tuple of Volume
        Result and reference. A result segmentation is sampled on the reference's grid, its ``metadata["resampled"]``
        says whether it was drawn on other voxels; a result label map keeps its own grid.

    Raises
    ------
    BadInputError
        If a node is neither segmentation nor label map, has no such part, or is under a transform that bends space.
    """
    grid = _own_grid(reference_node)
    for pair in pairs:
        yield _union(result_node, pair.result, grid), _union(reference_node, pair.reference, grid)


def _own_grid(node) -> Grid:
    if not is_segmentation(node):
        return label_map_of(node).grid
    local = reference_grid(node)
    return Grid(local.shape, matrix_to_world(node) @ local.affine)


def _union(node, names, grid: Grid) -> Volume:
    parts = part_names(node)
    missing = [name for name in names if name not in parts]
    if missing:
        raise BadInputError(f"'{node.GetName()}' has no part '{missing[0]}'; choose one of {', '.join(parts)}.")
    if is_segmentation(node):
        masks = masks_on_grid(node, grid, matrix_to_world(node), names or None)
        array, resampled = np.zeros(grid.shape, bool), False
        for mask in masks.values():
            array |= mask.array
            resampled |= mask.metadata["resampled"]
        return Volume(array, grid, node.GetName(), metadata={"resampled": resampled})
    labels = label_map_of(node)
    array = labels.array != 0
    if names:
        array = np.zeros(labels.array.shape, bool)
        for name in names:
            array |= labels.array == int(name)
    return Volume(array, labels.grid, node.GetName(), metadata={"resampled": False})
