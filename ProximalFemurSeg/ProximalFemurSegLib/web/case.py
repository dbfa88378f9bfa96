"""One case from its image to its files: everything that can be done without the page."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import slicer

from .. import presenter
from ..desktop.comparison_maker import ComparisonMaker
from ..desktop.region_maker import RegionMaker
from ..errors import BadInputError
from ..evaluation.comparison import ComparisonOptions
from ..inference.modality import detect_modality
from ..mrml import parameters as p
from ..mrml.compared_parts import suggest_pairs
from ..mrml.comparison import distance_models, distances_shown, find_comparison, read_values
from ..mrml.own_labels import has_own_labels, segmentation_from_own_labels
from ..mrml.session import Session
from ..mrml.table_node import read_table
from ..mrml.volume_node import node_from_volume
from ..preview import intensity_window
from ..regions.definition import RegionDefinition
from ..running.child import Child
from ..running.child_process import ChildProcessRunner
from ..running.runner import Runner, State
from ..volume import Volume
from .adapter import BrowserAdapter

_LIBRARY = Path(__file__).resolve().parents[2]
_EDITS = ("SourceRepresentationModified", "SegmentModified", "SegmentAdded", "SegmentRemoved")


def create_child() -> Child:
    """The process in which the networks run, and whatever else takes long; not started before it is asked."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "ProximalFemurSegLib.desktop.worker"]
    return Child(command, cwd=_LIBRARY, environment=environment)


