"""The table of volumes, and the ways to take it along."""

from __future__ import annotations

import slicer

from ... import presenter
from ...presenter import tr as _
from .section import Section, fill_table, set_up_table


class MeasurementsSection(Section):
    def setup(self):
        self.table = presenter.result_table({})
        self.ui.resultTable.setColumnCount(len(self.table.header))
        set_up_table(self.ui.resultTable, 1)
        self.ui.copyButton.connect("clicked(bool)", self.on_copy)
        self.ui.saveTableButton.connect("clicked(bool)", self.on_save)

    def on_copy(self):
        slicer.app.clipboard().setText(presenter.table_text(self.table))

    def on_save(self):
        suggested = f"{self.parameters.resultsTable.GetName()}.csv" if self.parameters.resultsTable else "volumes.csv"
        self.save_table(suggested, presenter.table_text(self.table, ","))

    def refresh(self):
        self.refresh_results()

    def refresh_results(self):
        measurements = self.session.measurements()
        self.table = presenter.result_table(measurements)
        fill_table(self.ui.resultTable, self.table)
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
