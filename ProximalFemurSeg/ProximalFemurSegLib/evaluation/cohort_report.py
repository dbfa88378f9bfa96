"""A cohort on one page: a report that needs no other file and no network, to read, to print, and to send."""

from __future__ import annotations

import base64
import html
import io
import os
import re
from pathlib import Path

from .. import __version__
from .cohort import POSTPROCESSED, Cohort, CohortOptions
from .cohort_tables import STAR_NOTE, Table, metric_title
from .report_style import STYLE
from .statistics import summarise

_NUMERIC = re.compile(r"|ns|\*+|–|[+−-]?\d.*")
_TOGETHER = re.compile(r"[\[(][^\])]*[\])]|\d+ min \d+ s\b|\d+ s\b")  # brackets and times
_HYPHENED = re.compile(r"[^\s<>]+-[^\s<>]+")
_SHORT = 24  # letters of a name that is not broken
_MANY = 9  # columns, with which a standard deviation goes below its mean
_DEFINITIONS = (
    (
        "DSC, precision, recall, specificity",
        "2TP / (FP + 2TP + FN), TP / (TP + FP), TP / (TP + FN), TN / (TN + FP), from "
        "one count of the voxels of the whole image. Where nothing is to be found and nothing was, they are 1; an "
        "empty result for a bone that is there has DSC, precision and recall 0.",
    ),
    (
        "ASD, MSD, HD95",
        "Average symmetric surface distance, pooled over both surfaces; its maximum, which is the "
        "Hausdorff distance; and the larger of the two directed 95th percentiles. In mm, from voxel spacing and "
        "orientation. Not defined where a mask is empty: such cases are counted as undefined and left out of means.",
    ),
    ("Surface DSC", "Share of both surfaces that lies within the tolerance of the other."),
    (
        "AUC, AP",
        "Area under the ROC curve by trapezoids, ties included, and average precision as a sum of steps, over all "
        "voxels of an image.",
    ),
    (
        "Tests",
        "Wilcoxon's signed-rank test on the differences of the same subjects, two-sided, corrected by Holm's method "
        "over all pairs of one table. Intervals of means are bias-corrected and accelerated bootstrap intervals.",
    ),
)


def case_anchor(case: dict) -> str:
    """Name of a case within the page, another for every case."""
    return ".".join(["case", *(_anchor_word(case[name]) for name in ("subject", "model", "structure"))])


def _anchor_word(text: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else f"_{ord(c):x}_" if c != " " else "-" for c in text)


def write_report(
    path,
    cohort: Cohort,
    options: CohortOptions,
    groups,
    figures,
    pictures,
    title: str = "Evaluation of a cohort",
    links_from: Path | None = None,
) -> None:
    """Write the page.

    Parameters
    ----------
    path : path-like
        The .html file.
    cohort : Cohort
        What was measured.
    options : CohortOptions
        How.
    groups : list of tuple of (str, list of Table)
        Sections with their tables.
    figures : dict
        From `cohort_figures.draw_figures`.
    pictures : list of tuple of (dict, WorstSlice)
        The worst cases first.
    title : str
        Of the page.
    links_from : pathlib.Path, optional
        The folder that the page will lie in, if it is written elsewhere first; links to results go from there.
    """
    folder = Path(links_from or Path(path).parent).absolute()
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>",
        f"<header><div><h1>{_text(title)}</h1><p>{_text(_subtitle(cohort))}</p></div></header><main>",
        _navigation(groups, figures, pictures),
        _tiles(cohort),
    ]
    for name, tables in groups:
        parts.append(f'<h2 id="{_id(name)}">{_text(name)}</h2>')
        parts.append(_tables(name, tables))
        if name == groups[0][0] and figures:
            parts.append('<h2 id="figures">Figures</h2>')
            parts += [_figure(*entry) for entry in figures.values()]
    if pictures:
        parts.append(_worst(cohort, pictures, folder))
    parts.append(_all_cases(cohort, {case_anchor(case) for case, _ in pictures}, folder))
    parts.append(_methods(options))
    parts.append(f"<footer>ProximalFemurSeg {__version__}. Research use only; not a medical device.</footer>")
    parts.append("</main></body></html>")
    Path(path).write_text("\n".join(parts), encoding="utf-8")


def _text(value) -> str:
    return html.escape(str(value))


