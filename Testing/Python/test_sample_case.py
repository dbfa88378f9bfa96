"""The sample case is what its README says it is: the phantom command's own work."""

from __future__ import annotations

import numpy as np
import pytest

from command_line import invoke
from ProximalFemurSegLib.volume_io import read_labels, read_volume
from test_packaging import MODULE

SAMPLES = MODULE / "Resources" / "SampleData"


@pytest.mark.parametrize("modality", ["ct", "mr"])
def test_the_sample_is_made_by_the_command_in_its_readme(modality, tmp_path):
    (line,) = [text for text in (SAMPLES / "README.md").read_text().splitlines() if f"--modality {modality}" in text]
    words = line.split()[1:-2]
    assert invoke(*words, "--output", tmp_path / "made").exit_code == 0
    image = read_volume(SAMPLES / f"hip-{modality}.nii.gz")
    truth = read_labels(SAMPLES / f"hip-{modality}-truth.nii.gz")
    made, its_truth = (read_volume(tmp_path / "made" / f"{name}.nii.gz") for name in ("image", "truth"))
    assert image.grid.is_close(made.grid) and truth.grid.is_close(image.grid)
    # Another processor may round the last bit of a voxel differently.
    difference = np.abs(image.array.astype(float) - made.array)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
    assert (truth.array != its_truth.array).mean() < 1e-5
    assert set(np.unique(truth.array)) == {0, 1, 2}


@pytest.mark.parametrize("modality", ["ct", "mr"])
def test_the_reference_for_slicer_is_the_truth(modality):
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    from ProximalFemurSegLib.mrml.segmentation_node import masks_from_segmentation
    from ProximalFemurSegLib.mrml.volume_node import node_from_volume

    truth = read_labels(SAMPLES / f"hip-{modality}-truth.nii.gz")
    scene = slicer.vtkMRMLScene()
    storage, node = slicer.vtkMRMLSegmentationStorageNode(), scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage.SetFileName(str(SAMPLES / f"hip-{modality}-truth.seg.nrrd"))
    assert storage.ReadData(node)
    masks = masks_from_segmentation(node, node_from_volume(truth, scene))
    assert {name: mask.name for name, mask in masks.items()} == {
        "trabecular_left": "Left femur, trabecular bone", "cortical_left": "Left femur, cortical bone",
    }  # fmt: skip
    assert np.array_equal(masks["trabecular_left"].array, truth.array == 1)
    assert np.array_equal(masks["cortical_left"].array, truth.array == 2)
