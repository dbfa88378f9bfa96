"""``python -m ProximalFemurSegLib.desktop.worker``: the child process of the panel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..running.worker import Worker, requests_from_stdin, say_on_stdout
from .comparison_task import compare
from .region_task import RegionTask

LABELS = "surface-labels.npy"


def make_surfaces(number: int, folder: str, labels: list, affine: list) -> dict:
    """Write the surfaces of some labels of the label map in a folder beside it, as :func:`surface_file` names them."""
    from ..mrml.surfaces import surface_of

    voxels = np.load(Path(folder, LABELS))
    for label in labels:
        points, triangles, normals = surface_of(voxels == label, np.asarray(affine))
        np.savez(surface_file(folder, label), points=points, triangles=triangles, normals=normals)
    return {}


def surface_file(folder, label: int) -> Path:
    """Where the surface of a label is handed over."""
    return Path(folder, f"surface-{label}.npz")


def create_worker(segment=None) -> Worker:
    """A worker for everything that the panel asks for.

    Parameters
    ----------
    segment : callable, optional
        Used instead of ``inference.segment``; same arguments.
    """
    worker = Worker(say_on_stdout, segment)
    worker.tasks["surfaces"] = make_surfaces
    worker.tasks["regions"] = RegionTask()
    worker.tasks["compare"] = compare
    return worker


def main() -> None:
    """Serve requests until standard input ends."""
    create_worker().serve(requests_from_stdin())


if __name__ == "__main__":
    main()
