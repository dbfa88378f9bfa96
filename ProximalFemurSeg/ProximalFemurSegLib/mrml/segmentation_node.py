"""The masks as a segmentation node: one shared label map, updated in place."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from ..errors import BadInputError
from ..orientation import reorient
from ..postprocessing import bounding_box
from ..volume import Grid, Volume
from .matrices import matrix_from_numpy, numpy_from_matrix
from .segments import SegmentDescription
from .terminology import set_terminology
from .volume_node import grid_from_node, local_affine

BINARY_LABELMAP = "Binary labelmap"
CLOSED_SURFACE = "Closed surface"
FINGERPRINT_ATTRIBUTE = "ProximalFemurSeg.Fingerprint"
"""Node attribute with the fingerprints of the masks as the program wrote them; it is saved with the scene."""
_REMEMBERED = 20


def create_segmentation_node(scene, input_node, segments: Sequence[SegmentDescription], name: str):
    """Add an empty segmentation with named, coloured segments, on the input volume's geometry.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where to add it.
    input_node : vtkMRMLScalarVolumeNode
        The volume that was segmented: the reference geometry (a DICOM SEG export needs it), whose parent transform
        is taken over.
    segments : sequence of SegmentDescription
        From :func:`segments.describe_segments`.
    name : str
        Name of the node; made unique.

    Returns
    -------
    vtkMRMLSegmentationNode
    """
    node = _create(scene, name)
    place_on_volume(node, input_node)
    set_segments(node, segments)
    return node


def create_segmentation_on(scene, other, segments: Sequence[SegmentDescription], name: str):
    """Add an empty segmentation on the geometry of another one, which need not have a volume; else as
    :func:`create_segmentation_node`.

    Raises
    ------
    BadInputError
        If the other one has no reference geometry.
    """
    _reference_geometry(other)
    node = _create(scene, name)
    node.SetAndObserveTransformNodeID(other.GetTransformNodeID())
    role = other.GetReferenceImageGeometryReferenceRole()
    node.SetNodeReferenceID(role, other.GetNodeReferenceID(role))
    parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    node.GetSegmentation().SetConversionParameter(parameter, other.GetSegmentation().GetConversionParameter(parameter))
    set_segments(node, segments)
    return node


def _create(scene, name: str):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(0.25)
    display.SetOpacity2DOutline(1.0)
    return node


def place_on_volume(node, input_node) -> None:
    """Take over the volume's geometry and parent transform."""
    node.SetAndObserveTransformNodeID(input_node.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(input_node)


def set_segments(node, segments: Sequence[SegmentDescription]) -> None:
    """Make the node hold exactly these segments: kept where the ID is there already, in the order given."""
    segmentation = node.GetSegmentation()
    wanted = {s.segment_id for s in segments}
    for segment_id in list(segmentation.GetSegmentIDs()):
        if segment_id not in wanted:
            segmentation.RemoveSegment(segment_id)
    restore_segments(node, segments)
    for index, description in enumerate(segments):
        segmentation.SetSegmentIndex(description.segment_id, index)


def restore_segments(node, segments: Sequence[SegmentDescription]) -> None:
    """Add those of the segments that are not there (any longer); others stay as they are."""
    segmentation = node.GetSegmentation()
    for description in segments:
        segment = segmentation.GetSegment(description.segment_id)
        if segment is None:
            segment = slicer.vtkSegment()
            segment.SetName(description.name)
            segment.SetColor(*description.color)
            segmentation.AddSegment(segment, description.segment_id)
        set_terminology(segment, description.terminology)


def write_labels(node, labels: np.ndarray, segments: Sequence[SegmentDescription], start=(0, 0, 0)) -> None:
    """Write label values into the segments, without re-creating nodes or segments.

    Only the part of the label map that holds anything need be given. When its place is the one of the last call, the
    voxels are written into the memory that VTK already displays.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
        From :func:`create_segmentation_node`.
    labels : numpy.ndarray
        (K, J, I) uint8 label values; 0 is background.
    segments : sequence of SegmentDescription
        Which label belongs to which segment.
    start : tuple of int
        Voxel (k, j, i) of the reference volume at which ``labels`` begins.

    Notes
    -----
    The 3D surface, where there is one, stays as it was: call :func:`update_surface` when the masks have settled.
    """
    segmentation = node.GetSegmentation()
    image = _shared_image(segmentation, segments)
    extent = _extent(labels.shape, start)
    if image is not None and tuple(image.GetExtent()) == extent:
        np.copyto(_image_array(image), labels, casting="unsafe")
        # Not the image's own Modified(): at that the segmentation throws its surface away, and during the drag of a
        # slider the 3D view would be empty. The display reads the time of the voxels.
        image.GetPointData().GetScalars().Modified()
    else:
        image = _oriented_image(node, labels, extent)
        for description in segments:
            segment = segmentation.GetSegment(description.segment_id)
            segment.SetLabelValue(description.label)
            segment.AddRepresentation(BINARY_LABELMAP, image)
    for description in segments:
        segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified, description.segment_id)
        segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified, description.segment_id)


