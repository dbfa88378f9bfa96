"""Input, network and device; Apply, Cancel and the bar."""

from __future__ import annotations

import slicer

from ... import presenter
from ...presenter import tr as _
from .. import packages
from .section import Section


class RunSection(Section):
    def setup(self):
        self.networks = presenter.network_entries()
        self.fill(self.ui.networkComboBox, [entry.title for entry in self.networks], 0)
        self._devices = ()
        self.ui.applyButton.connect("clicked(bool)", self.on_apply)
        self.ui.cancelButton.connect("clicked(bool)", self.on_cancel)
        self.ui.cardButton.connect("clicked(bool)", self.on_card)
        self.ui.networkComboBox.connect("currentIndexChanged(int)", self.on_network)
        self.ui.deviceComboBox.connect("currentIndexChanged(int)", self.on_device)

    def on_apply(self):
        if self.attempt(_("The segmentation could not be started."), self.logic.start, self.parameters):
            self.panel.watch()
        self.panel.refresh()

    def on_cancel(self):
        self.session.cancel()
        self.panel.refresh()

    def on_card(self):
        entry = self.chosen_network()
        slicer.util.infoDisplay(presenter.network_card(entry.name), windowTitle=entry.title)

    def on_network(self, index):
        if self.parameters and not self.filling and index >= 0:
            self.parameters.network = self.networks[index].name

    def on_device(self, index):
        if self.parameters and not self.filling and index >= 0:
            self.parameters.device = self._devices[index].name

    def chosen_network(self):
        chosen = [entry for entry in self.networks if entry.name == self.parameters.network]
        return chosen[0] if chosen else self.networks[0]

    def refresh(self):
        network = self.chosen_network()
        self.fill(self.ui.networkComboBox, [entry.title for entry in self.networks], self.networks.index(network))
        self.ui.networkNoteLabel.text = network.note
        self._devices = presenter.device_entries(self.logic.devices, self.parameters.device)
        names = [entry.name for entry in self._devices]
        titles = [entry.title for entry in self._devices]
        self.fill(self.ui.deviceComboBox, titles, names.index(self.parameters.device))
        note = presenter.device_note(self.logic.devices, packages.torch_is_missing())
        self.ui.deviceNoteLabel.text = note
        self.ui.deviceNoteLabel.visible = bool(note)
        self._show(presenter.present(self.session.panel_state(network)))

    def _show(self, view):
        self.ui.applyButton.enabled = view.apply_enabled
        self.ui.applyButton.toolTip = view.apply_tooltip
        self.ui.cancelButton.enabled = view.cancel_enabled
        for widget in (
            self.ui.inputSelector,
            self.ui.sideComboBox,
            self.ui.modalityComboBox,
            self.ui.networkComboBox,
            self.ui.deviceComboBox,
        ):
            widget.enabled = view.choices_enabled
        self.ui.progressBar.visible = view.progress_visible
        self.ui.progressBar.maximum = 0 if view.progress_percent is None else 100
        self.ui.progressBar.value = view.progress_percent or 0
        self.ui.statusLabel.text = view.status_text
        self.ui.statusLabel.visible = bool(view.status_text)
