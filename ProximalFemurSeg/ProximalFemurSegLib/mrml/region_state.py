"""Whether regions in the scene are still those of the masks that were divided; saved with the scene."""

from __future__ import annotations

from .region_nodes import RegionNodes
from .segmentation_node import fingerprint, same_fingerprint

_MASKS_ATTRIBUTE = "ProximalFemurSeg.DividedMasks"


def remember_masks(nodes: RegionNodes, masks: str) -> None:
    """Remember the fingerprint of the masks that were divided."""
    nodes.segmentation.SetAttribute(_MASKS_ATTRIBUTE, masks)


def is_outdated(nodes: RegionNodes) -> bool:
    """True if the masks are not those that were divided; regions of which that is not known count as up to date."""
    divided = nodes.segmentation.GetAttribute(_MASKS_ATTRIBUTE)
    return divided is not None and not same_fingerprint(divided, fingerprint(nodes.source))
