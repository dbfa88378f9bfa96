"""The test host refuses what Slicer does not have, and offers nothing that Slicer does not offer."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed: the module is not driven here")
pytest.importorskip("PySide6", reason="PySide6 is not installed: the module is not driven here")

from host.application import running  # noqa: E402
from host.mrml_widgets import CTK, QMRML  # noqa: E402
from host.strictness import API, Recorded, public_names  # noqa: E402
from mrml_scenes import headless, make_labels, scene  # noqa: E402, F401
from ProximalFemurSegLib.desktop import adapter as desktop_adapter  # noqa: E402
from ProximalFemurSegLib.desktop.layout import LAYOUT, LAYOUT_ID, SIDE_BY_SIDE_ID, register_layouts, side_by_side  # noqa: E402
from test_mrml_surfaces import segmentation  # noqa: E402

MODULE = Path(desktop_adapter.__file__).parents[2]
STAND_INS = {**CTK, **QMRML}
# Of PySide6's way to make widgets, or for tests alone.
OWN = {"observed", "shortcuts", "scene_receivers", "fold", "staticMetaObject", "Files", "Dirs", "Writable"}


@pytest.mark.parametrize("name", STAND_INS)
def test_a_stand_in_offers_nothing_that_slicer_does_not_have(name):
    own = {attribute for attribute in vars(STAND_INS[name]) if not attribute.startswith("_")} - OWN
    assert own - public_names(name) == set()


def test_the_module_cannot_reach_what_the_class_in_slicer_lacks():
    with running():
        box = QMRML["qMRMLNodeComboBox"]()
        for code, known in (("box.currentNode()", True), ("box.currentText", False), ("box.itemText(0)", False)):
            compiled = compile(code, str(MODULE / "ProximalFemurSeg.py"), "eval")
            if known:
                eval(compiled, {"box": box})
            else:
                with pytest.raises(AttributeError, match="qMRMLNodeComboBox of Slicer has no"):
                    eval(compiled, {"box": box})
        box.itemText(0)  # a test may


def test_every_signal_that_is_connected_by_signature_is_in_the_lists():
    ui = (MODULE / "Resources" / "UI" / "ProximalFemurSeg.ui").read_text(encoding="utf-8")
    classes = {name: cls for cls, name in re.findall(r'<widget class="(\w+)" name="(\w+)"', ui)}
    connected = []
    for path in [MODULE / "ProximalFemurSeg.py", *(MODULE / "ProximalFemurSegLib" / "desktop").rglob("*.py")]:
        connected += re.findall(r'self\.ui\.(\w+)\.connect\("(\w+)\(', path.read_text(encoding="utf-8"))
    assert len(connected) > 20
    for widget, signal in connected:
        cls = classes[widget]
        if cls in API:
            assert signal in public_names(cls), (widget, signal)


@pytest.fixture
def layout(monkeypatch, headless):  # noqa: F811
    import slicer

    nodes = {name: headless.scene.AddNewNodeByClass("vtkMRMLSliceNode", name) for name in ("Red", "Green")}
    slices = {name: Recorded("qMRMLSliceWidget", mrmlSliceNode=lambda n=node: n) for name, node in nodes.items()}
    camera = headless.scene.AddNewNodeByClass("vtkMRMLCameraNode", "Camera")
    view = Recorded("qMRMLThreeDView", cameraNode=lambda: camera)
    table = headless.scene.AddNewNodeByClass("vtkMRMLTableViewNode", "T")
    tables = Recorded("qMRMLTableWidget", tableView=lambda: Recorded("qMRMLTableView", mrmlTableViewNode=lambda: table))
    layout_node = headless.scene.AddNewNodeByClass("vtkMRMLLayoutNode", "Layout")
    manager = Recorded(
        "qSlicerLayoutManager",
        sliceViewNames=lambda: list(slices),
        sliceWidget=lambda name: slices[name],
        threeDViewCount=1,
        threeDWidget=lambda index: Recorded("qMRMLThreeDWidget", threeDView=lambda: view),
        tableWidget=lambda index: tables,
        layoutLogic=lambda: SimpleNamespace(GetLayoutNode=lambda: layout_node),
        setLayout=lambda number: None,
    )
    application = Recorded("qSlicerApplication", layoutManager=lambda: manager)
    monkeypatch.setattr(slicer, "app", application, raising=False)
    monkeypatch.setattr(desktop_adapter.slicer, "app", application, raising=False)
    return SimpleNamespace(nodes=nodes, view=view, camera=camera, table=table, node=layout_node, manager=manager)


def test_all_slices_go_through_the_middle_of_the_bone_and_3d_turns_to_it(layout, headless):  # noqa: F811
    adapter = desktop_adapter.DesktopAdapter(headless.scene)
    node = segmentation(headless.scene, "oblique", make_labels())
    before = layout.camera.GetCamera().GetDirectionOfProjection()
    adapter.centre(node)
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    for slice_node in layout.nodes.values():
        matrix = slice_node.GetSliceToRAS()
        place = np.array([matrix.GetElement(row, 3) for row in range(3)])
        assert np.all(place > np.array(bounds[::2])) and np.all(place < np.array(bounds[1::2]))
    assert [call[0] for call in layout.view.calls[:2]] == ["resetFocalPoint", "resetCamera"]
    assert np.allclose(layout.camera.GetFocalPoint(), (np.array(bounds[::2]) + bounds[1::2]) / 2)
    camera = layout.camera.GetCamera()
    assert np.allclose(camera.GetDirectionOfProjection(), before), "it looks from where it looked from"
    # A ball around the bone just fits between the upper and the lower edge of the view.
    seen = np.sin(np.radians(camera.GetViewAngle() / 2)) * camera.GetDistance()
    assert seen == pytest.approx(np.linalg.norm(np.subtract(bounds[1::2], bounds[::2])) / 2)
    adapter.jump((1.0, 2.0, 3.0))
    assert layout.nodes["Red"].GetSliceToRAS().GetElement(2, 3) == pytest.approx(3.0)


def test_a_label_map_is_outlined_in_the_slices_and_taken_away_without_touching_anothers(layout, headless):  # noqa: F811
    adapter = desktop_adapter.DesktopAdapter(headless.scene)
    composites = [headless.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in layout.nodes]
    one, other = (headless.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name) for name in ("one", "other"))
    adapter.show_label_map(one, True)
    assert {node.GetLabelVolumeID() for node in composites} == {one.GetID()}
    assert all(node.GetUseLabelOutline() for node in layout.nodes.values())
    composites[0].SetLabelVolumeID(other.GetID())
    adapter.show_label_map(one, False)
    assert [node.GetLabelVolumeID() for node in composites] == [other.GetID(), None]


def test_the_modules_layout_is_described_once_and_shows_the_table(layout, headless):  # noqa: F811
    adapter = desktop_adapter.DesktopAdapter(headless.scene)
    table = headless.scene.AddNewNodeByClass("vtkMRMLTableNode", "volumes")
    adapter.show_layout(table)
    adapter.show_layout(table)
    assert layout.node.GetLayoutDescription(LAYOUT_ID) == LAYOUT
    assert layout.manager.calls.count(("setLayout", LAYOUT_ID)) == 2
    assert layout.table.GetTableNodeID() == table.GetID()


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        (LAYOUT, ["1", "Green", "Red", "TableView1", "Yellow"]),
        (side_by_side(), ["Green", "GreenReference", "Red", "RedReference"]),
    ],
)
def test_the_layouts_are_well_formed_and_have_every_view_once(description, expected):
    import xml.etree.ElementTree as ElementTree

    views = [view.get("singletontag") for view in ElementTree.fromstring(description).iter("view")]
    assert sorted(views) == expected


def test_both_layouts_are_known_before_a_scene_is_opened_that_was_saved_in_one(layout):
    register_layouts(layout.manager)
    register_layouts(layout.manager)
    assert layout.node.GetLayoutDescription(LAYOUT_ID) == LAYOUT
    assert layout.node.IsLayoutDescription(SIDE_BY_SIDE_ID)
    with running() as host:
        host.load_module().ProximalFemurSeg(SimpleNamespace(path=str(MODULE / "ProximalFemurSeg.py")))
        import slicer

        assert [function.__name__ for _, function in slicer.app.startup] == ["registerSampleData", "registerLayouts"]


def test_two_segmentations_stand_side_by_side_and_together_again(layout, headless, monkeypatch):  # noqa: F811
    names = ("Red", "Green", "RedReference", "GreenReference")
    composites = {n: headless.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", n) for n in names}
    slices = {n: headless.scene.AddNewNodeByClass("vtkMRMLSliceNode", n) for n in names}
    present = [3]

    class Manager(Recorded):
        layout = property(lambda self: present[0])

    manager = Manager(
        "qSlicerLayoutManager",
        layoutLogic=layout.manager.layoutLogic,
        sliceViewNames=lambda: [],
        threeDViewCount=0,
        setLayout=lambda number: present.__setitem__(0, number),
        sliceWidget=lambda name: Recorded(
            "qMRMLSliceWidget", mrmlSliceCompositeNode=lambda: composites[name], mrmlSliceNode=lambda: slices[name]
        ),
    )
    monkeypatch.setattr(desktop_adapter.slicer.app, "layoutManager", lambda: manager, raising=False)
    shown = []
    monkeypatch.setattr(desktop_adapter.slicer.util, "setSliceViewerLayers", lambda **layers: shown.append(layers))
    adapter = desktop_adapter.DesktopAdapter(headless.scene)
    one = segmentation(headless.scene, "oblique", make_labels())
    other = headless.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "other")
    adapter.show_side_by_side("image", one, other)
    adapter.show_side_by_side("image", one, other)
    assert present == [SIDE_BY_SIDE_ID] and shown[0] == {"background": "image", "fit": True}
    views = [one.GetDisplayNode().GetNthViewNodeID(n) for n in range(one.GetDisplayNode().GetNumberOfViewNodeIDs())]
    assert views == ["vtkMRMLSliceNodeRed", "vtkMRMLSliceNodeGreen"]
    assert [composites[n].GetLabelVolumeID() for n in names] == [None, None, other.GetID(), other.GetID()]
    assert all(composite.GetHotLinkedControl() for composite in composites.values())
    adapter.show_together(one, other)
    assert present == [3] and one.GetDisplayNode().GetNumberOfViewNodeIDs() == 0
    present[0] = 4
    adapter.show_together(one, other)
    assert present == [4], "a layout that the user chose is left alone"


def test_a_mode_for_a_column_that_is_not_there_is_refused():
    with running() as host:
        table = host.qt.QTableWidget()
        table.setColumnCount(1)
        table.horizontalHeader().setSectionResizeMode(0, host.qt.QHeaderView.Stretch)
        with pytest.raises(IndexError, match="there is no column 1"):
            table.horizontalHeader().setSectionResizeMode(1, host.qt.QHeaderView.Stretch)
