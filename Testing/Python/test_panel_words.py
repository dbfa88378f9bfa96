"""Every word that the user reads goes through the translator, and can be collected for translation."""

import ast
import xml.etree.ElementTree as ElementTree

import pytest

from panel_driver import add_volume, apply, host, open_panel  # noqa: F401
from test_packaging import MODULE

LIBRARY = MODULE / "ProximalFemurSegLib"
SOURCES = [MODULE / "ProximalFemurSeg.py", *(LIBRARY / "desktop").rglob("*.py"), *(LIBRARY / "presenter").glob("*.py")]
SOURCES = [path for path in SOURCES if path.name not in ("self_test.py", "stand_in.py")]
TRANSLATORS = {"_", "tr"}
# What shows its argument to the user, and which arguments.
SPEAKERS = {
    "infoDisplay", "errorDisplay", "warningDisplay", "confirmOkCancelDisplay", "confirmYesNoDisplay",
    "showStatusMessage", "setText", "setToolTip", "addItem", "setTitle", "attempt", "getSaveFileName",
}  # fmt: skip
SHOWN = {"text", "toolTip", "title", "placeholderText", "windowTitle"}


def calls(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tree, [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(call):
    function = call.func
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def bare_words(node):
    """Texts with letters in an expression that do not stand in a call of the translator."""
    if isinstance(node, ast.Call) and name_of(node) in TRANSLATORS | {"translate", "join", "setValue", "value"}:
        return []
    if isinstance(node, ast.Constant):
        has_words = isinstance(node.value, str) and any(letter.isalpha() for letter in node.value)
        return [node.value] if has_words else []
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.IfExp):
        children = (node.body, node.orelse)  # what is compared is not shown
    if isinstance(node, (ast.Subscript, ast.Compare)):
        return []
    return [found for child in children for found in bare_words(child)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_shown_that_cannot_be_translated(path):
    tree, called = calls(path)
    bare = []
    for call in called:
        if name_of(call) in SPEAKERS:
            bare += [found for argument in call.args for found in bare_words(argument)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            shown = [t for t in node.targets if isinstance(t, ast.Attribute) and t.attr in SHOWN]
            # The name of a reader is no word.
            if any("readerEdit" not in ast.unparse(target) for target in shown):
                bare += bare_words(node.value)
    assert bare == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_what_is_translated_is_written_out(path):
    """Who translates collects the texts from the calls: a variable or a put-together text would be missed."""
    _, called = calls(path)
    for call in called:
        if name_of(call) in TRANSLATORS:
            assert len(call.args) == 1 and isinstance(call.args[0], ast.Constant), ast.unparse(call)


def test_every_text_of_the_ui_file_is_marked_for_translation_or_is_no_word():
    root = ElementTree.parse(MODULE / "Resources" / "UI" / "ProximalFemurSeg.ui").getroot()
    for entry in root.iter("property"):
        for texts in (*entry.findall("string"), *entry.findall("stringlist")):
            technical = entry.get("stdset") == "0" or entry.get("name") == "nodeTypes"
            marked = texts.get("notr") != "true"
            assert marked != technical or not "".join(texts.itertext()).strip(), (entry.get("name"), texts.text)


def test_the_panel_speaks_another_language(host):  # noqa: F811
    from ProximalFemurSegLib import presenter
    from ProximalFemurSegLib.mrml.region_nodes import _MEASURES, _SECTION
    from ProximalFemurSegLib.presenter.wording import word
    from ProximalFemurSegLib.regions import REGIONS

    add_volume(host)
    panel = open_panel(host)
    presenter.set_translator(lambda text: f"\u00ab{text}\u00bb")
    try:
        apply(host, panel)
        ui = panel.ui
        table = ui.resultTable
        said = [
            ui.statusLabel.text, ui.applyButton.toolTip, ui.regionsNoteLabel.text, ui.correctionButton.text,
            ui.comparisonViewComboBox.itemText(4), ui.neckComboBox.itemText(0), ui.divideButton.text,
            ui.reviewNoteLabel.text, ui.postprocessComboBox.itemText(1), table.horizontalHeaderItem(2).text(),
            table.item(0, 1).text(),
        ]  # fmt: skip
        assert all(text.startswith("\u00ab") for text in said), said
        titles = [title for _, title, _ in (*_MEASURES, *_SECTION) if title != "Anteversion"]
        for text in (*REGIONS.values(), "total hip", "left", "right", *titles):
            assert word(text) == f"\u00ab{text}\u00bb"
    finally:
        presenter.set_translator(None)
