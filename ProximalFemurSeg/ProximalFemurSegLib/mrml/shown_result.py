"""The result as the scene shows it, edits and all, for whoever writes it to files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .live_mask import LiveMask
from .segmentation_node import masks_from_segmentation
from .segments import describe_segments


def shown_result(live: LiveMask):
    """A result as it is now.

    Parameters
    ----------
    live : LiveMask
        Masks that somebody edited are read from the segmentation; else they are those of the threshold.

    Returns
    -------
    SegmentationResult
        Its measurements say ``edited`` where somebody drew, and hold the volumes of what was drawn.
    """
    live.follow()
    if not live.edited:
        return live.result
    masks = masks_from_segmentation(live.nodes.segmentation, live.nodes.input)
    labels = np.zeros(live.result.labels.array.shape, np.uint8)
    for segment in describe_segments(live.result.sides):
        if segment.segment_id in masks:
            labels[masks[segment.segment_id].array] = segment.label
    measurements = {**live.result.measurements, **live.measurements()}
    return replace(live.result, labels=live.result.labels.with_array(labels), measurements=measurements)
