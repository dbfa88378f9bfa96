"""How regions in the scene came about, and whether the masks are still the same; saved with the scene."""

from __future__ import annotations

from .region_nodes import (
    DISTAL_ATTRIBUTE,
    DIVIDED,
    GEOMETRY_TABLE,
    MARK,
    NECK_ATTRIBUTE,
    REGION_TABLE,
    RegionNodes,
)
from .result_nodes import hide
from .segmentation_node import fingerprint, same_fingerprint

_MASKS_ATTRIBUTE, _CALIBRATION_ATTRIBUTE = "ProximalFemurSeg.DividedMasks", "ProximalFemurSeg.Calibration"
_REGIONS_ATTRIBUTE = "ProximalFemurSeg.Regions"


def remember_division(nodes: RegionNodes, masks: str, calibration: str) -> None:
    """Remember the fingerprint of the masks that were divided, and the words of the calibration (empty: none)."""
    nodes.segmentation.SetAttribute(_MASKS_ATTRIBUTE, masks)
    nodes.segmentation.SetAttribute(_CALIBRATION_ATTRIBUTE, calibration or None)
    nodes.segmentation.SetAttribute(_REGIONS_ATTRIBUTE, fingerprint(nodes.segmentation))


def spare_edited(nodes: RegionNodes) -> None:
    """Before another division is written: regions that somebody drew in are left alone, and new ones will be made."""
    node = nodes.segmentation
    written = None if node is None else node.GetAttribute(_REGIONS_ATTRIBUTE)
    if written is None or same_fingerprint(written, fingerprint(node)):
        return
    for role in (DIVIDED, REGION_TABLE, GEOMETRY_TABLE, MARK):
        node.RemoveNodeReferenceIDs(role)
    hide(node)
    nodes.segmentation = None


def definition_of(nodes: RegionNodes) -> tuple[str, str, str]:
    """Mode of the neck, distal limit and calibration with which the regions were made; empty where not known."""
    attributes = (NECK_ATTRIBUTE, DISTAL_ATTRIBUTE, _CALIBRATION_ATTRIBUTE)
    return tuple(nodes.segmentation.GetAttribute(name) or "" for name in attributes)


def is_outdated(nodes: RegionNodes) -> bool:
    """True if the masks are not those that were divided; regions of which that is not known count as up to date."""
    divided = nodes.segmentation.GetAttribute(_MASKS_ATTRIBUTE)
    return divided is not None and not same_fingerprint(divided, fingerprint(nodes.source))
