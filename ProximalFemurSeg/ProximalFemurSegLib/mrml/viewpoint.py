"""From where a bone is looked at: the middle of it, and a camera that sees all of it."""

from __future__ import annotations

import numpy as np


def bone_bounds(segmentation_node) -> list[float] | None:
    """Least and greatest x, y and z (RAS mm) of what is segmented; None if that is nothing."""
    bounds = [0.0] * 6
    segmentation_node.GetRASBounds(bounds)
    return None if bounds[0] > bounds[1] else bounds


def bone_middle(segmentation_node) -> list[float] | None:
    """A point (RAS mm) in the middle of the first bone, not between two of them; None if nothing is segmented."""
    bounds = bone_bounds(segmentation_node)
    if bounds is None:
        return None
    first = segmentation_node.GetSegmentation().GetNthSegmentID(0)
    middle = segmentation_node.GetSegmentCenterRAS(first)
    if middle is None:
        return [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
    return list(middle)


def look_at(camera_node, bounds) -> None:
    """From where it looks from, the camera of a view goes so near that the bounds fill the view."""
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    centre, radius = (low + high) / 2, np.linalg.norm(high - low) / 2
    camera = camera_node.GetCamera()
    distance = radius / np.sin(np.radians(camera.GetViewAngle()) / 2)
    position = centre - distance * np.array(camera.GetDirectionOfProjection())
    camera_node.SetFocalPoint(*centre)
    camera_node.SetPosition(*position)
    camera_node.ResetClippingRange()
