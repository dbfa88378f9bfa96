"""The regions of one segmentation: divided, and divided again when a landmark, an axis or a plane is moved."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np
import slicer

from ..errors import BadInputError
from ..regions.definition import DISTAL_LIMITS, NECK_MODES, RegionDefinition
from ..regions.marks import placed_marks
from ..regions.measure import Femora, RegionsResult
from ..volume import Grid, Volume
from .adapter import Adapter
from .region_marks import kind_of, read_marks
from .region_nodes import DISTAL_ATTRIBUTE, NECK_ATTRIBUTE, RegionNodes, find_regions, region_steps
from .segmentation_node import masks_on_grid, reference_grid
from .volume_node import array_from_node, local_affine

_INNER, _OUTER = "trabecular", "cortical"


def bone_masks(segmentation) -> tuple[Volume, Volume | None]:
    """Periosteal and endosteal mask of a segmentation, in its own coordinates.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
        As this program makes them (trabecular and cortical bone of one side or both), or of any segments: those of
        this program if there are some, else all, are bone.

    Returns
    -------
    periosteal : Volume
    endosteal : Volume or None
        The trabecular bone, where every side also has its cortex.
    """
    masks = masks_on_grid(segmentation, reference_grid(segmentation))
    known = {name: mask for name, mask in masks.items() if name.partition("_")[0] in (_INNER, _OUTER)}
    chosen = known or masks
    if not chosen:
        raise BadInputError(f"'{segmentation.GetName()}' has no segment: segment the femur first.")
    grid = next(iter(chosen.values())).grid
    # Two at a time: numpy's own reduce would stack them first, which takes thirty times as long.
    bone = reduce(np.logical_or, [mask.array for mask in chosen.values()])
    periosteal = Volume(bone, grid, segmentation.GetName())
    filled = {name for name, mask in known.items() if mask.array.any()}
    sides = {name.partition("_")[2] for name in filled}
    kinds = {(kind, side) for kind, _, side in (name.partition("_") for name in filled)}
    if not sides or not all({(_INNER, side), (_OUTER, side)} <= kinds for side in sides):
        return periosteal, None
    inner = [mask.array for name, mask in known.items() if name.partition("_")[0] == _INNER]
    return periosteal, Volume(reduce(np.logical_or, inner), grid, f"{segmentation.GetName()} trabecular bone")


class RegionSession:
    """Divides a segmentation and follows its marks.

    Parameters
    ----------
    adapter : Adapter
        The scene.
    on_moved : callable, optional
        Called without arguments when a mark moves, many times during a drag: start a timer at it that calls
        :meth:`settle` when the marks have come to rest. If left out, the division follows at once.

    Attributes
    ----------
    nodes : RegionNodes or None
    result : RegionsResult or None
        As it is now; None before the first division of this session.
    """

    def __init__(self, adapter: Adapter, on_moved=None):
        self.nodes: RegionNodes | None = None
        self.result: RegionsResult | None = None
        self._adapter, self._on_moved = adapter, on_moved
        self._femora: Femora | None = None
        self._inputs = (None, None)
        self._definition = RegionDefinition()
        self._observed: list = []
        self._writing = False
        self._settled = ""

    @property
    def definition(self) -> RegionDefinition:
        """How the femora are divided."""
        return self._definition

    def divide(self, segmentation, definition: RegionDefinition | None = None, image=None, calibration=None):
        """Divide a segmentation, or divide it again after its masks were edited; marks placed before are kept.

        Parameters
        ----------
        segmentation : vtkMRMLSegmentationNode
        definition : RegionDefinition, optional
            As before if left out.
        image : vtkMRMLScalarVolumeNode, optional
            CT in HU, on the segmentation's voxels, for density.
        calibration : Calibration, optional
            How HU become mg/cm3.

        Returns
        -------
        RegionNodes

        Raises
        ------
        BadInputError
            If there is no femur in it, or what is given does not fit together; the scene is then as it was.
        """
        self.attach(segmentation)
        mask, endosteal = bone_masks(segmentation)
        femora = self._femora_of(mask, endosteal, _image_beside(image, segmentation), calibration)
        self._inputs = (image, calibration)
        self._measure(femora, definition or self._definition)
        return self.nodes

    def attach(self, segmentation) -> RegionNodes:
        """Follow the marks of a segmentation that was divided before, as after a scene was opened."""
        if self.nodes is None or self.nodes.source is not segmentation:
            self.close()
            self.nodes = find_regions(self._adapter.scene, segmentation) or RegionNodes(segmentation)
            self._definition = _stored_definition(self.nodes.segmentation)
            self._observe()
        return self.nodes

    def redefine(self, definition: RegionDefinition) -> None:
        """Divide by another definition."""
        self._divided()
        self._measure(self._femora, definition)

    def settle(self) -> bool:
        """Bring everything up to the marks as they are.

        Returns
        -------
        bool
            False if nothing had changed.

        Raises
        ------
        BadInputError
            If the femur cannot be divided with the marks where they are; everything but them is then as it was.
        """
        if self.nodes is None or not self.nodes.marks:
            return False
        self._divided()
        if repr(self._placed()) == self._settled:
            return False
        self._measure(self._femora, self._definition)
        return True

    def release(self, side: str | None = None, name: str | None = None) -> None:
        """Forget what the user placed: of one femur or of both, one landmark or plane or all."""
        self._divided()
        placed = self._placed()
        for own_side, own in placed.items():
            if side in (None, own_side):
                for known in list(own):
                    if name in (None, known):
                        del own[known]
        self._measure(self._femora, self._definition, placed)

    def close(self) -> None:
        """Follow nothing any longer; the nodes stay."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []
        self.nodes = self.result = self._femora = None

    def _femora_of(self, mask, endosteal, image, calibration):
        """What :meth:`_measure` divides; a face that divides elsewhere takes there what it needs."""
        return Femora(mask, endosteal, "auto", image, calibration)

    def _divided(self) -> None:
        """Have the masks at hand, as after a scene was opened."""
        if self.nodes is None:
            raise BadInputError("Divide a segmentation first.")
        if self._femora is None:
            self.divide(self.nodes.source, None, *self._inputs)

    def _placed(self) -> dict:
        marks = [mark for node in self.nodes.marks.values() if node.GetScene() for mark in read_marks(node)]
        return placed_marks(marks)

    def _measure(self, femora: Femora, definition: RegionDefinition, placed: dict | None = None) -> None:
        self._take(femora, definition, femora.measure(definition, self._placed() if placed is None else placed))

    def _take(self, femora, definition: RegionDefinition, result: RegionsResult) -> None:
        """Bring the scene up to a division."""
        for _ in self._take_steps(femora, definition, result):
            pass

    def _take_steps(self, femora, definition: RegionDefinition, result: RegionsResult) -> Iterator[None]:
        """:meth:`_take` in steps short enough for a window."""
        self._femora, self._definition, self.result = femora, definition, result
        self.nodes.marks = {kind: node for kind, node in self.nodes.marks.items() if node.GetScene()}
        steps = region_steps(self._adapter, self.nodes, result)
        going = True
        while going:
            # Only meanwhile: between two steps the user may move a mark.
            self._writing = True
            try:
                going = next(steps, True) is None
            finally:
                self._writing = False
            if going:
                yield
        # As it comes back: a point that only means a height on an axis was put onto that axis.
        self._settled = repr(self._placed())
        self._observe()

    def _observe(self) -> None:
        known = {id(node) for node, _ in self._observed}
        events = (
            slicer.vtkMRMLMarkupsNode.PointModifiedEvent,
            slicer.vtkMRMLMarkupsNode.PointRemovedEvent,
        )
        for node in self.nodes.marks.values():
            if id(node) not in known:
                self._observed += [(node, node.AddObserver(event, self._moved)) for event in events]

    def _moved(self, node, event) -> None:
        if self._writing or kind_of(node) is None or self._adapter.scene.IsClosing():
            return
        if self._on_moved is not None:
            self._on_moved()
        else:
            self.settle()


def _stored_definition(segmentation) -> RegionDefinition:
    if segmentation is None:
        return RegionDefinition()
    neck, distal = (segmentation.GetAttribute(name) for name in (NECK_ATTRIBUTE, DISTAL_ATTRIBUTE))
    return RegionDefinition(
        neck if neck in NECK_MODES else RegionDefinition.neck,
        distal if distal in DISTAL_LIMITS else RegionDefinition.distal,
    )


def _image_beside(image, segmentation) -> Volume | None:
    if image is None:
        return None
    if image.GetParentTransformNode() is not segmentation.GetParentTransformNode():
        raise BadInputError(
            f"'{image.GetName()}' and '{segmentation.GetName()}' are under different transforms: harden them first."
        )
    array = array_from_node(image)
    return Volume(array, Grid(array.shape, local_affine(image)), image.GetName())
