"""The table of volumes, and the ways to take it along."""

from __future__ import annotations

import qt
import slicer

from ... import presenter
from ...presenter import tr as _
from .section import Section, fill_table, set_up_table


class MeasurementsSection(Section):
    def setup(self):
        self.table = presenter.result_table({})
        self.ui.resultTable.setColumnCount(len(self.table.header))
        set_up_table(qt, self.ui.resultTable, 1)
        self.ui.copyButton.connect("clicked(bool)", self.on_copy)
        self.ui.saveTableButton.connect("clicked(bool)", self.on_save)

    def on_copy(self):
        slicer.app.clipboard().setText(presenter.table_text(self.table))

    def on_save(self):
        suggested = f"{self.parameters.resultsTable.GetName()}.csv" if self.parameters.resultsTable else "volumes.csv"
        path = qt.QFileDialog.getSaveFileName(None, _("Save the table"), suggested, _("Comma-separated values (*.csv)"))
        if path:
            self.attempt(_("The table could not be saved."), self.save, path)

    def save(self, path):
        """Write the table as comma-separated values."""
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(presenter.table_text(self.table, ","))

    def refresh(self):
        self.refresh_results()

    def refresh_results(self):
        measurements = self.session.measurements()
        self.table = presenter.result_table(measurements)
        fill_table(qt, self.ui.resultTable, self.table)
        note = "\n".join([*self.table.notes, presenter.result_summary(measurements)]).strip()
        if not note and not self.table.rows:
            note = _("Press Apply: the volumes of the bone appear here.")
        self.ui.resultNoteLabel.text = note
        self.ui.resultNoteLabel.visible = bool(note)
        said = "\n".join(presenter.result_messages(measurements))
        self.ui.messageLabel.text = said
        self.ui.messageLabel.visible = bool(said)
        for button in (self.ui.copyButton, self.ui.saveTableButton):
            button.enabled = bool(self.table.rows)