def update_surface(node) -> None:
    """Make the 3D surfaces anew from the masks as they are."""
    node.RemoveClosedSurfaceRepresentation()
    node.CreateClosedSurfaceRepresentation()


def shared_labels(node):
    """The label map in which all segments lie, if they share one.

    Returns
    -------
    tuple or None
        (K, J, I) labels, to be read only; (4, 4) affine of its voxels (i, j, k) to mm in the node's own coordinates;
        segment ID to label value. None if the segments lie in several layers or there is no label map.
    """
    segmentation = node.GetSegmentation()
    segments = {i: segmentation.GetSegment(i).GetLabelValue() for i in segmentation.GetSegmentIDs()}
    images = [segmentation.GetSegment(i).GetRepresentation(BINARY_LABELMAP) for i in segments]
    if not images or images[0] is None or any(image is not images[0] for image in images):
        return None
    image = images[0]
    if image.GetPointData().GetScalars() is None or image.GetNumberOfPoints() == 0:
        return None
    affine = _image_affine(image)
    affine[:3, 3] += affine[:3, :3] @ np.array(image.GetExtent()[::2], dtype=float)
    return _image_array(image), affine, segments


def set_surface(node, surfaces: dict) -> None:
    """Give the segments surfaces that were made elsewhere of the masks as they are.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
    surfaces : dict of str to vtkPolyData
        Segment ID to its surface, in the node's own coordinates; best for all segments, for what is lacking Slicer
        itself makes at once.
    """
    segmentation = node.GetSegmentation()
    # As one modification: at the first surface alone Slicer would make those of all other segments.
    modified = node.StartModify()
    for segment_id, surface in surfaces.items():
        segmentation.GetSegment(segment_id).AddRepresentation(CLOSED_SURFACE, surface)
    segmentation.InvokeEvent(slicer.vtkSegmentation.ContainedRepresentationNamesModified)
    for segment_id in surfaces:
        segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified, segment_id)
    node.EndModify(modified)


def masks_from_segmentation(node, volume_node) -> dict[str, Volume]:
    """The segments' masks on a volume's grid.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
        Any segmentation, drawn by hand or computed.
    volume_node : vtkMRMLScalarVolumeNode
        Whose grid to sample on; linear transforms between the two are followed.

    Returns
    -------
    dict of str to Volume
        Segment ID to mask (bool), named as the segment, in the order of the segmentation.

    Raises
    ------
    BadInputError
        If a non-linear transform lies between the two.
    """
    world = grid_from_node(volume_node)
    local = Grid(world.shape, local_affine(volume_node))
    masks = masks_on_grid(node, local, _matrix_between(node, volume_node))
    return {name: replace(mask, grid=world) for name, mask in masks.items()}


