"""The panel without a mouse: Tab goes through it from top to bottom, and every field can be told what it is."""

import xml.etree.ElementTree as ElementTree

import pytest

from panel_driver import add_volume, apply, draw, host, open_panel  # noqa: F401
from test_packaging import MODULE

pytest.importorskip("PySide6", reason="PySide6 is not installed: the module is not driven here")

from PySide6 import QtCore, QtWidgets  # noqa: E402

UI = ElementTree.parse(MODULE / "Resources" / "UI" / "ProximalFemurSeg.ui").getroot()
WORKED = {
    "QPushButton", "QCheckBox", "QComboBox", "QLineEdit", "QDoubleSpinBox", "QSpinBox", "QTableWidget",
    "ctkSliderWidget", "ctkPathLineEdit", "qMRMLNodeComboBox",
}  # fmt: skip
NAMES = [entry.get("name") for entry in UI.iter("widget") if entry.get("class") in WORKED]


@pytest.fixture
def panel(host):  # noqa: F811
    add_volume(host)
    panel = open_panel(host)
    apply(host, panel)
    draw(host, panel)
    for name, widget in vars(panel.ui).items():
        if name.endswith("CollapsibleButton"):
            widget.collapsed = False
    for name in NAMES:
        widget = getattr(panel.ui, name)
        # Whatever the state of things, all are looked at at once.
        widget.setEnabled(True)
        widget.setVisible(True)
    panel.parent.show()
    panel.parent.resize(420, panel.parent.layout().minimumSize().height())
    host.process_events(50)
    return panel


def owner(panel, widget):
    """The named widget of the panel that a focused one is a part of."""
    top = getattr(panel.ui, NAMES[0]).window()
    while widget is not None and widget is not top:
        if widget.objectName in NAMES:
            return widget.objectName
        widget = widget.parentWidget()
    return None


def tab_order(panel):
    first = getattr(panel.ui, NAMES[0])
    found, widget = [NAMES[0]], first.nextInFocusChain()
    while widget is not first:
        name = owner(panel, widget)
        if name and found[-1] != name and widget.focusPolicy & QtCore.Qt.TabFocus:
            found.append(name)
        widget = widget.nextInFocusChain()
    return found if found[-1] != found[0] or len(found) == 1 else found[:-1]


def test_tab_reaches_everything_from_top_to_bottom_and_left_to_right(panel):
    order = tab_order(panel)
    assert sorted(set(order)) == sorted(NAMES), "every button and field is reached"
    assert len(order) == len(set(order)), "once"
    top = panel.parent
    places = [getattr(panel.ui, name).mapTo(top, QtCore.QPoint(0, 0)) for name in order]
    for one, other, name in zip(places, places[1:], order[1:]):
        below = other.y() > one.y() + 6
        assert below or other.x() > one.x(), f"{name} comes too late"


def test_every_field_has_a_name_that_is_read_out_and_a_tooltip(panel):
    named = {entry.find("cstring").text for entry in UI.iter("property") if entry.get("name") == "buddy"}
    for name in NAMES:
        widget = getattr(panel.ui, name)
        itself = isinstance(widget, QtWidgets.QAbstractButton) and widget.text
        # A table stands under the heading of its section, and its columns have theirs.
        assert itself or name in named or isinstance(widget, QtWidgets.QTableWidget), name
        assert widget.toolTip, name


def test_the_sections_stand_in_the_order_of_the_work():
    sections = [entry for entry in UI.iter("widget") if entry.get("class") == "ctkCollapsibleButton"]
    assert [entry.find("property[@name='text']/string").text for entry in sections] == [
        "Input", "Mask", "Correction", "Measurements", "Regions", "Comparison", "Review", "Display", "Save", "Advanced"
    ]  # fmt: skip
