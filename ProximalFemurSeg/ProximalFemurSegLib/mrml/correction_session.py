"""A reader's work on a segmentation, timed while it goes on and kept with the scene (ISMRM-2017's comparison).

A session and, when it is finished, its record live in a node of their own, so that either survives saving, closing and
opening the scene, and a scene can hold the records of several readers.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import slicer
import vtk

from ..errors import BadInputError
from ..evaluation.correction_time import (
    IDLE_LIMIT_S,
    ActivityClock,
    CorrectionRecord,
    describe_correction,
    now,
    write_record,
)
from .adapter import Adapter
from .segmentation_node import masks_on_grid, reference_grid
from .stored_masks import masks_as_text, masks_from_text
from .table_node import Column, create_table_node, write_table

MODULE_NAME = "ProximalFemurSegCorrection"
"""What the nodes of corrections are known by; another name than the module's, whose parameter node they are not."""
SEGMENTATION = "segmentation"
_RUNNING, _DRAFT, _RECORD = (f"ProximalFemurSeg.{name}" for name in ("RunningCorrection", "Draft", "CorrectionRecord"))
_TABLE = "ProximalFemurSeg.CorrectionTimes"
# An undo in the Segment Editor only says that segments were modified.
_EDITS = ("SourceRepresentationModified", "SegmentModified", "SegmentAdded", "SegmentRemoved")
_BROWSED = "vtkMRMLSliceNode"
_COLUMNS = (
    Column("subject", "", "Subject"),
    Column("reader", "", "Reader"),
    Column("task", "", "Task"),
    Column("network", "", "Draft by"),
    Column("started", "", "Started"),
    Column("active_s", "s", "Time at work (s)"),
    Column("idle_s", "s", "Idle (s)"),
    Column("voxels_added", "", "Voxels added"),
    Column("voxels_removed", "", "Voxels removed"),
    Column("dice", "", "DSC of the draft"),
    Column("asd_mm", "mm", "ASD of the draft (mm)"),
)


@dataclass(frozen=True)
class _State:
    """What must be known to go on, beside the draft."""

    subject: str
    reader: str
    network: str
    started: str
    active_s: float
    idle_s: float
    idle_limit_s: float