class Case:
    """What the page works on.

    Parameters
    ----------
    adapter : BrowserAdapter
        Scene and views.
    child : Child or None
        Does what takes long; without one the caller waits.
    runner : Runner, optional
        Carries out the runs; in the child if left out.
    on_edited, on_moved : callable
        Called without arguments when somebody draws, and when a landmark is moved, many times each: call `settle` and
        `settle_regions` when they have come to rest.

    Attributes
    ----------
    session : Session
    regions : RegionMaker
    comparison : ComparisonMaker
    devices : dict or None
        What there is to run networks on; None while it is not known.
    messages : list of str
        What had to be decided when the image was read.
    """

    def __init__(
        self, adapter: BrowserAdapter, child: Child | None, runner: Runner | None = None, on_edited=None, on_moved=None
    ):
        self.adapter = adapter
        self.session = Session(adapter, runner or ChildProcessRunner(child))
        self.regions = RegionMaker(adapter, child, on_moved or (lambda: None), self._regions_done)
        self.comparison = ComparisonMaker(adapter, child, self._compared)
        self.devices, self.messages = None, []
        self._child, self._request = child, None
        self._on_edited = on_edited or (lambda: None)
        self._watched, self._tags = None, []
        self._reference_map = None
        self._shows = {"fill": True, "surface": True, "regions": True, "distances": False}

    # The image

    def open(self, volume: Volume) -> None:
        """Take up an image in place of the one before, of which nothing is kept but the choices of a run."""
        parameters = p.read_parameters(self.session.parameter_node)
        self.close()
        self.adapter.scene.Clear(False)
        node = node_from_volume(volume, self.adapter.scene)
        modality, _ = detect_modality(volume, parameters.modality)
        self.set_window(*intensity_window(volume.array[::2, ::2, ::2], modality), node)
        self.messages = list(volume.metadata.get("messages", []))
        p.write_parameters(self.session.parameter_node, parameters)
        p.set_reference(self.session.parameter_node, p.INPUT, node)
        said = volume.metadata.get("modality", "").lower()
        if said in ("ct", "mr") and parameters.modality == "auto":
            self.choose(modality=said)
        self.adapter.show_image(node)

    @property
    def image(self):
        """The node of the image, or None."""
        return p.get_reference(self.session.parameter_node, p.INPUT)

    @property
    def segmentation(self):
        """The node of the result, or None."""
        return p.get_reference(self.session.parameter_node, p.SEGMENTATION)

    @property
    def reference(self):
        """What the result is compared with, or None."""
        return p.get_reference(self.session.parameter_node, p.REFERENCE)

    def set_window(self, low: float, high: float, node=None) -> None:
        """Which values of the image are black and white."""
        display = (node or self.image).GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(low, high)

    # The run

    def choose(self, **choices: str) -> None:
        """Set some of the choices of a run, named as in ``mrml.parameters.Parameters``."""
        for name, value in choices.items():
            self.session.parameter_node.SetParameter(name, value)

    def ask_devices(self) -> None:
        """Find out what there is to run networks on; torch is loaded there, ready for a run."""
        if self._child is not None:
            self._request = self._child.ask("devices")

    @property
    def running(self) -> bool:
        return self.session.status.state is State.RUNNING

    @property
    def busy(self) -> bool:
        """True while there is something to poll for."""
        makers = (self.regions, self.comparison, self.adapter)
        return self.running or self._request is not None or any(maker.busy for maker in makers)

    def poll(self) -> None:
        """Look at what is on its way, and take what has come."""
        running = self.running
        status = self.session.poll()
        if self._child is not None:
            self._child.poll()
        for maker in (self.adapter, self.regions, self.comparison):
            maker.poll()
        if self._request is not None and self._request.over:
            self.devices, self._request = self._request.reply, None
        if running and status.state is State.DONE:
            self._watch(self.segmentation)
            self.show()

    # The masks

    def move_threshold(self, threshold) -> None:
        """To a probability, or to one of the named ones; `settle` has to follow."""
        self.session.move_threshold(threshold)

    def settle(self) -> None:
        """The masks stay as they are for now: bring surface, table and threshold up to them."""
        self.session.settle()

    def renew(self) -> None:
        """A new segmentation from the map beside the one that was edited, which is hidden."""
        self.session.renew()
        self.regions.close()
        self._watch(self.segmentation)
        self.show()

    def undo(self) -> None:
        self.adapter.brushes.undo()
        self.settle()

    def redo(self) -> None:
        self.adapter.brushes.redo()
        self.settle()

    # The regions

    def divide(self, neck: str, distal: str) -> None:
        """Divide the bone as it is now; landmarks that were moved stay."""
        if self.segmentation is None:
            raise BadInputError("Segment the image first: then its bone can be divided.")
        self.settle()
        self.regions.divide(self.segmentation, RegionDefinition(neck, distal))

    def settle_regions(self) -> None:
        """The landmarks have come to rest."""
        self.regions.settle()

    def region_tables(self) -> tuple:
        """Volumes of the regions, and angles and lengths; empty while nothing is divided."""
        nodes = self.regions.nodes
        # On its way into the scene a division has its segmentation before its tables.
        if nodes is None or nodes.table is None or nodes.geometry is None:
            return ()
        return (
            presenter.regions_table(read_table(nodes.table)),
            presenter.geometry_table(read_table(nodes.geometry)),
        )

    def regions_note(self) -> str:
        """What is to be said of the regions."""
        moving = self.session.live is not None and self.session.live.moving
        outdated = not self.regions.busy and not moving and self.regions.outdated
        return presenter.regions_note(self.regions.busy, self.regions.problem, outdated, self.region_tables())

    def _regions_done(self) -> None:
        self.show()

    # The comparison

    def set_reference(self, volume: Volume) -> None:
        """Take up another reader's label map."""
        before = {self.reference, self._reference_map}
        node = node_from_volume(volume, self.adapter.scene, class_name="vtkMRMLLabelMapVolumeNode")
        p.set_reference(self.session.parameter_node, p.REFERENCE, node)
        self._reference_map = node
        for old in filter(None, before):
            self.adapter.scene.RemoveNode(old)
        self.adapter.show_label_map(node, True)

    def compare(self) -> None:
        """Compare the masks as they are now with the reference."""
        if self.segmentation is None or self.reference is None:
            raise BadInputError("Segment the image and choose a reference first: then the two can be compared.")
        self.settle()
        if self.reference is self._reference_map and has_own_labels(self.reference):
            sides = dict.fromkeys(side for _, side in self.session.live.result.sides.values())
            node = segmentation_from_own_labels(self.adapter.scene, self.reference, tuple(sides))
            p.set_reference(self.session.parameter_node, p.REFERENCE, node)
        pairs = suggest_pairs(self.segmentation, self.reference)
        self.comparison.compare(self.segmentation, self.reference, pairs, ComparisonOptions())

    def comparison_table(self):
        """What was found, or an empty table."""
        table = self._compared_table()
        return presenter.comparison_table([] if table is None else read_values(table))

    def _compared_table(self):
        if self.segmentation is None or self.reference is None:
            return None
        return find_comparison(self.adapter.scene, self.segmentation, self.reference)

    def _compared(self, result, reference, comparison) -> None:
        if comparison is not None:
            self.show(distances=True)

    # What the views show

    def show(self, **choices: bool) -> None:
        """Bring the views up to what is chosen: ``fill``, ``surface``, ``regions``, ``distances``."""
        self._shows.update(choices)
        table = self._compared_table()
        for model in distance_models(table) if table is not None else []:
            model.GetDisplayNode().SetVisibility(self._shows["distances"])
        covered = self.segmentation is not None and distances_shown(self.adapter.scene, self.segmentation)
        nodes = self.regions.nodes
        divided = None if nodes is None else nodes.segmentation
        regions = divided is not None and self._shows["regions"]
        if self.segmentation is not None:
            display = self.segmentation.GetDisplayNode()
            # Regions fill the same voxels, and two surfaces in one place would show through each other.
            display.SetVisibility2DFill(self._shows["fill"] and not regions)
            display.SetVisibility3D(self._shows["surface"] and not regions and not covered)
        if divided is not None:
            divided.GetDisplayNode().SetVisibility(regions)
            divided.GetDisplayNode().SetVisibility3D(self._shows["surface"] and not covered)
            for mark in nodes.marks.values():
                mark.GetDisplayNode().SetVisibility(regions)

    @property
    def shows(self) -> dict[str, bool]:
        """What is chosen to be shown."""
        return dict(self._shows)

    def close(self) -> None:
        """Let go of the scene; what is going on is ended."""
        self._watch(None)
        self.session.forget()
        self.regions.close()
        self.comparison.drop()
        self.adapter.forget()
        self._reference_map = None

    def end(self) -> None:
        """The program ends."""
        self.close()
        self.session.close()
        if self._child is not None:
            self._child.end()

    def _watch(self, segmentation) -> None:
        """Hear when somebody draws in a segmentation; None for no more."""
        for tag in self._tags:
            self._watched.RemoveObserver(tag)
        self._watched = None if segmentation is None else segmentation.GetSegmentation()
        self._tags = []
        if self._watched is not None:
            events = [getattr(slicer.vtkSegmentation, name) for name in _EDITS]
            self._tags = [self._watched.AddObserver(event, self._edited) for event in events]

    def _edited(self, caller, event) -> None:
        if self.session.live is not None and not self.session.live.moving:
            self._on_edited()
