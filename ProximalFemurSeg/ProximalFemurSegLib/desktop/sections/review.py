"""Slices that deserve a second look, one after the other."""

from __future__ import annotations

from ... import presenter
from ...fine_tuned import user_model_folder
from ...mrml.review import slices_by_error, slices_by_uncertainty
from ...mrml.segmentation_node import content_time
from ...mrml.uncertainty_node import is_of_former_result, put_uncertainty
from ...presenter import tr as _
from .section import Section


class ReviewSection(Section):
    def setup(self):
        self._order, self._known, self._place = [], None, None
        self.ui.rankComboBox.connect("currentIndexChanged(int)", self.on_rank)
        self.ui.nextSliceButton.connect("clicked(bool)", lambda checked=False: self.step(1))
        self.ui.previousSliceButton.connect("clicked(bool)", lambda checked=False: self.step(-1))
        self.ui.uncertaintyCheckBox.connect("toggled(bool)", self.on_show)
        self.ui.variantsButton.connect("clicked(bool)", lambda checked=False: self.on_again("variants"))
        self.ui.foldsButton.connect("clicked(bool)", lambda checked=False: self.on_again("folds"))
        self.ui.foldsButton.toolTip = _(
            "Runs the network with the weights of every fold of a cross-validation: where they disagree, the training "
            "images did not decide. The mean becomes the result.\n\nThe weights come from the command cross-validate: "
            "copy its folders fold-1, fold-2, ... to\n{folder}"
        ).format(folder=user_model_folder())

    def on_rank(self, index):
        if not self.filling:
            self._place = None
            self.refresh()

    def on_show(self, shown):
        if not self.parameters or self.panel.updating:
            return
        node = self.parameters.uncertaintyVolume
        if shown and self.session.live is not None:
            node = self.attempt(_("The uncertainty could not be shown."), self._make_map, wait=True)
        self.logic.adapter.show_uncertainty(node, shown)

    def show(self):
        if not self.parameters or not self.parameters.showUncertainty:
            return
        if is_of_former_result(self.parameters.uncertaintyVolume):
            self.on_show(True)

    def take_up(self):
        # The views of a scene that was opened know what the legend belongs to only now.
        if self.parameters and self.parameters.showUncertainty:
            self.logic.adapter.renew_legend(self.parameters.uncertaintyVolume)

    def _count_folds(self):
        chosen = self.parameters.network
        name = self.session.live.probabilities.network if chosen == "auto" else chosen
        return presenter.fold_count(name)

    def _make_map(self):
        live, scene = self.session.live, self.logic.adapter.scene
        node = put_uncertainty(scene, live.nodes.input, live.probabilities, self.parameters.uncertaintyVolume)
        self.parameters.uncertaintyVolume = node
        return node

    def on_again(self, source):
        """Run the network several times, for an uncertainty that says more than one answer can."""
        if self.attempt(_("The uncertainty could not be refined."), self.logic.start, self.parameters, source):
            self.panel.watch()
        self.panel.refresh()

    def step(self, by: int) -> None:
        """Go to a neighbour in the order; from nowhere to its beginning."""
        self._rank()
        if not self._order:
            return
        place = 0 if self._place is None else self._place + by
        self._place = min(max(place, 0), len(self._order) - 1)
        self.logic.adapter.jump(self._order[self._place].point)
        self.refresh()

    def _by_error(self):
        return self.ui.rankComboBox.currentIndex == 1

    def _rank(self):
        """Work the order out anew where something changed that it depends on."""
        live, reference = self.session.live, self.reference
        if self._by_error():
            what = (reference.GetID(), reference.GetMTime(), self.parameters.referencePart)
            about = ("error", content_time(self.parameters.segmentation), *what)
        else:
            about = ("uncertainty", id(live.probabilities))
        if about == self._known:
            return
        self._known, self._place = about, None
        if self._by_error():
            order = self.attempt(
                _("The slices could not be compared."),
                slices_by_error,
                self.parameters.segmentation,
                reference,
                self.parameters.referencePart,
                wait=True,
            )
        else:
            order = self.attempt(
                _("The slices could not be ranked."), slices_by_uncertainty, live.probabilities, wait=True
            )
        self._order = order or []

    def refresh(self):
        has_map = self.session.live is not None
        has_both = self.parameters.segmentation is not None and self.reference is not None
        titles = [_("Uncertainty")] + ([_("Difference from the reference")] if has_both else [])
        self.fill(self.ui.rankComboBox, titles, min(max(self.ui.rankComboBox.currentIndex, 0), len(titles) - 1))
        possible = has_both if self._by_error() else has_map
        running = self.logic.running
        self.ui.rankComboBox.enabled = possible
        self.ui.nextSliceButton.enabled = possible
        self.ui.previousSliceButton.enabled = possible and bool(self._place)
        self.ui.uncertaintyCheckBox.enabled = has_map
        can_run = has_map and not running and bool(self.logic.child)
        self.ui.variantsButton.enabled = can_run
        self.ui.foldsButton.enabled = can_run and self._count_folds() > 1
        if not possible:
            self._place = None
            text = _("Press Apply first.")
        elif self._place is None:
            text = _("Next goes to the slice that most deserves a second look.")
        else:
            text = presenter.slice_text(self._place, len(self._order), self._order[self._place])
        self.ui.reviewNoteLabel.text = text

    def leave(self):
        self._order, self._known, self._place = [], None, None
