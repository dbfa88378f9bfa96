"""A reader who draws from nothing: what corrections of a draft are compared with (ISMRM-2017)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from .adapter import Adapter
from .correction_session import CorrectionSession, check_names
from .hierarchy import place_beside
from .segmentation_node import create_segmentation_node, masks_on_grid, reference_grid
from .segments import describe_segments

_SIDES = {1: ("trabecular bone", None), 2: ("cortical bone", None)}


def begin_by_hand(
    adapter: Adapter,
    input_node,
    reader: str,
    sides: Mapping[int, tuple[str, str | None]] | None = None,
    clock_time: Callable[[], float] = time.monotonic,
) -> CorrectionSession:
    """Add an empty segmentation to draw in, and start the clock.

    Parameters
    ----------
    adapter : Adapter
        The scene.
    input_node : vtkMRMLScalarVolumeNode
        What is segmented; its name is that of the subject.
    reader : str
        Who draws.
    sides : mapping of int to (str, str or None), optional
        Label values to structures and sides, as a segmentation result has them; default trabecular and cortical bone.
    clock_time : callable
        Seconds of a clock that never goes back.

    Raises
    ------
    BadInputError
        If the reader is missing; the scene is then as it was.
    """
    subject = input_node.GetName()
    check_names(subject, reader)
    segments = describe_segments(sides or _SIDES)
    node = create_segmentation_node(adapter.scene, input_node, segments, f"{subject} by hand")
    place_beside(input_node, node)
    return CorrectionSession.begin(adapter, node, subject, reader, from_nothing=True, clock_time=clock_time)


def nothing_drawn(session: CorrectionSession) -> bool:
    """True for a session from nothing whose segmentation is still empty."""
    if not session.from_nothing:
        return False
    masks = masks_on_grid(session.segmentation, reference_grid(session.segmentation))
    return not any(np.any(mask.array) for mask in masks.values())


def discard(session: CorrectionSession) -> None:
    """Forget a session from nothing, and take its segmentation out of the scene."""
    node = session.segmentation
    session.abandon()
    scene, display = node.GetScene(), node.GetDisplayNode()
    for one in (display, node):
        if one is not None:
            scene.RemoveNode(one)
