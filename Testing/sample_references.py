"""The exact truth of the sample case as segmentations that Slicer opens with names and colours.

    python Testing/sample_references.py

writes ``hip-*-truth.seg.nrrd`` beside ``hip-*-truth.nii.gz``.
"""

from __future__ import annotations

import sys
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1] / "ProximalFemurSeg"
sys.path.insert(0, str(MODULE))

import slicer  # noqa: E402

from ProximalFemurSegLib.mrml.headless import HeadlessSlicer  # noqa: E402
from ProximalFemurSegLib.mrml.segmentation_node import create_segmentation_node, write_labels  # noqa: E402
from ProximalFemurSegLib.mrml.segments import describe_segments  # noqa: E402
from ProximalFemurSegLib.mrml.volume_node import node_from_volume  # noqa: E402
from ProximalFemurSegLib.volume_io import read_labels  # noqa: E402

SEGMENTS = describe_segments({1: ("trabecular bone", "left"), 2: ("cortical bone", "left")})


def write_reference(scene, modality: str) -> Path:
    """Write one of them; gives its path."""
    path = MODULE / "Resources" / "SampleData" / f"hip-{modality}-truth.seg.nrrd"
    truth = read_labels(path.with_name(f"hip-{modality}-truth.nii.gz"))
    node = create_segmentation_node(scene, node_from_volume(truth, scene), SEGMENTS, "reference")
    write_labels(node, truth.array, SEGMENTS)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    if not storage.WriteData(node):
        raise SystemExit(f"{path} could not be written")
    return path


if __name__ == "__main__":
    headless = HeadlessSlicer()
    for name in ("ct", "mr"):
        print(write_reference(headless.scene, name))
