"""Results that appear in a folder all together, complete, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BadInputError, ProximalFemurSegError


@contextmanager
def staged_output(folder, names: Iterable[str], overwrite: bool = False) -> Iterator[Path]:
    """Write a set of files so that none is ever half written.

    Parameters
    ----------
    folder : path-like
        Where the files shall be; made if it does not exist.
    names : iterable of str
        The files that belong to a result, whether or not this one has all of them.
    overwrite : bool
        Replace an earlier result; files of it that the new one lacks are removed.

    Yields
    ------
    pathlib.Path
        An empty folder on the same disk. What lies in it when the block ends well is moved into place; if the block
        raises, nothing is kept.

    Raises
    ------
    BadInputError
        Before anything is done, if the folder holds one of the files and may not be overwritten, or cannot be made.
    ProximalFemurSegError
        If the disk is full or the folder cannot be written any more.
    """
    folder, names = Path(folder), list(names)
    _refuse_existing(folder, names, overwrite)
    created = _make(folder)
    try:
        staging = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    except OSError as error:
        raise BadInputError(
            f"Nothing can be written to '{folder}' ({error.strerror}); choose another folder."
        ) from None
    try:
        yield staging
        _publish(staging, folder, names)
    except OSError as error:
        raise ProximalFemurSegError(f"'{folder}' could not be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _remove_empty(created)


def _refuse_existing(folder: Path, names: list[str], overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"'{folder}' is a file, and a folder is needed for the results; choose another name.")
    existing = [name for name in names if (folder / name).exists()]
    if existing and not overwrite:
        raise BadInputError(
            f"'{folder}' already holds {', '.join(existing)}; choose another folder, or add --overwrite to replace it."
        )


def _make(folder: Path) -> list[Path]:
    """Make a folder; returns those that did not exist, the deepest first."""
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"The folder '{folder}' cannot be made ({error.strerror}); choose another one.") from None
    return created


def _publish(staging: Path, folder: Path, names: list[str]) -> None:
    finished = sorted(path.name for path in staging.iterdir())
    unknown = set(finished) - set(names)
    if unknown:
        raise ValueError(f"Files that were not announced: {', '.join(sorted(unknown))}.")
    for name in finished:
        os.replace(staging / name, folder / name)
    for name in set(names) - set(finished):
        (folder / name).unlink(missing_ok=True)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # it holds something, as it should
            return
