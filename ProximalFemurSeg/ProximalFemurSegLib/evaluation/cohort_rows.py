"""The table of a cohort: which result belongs to which reference, of whom, and by which model."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInputError

TEST, VALIDATION = "test", "validation"
_FILES = ("result", "reference", "probability", "image", "result_regions", "reference_regions")
_TEXTS = ("subject", "model", "structure", "label", "split", "fold")
COLUMNS = (*_TEXTS, *_FILES)
_OTHER_READER = re.compile(r"reference_[2-9]\d*")
_NAMELESS = "result"


@dataclass(frozen=True)
class CaseRow:
    """One line of the table.

    Parameters
    ----------
    line : int
        Of the file, for messages.
    subject, model, structure, fold : str
        Who, by what, which bone or contour, and which fold of a cross-validation; structure and fold may be empty.
    split : {'test', 'validation'}
        Validation cases choose thresholds and are not reported.
    reference : pathlib.Path
        The mask that is right.
    result, probability, image, result_regions, reference_regions : pathlib.Path or None
        Files, where there are any.
    labels : tuple of int or None
        Label values that are bone; None for any but 0.
    other_references : tuple of pathlib.Path
        Masks of further readers.
    """

    line: int
    subject: str
    model: str
    structure: str
    fold: str
    split: str
    reference: Path
    result: Path | None
    probability: Path | None
    image: Path | None
    result_regions: Path | None
    reference_regions: Path | None
    labels: tuple[int, ...] | None
    other_references: tuple[Path, ...]


def read_cohort_table(path) -> tuple[list[CaseRow], list[str]]:
    """Read and check a table; nothing is evaluated before all of it is in order.

    Parameters
    ----------
    path : path-like
        CSV with a heading, separated by commas, semicolons or tabs. Needed are ``subject``, ``reference``, and
        ``result`` or ``probability``; also known are ``model``, ``structure``, ``label`` (values separated by blanks),
        ``split`` (test or validation), ``fold``, ``image``, ``result_regions`` and ``reference_regions``, and
        ``reference_2``, ``reference_3``, ... of further readers. Files are relative to the table's folder.

    Returns
    -------
    rows : list of CaseRow
        In the order of the table.
    unused : list of str
        Columns with other names, which are not looked at.

    Raises
    ------
    BadInputError
        A table, a line or a file that cannot be used.
    """
    path = Path(path)
    heading, lines = _read(path)
    readers = sorted((name for name in heading if _OTHER_READER.fullmatch(name)), key=lambda name: int(name[10:]))
    unused = [name for name in heading if name and name not in COLUMNS and name not in readers]
    missing = [name for name in ("subject", "reference") if name not in heading]
    if not {"result", "probability"} & set(heading):
        missing.append("result")
    if missing:
        raise BadInputError(f"'{path}' lacks the column {' and '.join(missing)}; add it to the first line.")
    rows = [_row(path, number, dict(zip(heading, cells)), readers) for number, cells in lines]
    if not rows:
        raise BadInputError(f"'{path}' holds no cases below its heading; add one line a case.")
    _refuse_twins(path, rows)
    return rows, unused


def _read(path: Path):
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInputError(f"'{path}' cannot be read ({error.strerror or error}); check its name.") from None
    except UnicodeDecodeError:
        raise BadInputError(f"'{path}' is no text in UTF-8; save the table as CSV in UTF-8.") from None
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    rows = list(csv.reader(text.splitlines(), delimiter=separator))
    if not rows:
        raise BadInputError(f"'{path}' is empty; write a heading and one line a case.")
    heading = [cell.strip().lower() for cell in rows[0]]
    twice = {name for name in heading if name and heading.count(name) > 1}
    if twice:
        raise BadInputError(f"'{path}' has the column {', '.join(sorted(twice))} twice; rename one of them.")
    lines = []
    for number, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(heading):
            raise BadInputError(f"'{path}', line {number}, has more cells than the heading; put texts in quotes.")
        lines.append((number, [cell.strip() for cell in cells] + [""] * (len(heading) - len(cells))))
    return heading, lines


def _row(path: Path, line: int, cells: dict[str, str], readers) -> CaseRow:
    where = f"'{path}', line {line}"

    def file(name: str) -> Path | None:
        if not cells.get(name):
            return None
        found = path.parent / cells[name]
        if not found.exists():
            raise BadInputError(f"{where}: the {name} '{cells[name]}' does not exist; correct the table.")
        return found

    for name in ("subject", "reference"):
        if not cells[name]:
            raise BadInputError(f"{where}: the {name} is missing; fill in the cell.")
    files = {name: file(name) for name in _FILES}
    if files["result"] is None and files["probability"] is None:
        raise BadInputError(f"{where}: there is neither a result nor a probability map; name one of them.")
    if (files["result_regions"] is None) != (files["reference_regions"] is None):
        raise BadInputError(f"{where}: regions are needed of both result and reference; name both, or neither.")
    split = cells.get("split", "").lower() or TEST
    if split not in (TEST, VALIDATION):
        raise BadInputError(f"{where}: the split is '{cells['split']}'; write test or validation.")
    if split == VALIDATION and files["probability"] is None:
        raise BadInputError(f"{where}: a validation case needs its probability map, to choose thresholds on; name it.")
    try:
        labels = tuple(int(word) for word in re.split(r"[\s+/|]+", cells.get("label", "")) if word)
    except ValueError:
        raise BadInputError(f"{where}: the label '{cells['label']}' is no whole number; correct the table.") from None
    return CaseRow(
        line=line,
        subject=cells["subject"],
        model=cells.get("model") or _NAMELESS,
        structure=cells.get("structure", ""),
        fold=cells.get("fold", ""),
        split=split,
        labels=labels or None,
        other_references=tuple(found for name in readers if (found := file(name)) is not None),
        **files,
    )


def _refuse_twins(path: Path, rows: list[CaseRow]) -> None:
    seen: dict[tuple, int] = {}
    for row in rows:
        key = row.subject, row.model, row.structure
        if key in seen:
            named = " ".join(filter(None, (row.model, row.structure)))
            raise BadInputError(
                f"'{path}': lines {seen[key]} and {row.line} are both of subject {row.subject} and {named}; "
                "remove one, or give them different models or structures."
            )
        seen[key] = row.line