class CorrectionSession:
    """Times a reader's work on a segmentation and measures what was changed; begun by `begin` or `restore`.

    Every edit of the segmentation and every move through the slices counts as work, and so does the time between two
    of them unless it is longer than the idle limit.

    Attributes
    ----------
    segmentation : vtkMRMLSegmentationNode
        What is worked on.
    from_nothing : bool
        There is no draft.
    paused : bool
        True while nothing is counted; an edit ends a pause.
    """

    def __init__(self, adapter: Adapter, node, clock_time: Callable[[], float] = time.monotonic):
        self._adapter, self._node, self._time = adapter, node, clock_time
        self._state = _State(**json.loads(node.GetAttribute(_RUNNING)))
        self._clock = ActivityClock(self._state.idle_limit_s, self._state.active_s, self._state.idle_s)
        self.segmentation = node.GetNodeReference(SEGMENTATION)
        self.from_nothing = not node.GetAttribute(_DRAFT)
        self.paused = True
        self._observed: list[tuple[Any, int]] = []
        self._observe()

    @classmethod
    def begin(
        cls,
        adapter: Adapter,
        segmentation_node,
        subject: str,
        reader: str,
        network: str = "",
        from_nothing: bool = False,
        idle_limit_s: float = IDLE_LIMIT_S,
        clock_time: Callable[[], float] = time.monotonic,
    ) -> CorrectionSession:
        """Start the clock.

        Parameters
        ----------
        adapter : Adapter
            The scene.
        segmentation_node : vtkMRMLSegmentationNode
            As it is now it is the draft; only the segments that it has now are compared later.
        subject, reader : str
            Whose image, and who works on it.
        network : str
            What made the draft.
        from_nothing : bool
            There is no draft: the reader segments by hand, for comparison.
        idle_limit_s : float
            Seconds; longer gaps between two actions are left out.
        clock_time : callable
            Seconds of a clock that never goes back.

        Raises
        ------
        BadInputError
            If subject or reader is missing, the segmentation has no reference geometry, an empty draft is to be
            corrected, or the segmentation is being worked on already.
        """
        check_names(subject, reader)
        name = segmentation_node.GetName()
        if any(node.GetNodeReference(SEGMENTATION) is segmentation_node for node in _nodes(adapter.scene, _RUNNING)):
            raise BadInputError(f"'{name}' is being corrected already; finish or abandon that correction first.")
        draft = masks_on_grid(segmentation_node, reference_grid(segmentation_node))
        if not from_nothing and not any(mask.array.any() for mask in draft.values()):
            raise BadInputError(f"'{name}' is empty: there is no draft to correct; segment first, or begin by hand.")
        state = _State(subject, reader, network, now().isoformat(timespec="seconds"), 0.0, 0.0, idle_limit_s)
        node = adapter.scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetName(adapter.scene.GenerateUniqueName(f"Correction of {name}"))
        node.SetAttribute("ModuleName", MODULE_NAME)
        node.SetAttribute(_RUNNING, json.dumps(asdict(state)))
        if not from_nothing:
            node.SetAttribute(_DRAFT, masks_as_text(draft))
        node = adapter.scene.AddNode(node)
        node.SetNodeReferenceID(SEGMENTATION, segmentation_node.GetID())
        session = cls(adapter, node, clock_time)
        session.resume()
        return session

    @classmethod
    def restore(cls, adapter: Adapter, clock_time: Callable[[], float] = time.monotonic) -> CorrectionSession | None:
        """The session that was not finished when the scene was saved, paused; None if there is none."""
        for node in _nodes(adapter.scene, _RUNNING):
            if node.GetNodeReference(SEGMENTATION) is not None:
                return cls(adapter, node, clock_time)
        return None

    @property
    def active_s(self) -> float:
        """Seconds at work up to the last action."""
        return self._clock.active_s

    @property
    def idle_s(self) -> float:
        """Seconds of gaps that were left out."""
        return self._clock.idle_s

    @property
    def subject(self) -> str:
        """Whose image."""
        return self._state.subject

    @property
    def reader(self) -> str:
        """Who works on it."""
        return self._state.reader

    @property
    def lost(self) -> bool:
        """True when the segmentation was taken out of the scene."""
        return self._adapter.scene.GetNodeByID(self.segmentation.GetID()) is not self.segmentation

    def act(self) -> None:
        """Something was done that the scene does not tell, for example a choice in the panel."""
        self.paused = False
        self._clock.act(self._time())
        self._keep()

    def pause(self) -> None:
        """The case is left for a while; the time until `resume` or the next edit counts neither way."""
        if not self.paused:
            self.act()
            self._clock.pause()
            self.paused = True

    def resume(self) -> None:
        """Back at work."""
        self.act()

    def finish(self) -> CorrectionRecord:
        """Stop the clock and measure what was changed; the record stays in the scene.

        Raises
        ------
        BadInputError
            If the segmentation is gone.
        """
        if self.lost:
            raise BadInputError("The segmentation was removed from the scene; abandon this correction.")
        if not self.paused:
            self.act()
        text = self._node.GetAttribute(_DRAFT)
        draft = masks_from_text(text) if text else {}
        grid = next(iter(draft.values())).grid if draft else reference_grid(self.segmentation)
        found = masks_on_grid(self.segmentation, grid)
        # Of what was there; segments that help to draw others come and go. By hand, all that is there.
        names = list(draft) or list(found)
        nothing = next(iter(draft.values())).array & False if draft else None
        record = describe_correction(
            self._state.subject,
            self._state.reader,
            datetime.fromisoformat(self._state.started),
            self._clock,
            [found[name].array if name in found else nothing for name in names],
            grid,
            [draft[name].array for name in names] if draft else None,
            self._state.network,
        )
        self.close()
        self._node.SetAttribute(_RECORD, json.dumps(asdict(record), ensure_ascii=False))
        for attribute in (_RUNNING, _DRAFT):
            self._node.RemoveAttribute(attribute)
        return record

    def abandon(self) -> None:
        """Forget this correction; the segmentation stays as it is."""
        self.close()
        self._adapter.scene.RemoveNode(self._node)

    def close(self) -> None:
        """Let go of the scene, which may be closed or saved; `restore` takes up the work again."""
        for watched, tag in self._observed:
            watched.RemoveObserver(tag)
        self._observed = []

    def _observe(self) -> None:
        segmentation = self.segmentation.GetSegmentation()
        for event in _EDITS:
            self._add_observer(segmentation, getattr(slicer.vtkSegmentation, event), self._edited)
        for node in _all(self._adapter.scene, _BROWSED):
            self._add_observer(node, vtk.vtkCommand.ModifiedEvent, self._browsed)

    def _add_observer(self, watched, event, function) -> None:
        self._observed.append((watched, watched.AddObserver(event, function)))

    def _edited(self, caller, event) -> None:
        self.act()

    def _browsed(self, caller, event) -> None:
        if not self.paused:
            self.act()

    def _keep(self) -> None:
        self._state = replace(self._state, active_s=self._clock.active_s, idle_s=self._clock.idle_s)
        self._node.SetAttribute(_RUNNING, json.dumps(asdict(self._state)))


