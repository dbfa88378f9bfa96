"""One case from masks to numbers: what stands under which name, and what is refused."""

import json
from itertools import permutations, product

import numpy as np
import pytest

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.evaluation import evaluate_masks
from ProximalFemurSegLib.evaluation.cases import align
from ProximalFemurSegLib.orientation import Reorientation
from ProximalFemurSegLib.volume import Grid, Volume

ALL_48 = [Reorientation(o, f) for o in permutations(range(3)) for f in product((False, True), repeat=3)]
GRID = Grid.from_parts((8, 10, 12), (0.5, 1.0, 2.0), (30, -20, 10))


def mask(start, stop, grid=GRID, name="mask"):
    array = np.zeros(grid.shape, bool)
    array[tuple(slice(a, b) for a, b in zip(start, stop))] = True
    return Volume(array, grid, name)


REFERENCE = mask((2, 2, 2), (6, 8, 10), name="truth")
RESULT = mask((2, 2, 4), (6, 8, 10), name="found")


def test_hand_worked_case():
    """Of a box of 8 x 6 x 4 voxels (0.5 x 1 x 2 mm) two layers along i are missed."""
    values = evaluate_masks(RESULT, REFERENCE)
    assert values["dice"] == pytest.approx(2 * 144 / (144 + 192))
    assert values["precision"] == 1
    assert values["recall"] == pytest.approx(0.75)
    assert values["specificity"] == 1
    assert values["msd_mm"] == pytest.approx(1)
    assert 0 < values["asd_mm"] < values["hd95_mm"] <= 1
    assert values["volume_mm3"] == pytest.approx(144)
    assert values["reference_volume_mm3"] == pytest.approx(192)
    assert values["volume_difference_mm3"] == pytest.approx(-48)
    assert values["volume_error_mm3"] == pytest.approx(48)
    assert values["relative_volume_error_percent"] == pytest.approx(25)
    assert values["result_touches"] == values["reference_touches"] == []
    assert not {"roc_auc", "average_precision", "operating_points"} & set(values)


def test_probability_map_adds_curves():
    scores = np.where(RESULT.array, 0.9, np.where(REFERENCE.array, 0.6, 0.2)).astype(np.float32)
    values = evaluate_masks(RESULT, REFERENCE, Volume(scores, GRID))
    assert values["roc_auc"] == values["average_precision"] == 1
    assert set(values["operating_points"]) == {"threshold", "roc", "youden"}
    for point in values["operating_points"].values():
        assert point["threshold"] == pytest.approx(0.4)
        assert (point["precision"], point["recall"], point["specificity"]) == (1, 1, 1)


def test_any_value_but_zero_is_bone():
    labels = Volume(RESULT.array * np.int16(11), GRID)
    assert evaluate_masks(labels, REFERENCE) == evaluate_masks(RESULT, REFERENCE)


@pytest.mark.parametrize("change", ALL_48)
def test_array_order_of_either_does_not_matter(change):
    """The same voxels of the patient in another order are the same voxels."""
    scores = Volume(np.random.default_rng(0).random(GRID.shape, dtype=np.float32), GRID)
    expected = evaluate_masks(RESULT, REFERENCE, scores)
    turned = Volume(change.apply(RESULT.array), change.grid(GRID))
    found = evaluate_masks(turned, REFERENCE, scores)
    assert found.pop("operating_points") == expected.pop("operating_points")
    assert found == {name: pytest.approx(value) for name, value in expected.items()}


def test_nothing_is_copied_where_grids_agree():
    one, other = align(RESULT, REFERENCE)
    assert one is RESULT
    assert other is REFERENCE


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (Grid.from_parts((8, 10, 13), (0.5, 1, 2), (30, -20, 10)), "12 x 10 x 8 and 13 x 10 x 8 voxels|13 x 10 x 8"),
        (Grid.from_parts((8, 10, 12), (0.5, 1, 2.5), (30, -20, 10)), "0.5 x 1 x 2.5 mm"),
        (Grid.from_parts((8, 10, 12), (0.5, 1, 2), (30, -20, 11)), "up to 1 mm apart"),
    ],
)
def test_grids_that_differ(other, why):
    with pytest.raises(BadInputError, match=why) as error:
        evaluate_masks(RESULT, mask((2, 2, 2), (6, 8, 10), other, "truth"))
    assert "'found' and 'truth' lie on different grids" in str(error.value)
    assert str(error.value).endswith(": resample one onto the other first.")
    with pytest.raises(BadInputError, match=why):
        evaluate_masks(RESULT, REFERENCE, Volume(np.zeros(other.shape), other, "probability"))


