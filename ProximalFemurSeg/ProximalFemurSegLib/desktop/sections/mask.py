"""The threshold and what is done to the mask, live."""

from __future__ import annotations

from ... import presenter
from ...presenter import tr as _
from .section import Section


class MaskSection(Section):
    def setup(self):
        self.ui.thresholdSlider.connect("valueChanged(double)", self.on_threshold)
        self.ui.renewButton.connect("clicked(bool)", self.on_renew)
        self.ui.postprocessComboBox.connect("currentIndexChanged(int)", self.on_postprocess)
        self._steps = presenter.POSTPROCESSING
        self._buttons = {
            "model": self.ui.modelThresholdButton,
            "otsu": self.ui.otsuThresholdButton,
            "youden": self.ui.youdenThresholdButton,
            "roc": self.ui.rocThresholdButton,
        }
        for method, button in self._buttons.items():
            button.connect("clicked(bool)", lambda checked=False, method=method: self._move(method))

    def on_threshold(self, value):
        # The slider shows two decimals: that it rounds the threshold of a result is no wish for another one.
        present, decimals = self.session.threshold, self.ui.thresholdSlider.decimals
        same = present is not None and round(present, decimals) == round(value, decimals)
        if not self.panel.updating and not same:
            self._move(value)

    def on_postprocess(self, index):
        if self.parameters and not self.filling and index >= 0:
            steps = self._steps[index]
            self.attempt(_("The mask could not be cleaned up so."), self.session.set_postprocess, steps)
            self.panel.settleSoon()

    def on_renew(self):
        self.attempt(_("No new segmentation could be made."), self.session.renew, wait=True)
        self.panel.watch()
        self.panel.refresh()

    def _move(self, threshold):
        moved = self.attempt(_("The threshold could not be set."), self.session.move_threshold, threshold)
        if moved is not None:
            self.panel.settleSoon()

    def refresh(self):
        view = presenter.present(self.session.panel_state())
        self.ui.thresholdSlider.enabled = view.threshold_enabled
        live = self.session.live
        points = live.probabilities.operating_points if live else {}
        for method, button in self._buttons.items():
            known = method in ("model", "otsu") or all(method in point for point in points.values())
            button.enabled = view.threshold_enabled and known
        self.ui.thresholdHintLabel.text = view.threshold_hint
        self.ui.thresholdHintLabel.visible = view.renew_visible
        self.ui.thresholdSlider.toolTip = view.threshold_hint or _(
            "Probability (0 to 1) above which a voxel is bone. The mask, its volume and the overlay follow at once."
        )
        self.ui.renewButton.visible = view.renew_visible
        chosen = self.parameters.postprocess
        self._steps = tuple(dict.fromkeys((*presenter.POSTPROCESSING, chosen)))
        titles = [presenter.postprocess_title(steps) for steps in self._steps]
        self.fill(self.ui.postprocessComboBox, titles, self._steps.index(chosen))
        self.ui.postprocessComboBox.enabled = not view.cancel_enabled and not view.renew_visible