def masks_on_grid(node, grid: Grid, to_grid=None, only=None) -> dict[str, Volume]:
    """The segments' masks on any grid.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
        Any segmentation.
    grid : Grid
        Where to sample; beyond the segmentation there is no bone.
    to_grid : numpy.ndarray, optional
        (4, 4), from the segmentation's own RAS mm, its parent transforms left out, to those of the grid; the identity
        if left out.
    only : sequence of str, optional
        Segment IDs; all of them if left out.

    Returns
    -------
    dict of str to Volume
        As of :func:`masks_from_segmentation`; ``metadata["resampled"]`` says whether the segment lay on other voxels.
    """
    segmentation = node.GetSegmentation()
    to_grid = np.eye(4) if to_grid is None else to_grid
    masks = {}
    for segment_id in only or segmentation.GetSegmentIDs():
        array, resampled = np.zeros(grid.shape, dtype=bool), False
        found = _segment_image(node, segment_id)
        if found is not None:
            resampled = _sample(*found, to_grid, grid, array)
        name = segmentation.GetSegment(segment_id).GetName()
        masks[segment_id] = Volume(array, grid, name=name, metadata={"resampled": resampled})
    return masks


def reference_grid(node) -> Grid:
    """The grid that a segmentation was drawn on, in its own RAS mm: its parent transforms are left out.

    Raises
    ------
    BadInputError
        If it has no reference geometry.
    """
    geometry = _reference_geometry(node)
    affine, first = _image_affine(geometry), geometry.GetExtent()[::2]
    affine[:3, 3] += affine[:3, :3] @ first
    return Grid(tuple(reversed(geometry.GetDimensions())), affine)


def fingerprint(node) -> str:
    """A short text that tells any change of any voxel of the masks, and segments that come or go.

    It describes the masks where they lie in the patient: how they are cut, layered and ordered in memory, which saving
    and loading may change, does not enter. Compare two with :func:`same_fingerprint`.
    """
    segmentation = node.GetSegmentation()
    parts = []
    for segment_id in sorted(segmentation.GetSegmentIDs()):
        found = _segment_image(node, segment_id)
        parts.append(f"{segment_id}:{'empty' if found is None else _mask_fingerprint(*found)}")
    return ";".join(parts)


def same_fingerprint(one: str | None, other: str | None) -> bool:
    """True if two fingerprints are of the same masks, places compared within 0.01 mm (files round)."""
    if one is None or other is None:
        return False
    parts_one, parts_other = one.split(";"), other.split(";")
    return len(parts_one) == len(parts_other) and all(map(_same_part, parts_one, parts_other))


def mark_automatic(node, note: str = "") -> None:
    """Remember the masks as they are now as the program's own.

    The last few states are remembered: an undo that goes back to one of them is no edit.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
    note : str
        How the masks were made; :func:`automatic_note` gives it back.
    """
    present = fingerprint(node)
    others = [entry for entry in _remembered(node) if not same_fingerprint(entry[1], present)]
    node.SetAttribute(FINGERPRINT_ATTRIBUTE, json.dumps([[note, present], *others[: _REMEMBERED - 1]]))


def automatic_note(node) -> str | None:
    """How the program made the masks as they are now; None if it did not, because somebody drew or loaded them."""
    present = fingerprint(node)
    return next((note for note, known in _remembered(node) if same_fingerprint(known, present)), None)


def is_edited(node) -> bool:
    """True if the masks are not as the program wrote them (see :func:`automatic_note`)."""
    return automatic_note(node) is None


def _remembered(node) -> list:
    try:
        return json.loads(node.GetAttribute(FINGERPRINT_ATTRIBUTE) or "[]")
    except ValueError:
        return []


def content_time(node) -> tuple:
    """Something that is another whenever the masks may be others: cheap, where :func:`is_edited` reads every voxel."""
    return (node.GetID(), node.GetAttribute(FINGERPRINT_ATTRIBUTE), *mask_times(node))