def check_names(subject: str, reader: str) -> None:
    """Refuse a record that nobody could tell from others.

    Raises
    ------
    BadInputError
        If either is missing.
    """
    for what, text in (("subject", subject), ("reader", reader)):
        if not text.strip():
            raise BadInputError(f"Name the {what}, so that the record of this correction can be told from others.")


def correction_records(scene) -> list[CorrectionRecord]:
    """All records of finished corrections in a scene, the oldest first."""
    records = [CorrectionRecord(**json.loads(node.GetAttribute(_RECORD))) for node in _nodes(scene, _RECORD)]
    return sorted(records, key=lambda record: record.start)


def show_records(adapter: Adapter):
    """The records of a scene as a table node, which is made where there is none."""
    scene = adapter.scene
    table = next((node for node in _all(scene, "vtkMRMLTableNode") if node.GetAttribute(_TABLE)), None)
    if table is None:
        table = create_table_node(scene, "Correction times")
        table.SetAttribute(_TABLE, "1")
    rows = [[getattr(record, column.key) for column in _COLUMNS] for record in correction_records(scene)]
    write_table(table, _COLUMNS, rows)
    return table


def export_records(scene, folder) -> list[Path]:
    """Write every record of a scene as JSON, for ``cohort --corrections``; those that are there are replaced.

    Raises
    ------
    BadInputError
        If the folder does not exist, or the scene holds no record.
    """
    folder, records = Path(folder), correction_records(scene)
    if not folder.is_dir():
        raise BadInputError(f"The folder '{folder}' does not exist; make it, or choose another one.")
    if not records:
        raise BadInputError("The scene holds no record of a finished correction; finish one first.")
    paths = [folder / record_name(record) for record in records]
    for record, path in zip(records, paths):
        write_record(record, path)
    return paths


def record_name(record: CorrectionRecord) -> str:
    """Name of a record's file: whose image, who, what and when."""
    words = (record.subject, record.reader, record.task, record.started)
    return "-".join(re.sub(r"\W+", "_", word).strip("_") for word in words) + ".json"


def _all(scene, class_name) -> list:
    found = scene.GetNodesByClass(class_name)
    found.UnRegister(None)
    return [found.GetItemAsObject(number) for number in range(found.GetNumberOfItems())]


def _nodes(scene, attribute) -> list:
    return [
        node
        for node in _all(scene, "vtkMRMLScriptedModuleNode")
        if node.GetAttribute("ModuleName") == MODULE_NAME and node.GetAttribute(attribute)
    ]
