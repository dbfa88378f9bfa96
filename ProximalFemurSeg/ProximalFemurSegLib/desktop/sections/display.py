"""What the views show."""

from __future__ import annotations

from typing import NamedTuple

from ...mrml.comparison import distances_shown
from .section import Section


class _Choices(NamedTuple):
    opacity: float
    hide_below: bool
    fill: bool
    surface: bool
    uncertainty: bool
    regions: bool


class DisplaySection(Section):
    def setup(self):
        self._shown = None
        self.ui.layoutButton.connect("clicked(bool)", self.on_layout)
        self.ui.centreButton.connect("clicked(bool)", self.on_centre)

    def on_layout(self):
        self.logic.adapter.show_layout(self.parameters.resultsTable)

    def on_centre(self):
        self.logic.adapter.centre(self.parameters.segmentation)

    def show(self):
        """Bring the views up to what is chosen."""
        if not self.parameters:
            return
        self._shown = self._chosen()
        adapter, parameters = self.logic.adapter, self.parameters
        adapter.show_probability(parameters.probabilityVolume, parameters.overlayOpacity)
        for node in (parameters.probabilityVolume, parameters.endostealProbabilityVolume):
            if node is not None and node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetApplyThreshold(parameters.hideBelowThreshold)
        display = parameters.segmentation.GetDisplayNode() if parameters.segmentation else None
        if display is not None:
            # Regions fill the same voxels, and their surface is that of the bone.
            alone = not self.logic.regions_shown
            # Through a fill the colours of the uncertainty would be others.
            display.SetVisibility2DFill(parameters.fillMasks and alone and not parameters.showUncertainty)
            display.SetVisibility2DOutline(True)
            # Two surfaces in one place would show through each other.
            covered = distances_shown(adapter.scene, parameters.segmentation)
            display.SetVisibility3D(parameters.showSurface and alone and not covered)

    def _chosen(self):
        parameters = self.parameters
        return _Choices(
            parameters.overlayOpacity,
            parameters.hideBelowThreshold,
            parameters.fillMasks,
            parameters.showSurface,
            parameters.showUncertainty,
            self.logic.regions_shown,
        )

    def refresh(self):
        self.ui.centreButton.enabled = self.parameters.segmentation is not None
        # Not at the widgets' own signals: those may come here before the parameter node has heard of them.
        if self._shown is None:
            # What a scene that was opened shows is left as it is.
            self._shown = self._chosen()
        elif self._chosen() != self._shown:
            self._share_layer()
            self.show()

    def _share_layer(self):
        """There is one layer over the image: the map that was chosen last has it, the other is switched off."""
        parameters = self.parameters
        if not (parameters.showUncertainty and parameters.overlayOpacity > 0):
            return
        if parameters.overlayOpacity != self._shown.opacity:
            parameters.showUncertainty = False
        else:
            parameters.overlayOpacity = 0.0

    def leave(self):
        self._shown = None
