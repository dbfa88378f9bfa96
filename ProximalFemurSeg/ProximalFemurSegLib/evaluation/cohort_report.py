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
from .cohort_tables import Table, metric_title
from .statistics import summarise

_NUMERIC = re.compile(r"|ns|\*+|–|[+-]?\d.*")
_BRACKETS = re.compile(r"[\[(][^\])]*[\])]")
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

_STYLE = """
:root { --ink: #1c2430; --faint: #5c6675; --line: #d9dee5; --ground: #ffffff; --band: #f4f6f9; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--ground); line-height: 1.5;
  font: 15px/1.5 "Segoe UI", "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 0 28px 60px; }
header { background: #12304a; color: #fff; padding: 30px 0 26px; margin-bottom: 26px; }
header div { max-width: 1080px; margin: 0 auto; padding: 0 28px; }
h1 { margin: 0 0 4px; font-size: 27px; font-weight: 600; }
header p { margin: 0; color: #c9d8e6; }
h2 { margin: 44px 0 12px; font-size: 20px; font-weight: 600;
  border-bottom: 2px solid var(--accent); padding-bottom: 4px; }
h3 { margin: 26px 0 8px; font-size: 16px; font-weight: 600; }
nav { margin: 0 0 8px; } nav a { margin-right: 18px; white-space: nowrap; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
.tiles { display: flex; flex-wrap: wrap; gap: 14px; margin: 18px 0; }
.tile { flex: 1 1 150px; background: var(--band); border-radius: 8px; padding: 12px 16px; }
.tile b { display: block; font-size: 24px; font-weight: 600; } .tile span { color: var(--faint); font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 9px; text-align: right; border-bottom: 1px solid var(--line); }
td.text, th.text { text-align: left; }
th { color: var(--faint); font-weight: 600; border-bottom: 2px solid var(--line);
  vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; white-space: nowrap; } tbody tr:hover { background: var(--band); }
td.best { font-weight: 700; } .note { color: var(--faint); font-size: 13px; margin: 6px 0 0; }
figure { margin: 18px 0 26px; } figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { color: var(--faint); font-size: 13px; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 20px; }
.case { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; break-inside: avoid; }
.view { position: relative; background: #111; } .view img { display: block; width: 100%; height: auto; }
.view i { position: absolute; color: #fff; font: 600 12px sans-serif; text-shadow: 0 0 3px #000; }
.case p { margin: 0; padding: 8px 12px; font-size: 13px; } .case p + p { padding-top: 0; color: var(--faint); }
.key span { display: inline-block; width: 22px; height: 4px; vertical-align: middle; margin: 0 6px 0 14px; }
dl { font-size: 13.5px; } dt { font-weight: 600; margin-top: 8px; } dd { margin: 0; color: var(--faint); }
footer { margin-top: 50px; padding-top: 12px; border-top: 1px solid var(--line); color: var(--faint); font-size: 13px; }
:target { outline: 3px solid #e69f00; }
@media print { header { background: none; color: #000; padding: 0; } header p { color: #444; } nav { display: none; }
  body { font-size: 11px; } table { font-size: 10px; } th, td { padding: 3px 5px; } h2, h3 { break-after: avoid; }
  figure, tr { break-inside: avoid; } .scroll { overflow: visible; } .cases { grid-template-columns: repeat(3, 1fr); } }
"""


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
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<header><div><h1>{_text(title)}</h1><p>{_text(_subtitle(cohort))}</p></div></header><main>",
        _navigation(groups, figures, pictures),
        _tiles(cohort),
    ]
    for name, tables in groups:
        parts.append(f'<h2 id="{_id(name)}">{_text(name)}</h2>')
        parts += [_table(table, with_title=table.title != name) for table in tables]
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
    words = [_plural(subjects, "subject"), _plural(len(cohort.models), "model")]
    if cohort.structures != [""]:
        words.append(_plural(len(cohort.structures), "structure"))
    return ", ".join([*words, _plural(len(cohort.cases), "case")])


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
    cells = [(f"{means[structure, model]:.3f}", f"mean DSC of {model}" + (f", {structure}" if structure else ""))]
    for key, digits in (("asd_mm", 2), ("hd95_mm", 2)):
        found = summarise([case[key] for case in cases])
        if found.count:
            cells.append((f"{found.mean:.{digits}f} mm", f"mean {metric_title(key).split()[0]}"))
    cells.append((f"{min(case['dice'] for case in cases):.3f}", "lowest DSC of a case"))
    errors = summarise([case["relative_volume_error_percent"] for case in cases])
    if errors.count:
        cells.append((f"{errors.mean:.1f} %", "mean relative error of the volume"))
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{_text(value)}</b><span>{_text(name)}</span></div>' for value, name in cells)
        + "</div>"
    )


