"""What correcting drafts costs and saves, as a table to read and as CSV (ISMRM-2017)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields

from .cohort_tables import Table, csv_text, mean_sd
from .correction_time import CORRECTION, CorrectionRecord, compare_times, minutes_and_seconds
from .statistics import summarise

_HEADING = [
    "Task",
    "Reader",
    "n",
    "Mean ± SD",
    "Median",
    "Voxels added",
    "Voxels removed",
    "DSC of the draft",
    "ASD of the draft (mm)",
]


def time_table(records: Sequence[CorrectionRecord]) -> Table | None:
    """Time at work with a draft and without, over all readers and of each; None without records."""
    if not records:
        return None
    readers = sorted({record.reader for record in records})
    groups = [("all", records)] if len(readers) > 1 else []
    groups += [(reader, [record for record in records if record.reader == reader]) for reader in readers]
    corrected = [_row("correcting a draft", name, of, with_draft=True) for name, of in groups]
    manual = [_row("from nothing", name, of, with_draft=False) for name, of in groups]
    note = "Time at work; gaps without any action are left out. Each reader counts once on a subject."
    if any(record.task == CORRECTION for record in records):
        note += " A draft is compared with what its reader made of it: mean ± standard deviation over the corrections."
    return Table("Correction time", note + _saved(records), _HEADING, [row for row in (*corrected, *manual) if row])


def _row(task: str, reader: str, records, with_draft: bool) -> list[str] | None:
    found = compare_times(records)
    times = found.correction if with_draft else found.manual
    if not times.count:
        return None
    spread = "" if math.isnan(times.sd) else f" ± {minutes_and_seconds(times.sd)}"
    row = [task, reader, str(times.count), minutes_and_seconds(times.mean) + spread, minutes_and_seconds(times.median)]
    if not with_draft:
        return [*row, *["–"] * 4]
    done = [record for record in records if record.task == CORRECTION]
    digits = (("voxels_added", 0), ("voxels_removed", 0), ("dice", 3), ("asd_mm", 2))
    return row + [mean_sd(summarise([getattr(record, key) for record in done]), places) for key, places in digits]


def _saved(records) -> str:
    found = compare_times(records)
    if not math.isfinite(found.saved_s):
        return ""
    pairs = f"{found.paired} pair" + ("" if found.paired == 1 else "s")
    of = f"over {pairs}" if found.paired else "between the two means"
    text = f" A draft saves {minutes_and_seconds(found.saved_s)} ({found.saved_percent:.0f} %) {of}"
    if math.isfinite(found.saved_interval_s[0]):
        low, high = map(minutes_and_seconds, found.saved_interval_s)
        p = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.2g}"
        text += f", 95 % interval {low} to {high}, Wilcoxon {p}"
    return f"{text}."


def corrections_csv(records: Sequence[CorrectionRecord]) -> str:
    """Every record; what is not defined is an empty cell."""
    columns = [field.name for field in fields(CorrectionRecord)]
    rows = [["" if value is None else value for value in asdict(record).values()] for record in records]
    return csv_text(columns, rows)
