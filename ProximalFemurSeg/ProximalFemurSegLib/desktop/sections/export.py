"""Everything about the case as files."""

from __future__ import annotations

from pathlib import Path

import ctk
import qt
import slicer

from ...mrml.case_export import export_case, files_of_case
from ...mrml.terminology import state_algorithm
from ...mrml.volume_node import is_dicom_series
from ...presenter import tr as _
from ..page_pdf import can_write_pdf, write_pdf
from .section import Section


class ExportSection(Section):
    def setup(self):
        self._report = None
        self.ui.exportPathEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.ui.exportButton.connect("clicked(bool)", self.on_export)
        self.ui.reportButton.connect("clicked(bool)", self.on_report)
        self.ui.dicomButton.connect("clicked(bool)", self.on_dicom)
        self.ui.exportPathEdit.connect("currentPathChanged(QString)", lambda path: self.refresh())

    def on_export(self):
        folder = self.ui.exportPathEdit.currentPath
        there = [path.name for path in files_of_case(self.session.live.nodes, folder) if path.exists()]
        question = _("These files are in the folder already: {files}. Replace them?")
        if there and not slicer.util.confirmOkCancelDisplay(question.format(files=", ".join(there))):
            return
        self.attempt(_("The case could not be saved."), self.export, folder, wait=True)
        self.refresh()

    def export(self, folder):
        """Save the case; gives the files."""
        live = self.session.live
        self.session.settle()
        print_page = write_pdf if can_write_pdf() else None
        uncertainty = self.parameters.uncertaintyVolume
        paths = export_case(self.logic.adapter, live, self.reference, folder, print_page, uncertainty)
        self._report = next(path for path in paths if path.suffix == ".html")
        self.ui.exportNoteLabel.text = _("Saved: {files}").format(files=", ".join(path.name for path in paths))
        return paths

    def on_report(self):
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._report)))

    def on_dicom(self):
        live = self.session.live
        name = f"ProximalFemurSeg {self.session.measurements().get('network', '')}".strip()
        state_algorithm(live.nodes.segmentation.GetSegmentation(), name, live.edited)
        self.logic.adapter.export_dicom(live.nodes.segmentation)

    def refresh(self):
        if not self.parameters:
            return
        has_result = self.session.live is not None
        folder = self.ui.exportPathEdit.currentPath
        self.ui.exportButton.enabled = has_result and bool(folder) and Path(folder).is_dir() and not self.logic.running
        self.ui.reportButton.enabled = self._report is not None and self._report.exists()
        possible = self.logic.adapter.can_export_dicom()
        from_database = has_result and is_dicom_series(self.session.live.nodes.input)
        self.ui.dicomButton.enabled = possible and from_database
        self.ui.dicomNoteLabel.text = (
            _("DICOM SEG needs an image from Slicer's DICOM database.")
            if possible
            else _("DICOM SEG needs the extension QuantitativeReporting.")
        )
        self.ui.dicomNoteLabel.visible = not possible or (has_result and not from_database)
        self.ui.exportNoteLabel.visible = bool(self.ui.exportNoteLabel.text)
