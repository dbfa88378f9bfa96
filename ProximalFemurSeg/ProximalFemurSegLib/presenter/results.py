"""Measurements as rows of texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .wording import sentence, word
from .wording import tr as _


@dataclass(frozen=True)
class ResultTable:
    """The measurements as the panel shows them.

    Attributes
    ----------
    header : tuple of str
        Titles of the columns, with units.
    rows : tuple of tuple of str
        Texts.
    notes : tuple of str
        What must be read with the table.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def result_table(measurements: Mapping) -> ResultTable:
    """The volumes for the panel's table, from the measurements of a result.

    Parameters
    ----------
    measurements : mapping
        As in ``measurements.json``; ``volumes`` is a list of rows with side, structure, volume_cm3 and incomplete.
    """
    rows, incomplete = [], False
    for row in measurements.get("volumes", ()):
        incomplete |= bool(row["incomplete"])
        rows.append(
            (
                sentence(word(row["side"])) if row["side"] else _("Side not known"),
                sentence(word(row["structure"])),
                f"{row['volume_cm3']:.1f}" + (" *" if row["incomplete"] else ""),
            )
        )
    notes = []
    if incomplete:
        notes.append(_("* Incomplete: the bone reaches the border of the image, its true volume is larger."))
    return ResultTable((_("Femur"), _("Structure"), _("Volume (cm\N{SUPERSCRIPT THREE})")), tuple(rows), tuple(notes))


def result_messages(measurements: Mapping, advanced: bool = True) -> tuple[str, ...]:
    """What was decided on the way, in the words of a panel rather than of the command line.

    Parameters
    ----------
    measurements : mapping
        As in ``measurements.json``.
    advanced : bool
        Whether the panel has the choice of the modality in a section of that name.
    """
    otherwise = _("(if not, choose 'Image' under Advanced)") if advanced else _("(if not, choose 'Image')")
    spoken = []
    for message in measurements.get("messages", ()):
        message = re.sub(r"\(--modality \w+ says otherwise\)", otherwise, message)
        for option, choice in (("--side", _("Side")), ("--modality", _("Image")), ("--network", _("Network"))):
            message = message.replace(option, f"'{choice}'")
        spoken.append(message)
    return tuple(spoken)


def result_summary(measurements: Mapping) -> str:
    """One line on how a result came about: network, device, time."""
    parts = [_("Edited by hand")] if measurements.get("edited") else []
    parts += [str(measurements[key]) for key in ("network", "device") if measurements.get(key)]
    total = (measurements.get("seconds") or {}).get("total")
    if total is not None:
        parts.append(_("{seconds:.1f} s").format(seconds=total))
    return ", ".join(parts)


POSTPROCESSING = ("auto", "largest", "open=1.5,largest,fill", "none")
"""The choices of what is done to a thresholded mask, as the command line takes them."""


def postprocess_title(steps: str) -> str:
    """What a choice of post-processing is called; steps that are none of the usual ones go by their names."""
    titles = {
        "auto": _("Largest piece, holes filled"),
        "largest": _("Largest piece"),
        "open=1.5,largest,fill": _("Opened by 1.5 mm, largest piece, filled"),
        "none": _("Nothing"),
    }
    return titles.get(steps, steps)


def table_text(table: ResultTable, separator: str = "\t") -> str:
    """A table for the clipboard (tabs) or a file; a text that holds the separator is quoted."""
    quote = [[f'"{cell}"' if separator in cell else cell for cell in row] for row in (table.header, *table.rows)]
    return "\n".join(separator.join(row) for row in quote) + "\n"


def comparison_table(values) -> ResultTable:
    """What a comparison found, for the panel: a row a metric, a column a structure.

    Parameters
    ----------
    values : sequence of mapping
        As ``mrml.comparison.Comparison.values``.
    """
    compared = (
        ("dice", _("DSC"), 3),
        ("precision", _("Precision"), 3),
        ("recall", _("Recall"), 3),
        ("asd_mm", _("ASD (mm)"), 2),
        ("hd95_mm", _("HD95 (mm)"), 2),
        ("msd_mm", _("MSD (mm)"), 2),
        ("relative_volume_error_percent", _("Volume error (%)"), 1),
    )
    header = (_("Metric"), *(sentence(word(str(entry["structure"]))) for entry in values))
    rows = [(title, *(_number(entry.get(key), digits) for entry in values)) for key, title, digits in compared]
    notes = []
    if any(entry.get("interpolated") for entry in values):
        notes.append(_("The two lie on different voxels: one was resampled onto the other."))
    if any(entry.get("result_touches") for entry in values):
        notes.append(_("The bone reaches the border of the image."))
    return ResultTable(header, tuple(rows) if values else (), tuple(notes))


def _number(value, digits) -> str:
    if value is None or value == "":
        return "\N{EM DASH}"
    return f"{float(value):.{digits}f}"


def clock_text(seconds: float) -> str:
    """Minutes and seconds.

    Examples
    --------
    >>> clock_text(0), clock_text(754.9)
    ('0:00', '12:34')
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def correction_text(record) -> str:
    """One line on a finished correction, or on a segmentation from nothing."""
    if record.task == "manual":
        return _("{reader}: {time} at work on '{subject}' from nothing, {added} voxels drawn.").format(
            reader=record.reader, time=clock_text(record.active_s), subject=record.subject, added=record.voxels_added
        )
    return _("{reader}: {time} at work on '{subject}', {added} voxels added, {removed} taken away.").format(
        reader=record.reader,
        time=clock_text(record.active_s),
        subject=record.subject,
        added=record.voxels_added,
        removed=record.voxels_removed,
    )


def slice_text(position: int, count: int, entry) -> str:
    """Which slice of the review is shown.

    Parameters
    ----------
    position, count : int
        Place in the order, from 0; how many there are.
    entry : RankedSlice
    """
    whys = {
        "uncertainty": _("uncertain"),
        "spread": _("in dispute between the folds"),
        "error": _("different"),
    }
    return _("{position} of {count}: slice {number} at {axis} {place:.1f} mm; {area:.0f} mm\u00b2 {why}").format(
        position=position + 1,
        count=count,
        number=entry.index,
        axis=entry.letter,
        place=abs(entry.position_mm),
        area=entry.area_mm2,
        why=whys[entry.reason],
    )
