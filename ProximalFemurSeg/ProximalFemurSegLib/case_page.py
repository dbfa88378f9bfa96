"""One case on one page of HTML that needs no other file: pictures, tables, and how it came about."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

_STYLE = """
body { margin: 0 auto; max-width: 940px; padding: 24px; color: #1c2430; background: #fff;
  font: 15px/1.45 "Segoe UI", "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 18px; margin: 28px 0 8px; border-bottom: 2px solid #0072b2; }
p { margin: 4px 0; } p.faint { color: #5c6675; font-size: 13px; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } caption { text-align: left; }
th, td { padding: 4px 12px; border-bottom: 1px solid #d9dee5; text-align: right; }
th:first-child, td:first-child { text-align: left; }
@media print { body { padding: 0; font-size: 12px; } img { max-height: 45vh; width: auto; }
  tr, img { break-inside: avoid; } }
"""


@dataclass
class Part:
    """A part of the page under a heading of its own.

    Attributes
    ----------
    title : str
    header, rows : sequence
        A table; none if there is no header.
    notes : sequence of str
        Lines below it.
    picture : PIL.Image.Image or None
        Above it.
    """

    title: str
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    picture: object = None


def case_page(title: str, subtitle: str, parts: Sequence[Part]) -> str:
    """The page.

    Parameters
    ----------
    title, subtitle : str
        At the top.
    parts : sequence of Part
        In their order.
    """
    body = [f"<h1>{escape(title)}</h1>", f'<p class="faint">{escape(subtitle)}</p>']
    for part in parts:
        body.append(f"<h2>{escape(part.title)}</h2>")
        if part.picture is not None:
            width, height = part.picture.size
            size, source = f'width="{width}" height="{height}"', _picture_data(part.picture)
            body.append(f'<p><img alt="{escape(part.title)}" {size} src="{source}"></p>')
        if part.header:
            body.append(_table(part))
        body += [f'<p class="faint">{escape(note)}</p>' for note in part.notes]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    content = "\n".join(body)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{content}\n</body></html>\n'


def _table(part) -> str:
    def row(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    lines = [row(part.header, "th"), *(row(cells, "td") for cells in part.rows)]
    return "<table>" + "\n".join(lines) + "</table>"


def _picture_data(picture) -> str:
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