def mask_times(node) -> tuple:
    """Something that is another whenever a mask was written to."""
    segmentation = node.GetSegmentation()
    times = []
    for segment_id in segmentation.GetSegmentIDs():
        image = segmentation.GetSegment(segment_id).GetRepresentation(BINARY_LABELMAP)
        times.append((segment_id, 0 if image is None else image.GetMTime()))
    return tuple(times)


def _shared_image(segmentation, segments):
    """The label map that all these segments share with the labels expected, or None if they do not (any longer)."""
    images = []
    for description in segments:
        segment = segmentation.GetSegment(description.segment_id)
        if segment is None or segment.GetLabelValue() != description.label:
            return None
        images.append(segment.GetRepresentation(BINARY_LABELMAP))
    if not images or images[0] is None or any(image is not images[0] for image in images):
        return None
    scalars = images[0].GetPointData().GetScalars()
    if scalars is None or scalars.GetDataType() != vtk.VTK_UNSIGNED_CHAR:
        return None
    # A segment that the user added to this layer must not be written over.
    sharing = set(_sharing(segmentation, segments[0].segment_id))
    return images[0] if sharing <= {s.segment_id for s in segments} else None


def _sharing(segmentation, segment_id):
    layer = segmentation.GetLayerIndex(segment_id)
    return segmentation.GetSegmentIDsForLayer(layer) if layer >= 0 else ()


def _extent(shape, start):
    low = np.asarray(start, dtype=int)[::-1]
    high = low + np.asarray(shape, dtype=int)[::-1] - 1
    return tuple(int(v) for pair in zip(low, high) for v in pair)


def _oriented_image(node, labels, extent):
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*extent)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.SetImageToWorldMatrix(matrix_from_numpy(_image_affine(_reference_geometry(node))))
    np.copyto(_image_array(image), labels, casting="unsafe")
    return image


def _image_array(image) -> np.ndarray:
    scalars = image.GetPointData().GetScalars()
    return numpy_support.vtk_to_numpy(scalars).reshape(tuple(reversed(image.GetDimensions())))


def _reference_geometry(node):
    parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    geometry = slicer.vtkOrientedImageData()
    text = node.GetSegmentation().GetConversionParameter(parameter)
    if not text or not slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, geometry, False):
        raise BadInputError(
            f"The segmentation '{node.GetName()}' has no reference geometry; "
            "choose its source volume in Segment Editor."
        )
    return geometry


def _image_affine(image) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return numpy_from_matrix(matrix)


def _segment_image(node, segment_id):
    """(label map, label value) of a segment, or None where it is empty; made from the surface if that is the source."""
    segmentation = node.GetSegmentation()
    segment = segmentation.GetSegment(segment_id)
    image = segment.GetRepresentation(BINARY_LABELMAP)
    if image is None and segmentation.CreateRepresentation(BINARY_LABELMAP):
        image = segment.GetRepresentation(BINARY_LABELMAP)
    if image is None or image.GetPointData().GetScalars() is None or image.GetNumberOfPoints() == 0:
        return None
    return image, segment.GetLabelValue()


def _matrix_between(node, volume_node) -> np.ndarray:
    from_node, to_node = node.GetParentTransformNode(), volume_node.GetParentTransformNode()
    if from_node is to_node:
        return np.eye(4)
    for transform in (from_node, to_node):
        if transform is not None and not transform.IsTransformToWorldLinear():
            raise BadInputError(
                f"A non-linear transform lies between the segmentation '{node.GetName()}' and the volume "
                f"'{volume_node.GetName()}'; harden it first."
            )
    matrix = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(from_node, to_node, matrix)
    return numpy_from_matrix(matrix)