def _table(table: Table, with_title: bool = True) -> str:
    texts = {c for row in table.rows for c, cell in enumerate(row) if c and not _NUMERIC.fullmatch(cell)}

    def cell(name: str, text: str, column: int, row: int | None = None) -> str:
        classes = (["text"] if column in texts else []) + (["best"] if (row, column) in table.best else [])
        return f"<{name}" + (f' class="{" ".join(classes)}"' if classes else "") + f">{_unbroken(text)}</{name}>"

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
    """A cell may be broken before a standard deviation or a bracket, and nowhere within."""
    text = text.replace("± ", "±\u00a0")
    return _text(_BRACKETS.sub(lambda found: found[0].replace(" ", "\u00a0"), text))


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
        plane = {"axial": "SI", "coronal": "AP", "sagittal": "RL"}[shown.view]
        position = f"{plane[shown.position_mm < 0]} {abs(shown.position_mm):.0f} mm"
        cards.append(
            f'<div class="case" id="{case_anchor(case)}"><div class="view">'
            f'<img src="{_data("jpeg", _jpeg(shown.picture))}" alt="Worst slice of {_text(name)}">{letters}</div>'
            f"<p><b>{_text(name)}</b><br>DSC {case['dice']:.3f}, ASD {_distance(case['asd_mm'])}, "
            f"MSD {_distance(case['msd_mm'])}</p>"
            f"<p>{shown.view.capitalize()} slice at {position}, {_plural(shown.wrong_voxels, 'voxel')} wrong. "
            f"{_files(case, folder)}</p></div>"
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


def _all_cases(cohort: Cohort, pictured, folder: Path) -> str:
    with_structure = cohort.structures != [""]
    heading = [
        "Subject",
        "Model",
        *(["Structure"] if with_structure else []),
        "DSC",
        "Precision",
        "Recall",
        "ASD (mm)",
        "MSD (mm)",
        "Volume error (%)",
        "Cut off at",
        "Files",
    ]
    rows = []
    for case in cohort.worst_first():
        subject = _text(case["subject"])
        if case_anchor(case) in pictured:
            subject = f'<a href="#{case_anchor(case)}">{subject}</a>'
        numbers = [
            (case["dice"], 3),
            (case["precision"], 3),
            (case["recall"], 3),
            (case["asd_mm"], 2),
            (case["msd_mm"], 2),
            (case["relative_volume_error_percent"], 2),
        ]
        cells = [subject, _text(case["model"]), *([_text(case["structure"])] if with_structure else [])]
        cells += ["–" if value is None else f"{value:.{digits}f}" for value, digits in numbers]
        cells += [_text(", ".join(case["result_touches"]) or "–")]
        cells += [_files(case, folder) if not case["model"].endswith(POSTPROCESSED) else ""]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{_text(cell)}</th>" for cell in heading)
    return (
        '<h2 id="all-cases">All cases, worst first</h2><div class="scroll"><table><thead><tr>'
        f'{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div><p class="note">Every metric of every case is '
        "in cases.csv beside this page. Cut off at: sides of the image that the result touches.</p>"
    )


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
