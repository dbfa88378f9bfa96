"""A page of HTML as a PDF of one sheet, with what Qt itself has for that."""

from __future__ import annotations

import re

from ..whole_file import whole_file

_RESOLUTION = 120  # dots an inch; text and lines are drawn as such whatever it is
_MARGIN_MM = 12.0
_A4_MM = (210.0, 297.0)
# Qt's documents know neither a largest width nor borders of single cells.
_STYLE = """
body { font-family: sans-serif; font-size: 9pt; color: #1c2430; }
h1 { font-size: 15pt; } h2 { font-size: 11pt; color: #0072b2; }
p.faint { color: #5c6675; font-size: 8pt; } th, td { padding: 2px 14px 2px 0; }
"""


def can_write_pdf() -> bool:
    """True where this Qt writes PDF."""
    import qt

    return all(hasattr(qt, name) for name in ("QPdfWriter", "QTextDocument", "QPainter"))


def write_pdf(page: str, path) -> None:
    """Write a page of `case_page` on one sheet of A4, made smaller where it would not fit.

    Parameters
    ----------
    page : str
        HTML with its pictures in it.
    path : path-like
        Appears complete or not at all.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    import qt

    with whole_file(path) as unfinished:
        _draw(qt, page, str(unfinished))


def _draw(qt, page, name):
    dots = _RESOLUTION / 25.4
    width, height = ((side - 2 * _MARGIN_MM) * dots for side in _A4_MM)
    writer = qt.QPdfWriter(name)
    writer.setResolution(_RESOLUTION)
    document = qt.QTextDocument()
    document.setDefaultStyleSheet(_STYLE)
    # Lengths in points are those of this sheet, not those of the screen.
    document.documentLayout().setPaintDevice(writer)
    body = page[page.index("<body>") : page.index("</html>")]
    _lay_out(document, body, width, width)
    # Qt draws pictures larger where the sheet is finer than the screen.
    wider = document.size.width() / width
    if wider > 1:
        _lay_out(document, body, width, width / wider)
    painter = qt.QPainter()
    if not painter.begin(writer):
        raise OSError("the PDF cannot be begun")
    try:
        # The writer's sheet has margins of its own, of which nothing is known here: it is filled from them on.
        size = document.size
        scale = min(1.0, height / size.height())
        # What is made smaller has more room beside it.
        document.setTextWidth(width / scale)
        painter.scale(scale, scale)
        document.drawContents(painter)
    finally:
        painter.end()


def _lay_out(document, body, width, picture_width):
    """The page on the sheet, its pictures as wide as asked."""

    def fit(found):
        across, down = (int(number) for number in found.groups())
        return f'width="{int(picture_width)}" height="{int(down * picture_width / across)}"'

    document.setHtml(re.sub(r'width="(\d+)" height="(\d+)"', fit, body))
    document.setTextWidth(width)
