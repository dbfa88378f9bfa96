"""What the sections of the panel have in common."""

from __future__ import annotations

import qt
import slicer

from ...mrml import parameters as p
from ...mrml.compared_parts import suggest_pairs
from ...presenter import tr as _
from ...whole_file import write_whole_text


class Section:
    """A part of the panel.

    Parameters
    ----------
    panel : ProximalFemurSegWidget
        With ``ui``, ``logic``, ``parameters`` (None while there is no scene to work on) and ``refresh()``.
    """

    def __init__(self, panel):
        self.panel, self.ui, self.logic = panel, panel.ui, panel.logic
        self.filling = False
        self.setup()

    @property
    def session(self):
        return self.logic.session

    @property
    def parameters(self):
        return self.panel.parameters

    @property
    def reference(self):
        """The node that the result is compared with, or None; kept with the scene."""
        return p.get_reference(self.session.parameter_node, p.REFERENCE)

    def suggest_pairs(self):
        """What of the result is compared with what of the reference; see ``mrml.compared_parts``."""
        return suggest_pairs(self.parameters.segmentation, self.reference, self.parameters.referencePart)

    def setup(self) -> None:
        """Fill the widgets and listen to them; once."""

    def refresh(self) -> None:
        """Show the present state of things."""

    def refresh_results(self) -> None:
        """Show what follows the slider and the brush at once."""

    def show(self) -> None:
        """Bring the views up to what is chosen."""

    def take_up(self) -> None:
        """The user turns to the module, or a scene was opened."""

    def leave(self) -> None:
        """The user turns to another module, or the scene is being closed: let go of views and nodes."""

    def close(self) -> None:
        """The panel is taken down."""
        self.leave()

    def attempt(self, message: str, function, *arguments, wait=False):
        """Call a function; tell the user if it fails. Gives what it gives, None where it failed."""
        with slicer.util.tryWithErrorDisplay(message, waitCursor=wait):
            return function(*arguments)

    def save_table(self, suggested: str, text: str) -> None:
        """Ask where a table, as comma-separated values, shall be saved, and save it there."""
        path = qt.QFileDialog.getSaveFileName(None, _("Save the table"), suggested, _("Comma-separated values (*.csv)"))
        if path:
            self.attempt(_("The table could not be saved."), write_whole_text, path, text)

    def fill(self, combo_box, titles, chosen: int) -> None:
        """Put texts into a menu without taking that for a choice of the user's."""
        before, self.filling = self.filling, True
        present = [combo_box.itemText(n) for n in range(combo_box.count)]
        if present != list(titles):
            combo_box.clear()
            combo_box.addItems(list(titles))
        combo_box.setCurrentIndex(chosen)
        self.filling = before


def fill_table(widget, table) -> None:
    """Show a presenter's table, as high as its rows: an empty one must not push the rest out of sight."""
    many = len(table.header) > 3
    widget.setColumnCount(len(table.header))
    # Units below their titles, where many columns have to share the panel; sides below the names of structures.
    titles = [title.replace(" (", "\n(") if many else title.replace(", ", ",\n") for title in table.header]
    widget.setHorizontalHeaderLabels(titles)
    if many:
        # In a narrow panel nothing would be left for one that takes the rest.
        widget.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    widget.setRowCount(len(table.rows))
    for r, row in enumerate(table.rows):
        for c, text in enumerate(row):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            widget.setItem(r, c, item)
    widget.resizeRowsToContents()
    rows = sum(widget.rowHeight(row) for row in range(widget.rowCount))
    # One line more for the scroll bar, where the columns may be wider than the panel.
    bar = widget.horizontalScrollBar().height if many else 0
    widget.setFixedHeight(widget.horizontalHeader().height + rows + bar + 4)
    widget.visible = bool(table.rows)


def set_up_table(widget, stretched: int) -> None:
    """Columns as wide as their texts, one of them takes the rest."""
    widget.verticalHeader().setVisible(False)
    # Before the panel is laid out every column is narrow, and a row would be made as high as its wrapped text.
    widget.setWordWrap(False)
    # Slicer's Qt crashes over a mode for a column that is not there.
    widget.setColumnCount(max(widget.columnCount, stretched + 1))
    header = widget.horizontalHeader()
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header.setSectionResizeMode(stretched, qt.QHeaderView.Stretch)


