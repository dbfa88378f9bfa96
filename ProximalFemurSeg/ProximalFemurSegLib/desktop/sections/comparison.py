"""The masks against another reader's."""

from __future__ import annotations

from ... import presenter
from ...errors import ProximalFemurSegError
from ...evaluation.comparison import ComparisonOptions
from ...mrml import parameters as p
from ...mrml.compared_parts import EVERYTHING
from ...mrml.comparison import MASKS_ATTRIBUTE, all_distance_models, distance_models, find_comparison, read_values
from ...mrml.part_names import part_names
from ...mrml.segmentation_node import content_time, fingerprint, same_fingerprint
from ...presenter import tr as _
from ..comparison_maker import ComparisonMaker
from .section import Section, fill_table, set_up_table

BOTH, RESULT, REFERENCE, DISTANCES, SIDE_BY_SIDE = range(5)


class ComparisonSection(Section):
    def setup(self):
        self._looked, self._named = (None, False), (None, {})
        self._parts = ("",)
        self.maker = ComparisonMaker(self.logic.adapter, self.logic.child, self.on_done)
        self.logic.comparison = self.maker
        set_up_table(self.ui.comparisonTable, 0)
        self.ui.referenceSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.on_reference)
        self.ui.referencePartComboBox.connect("currentIndexChanged(int)", self.on_part)
        self.ui.compareButton.connect("clicked(bool)", self.on_compare)
        self.ui.comparisonViewComboBox.connect("currentIndexChanged(int)", self.on_view)

    def on_reference(self, node):
        if self.parameters and not self.filling and node is not self.reference:
            self.maker.problem = ""
            self.parameters.referencePart = ""
            p.set_reference(self.session.parameter_node, p.REFERENCE, node)

    def on_part(self, index):
        if self.parameters and not self.filling and index >= 0:
            self.parameters.referencePart = self._parts[index]

    def on_compare(self):
        self.attempt(_("The two could not be compared."), self.compare)
        self.panel.watch()
        self.panel.refresh()

    def compare(self):
        """Compare, paint the distances, and show both outlines."""
        limit = self.ui.rangeSpinBox.value
        options = ComparisonOptions(signed=self.parameters.signedDistance, limit_mm=limit if limit > 0 else None)
        self.maker.compare(self.parameters.segmentation, self.reference, self.suggest_pairs(), options)

    def on_done(self, result, reference, comparison):
        """A comparison is there, or could not be made."""
        chosen = self.parameters and self.parameters.segmentation is result and self.reference is reference
        if comparison is not None and chosen:
            # Regions would lie over both.
            self.parameters.showRegions = False
            self._view(DISTANCES)
            self.panel.show()
        self.panel.watch()
        self.panel.refresh()

    def on_view(self, index):
        if not self.filling and index >= 0 and self._table() is not None:
            self._view(index)
            self.panel.show()

    def _view(self, choice):
        models = distance_models(self._table())
        # Of the comparisons with other references none: their surfaces lie in the same place, their legends too.
        for model in all_distance_models(self.logic.adapter.scene, self.parameters.segmentation):
            model.GetDisplayNode().SetVisibility(choice == DISTANCES and model in models)
        shown = {RESULT: (True, False), REFERENCE: (False, True)}.get(choice, (True, True))
        for node, visible in zip((self.parameters.segmentation, self.reference), shown):
            node.CreateDefaultDisplayNodes()
            display = node.GetDisplayNode()
            display.SetVisibility(visible)
            if node.IsA("vtkMRMLSegmentationNode"):
                display.SetVisibility3D(visible and choice != DISTANCES and self.parameters.showSurface)
        # One of the two as a line only, so that they can be told apart.
        if self.reference.IsA("vtkMRMLSegmentationNode"):
            self.reference.GetDisplayNode().SetVisibility2DFill(False)
        else:
            self.logic.adapter.show_label_map(self.reference, shown[1])
        adapter, pair = self.logic.adapter, (self.parameters.segmentation, self.reference)
        if choice == SIDE_BY_SIDE:
            adapter.show_side_by_side(self.parameters.inputVolume, *pair)
        else:
            adapter.show_together(*pair)
        self.parameters.comparisonView = choice

    def _table(self):
        parameters = self.parameters
        if parameters.segmentation is None or self.reference is None:
            return None
        return find_comparison(self.logic.adapter.scene, parameters.segmentation, self.reference)

    def _show_parts(self):
        """The menu of the reference's structures, where it has several."""
        names = self._part_names()
        self._parts = ("", *names, EVERYTHING)
        chosen = self.parameters.referencePart if self.parameters.referencePart in self._parts else ""
        titles = [_("Automatic"), *names.values(), _("All of it")]
        self.fill(self.ui.referencePartComboBox, titles, self._parts.index(chosen))
        for widget in (self.ui.referencePartLabel, self.ui.referencePartComboBox):
            widget.visible = len(names) > 1

    def _part_names(self):
        """Of the reference; looked for in a label map only when that is another one."""
        node = self.reference
        if node is None:
            return {}
        about = (node.GetID(), node.GetMTime())
        if node.IsA("vtkMRMLSegmentationNode") or about != self._named[0]:
            try:
                self._named = (about, part_names(node))
            except ProximalFemurSegError:
                self._named = (about, {})
        return self._named[1]

    def _outdated(self, table) -> bool:
        """True if the masks are not those that were compared; looked at when they have come to rest."""
        live, segmentation = self.session.live, self.parameters.segmentation
        compared = None if table is None else table.GetAttribute(MASKS_ATTRIBUTE)
        if not compared or (live is not None and live.moving):
            return False
        about = (compared, content_time(segmentation))
        if about != self._looked[0]:
            self._looked = (about, not same_fingerprint(compared, fingerprint(segmentation)))
        return self._looked[1]

    def close(self):
        self.maker.drop()
        super().close()

    def refresh(self):
        parameters = self.parameters
        if self.ui.referenceSelector.currentNode() is not self.reference:
            self.filling = True
            self.ui.referenceSelector.setCurrentNode(self.reference)
            self.filling = False
        self._show_parts()
        same = self.reference is not None and self.reference is parameters.segmentation
        possible = parameters.segmentation is not None and self.reference is not None and not same
        self.ui.compareButton.enabled = possible and not self.logic.running and not self.maker.busy
        hint = self.maker.problem
        if self.maker.busy:
            hint = _("Comparing...")
        elif same:
            hint = _("This is the segmentation itself; choose another one.")
        elif parameters.segmentation is None:
            hint = _("Press Apply, or choose a segmentation under Advanced.")
        table = None if same else self._table()
        shown = presenter.comparison_table([] if table is None else read_values(table))
        fill_table(self.ui.comparisonTable, shown)
        if not self.maker.busy and self._outdated(table):
            hint = _("The masks are others than those compared: press Compare again.")
        note = "\n".join(part for part in (hint, *shown.notes) if part)
        self.ui.comparisonNoteLabel.text = note
        self.ui.comparisonNoteLabel.visible = bool(note)
        titles = [_("Both"), _("Result"), _("Reference"), _("Both, with distances in 3D"), _("Side by side")]
        self.fill(self.ui.comparisonViewComboBox, titles, parameters.comparisonView)
        self.ui.comparisonViewComboBox.enabled = table is not None