def _sample(image, value, to_grid, grid: Grid, out) -> bool:
    """Write the mask of ``image == value`` into ``out``, which lies on the grid; True if the voxels are others."""
    segment_to_grid = np.linalg.inv(grid.affine) @ to_grid @ _image_affine(image)
    extent = image.GetExtent()
    offset = segment_to_grid[:3, 3] + segment_to_grid[:3, :3] @ np.array(extent[::2], dtype=float)
    same_lattice = np.allclose(segment_to_grid[:3, :3], np.eye(3), atol=1e-4) and np.allclose(
        offset, np.round(offset), atol=1e-2
    )
    if same_lattice:
        source = _image_array(image) == value
        _paste(source, np.round(offset).astype(int)[::-1], out)
        return False
    box = _target_box(_image_array(image) == value, extent, segment_to_grid, out.shape)
    if box is None:
        return not _meet(segment_to_grid)
    reference = slicer.vtkOrientedImageData()
    reference.SetExtent(*(end for axis in reversed(box) for end in (axis.start, axis.stop - 1)))
    reference.SetImageToWorldMatrix(matrix_from_numpy(grid.affine))
    moved = slicer.vtkOrientedImageData()
    moved.ShallowCopy(image)
    moved.SetImageToWorldMatrix(matrix_from_numpy(to_grid @ _image_affine(image)))
    resampled = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        moved, reference, resampled, False, False
    )
    out[box] = _image_array(resampled) == value
    return not _meet(segment_to_grid)


def _target_box(mask, extent, segment_to_grid, shape):
    """The part (k, j, i) of a grid in which the voxels of a mask lie; None if there are none there."""
    box = bounding_box(mask)
    if box is None:
        return None
    ends = [(axis.start - 0.5 + first, axis.stop - 0.5 + first) for axis, first in zip(reversed(box), extent[::2])]
    corners = np.array([(i, j, k) for i in ends[0] for j in ends[1] for k in ends[2]])
    places = (corners @ segment_to_grid[:3, :3].T + segment_to_grid[:3, 3])[:, ::-1]
    low = np.maximum(np.floor(places.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(places.max(axis=0)).astype(int) + 1, shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high)) if np.all(high > low) else None


def _meet(segment_to_grid) -> bool:
    """True if voxel centres fall on voxel centres, in whatever order the axes are."""
    whole = np.round(segment_to_grid)
    return bool(
        np.allclose(segment_to_grid[:3, :3], whole[:3, :3], atol=1e-4)
        and np.allclose(segment_to_grid[:3, 3], whole[:3, 3], atol=1e-2)
        and abs(round(np.linalg.det(whole[:3, :3]))) == 1
    )


def _paste(source, start, out) -> None:
    low = np.maximum(start, 0)
    high = np.minimum(start + source.shape, out.shape)
    if np.all(high > low):
        target = tuple(slice(a, b) for a, b in zip(low, high))
        out[target] = source[tuple(slice(a, b) for a, b in zip(low - start, high - start))]


def _mask_fingerprint(image, value) -> str:
    mask = _image_array(image) == value
    box = []
    for axis in range(3):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if line.size == 0:
            return "empty"
        box.append((int(line[0]), int(line[-1]) + 1))
    crop = mask[tuple(slice(low, high) for low, high in box)]
    affine = _image_affine(image)
    first = [low + offset for (low, _), offset in zip(reversed(box), image.GetExtent()[::2])]
    affine[:3, 3] = affine[:3, :3] @ first + affine[:3, 3]
    # Slicer turns left-handed volumes round when it reads them: the order of the axes must not count.
    upright = reorient(Volume(crop, Grid(crop.shape, affine)), "SAR")
    checksum = zlib.crc32(np.packbits(upright.array))
    corner = ",".join(f"{x:.4f}" for x in upright.grid.origin)
    return f"{'x'.join(str(n) for n in upright.array.shape)}@{corner}#{checksum:08x}"


def _same_part(one: str, other: str) -> bool:
    if one == other:
        return True
    (start_one, _, rest_one), (start_other, _, rest_other) = one.partition("@"), other.partition("@")
    (corner_one, _, sum_one), (corner_other, _, sum_other) = rest_one.partition("#"), rest_other.partition("#")
    if start_one != start_other or sum_one != sum_other or not corner_one or not corner_other:
        return False
    apart = np.subtract([float(x) for x in corner_one.split(",")], [float(x) for x in corner_other.split(",")])
    return bool(np.abs(apart).max() < 0.01)
