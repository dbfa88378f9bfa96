"""Head, neck, trochanter, intertrochanter and shaft, by landmarks that the user can move."""

from __future__ import annotations

import qt
import slicer

from ... import presenter
from ...mrml.comparison import distances_shown
from ...mrml.table_node import read_table
from ...presenter import tr as _
from ...regions.definition import RegionDefinition
from ..region_maker import RegionMaker
from .section import Section, fill_table, set_up_table

_REST_MILLISECONDS = 400
"""So long a mark must lie still before the femur is divided again."""


class RegionsSection(Section):
    def setup(self):
        self._rest = qt.QTimer()
        self._rest.setInterval(_REST_MILLISECONDS)
        self._rest.setSingleShot(True)
        self._rest.timeout.connect(self.on_settle)
        self.regions = RegionMaker(self.logic.adapter, self.logic.child, self._rest.start, self.on_done)
        self.logic.regions = self.regions
        self._tables, self._chosen = (), None
        for table in (self.ui.regionsTable, self.ui.geometryTable):
            set_up_table(table, 0)
        self.ui.divideButton.connect("clicked(bool)", self.on_divide)
        self.ui.neckComboBox.connect("currentIndexChanged(int)", self.on_definition)
        self.ui.distalComboBox.connect("currentIndexChanged(int)", self.on_definition)
        self.ui.showRegionsCheckBox.connect("toggled(bool)", self.on_show)
        self.ui.showMarksCheckBox.connect("toggled(bool)", self.on_show)
        self.ui.resetMarksButton.connect("clicked(bool)", self.on_reset)
        self.ui.copyRegionsButton.connect("clicked(bool)", self.on_copy)
        self.ui.saveRegionsButton.connect("clicked(bool)", self.on_save)

    def on_divide(self):
        self._try(self.divide)

    def divide(self):
        """Divide the chosen segmentation, or divide it again; what the user placed stays."""
        calibration = self.parameters.calibration.strip()
        image = self.parameters.inputVolume if calibration else None
        self.parameters.showRegions = True
        self.regions.divide(self.parameters.segmentation, self._definition(), image, calibration)

    def on_definition(self, index):
        if self.filling or not self.parameters or index < 0:
            return
        self.parameters.neckMode = presenter.NECK_CHOICES[self.ui.neckComboBox.currentIndex]
        self.parameters.distalLimit = presenter.DISTAL_CHOICES[self.ui.distalComboBox.currentIndex]
        if self._nodes() is not None:
            self._try(self.divide)

    def on_settle(self):
        """The marks have come to rest."""
        if self.parameters and self.regions.nodes is not None:
            # After a scene was opened the image for the density must be given again.
            again = self.regions.settle if self.regions.result is not None else self.divide
            self._try(again)

    def on_reset(self):
        question = _("Every landmark and plane goes back to where it was found. Those that you moved are lost.")
        if slicer.util.confirmOkCancelDisplay(question):
            self._try(self.regions.release)

    def on_done(self):
        self.panel.show()
        self.panel.watch()
        self.panel.refresh()

    def on_show(self, shown):
        if self.parameters and not self.panel.updating:
            self.panel.show()

    def on_copy(self):
        slicer.app.clipboard().setText(self._text("\t"))

    def on_save(self):
        self.save_table(f"{self._nodes().table.GetName()}.csv", self._text(","))

    def _text(self, separator):
        """Both tables, an empty line between them."""
        return "\n".join(presenter.table_text(table, separator) for table in self._tables if table.rows)

    def _try(self, function):
        self.attempt(_("The femur could not be divided."), function)
        self.panel.watch()
        self.refresh()

    def _definition(self):
        return RegionDefinition(self.parameters.neckMode, self.parameters.distalLimit)

    def _nodes(self):
        """The nodes of the division of the chosen segmentation, or None."""
        nodes = self.regions.nodes
        return nodes if nodes is not None and nodes.segmentation is not None else None

    def _follow(self):
        """Have to do with the chosen segmentation, and with nodes that are still in the scene."""
        regions, chosen = self.regions, self.parameters.segmentation
        nodes = regions.nodes
        if chosen is not self._chosen:
            self._chosen, regions.problem = chosen, ""
        if nodes is not None:
            own = (nodes.source, nodes.segmentation, nodes.table, nodes.geometry)
            if any(node is not None and node.GetScene() is None for node in own):
                regions.close()
        if self._nodes() is None and not regions.busy:
            # A scene may only now have brought them.
            regions.close()
        if chosen is None:
            regions.close()
        elif regions.nodes is None or regions.nodes.source is not chosen:
            regions.attach(chosen)
            if self._nodes() is not None:
                definition = regions.definition
                self.parameters.neckMode, self.parameters.distalLimit = definition.neck, definition.distal

    def show(self):
        """Bring the views up to what is chosen."""
        nodes = self._nodes() if self.parameters else None
        if nodes is None:
            return
        shown, marks = self.parameters.showRegions, self.parameters.showLandmarks
        display = nodes.segmentation.GetDisplayNode()
        display.SetVisibility(shown)
        # Two surfaces in one place would show through each other.
        display.SetVisibility3D(not distances_shown(self.logic.adapter.scene, nodes.source))
        for node in nodes.marks.values():
            node.GetDisplayNode().SetVisibility(shown and marks)

    def refresh(self):
        self._follow()
        parameters, nodes = self.parameters, self._nodes()
        possible = parameters.segmentation is not None and not self.logic.running
        self.fill(
            self.ui.neckComboBox,
            [presenter.neck_title(mode) for mode in presenter.NECK_CHOICES],
            presenter.NECK_CHOICES.index(parameters.neckMode),
        )
        self.fill(
            self.ui.distalComboBox,
            [presenter.distal_title(limit) for limit in presenter.DISTAL_CHOICES],
            presenter.DISTAL_CHOICES.index(parameters.distalLimit),
        )
        for widget in (self.ui.neckComboBox, self.ui.distalComboBox, self.ui.calibrationEdit, self.ui.divideButton):
            widget.enabled = possible
        self.ui.divideButton.text = _("Divide") if nodes is None else _("Divide again")
        self._tables = ()
        if nodes is not None:
            self._tables = (
                presenter.regions_table(read_table(nodes.table)),
                presenter.geometry_table(read_table(nodes.geometry)),
            )
        shown = self._tables or (presenter.regions_table(()), presenter.geometry_table(()))
        fill_table(self.ui.regionsTable, shown[0])
        fill_table(self.ui.geometryTable, shown[1])
        live = self.session.live
        settled = nodes is not None and not self.regions.busy and not (live is not None and live.moving)
        outdated = settled and self.regions.outdated
        self.ui.regionsNoteLabel.text = presenter.regions_note(
            self.regions.busy, self.regions.problem, outdated, self._tables
        )
        self.ui.regionsNoteLabel.visible = bool(self.ui.regionsNoteLabel.text)
        for widget in (self.ui.copyRegionsButton, self.ui.saveRegionsButton, self.ui.showRegionsCheckBox):
            widget.enabled = nodes is not None
        self.ui.showMarksCheckBox.enabled = nodes is not None and parameters.showRegions
        self.ui.resetMarksButton.enabled = possible and nodes is not None

    def close(self):
        self._rest.stop()
        self.regions.close()
        super().close()
