"""A DICOM series brought into the scene as Slicer's DICOM module brings it: voxels, patient, study and series.

The voxels are read by Slicer's own volumes logic, the place in the hierarchy is made by its own hierarchy logic; which
attributes are set follows Slicer's documentation of the subject hierarchy and its constants.
"""

from __future__ import annotations

from pathlib import Path

import pydicom
import slicer
import vtk


def load_series(headless, folder: Path):
    """The volume node of the series in a folder, under its patient and study.

    Parameters
    ----------
    headless : HeadlessSlicer
    folder : pathlib.Path
        With the files of one series.
    """
    headers = {str(path): pydicom.dcmread(path, stop_before_pixels=True) for path in folder.iterdir()}
    # As the DICOM module sorts them: along the normal of the slices.
    names = sorted(headers, key=lambda name: _place(headers[name]))
    first = headers[names[0]]
    files = vtk.vtkStringArray()
    for name in names:
        files.InsertNextValue(name)
    node = headless.modules.volumes.logic().AddArchetypeScalarVolume(
        names[0], f"{first.SeriesNumber}: {first.SeriesDescription}", 0, files
    )
    node.SetAttribute("DICOM.instanceUIDs", " ".join(headers[name].SOPInstanceUID for name in names))
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    uid = constants.GetDICOMUIDName()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(headless.scene)
    series = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    hierarchy.SetItemUID(series, uid, first.SeriesInstanceUID)
    hierarchy.SetItemAttribute(series, constants.GetDICOMSeriesModalityAttributeName(), first.Modality)
    hierarchy.SetItemAttribute(series, constants.GetDICOMSeriesNumberAttributeName(), str(first.SeriesNumber))
    slicer.vtkSlicerSubjectHierarchyModuleLogic.InsertDicomSeriesInHierarchy(
        hierarchy, first.PatientID, first.StudyInstanceUID, first.SeriesInstanceUID
    )
    patient = hierarchy.GetItemByUID(uid, first.PatientID)
    hierarchy.SetItemName(patient, str(first.PatientName))
    study = hierarchy.GetItemByUID(uid, first.StudyInstanceUID)
    hierarchy.SetItemName(study, first.StudyDescription)
    hierarchy.SetItemAttribute(patient, constants.GetDICOMPatientIDAttributeName(), first.PatientID)
    hierarchy.SetItemAttribute(study, constants.GetDICOMStudyDescriptionAttributeName(), first.StudyDescription)
    return node


def place_of(node) -> list[str]:
    """Names of the items above a node, the patient first."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item, names = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)), []
    while item and item != hierarchy.GetSceneItemID():
        names.insert(0, hierarchy.GetItemName(item))
        item = hierarchy.GetItemParent(item)
    return names


def _place(header) -> float:
    position = [float(value) for value in header.ImagePositionPatient]
    row, column = ([float(v) for v in header.ImageOrientationPatient[n : n + 3]] for n in (0, 3))
    normal = (
        row[1] * column[2] - row[2] * column[1],
        row[2] * column[0] - row[0] * column[2],
        row[0] * column[1] - row[1] * column[0],
    )
    return sum(a * b for a, b in zip(position, normal))