def test_rounding_in_a_header_is_no_difference():
    rounded = Grid.from_parts(GRID.shape, GRID.spacing, GRID.origin + 0.003)
    assert evaluate_masks(Volume(RESULT.array, rounded), REFERENCE)["recall"] == pytest.approx(0.75)


def test_bone_cut_off_by_the_scan_is_named():
    values = evaluate_masks(mask((0, 2, 2), (6, 8, 12)), REFERENCE)
    assert values["result_touches"] == ["right", "inferior"]
    assert values["reference_touches"] == []


def test_what_is_not_defined_is_none_and_the_rest_is_json():
    empty = mask((0, 0, 0), (0, 0, 0))
    scores = Volume(np.full(GRID.shape, 0.5, np.float32), GRID)
    missed = evaluate_masks(empty, REFERENCE, scores)
    assert (missed["dice"], missed["recall"]) == (0, 0)
    assert missed["asd_mm"] is missed["msd_mm"] is missed["hd95_mm"] is None
    invented = evaluate_masks(RESULT, empty, scores)
    assert invented["relative_volume_error_percent"] is None
    assert invented["roc_auc"] is invented["average_precision"] is None
    assert invented["operating_points"] == {}
    nothing = evaluate_masks(empty, empty)
    assert (nothing["dice"], nothing["relative_volume_error_percent"], nothing["asd_mm"]) == (1, 0, None)
    for values in (missed, invented, nothing):
        json.loads(json.dumps(values, allow_nan=False))


def finer(volume):
    """Every voxel cut into eight."""
    array = volume.array.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    spacing = np.array(volume.grid.spacing) / 2
    return Volume(array, Grid.from_parts(array.shape, spacing, volume.grid.origin - spacing / 2), "finer")


def test_other_grids_are_brought_onto_the_reference_s_when_asked():
    expected = evaluate_masks(RESULT, REFERENCE)
    assert expected["interpolated"] is False
    found = evaluate_masks(finer(RESULT), REFERENCE, interpolate=True)
    assert found.pop("interpolated") is True
    expected.pop("interpolated")
    assert found == {name: pytest.approx(value) for name, value in expected.items()}
    # A result that was cut out of the scan: beyond its field of view there is no bone.
    start, stop = (1, 0, 6), (8, 10, 12)
    part = Volume(REFERENCE.array[1:8, :, 6:12], GRID.crop(start, stop), "part")
    values = evaluate_masks(part, REFERENCE, interpolate=True)
    assert (values["precision"], values["recall"]) == (1, 0.5)


def test_maps_are_interpolated_too_and_grids_that_agree_never():
    scores = Volume(np.where(REFERENCE.array, 0.9, 0.2).astype(np.float32), GRID)
    assert evaluate_masks(RESULT, REFERENCE, finer(scores), interpolate=True)["roc_auc"] == 1
    assert align(RESULT, REFERENCE, interpolate=True)[0] is RESULT


def test_other_places_are_refused_whatever_was_asked():
    elsewhere = Volume(RESULT.array, Grid.from_parts(GRID.shape, GRID.spacing, GRID.origin + 100), "elsewhere")
    with pytest.raises(BadInputError, match="'elsewhere' and 'truth' show different places"):
        evaluate_masks(elsewhere, REFERENCE, interpolate=True)


def test_definition_and_tolerance_are_chosen():
    voxels, mesh = (evaluate_masks(RESULT, REFERENCE, surface=name, tolerance_mm=0.4) for name in ("voxels", "mesh"))
    assert (voxels["surface_definition"], mesh["surface_definition"]) == ("voxels", "mesh")
    assert voxels["asd_mm"] != mesh["asd_mm"]
    assert voxels["msd_mm"] == mesh["msd_mm"] == pytest.approx(1), "a shift of a flat side is the same in both"
    assert voxels["surface_dice_tolerance_mm"] == 0.4
    wider = evaluate_masks(RESULT, REFERENCE, tolerance_mm=1.0)["surface_dice"]
    assert voxels["surface_dice"] < wider == 1


def test_binned_areas_say_how_far_off_they_may_be(monkeypatch):
    from ProximalFemurSegLib.evaluation import curves

    scores = Volume(np.random.default_rng(0).random(GRID.shape, dtype=np.float32), GRID)
    exact = evaluate_masks(RESULT, REFERENCE, scores)
    assert exact["roc_auc_error"] == exact["average_precision_error"] == 0
    monkeypatch.setattr(curves, "_MOST_EXACT", 10)
    monkeypatch.setattr(curves, "_BINS", 32)
    binned = evaluate_masks(RESULT, REFERENCE, scores)
    for name in ("roc_auc", "average_precision"):
        assert 0 < abs(binned[name] - exact[name]) <= binned[f"{name}_error"] < 0.1
