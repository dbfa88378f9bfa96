"""A case as files: masks, maps, tables, distance maps and a page to read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
import slicer

from .. import __version__, presenter
from ..case_page import Part, case_page
from ..errors import ProximalFemurSegError
from ..output_folder import staged_output
from ..postprocessing import bounding_box
from ..preview import Bone, draw_preview
from ..report import trained_on
from ..volume import Volume
from .comparison import distance_models, find_comparison
from .correction_session import correction_records, export_records, record_name
from .region_nodes import find_regions
from .region_state import definition_of, is_outdated
from .segmentation_node import masks_from_segmentation
from .table_node import read_table
from .uncertainty_node import is_of_result
from .volume_node import volume_from_node

_ENDINGS = {
    "segmentation": ".seg.nrrd",
    "probability": "-probability.nrrd",
    "endosteal": "-probability-endosteal.nrrd",
    "uncertainty": "-uncertainty.nrrd",
    "table": "-volumes.csv",
    "comparison": "-comparison.csv",
    "regions": "-regions.csv",
    "geometry": "-geometry.csv",
    "page": "-report.html",
    "printed": "-report.pdf",
}
_MOST_MODELS = 6
_MARGIN_VOXELS = 4


def files_of_case(nodes, folder) -> list[Path]:
    """The files that :func:`export_case` may write, whether or not they are there."""
    stem = _stem(nodes)
    names = [stem + ending for ending in _ENDINGS.values()]
    names += [_model_name(stem, number) for number in range(_MOST_MODELS)]
    names += [record_name(record) for record in correction_records(nodes.input.GetScene())]
    return [Path(folder, name) for name in names]


def export_case(adapter, live, reference, folder, print_page=None, uncertainty=None) -> list[Path]:
    """Write everything about a case into a folder, all of it or nothing; files of an earlier export are replaced.

    Parameters
    ----------
    adapter : Adapter
    live : LiveMask
        The result, edited or not.
    reference : vtkMRMLNode or None
        What the result was compared with: the comparison goes into the files, too.
    folder : path-like
    print_page : callable, optional
        Called as print_page(html, path) to write the report as PDF, too.
    uncertainty : vtkMRMLScalarVolumeNode, optional
        The map of uncertainty, saved with the case unless it is of an earlier result.

    Returns
    -------
    list of pathlib.Path
        What was written.

    Raises
    ------
    ProximalFemurSegError
        If a file cannot be written.
    """
    nodes, stem = live.nodes, _stem(live.nodes)
    table = find_comparison(adapter.scene, nodes.segmentation, reference) if reference is not None else None
    with staged_output(folder, [path.name for path in files_of_case(nodes, folder)], overwrite=True) as staging:
        _save_node(nodes.segmentation, "vtkMRMLSegmentationStorageNode", staging / (stem + _ENDINGS["segmentation"]))
        for role in ("probability", "endosteal"):
            node = getattr(nodes, role)
            if node is not None:
                _save_volume(node, staging / (stem + _ENDINGS[role]))
        if is_of_result(uncertainty):
            _save_volume(uncertainty, staging / (stem + _ENDINGS["uncertainty"]))
        measurements = live.measurements()
        volumes = presenter.result_table(measurements)
        _write(staging / (stem + _ENDINGS["table"]), presenter.table_text(volumes, ","))
        comparison = None
        if table is not None:
            comparison = presenter.comparison_table(read_table(table))
            _write(staging / (stem + _ENDINGS["comparison"]), presenter.table_text(comparison, ","))
            for number, model in enumerate(distance_models(table)[:_MOST_MODELS]):
                _save_node(model, "vtkMRMLModelStorageNode", staging / _model_name(stem, number))
        if correction_records(adapter.scene):
            export_records(adapter.scene, staging)
        regions = _region_tables(adapter.scene, nodes.segmentation)
        for role, region_table in regions.items():
            _write(staging / (stem + _ENDINGS[role]), presenter.table_text(region_table, ","))
        page = _page(adapter.scene, live, measurements, volumes, regions, comparison)
        _write(staging / (stem + _ENDINGS["page"]), page)
        if print_page is not None:
            print_page(page, staging / (stem + _ENDINGS["printed"]))
    return [path for path in files_of_case(nodes, folder) if path.exists()]


def case_bones(nodes, sides=("left", "right", "")) -> list[Bone]:
    """The femora as they are in the scene, each cut out of the scan, for pictures."""
    masks = masks_from_segmentation(nodes.segmentation, nodes.input)
    probability = volume_from_node(nodes.probability)
    bones = []
    for side in sides:
        ending = f"_{side}" if side else ""
        parts = {name: masks.get(f"{name}{ending}") for name in ("trabecular", "cortical")}
        found = [mask for mask in parts.values() if mask is not None]
        if not found:
            continue
        outer = reduce(np.logical_or, [mask.array for mask in found])
        box = bounding_box(outer, margin=_MARGIN_VOXELS)
        if box is None:
            continue
        grid = found[0].grid.crop(*([getattr(axis, end) for axis in box] for end in ("start", "stop")))
        inner = parts["trabecular"] if len(found) == 2 else None
        bones.append(
            Bone(
                f"{side.capitalize()} femur" if side else "Femur",
                Volume(outer[box], grid, "bone"),
                None if inner is None else Volume(inner.array[box], grid, "marrow"),
                Volume(probability.array[box], grid, "probability"),
            )
        )
    return bones


def _region_tables(scene, segmentation) -> dict:
    """The tables of the regions that a segmentation was divided into, by what they are; empty if it was not."""
    found = find_regions(scene, segmentation)
    if found is None or found.table is None or found.geometry is None:
        return {}
    tables = {
        "regions": presenter.regions_table(read_table(found.table)),
        "geometry": presenter.geometry_table(read_table(found.geometry)),
    }
    notes = [presenter.definition_text(*definition_of(found))]
    if is_outdated(found):
        notes.append(presenter.tr("The masks were changed after they were divided."))
    return {role: replace(table, notes=(*table.notes, *notes)) for role, table in tables.items()}


def _page(scene, live, measurements: Mapping, volumes, regions, comparison) -> str:
    nodes = live.nodes
    image = volume_from_node(nodes.input)
    bones = case_bones(nodes)
    about = live.probabilities
    parts = []
    if bones:
        footnote = "Patient right on the left. Research use only."
        picture = draw_preview(image, bones, about.modality, image.name or "Image", footnote, None)
        parts.append(Part("Sections", picture=picture))
    parts.append(Part("Volumes", volumes.header, volumes.rows, volumes.notes))
    titles = {"regions": "Regions", "geometry": "Angles and lengths"}
    parts += [Part(titles[role], table.header, table.rows, table.notes) for role, table in regions.items()]
    if comparison is not None:
        parts.append(Part("Comparison with the reference", comparison.header, comparison.rows, comparison.notes))
    records = [presenter.correction_text(record) for record in correction_records(scene)]
    if records:
        parts.append(Part("Corrections", notes=records))
    said = [presenter.result_summary(measurements), *presenter.result_messages(measurements)]
    weights = [f"{name}: sha256 {checksum}" for name, checksum in about.weights.items()]
    parts.append(Part("How it came about", notes=[line for line in (*said, *weights) if line]))
    subtitle = (
        f"ProximalFemurSeg {__version__}. Research use only; not a medical device. "
        f"Weights trained on {trained_on(about.network, about.weights)}."
    )
    return case_page(f"Proximal femur: {image.name}", subtitle, parts)


def _save_volume(node, path: Path) -> None:
    _save_node(node, "vtkMRMLVolumeArchetypeStorageNode", path)


def _save_node(node, storage_class, path: Path) -> None:
    # A storage node of its own: where the scene keeps the node's file is not to change.
    storage = getattr(slicer, storage_class)()
    storage.SetFileName(str(path))
    if not storage.WriteData(node):
        raise ProximalFemurSegError(f"'{path.name}' could not be written; is the disk full?")


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))


def _stem(nodes) -> str:
    return re.sub(r"[^\w.-]+", "_", nodes.input.GetName()).strip("_") or "case"


def _model_name(stem, number) -> str:
    return f"{stem}-distance-{number + 1}.vtp"
