"""The regions of a femur as rows of texts."""

from __future__ import annotations

from collections.abc import Sequence

from .results import ResultTable
from .wording import sentence, word
from .wording import tr as _

NECK_CHOICES = ("adaptive", "slab15", "slab10")
DISTAL_CHOICES = ("lesser-trochanter", "total-hip")


def neck_title(mode: str) -> str:
    """What a mode of the neck is called."""
    titles = {"adaptive": _("As far as it is narrow"), "slab15": _("15 mm slab"), "slab10": _("10 mm slab")}
    return titles[mode]


def distal_title(limit: str) -> str:
    """What a limit of the shaft is called."""
    titles = {
        "lesser-trochanter": _("Below the lesser trochanter"),
        "total-hip": _("10 mm below the lesser trochanter"),
    }
    return titles[limit]


def definition_text(neck: str, distal: str, calibration: str = "") -> str:
    """How regions were divided and HU became density, in one line that goes with their numbers."""
    parts = [_("Neck: {mode}").format(mode=neck_title(neck))] if neck in NECK_CHOICES else []
    parts += [_("shaft: {limit}").format(limit=distal_title(distal))] if distal in DISTAL_CHOICES else []
    parts += [_("calibration: {words}").format(words=calibration)] if calibration else []
    return "; ".join(parts)


def regions_table(rows: Sequence[dict]) -> ResultTable:
    """The volumes of the regions; columns that are empty are left out.

    Parameters
    ----------
    rows : sequence of dict
        Of the table that ``mrml.region_nodes.region_steps`` writes.
    """
    columns = (
        ("volume_cm3", _("Volume (cm\N{SUPERSCRIPT THREE})"), 1),
        ("cortical_cm3", _("Cortical (cm\N{SUPERSCRIPT THREE})"), 1),
        ("trabecular_cm3", _("Trabecular (cm\N{SUPERSCRIPT THREE})"), 1),
        ("thickness_mm", _("Cortex (mm)"), 2),
        ("vbmd_mg_cm3", _("vBMD (mg/cm\N{SUPERSCRIPT THREE})"), 0),
        ("bmc_mg", _("BMC (mg)"), 0),
    )
    used = [column for column in columns if any(row.get(column[0]) not in ("", None) for row in rows)]
    sides = list(dict.fromkeys(row["side"] for row in rows))
    texts, reasons = [], {}
    for row in rows:
        if row["region"] == "undivided" and not float(row["volume_cm3"] or 0) >= 0.05:
            continue
        title = sentence(word(row["region"]))
        if len(sides) > 1:
            title = _("{side}, {region}").format(side=sentence(word(row["side"])), region=word(row["region"]))
        texts.append((title, *(_number(row.get(key), digits) for key, _title, digits in used)))
        if row.get("refused"):
            reasons.setdefault(row["refused"], []).append(title)
    header = (_("Region"), *(title for _key, title, _digits in used))
    notes = (f"{', '.join(titles)}: {reason}" for reason, titles in reasons.items())
    return ResultTable(header, tuple(texts), tuple(notes))


def geometry_table(rows: Sequence[dict]) -> ResultTable:
    """Angles, lengths and sections; what could not be measured is left out.

    Parameters
    ----------
    rows : sequence of dict
        Of the table of measures that ``mrml.region_nodes.region_steps`` writes.
    """
    units = {"deg": "\N{DEGREE SIGN}", "mm2": "mm\N{SUPERSCRIPT TWO}", "mm4": "mm\u2074"}
    known = [row for row in rows if row.get("value") not in ("", None)]
    several = len({row["side"] for row in known}) > 1
    texts = []
    for row in known:
        unit, title = units.get(row["unit"], row["unit"]), word(row["measure"])
        value = f"{float(row['value']):.{0 if row['unit'] in ('mm2', 'mm4') else 1}f}"
        if several:
            title = _("{side}, {region}").format(side=sentence(word(row["side"])), region=title)
        texts.append((title, f"{value}{unit}" if unit == "\N{DEGREE SIGN}" else f"{value} {unit}"))
    return ResultTable((_("Measure"), _("Value")), tuple(texts))


def regions_note(busy: bool, problem: str, outdated: bool, tables: Sequence[ResultTable]) -> str:
    """What stands below the tables.

    Parameters
    ----------
    busy : bool
        True while the femur is being divided.
    problem : str
        Why it could not be divided.
    outdated : bool
        True if the masks are not those that were divided.
    tables : sequence of ResultTable
        Shown above the note.
    """
    if busy:
        return _("Dividing the femur...")
    notes = [problem] if problem else []
    if outdated:
        notes.append(_("The masks have changed since: divide again."))
    notes += [note for table in tables for note in table.notes]
    if not notes and not any(table.rows for table in tables):
        notes = [_("Divides the bone by landmarks that you can move.")]
    return "\n".join(notes)


def _number(value, digits) -> str:
    return "\N{EM DASH}" if value in ("", None) else f"{float(value):.{digits}f}"
