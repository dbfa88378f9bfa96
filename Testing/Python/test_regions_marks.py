"""Marks that travel: what was moved is told from what was found, in files of 3D Slicer and without it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.regions.division import Plane
from ProximalFemurSegLib.regions.landmarks import NAMES
from ProximalFemurSegLib.regions.marks import (
    AUTOMATIC,
    MOVED,
    PLACED,
    Mark,
    label_of,
    marks_of,
    name_of,
    placed_marks,
    same_place,
    state_of,
)
from ProximalFemurSegLib.regions.markups_file import read_markups, write_markups
from ProximalFemurSegLib.regions.measure import measure_regions
from region_bones import Bone

NOTE = "left femur, automatic at 1.00000 2.00000 3.00000"


@pytest.fixture(scope="module")
def femur():
    return measure_regions(Bone(spacing=2.5).mask).femora[0]


@pytest.fixture
def file(femur, tmp_path):
    path = tmp_path / "landmarks.mrk.json"
    write_markups([marks_of(femur)], path)
    return path


def edit(path, change):
    """Load a markups file, have `change` edit its markups by name, and save it."""
    data = json.loads(path.read_text())
    change({markup["name"]: markup for markup in data["markups"]})
    path.write_text(json.dumps(data))


def point(markup, label):
    return next(p for p in markup["controlPoints"] if p["label"] == label)


def test_every_landmark_and_plane_has_a_label_of_its_own():
    for name in (*NAMES, "head_neck", "neck_end", "trochanter", "distal"):
        assert name_of(label_of(name)) == name
    assert name_of("  Vastus-Ridge ") == name_of("vastus_ridge") == "vastus_ridge"
    assert name_of("F-1") is None


def test_a_file_that_nobody_touched_places_nothing(file, femur):
    marks = read_markups(file)
    found = {m.name for m in marks}
    assert {name for name, mark in femur.landmarks.points.items() if mark.position is not None} < found
    assert {"head_neck", "neck_end", "trochanter", "distal"} < found and "condyle_medial" not in found
    assert {state_of(mark) for mark in marks} == {AUTOMATIC}
    assert placed_marks(marks) == {"left": {}}


def test_what_is_moved_in_the_file_is_placed(file, femur):
    def change(markups):
        point(markups["left femur landmarks"], "vastus ridge")["position"][2] += 5
        point(markups["left femur shaft axis"], "shaft proximal")["position"][0] += 4
        markups["left femur distal plane"]["center"][2] -= 7
        fovea = point(markups["left femur landmarks"], "fovea")
        fovea.update(position=[1, 2, 3], positionStatus="defined")

    edit(file, change)
    placed = placed_marks(read_markups(file))["left"]
    # The other end of the shaft's axis stays where it is, which has to be said.
    assert set(placed) == {"vastus_ridge", "shaft_proximal", "shaft_distal", "distal", "fovea"}
    before = femur.landmarks.position
    assert np.allclose(placed["vastus_ridge"], before("vastus_ridge") + [0, 0, 5])
    assert np.allclose(placed["shaft_proximal"], before("shaft_proximal") + [4, 0, 0])
    assert np.allclose(placed["shaft_distal"], before("shaft_distal"))
    assert np.allclose(placed["distal"].origin, femur.division.planes["distal"].origin - [0, 0, 7])
    assert np.allclose(placed["fovea"], [1, 2, 3])


def test_files_in_lps_say_the_same(file):
    def change(markups):
        for markup in markups.values():
            del markup["coordinateSystem"]  # LPS is what that means
            for p in markup["controlPoints"]:
                if "position" in p:
                    p["position"] = [-p["position"][0], -p["position"][1], p["position"][2]]
            for key in ("center", "normal"):
                if key in markup:
                    markup[key] = [-markup[key][0], -markup[key][1], markup[key][2]]

    edit(file, change)
    assert placed_marks(read_markups(file)) == {"left": {}}


def test_a_list_of_ones_own_needs_names_alone(tmp_path):
    path = tmp_path / "own.mrk.json"
    points = [{"label": "Vastus Ridge", "position": [1, 2, 3]}, {"label": "F-2", "position": [4, 5, 6]}]
    path.write_text(json.dumps({"markups": [{"type": "Fiducial", "controlPoints": points}]}))
    placed = placed_marks(read_markups(path))
    assert list(placed) == ["vastus_ridge"] and placed["vastus_ridge"].tolist() == [-1, -2, 3]


def test_states_of_a_mark():
    assert state_of(Mark("fovea", (1, 2, 3), NOTE)) == AUTOMATIC
    assert state_of(Mark("fovea", (1, 2, 3.1), NOTE)) == MOVED
    assert state_of(Mark("fovea", (1, 2, 3), NOTE.replace("automatic", "placed by hand"))) == PLACED
    assert state_of(Mark("fovea", (1, 2, 3), "left femur, not found: The head shows no dent.")) == MOVED
    assert state_of(Mark("fovea", (1, 2, 3), "my own words")) == MOVED
    # Of a mark that is in two places, the one that was moved last counts.
    still = Mark("fovea", (1, 2, 3), NOTE.replace("automatic", "placed by hand"))
    moved = Mark("fovea", (9, 9, 9), still.note)
    for order in ([still, moved], [moved, still]):
        assert placed_marks(order)["left"]["fovea"].tolist() == [9, 9, 9]


def test_a_plane_is_the_same_wherever_on_it_and_whichever_way_up():
    one = (0, 0, 5, 0, 0, 1)
    assert same_place(one, (30, -20, 5, 0, 0, -1))
    assert not same_place(one, (0, 0, 5.1, 0, 0, 1)) and not same_place(one, (0, 0, 5, 0.01, 0, 1))
    assert Plane.by_hand("distal", [(0, 0, 5), (0, 0, 2)]).normal.tolist() == [0, 0, 1]


def test_files_that_are_no_marks_are_refused(tmp_path):
    path = tmp_path / "x.mrk.json"
    for text, words in (
        ("[]", "no markups file"),
        ('{"markups": [{"type": "Fiducial"}]}', "no markups file"),
        ('{"markups": [{"type": "Fiducial", "controlPoints": []}]}', "names no landmark"),
        ('{"markups": [{"type": "Fiducial", "coordinateUnits": "um", "controlPoints": []}]}', "no markups file"),
    ):
        path.write_text(text)
        with pytest.raises(BadInputError, match=words):
            read_markups(path)
    with pytest.raises(BadInputError, match="cannot be read"):
        read_markups(tmp_path / "none.mrk.json")
    with pytest.raises(BadInputError, match="which femur"):
        placed_marks([Mark("fovea", (1, 2, 3), NOTE), Mark("vastus_ridge", (1, 2, 3), "")])
