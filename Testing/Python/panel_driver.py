"""Opens the module's panel on the test host and works it as a user does."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed: the module is not driven here")
pytest.importorskip("PySide6", reason="PySide6 is not installed: the module is not driven here")

from host.application import running  # noqa: E402
from ProximalFemurSegLib.desktop import stand_in  # noqa: E402
from ProximalFemurSegLib.mrml.segmentation_node import masks_from_segmentation  # noqa: E402
from ProximalFemurSegLib.mrml.volume_node import node_from_volume  # noqa: E402
from ProximalFemurSegLib.running.in_process import InProcessRunner  # noqa: E402


@pytest.fixture
def host(monkeypatch):
    with running() as it:
        module = it.load_module()
        # The weights are not what is tested here, and nothing is ever installed by a test.
        monkeypatch.setattr("ProximalFemurSegLib.models.has_weights", lambda preset: True)
        monkeypatch.setattr(module.packages, "ensure_packages", lambda translate: True)
        it.module = module
        yield it


def open_panel(host, runner=None):
    runner = runner or InProcessRunner(stand_in.segment)
    host.module.ProximalFemurSegLogic.createChild = lambda logic: None
    host.module.ProximalFemurSegLogic.createRunner = lambda logic: runner
    return host.open_module()


def add_volume(host, **options):
    node = node_from_volume(stand_in.ball_image(**options), host.scene)
    host.process_events()
    return node


def apply(host, panel):
    panel.ui.applyButton.click()
    host.wait_for(lambda: not panel.ui.progressBar.visible and panel.logic.session.status.over)


def mask(panel, segment="trabecular_left"):
    parameters = panel.parameters
    return masks_from_segmentation(parameters.segmentation, parameters.inputVolume)[segment].array


def rows(panel):
    table = panel.ui.resultTable
    return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]


def draw(host, panel, segment="trabecular_left", corner=3):
    """Paint a block into a segment, as a brush would; gives the mask that must be there afterwards."""
    import slicer.util

    drawn = mask(panel, segment).astype(np.uint8)
    drawn[:corner, :corner, :corner] = 1
    parameters = panel.parameters
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, parameters.segmentation, segment, parameters.inputVolume)
    host.wait_for(lambda: not panel.ui.thresholdSlider.enabled)
    return drawn.astype(bool)
