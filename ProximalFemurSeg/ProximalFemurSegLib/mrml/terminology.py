"""What a segment is, in the words of DICOM: category, type and side as Slicer writes them into a segment."""

from __future__ import annotations

CONTEXT = "Segmentation category and type - DICOM master list"
ANATOMIC_CONTEXT = "Anatomic codes - DICOM master list"

ANATOMICAL_STRUCTURE = ("SCT", "123037004", "Anatomical Structure")
FEMUR = ("SCT", "71341001", "Femur")
SIDES = {"left": ("SCT", "7771000", "Left"), "right": ("SCT", "24028007", "Right")}
_NOTHING = ("", "", "")


def femur_terminology(side) -> str:
    """The terminology entry of a piece of the femur, serialised for ``vtkSegment``.

    Parameters
    ----------
    side : {'left', 'right', None}
        Which femur.

    Returns
    -------
    str
        Context, category, type, modifier and (empty) anatomic region, as a DICOM SEG export needs them.

    Examples
    --------
    >>> femur_terminology("left").split("~")[2:4]
    ['SCT^71341001^Femur', 'SCT^7771000^Left']
    """
    codes = (ANATOMICAL_STRUCTURE, FEMUR, SIDES.get(side, _NOTHING))
    parts = [CONTEXT, *("^".join(code) for code in codes), ANATOMIC_CONTEXT, "^".join(_NOTHING), "^".join(_NOTHING)]
    return "~".join(parts)


def set_terminology(segment, entry: str) -> None:
    """Write a serialised terminology entry into a vtkSegment."""
    if hasattr(segment, "SetTerminology"):
        segment.SetTerminology(entry)
    else:
        # Slicer before 5.10 keeps it among the segment's tags.
        segment.SetTag(segment.GetTerminologyEntryTagName(), entry)


def get_terminology(segment) -> str:
    """The serialised terminology entry of a vtkSegment."""
    if hasattr(segment, "GetTerminology"):
        return segment.GetTerminology()
    import vtk

    entry = vtk.mutable("")
    segment.GetTag(segment.GetTerminologyEntryTagName(), entry)
    return str(entry)


def state_algorithm(segmentation, name: str, edited: bool) -> None:
    """Say in every segment of a vtkSegmentation what drew it, as a DICOM SEG has to.

    Parameters
    ----------
    segmentation : vtkSegmentation
        Where nothing is said, Slicer writes that it was drawn by hand.
    name : str
        Of the algorithm; DICOM takes 64 characters.
    edited : bool
        Whether somebody corrected the masks: then they are semiautomatic.
    """
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        segment.SetTag("DICOM.SegmentAlgorithmType", "SEMIAUTOMATIC" if edited else "AUTOMATIC")
        segment.SetTag("DICOM.SegmentAlgorithmName", name[:64])