def _id(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


def _subtitle(cohort: Cohort) -> str:
    subjects = len({case["subject"] for case in cohort.cases})
    plain = [model for model in cohort.models if not model.endswith(POSTPROCESSED)]
    words = [_plural(subjects, "subject"), _plural(len(plain), "model")]
    if len(plain) < len(cohort.models):
        words[-1] += " with and without post-processing"
    if cohort.structures != [""]:
        words.append(_plural(len(cohort.structures), "structure"))
    return ", ".join(words)


def _navigation(groups, figures, pictures) -> str:
    names = [(name, _id(name)) for name, _ in groups]
    if figures:
        names.insert(1, ("Figures", "figures"))
    if pictures:
        names.append(("Worst cases", "worst-cases"))
    names += [("All cases", "all-cases"), ("Definitions", "definitions")]
    return "<nav>" + "".join(f'<a href="#{anchor}">{_text(name)}</a>' for name, anchor in names) + "</nav>"


def _tiles(cohort: Cohort) -> str:
    """The model with the best mean DSC in a few numbers."""
    means = {}
    for structure in cohort.structures:
        for model in cohort.models:
            cases = cohort.of(structure, model)
            if cases:
                means[structure, model] = summarise([case["dice"] for case in cases]).mean
    structure, model = max(means, key=means.get)
    cases = cohort.of(structure, model)
    cells = [(f"{means[structure, model]:.3f}", "mean DSC")]
    for key, digits in (("asd_mm", 2), ("hd95_mm", 2)):
        found = summarise([case[key] for case in cases])
        if found.count:
            cells.append((f"{found.mean:.{digits}f} mm", f"mean {metric_title(key).split()[0]}"))
    cells.append((f"{min(case['dice'] for case in cases):.3f}", "lowest DSC of a case"))
    errors = summarise([case["relative_volume_error_percent"] for case in cases])
    if errors.count:
        cells.append((f"{errors.mean:.1f} %", "mean relative error of the volume"))
    best = ", ".join(filter(None, (model, structure)))
    best = f"Best mean DSC: {best}" if len(means) > 1 else best
    return (
        f'<p class="note">{_text(best)} ({_plural(len(cases), "case")}).</p><div class="tiles">'
        + "".join(f'<div class="tile"><b>{_text(value)}</b><span>{_text(name)}</span></div>' for value, name in cells)
        + "</div>"
    )


def _tables(name: str, tables: list[Table]) -> str:
    if all(table.narrow for table in tables):
        beside = "".join(f"<div>{_table(table)}</div>" for table in tables)
        return f'<p class="note">{_text(STAR_NOTE)}</p><div class="beside">{beside}</div>'
    return "".join(_table(table, with_title=table.title != name) for table in tables)


def _table(table: Table, with_title: bool = True) -> str:
    texts = {c for row in table.rows for c, cell in enumerate(row) if c and not _NUMERIC.fullmatch(cell)}

    def cell(name: str, text: str, column: int, row: int | None = None) -> str:
        classes = (["text"] if column in texts else []) + (["best"] if (row, column) in table.best else [])
        classes += ["whole"] if (column in texts or column == 0) and len(text) <= _SHORT else []
        text = _unbroken(text) if len(table.heading) > _MANY else _unbroken(text).replace(" ±", "\u00a0±")
        return f"<{name}" + (f' class="{" ".join(classes)}"' if classes else "") + f">{text}</{name}>"

    head = "".join(cell("th", text, column) for column, text in enumerate(table.heading))
    body = [
        "<tr>" + "".join(cell("td", text, column, number) for column, text in enumerate(row)) + "</tr>"
        for number, row in enumerate(table.rows)
    ]
    title = f"<h3>{_text(table.title)}</h3>" if with_title else ""
    return (
        f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{"".join(body)}</tbody></table></div><p class="note">{_text(table.note)}</p>'
    )


def _unbroken(text: str) -> str:
    """A cell may be broken before a standard deviation or a bracket, and nowhere within; nor within a time."""
    text = text.replace("± ", "±\u00a0")
    text = _text(_TOGETHER.sub(lambda found: found[0].replace(" ", "\u00a0"), text)).replace("+ ", "+\u00a0")
    # Browsers break a name such as U-Net behind its hyphen.
    return _HYPHENED.sub(lambda found: f'<span class="whole">{found[0]}</span>', text)


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _figure(title: str, caption: str, files: dict[str, bytes]) -> str:
    source = _data("svg+xml", files["svg"])
    return (
        f'<figure><h3>{_text(title)}</h3><img src="{source}" alt="{_text(title)}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _link(path, folder: Path, text: str) -> str:
    """A link that still works when report and data are moved together."""
    path = Path(path).absolute()
    try:
        target = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return f'<a href="{_text(path.as_uri())}">{_text(text)}</a>'
    from urllib.parse import quote

    return f'<a href="{_text(quote(target))}">{_text(text)}</a>'


def _files(case: dict, folder: Path) -> str:
    row = case["row"]
    found = [
        (row.result, "result"),
        (row.probability, "probability"),
        (row.reference, "reference"),
        (row.image, "image"),
    ]
    return ", ".join(_link(path, folder, name) for path, name in found if path is not None)


def _distance(value) -> str:
    return "undefined" if value is None else f"{value:.2f} mm"


def _worst(cohort: Cohort, pictures, folder: Path) -> str:
    from .worst_slice import REFERENCE_COLOR, RESULT_COLOR

    key = "".join(
        f'<span style="background: rgb{color}"></span>{name}'
        for color, name in (
            (REFERENCE_COLOR, "reference, and what the result misses"),
            (RESULT_COLOR, "result, and what it has too much"),
        )
    )
    cards = []
    for case, shown in pictures:
        name = " · ".join(filter(None, (case["subject"], case["model"], case["structure"])))
        letters = "".join(
            f'<i style="{place}">{shown.letters[edge]}</i>'
            for edge, place in (
                ("left", "left:6px;top:47%"),
                ("right", "right:6px;top:47%"),
                ("top", "left:49%;top:4px"),
                ("bottom", "left:49%;bottom:4px"),
            )
        )
        bar = next(mm for mm in (50, 20, 10, 5) if mm <= shown.side_mm / 3)
        letters += f'<b style="width:{100 * bar / shown.side_mm:.1f}%">{bar} mm</b>'
        plane = {"axial": "SI", "coronal": "AP", "sagittal": "RL"}[shown.view]
        position = f"{plane[shown.position_mm < 0]} {abs(shown.position_mm):.0f} mm"
        cards.append(
            f'<div class="case" id="{case_anchor(case)}"><div class="view">'
            f'<img src="{_data("jpeg", _jpeg(shown.picture))}" alt="Worst slice of {_text(name)}">{letters}</div>'
            f"<p><b>{_text(name)}</b><br>DSC {case['dice']:.3f}, ASD {_distance(case['asd_mm'])}, "
            f"MSD {_distance(case['msd_mm'])}</p>"
            f"<p>{shown.view.capitalize()} slice at {position}, {_plural(shown.wrong_voxels, 'voxel')} wrong. "
            f'<span class="screen">{_files(case, folder)}</span></p></div>'
        )
    return (
        '<h2 id="worst-cases">Worst cases</h2><p class="note key">By DSC, each on the slice with the most wrong '
        f'voxels.{key}</p><div class="cases">{"".join(cards)}</div>'
    )


def _jpeg(picture) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="JPEG", quality=88, subsampling=0)
    return stream.getvalue()


_CASE_NUMBERS = (
    ("dice", "DSC", 3),
    ("precision", "Precision", 3),
    ("recall", "Recall", 3),
    ("asd_mm", "ASD (mm)", 2),
    ("msd_mm", "MSD (mm)", 2),
    ("relative_volume_error_percent", "Volume error (%)", 2),
)


def _all_cases(cohort: Cohort, pictured, folder: Path) -> str:
    """One line a case; what post-processing makes of it stands behind it."""
    after = {_case_key(case): case["dice"] for case in cohort.cases if case["steps"]}
    texts = ["Subject", "Model", *(["Structure"] if cohort.structures != [""] else [])]
    heading = [f'<th class="text">{text}</th>' for text in texts]
    heading += [f"<th>{_unbroken(title)}</th>" for _, title, _ in _CASE_NUMBERS]
    heading += ["<th>DSC, PP</th>"] if after else []
    heading += ['<th class="text">Cut off at</th><th class="text screen">Files</th>']
    rows = []
    for case in cohort.worst_first():
        if case["steps"]:
            continue
        twin = {**case, "model": case["model"] + POSTPROCESSED}
        anchor = next((name for name in map(case_anchor, (case, twin)) if name in pictured), None)
        subject = _text(case["subject"])
        words = [f'<a href="#{anchor}">{subject}</a>' if anchor else subject, _text(case["model"])]
        words += [_text(case["structure"])] if len(texts) > 2 else []
        numbers = [(case[key], digits) for key, _, digits in _CASE_NUMBERS]
        numbers += [(after.get(_case_key(case)), 3)] if after else []
        cells = [f'<td class="text whole">{word}</td>' for word in words]
        cells += ["<td>–</td>" if value is None else f"<td>{value:.{digits}f}</td>" for value, digits in numbers]
        cells.append(f'<td class="text">{_text(", ".join(case["result_touches"]) or "–")}</td>')
        cells.append(f'<td class="text whole screen">{_files(case, folder)}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        '<h2 id="all-cases">All cases, worst first</h2><div class="scroll"><table><thead><tr>'
        f'{"".join(heading)}</tr></thead><tbody>{"".join(rows)}</tbody></table></div><p class="note">Every metric of '
        "every case is in cases.csv beside this page. Cut off at: sides of the image that the result touches."
        + (" PP: after post-processing." if after else "")
        + "</p>"
    )


def _case_key(case: dict) -> tuple[str, str, str]:
    return case["subject"], case["model"].removesuffix(POSTPROCESSED), case["structure"]


def _methods(options: CohortOptions) -> str:
    entries = [*_DEFINITIONS]
    surface = (
        "Surfaces are the voxels of a mask with a face on its outside; distances go from centre to centre."
        if options.surface == "voxels"
        else "Surfaces are the marching-cubes mesh between voxels; distances are weighted by area."
    )
    entries.append(("This report", f"{surface} Tolerance of the surface DSC: {options.tolerance_mm:g} mm."))
    if options.postprocess:
        entries.append(("Post-processing", f"PP stands for the steps {options.postprocess}."))
    if options.interpolate:
        entries.append(("Grids", "Results on other grids than their reference's were brought onto it."))
    body = "".join(f"<dt>{_text(name)}</dt><dd>{_text(text)}</dd>" for name, text in entries)
    return f'<h2 id="definitions">Definitions</h2><dl>{body}</dl>'
