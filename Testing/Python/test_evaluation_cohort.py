"""Tables of a cohort whose numbers are known in closed form, and tables of cases that cannot be used."""

import csv
import io

import numpy as np
import pytest

from closed_form_cohort import GRID, SIDES, cube, grown, probability, shifted, write, write_cohort, write_table
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.evaluation import cohort_tables
from ProximalFemurSegLib.evaluation.cohort import CohortOptions, evaluate_cohort
from ProximalFemurSegLib.evaluation.cohort_pictures import worst_pictures
from ProximalFemurSegLib.evaluation.cohort_rows import read_cohort_table
from ProximalFemurSegLib.evaluation.cohort_volumes import region_volumes
from ProximalFemurSegLib.evaluation.worst_slice import slice_axis, worst_slice
from ProximalFemurSegLib.volume import Grid, Volume

CLOSED = {"shifted": [shifted(side) for side in SIDES], "grown": [grown(side) for side in SIDES]}


def evaluated(folder, rows, **options):
    return evaluate_cohort(read_cohort_table(write_table(rows, folder / "table.csv"))[0], CohortOptions(**options))


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    return evaluated(folder, write_cohort(folder))


def test_every_case_is_the_closed_form(measured):
    for model, closed in CLOSED.items():
        for case, expected in zip(measured.of("", model), closed):
            assert {key: case[key] for key in expected} == pytest.approx(expected), case["subject"]


def test_table_of_the_paper_s_form(measured):
    """SciRep-2018, Table 1: a line a model, mean ± SD, digits as printed there."""
    (table,) = cohort_tables.segmentation_tables(measured)
    columns = {
        "DSC\u00a0↑": ("dice", 3),
        "Precision\u00a0↑": ("precision", 3),
        "Recall\u00a0↑": ("recall", 3),
        "MSD (mm)\u00a0↓": ("msd_mm", 2),
    }
    assert [row[0] for row in table.rows] == ["shifted", "grown"]
    for row in table.rows:
        for title, (key, digits) in columns.items():
            values = [case[key] for case in CLOSED[row[0]]]
            expected = f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"
            assert row[table.heading.index(title)] == expected, title
    assert table.rows[1][table.heading.index("ASD (mm)\u00a0↓")] == "{:.2f} ± {:.2f}".format(
        np.mean([c["asd_mm"] for c in CLOSED["grown"]]), np.std([c["asd_mm"] for c in CLOSED["grown"]], ddof=1)
    )
    best = {table.heading[column] for row, column in table.best if row == 0}
    assert {"DSC\u00a0↑", "Precision\u00a0↑", "MSD (mm)\u00a0↓"} <= best and "Recall\u00a0↑" not in best


def test_stars_of_six_subjects_that_all_differ_one_way(measured):
    """Six paired differences of one sign: p = 2 / 64, one pair, nothing to correct."""
    tests = cohort_tables.paired_tests(measured)
    (test,) = tests["", "dice"]
    assert test.p_value == test.corrected == pytest.approx(2 / 64)
    table = next(t for t in cohort_tables.star_tables(tests) if "DSC" in t.title)
    assert (table.heading, table.rows) == (["", "grown"], [["shifted", "*"]])
    gain = np.mean([b["dice"] - a["dice"] for a, b in zip(CLOSED["shifted"], CLOSED["grown"])])
    baseline = cohort_tables.baseline_tables(cohort_tables.paired_tests(measured, "shifted"))
    row = next(t for t in baseline if t.title.startswith("DSC")).rows[0]
    assert row[:3] == ["grown", "6", f"−{-gain:.4f}"]


def test_volumes_of_the_paper_s_form(measured):
    """QCT-2021, Table 2, in cm3."""
    references = np.array(SIDES) ** 3 / 1000
    errors = (np.array(SIDES) + 2) ** 3 / 1000 - references
    relative = 100 * errors / references
    row = next(r for r in cohort_tables.volume_table(measured).rows if r[1] == "grown")
    assert row[3] == f"{references.mean():.2f} ± {references.std(ddof=1):.2f}"
    assert row[4:6] == [f"{errors.mean():.3f}", f"{np.sqrt((errors**2).mean()):.3f}"]
    assert row[6] == f"{relative.mean():.2f} ({relative.min():.2f}, {relative.max():.2f})"
    assert row[7].startswith(f"{errors.mean():+.2f} (")
    assert row[8] == f"{np.corrcoef(references, references + errors)[0, 1]:.4f}"


def test_csv_keeps_every_digit(measured):
    rows = read_csv(cohort_tables.cases_csv(measured))
    assert len(rows) == 2 * len(SIDES)
    first = next(row for row in rows if row["model"] == "grown" and row["subject"] == f"s{SIDES[0]}")
    assert float(first["asd_mm"]) == pytest.approx(grown(SIDES[0])["asd_mm"], rel=1e-12)
    summary = read_csv(cohort_tables.summary_csv(measured))
    dice = next(row for row in summary if (row["model"], row["metric"]) == ("shifted", "dice"))
    assert float(dice["median"]) == pytest.approx(np.median([c["dice"] for c in CLOSED["shifted"]]))
    assert float(dice["mean_low_95"]) < float(dice["mean"]) < float(dice["mean_high_95"])
    assert len(read_csv(cohort_tables.volumes_csv(measured))) == 2 * len(SIDES)
    assert {row["metric"] for row in read_csv(cohort_tables.tests_csv(cohort_tables.paired_tests(measured)))} == {
        "dice",
        "asd_mm",
    }


def test_worst_come_first(measured):
    dices = [case["dice"] for case in measured.worst_first()]
    assert dices == sorted(dices)
    assert measured.worst_first()[0]["subject"] == f"s{SIDES[0]}"


def test_threshold_is_chosen_on_validation_cases_and_applied_to_others(tmp_path):
    """On the maps, everything above 0.6 is the reference; a point at 0.5 would take the voxels around it, too."""
    rows = []
    for side in (4, 5, 6):
        write(probability(side), tmp_path / f"map{side}.nrrd")
        write(cube(side), tmp_path / f"truth{side}.nrrd")
        rows.append(
            {
                "subject": f"s{side}",
                "model": "map",
                "probability": f"map{side}.nrrd",
                "reference": f"truth{side}.nrrd",
                "split": "validation" if side == 4 else "test",
            }
        )
    found = evaluated(tmp_path, rows)
    assert [case["subject"] for case in found.cases] == ["s5", "s6"]
    assert [case["dice"] for case in found.cases] == [1, 1]
    assert found.cases[0]["threshold"] == pytest.approx(0.75, abs=1e-4)
    assert found.cases[0]["roc_auc"] == found.cases[0]["average_precision"] == 1
    assert len(found.curves["", "map"]) == 2
    (point, *_) = cohort_tables.point_table(found).rows
    assert point[0] == "map" and float(point[2]) == pytest.approx(0.75, abs=1e-4)
    low = evaluated(tmp_path, rows, threshold=0.5)
    assert low.cases[0]["dice"] == pytest.approx(grown(5)["dice"])
    with pytest.raises(BadInputError, match="no validation rows to choose a threshold on"):
        evaluated(tmp_path, rows[1:])
    with pytest.raises(BadInputError, match="All rows of the table are for validation"):
        evaluated(tmp_path, rows[:1])


def test_folds_are_pooled_before_their_curves_are_averaged(tmp_path):
    rows = []
    for side, fold in ((4, "1"), (5, "1"), (6, "2")):
        write(probability(side), tmp_path / f"map{side}.nrrd")
        write(cube(side, growth=1), tmp_path / f"truth{side}.nrrd")
        rows.append(
            {
                "subject": f"s{side}",
                "probability": f"map{side}.nrrd",
                "reference": f"truth{side}.nrrd",
                "result": f"truth{side}.nrrd",
                "fold": fold,
            }
        )
    found = evaluated(tmp_path, rows)
    assert found.curve_unit == "folds"
    assert len(found.curves["", "result"]) == 2


def test_postprocessing_is_a_model_of_its_own(tmp_path):
    """SciRep-2018, Table 2: a speck far from the bone costs precision until the largest component is kept."""
    speck = cube(6)
    speck[13, 13, 14] = True
    write(speck, tmp_path / "result.nrrd")
    write(cube(6), tmp_path / "truth.nrrd")
    found = evaluated(
        tmp_path,
        [{"subject": "a", "model": "net", "result": "result.nrrd", "reference": "truth.nrrd"}],
        postprocess="largest",
    )
    assert found.models == ["net", "net + PP"]
    assert [case["precision"] for case in found.cases] == pytest.approx([216 / 217, 1.0])
    assert found.cases[1]["msd_mm"] == 0 < found.cases[0]["msd_mm"]


def test_worst_cases_of_probability_maps_are_drawn_after_postprocessing_too(tmp_path):
    write(np.where(cube(6), 0.8, 0.1).astype(np.float32), tmp_path / "map.nrrd")
    write(cube(6), tmp_path / "truth.nrrd")
    rows = [{"subject": "a", "model": "net", "probability": "map.nrrd", "reference": "truth.nrrd"}]
    found = evaluated(tmp_path, rows, threshold=0.5, postprocess="largest")
    assert [case["threshold"] for case in found.cases] == [0.5, 0.5]
    pictures = worst_pictures(found, CohortOptions(threshold=0.5, postprocess="largest"), 2)
    assert {case["model"] for case, _ in pictures} <= {"net", "net + PP"} and pictures


def test_what_is_not_defined_is_counted_and_not_averaged(tmp_path):
    write(np.zeros(GRID.shape, bool), tmp_path / "empty.nrrd")
    rows = write_cohort(tmp_path, (5, 6))[::2]
    rows.append({"subject": "missed", "model": "shifted", "result": "empty.nrrd", "reference": "reference5.nrrd"})
    found = evaluated(tmp_path, rows)
    (table,) = cohort_tables.segmentation_tables(found)
    assert table.rows[0][table.heading.index("MSD (mm)\u00a0↓")] == "1.00 ± 0.00 [1 undefined]"
    assert found.worst_first()[0]["subject"] == "missed"
    assert read_csv(cohort_tables.cases_csv(found))[-1]["asd_mm"] == ""


def test_readers_agree_with_each_other_and_with_their_consensus(tmp_path):
    for name, mask in (("one", cube(6)), ("two", cube(6)), ("three", cube(6, shift=1)), ("net", cube(6, shift=1))):
        write(mask, tmp_path / f"{name}.nrrd")
    found = evaluated(
        tmp_path,
        [
            {
                "subject": "a",
                "model": "net",
                "result": "net.nrrd",
                "reference": "one.nrrd",
                "reference_2": "two.nrrd",
                "reference_3": "three.nrrd",
            }
        ],
    )
    table = cohort_tables.reader_table(found)
    between = f"{5 / 6:.3f}"
    assert table.rows[0][1:4] == ["1", "1.000", between]
    assert table.rows[2][1:4] == [between, between, "1"]
    assert table.rows[3][:5] == ["net", between, between, "1.000", between]


def test_two_structures_side_by_side(tmp_path):
    labels = cube(6).astype(np.uint8) * 2
    labels[cube(4)] = 1
    write(labels, tmp_path / "labels.nrrd")
    rows = [
        {
            "subject": "a",
            "model": "net",
            "structure": name,
            "label": label,
            "result": "labels.nrrd",
            "reference": "labels.nrrd",
        }
        for name, label in (("periosteal", "1 2"), ("endosteal", "1"))
    ]
    found = evaluated(tmp_path, rows)
    assert [row[:3] for row in cohort_tables.structure_table(found).rows] == [
        ["net", "periosteal", "100.00"],
        ["net", "endosteal", "100.00"],
    ]
    volumes = [row[0] for row in cohort_tables.volume_table(found).rows]
    assert volumes == ["periosteal", "endosteal"]
    assert [case["volume_mm3"] for case in found.cases] == [216, 64]


def test_regions_with_and_without_cortex(tmp_path):
    """A cube of 6 whose lower half is neck and upper half head, with a shell of cortex a voxel thick."""
    regions = cube(6).astype(np.uint8)
    regions[:5][cube(6)[:5]] = 2
    labels = np.where(cube(6), 2, 0).astype(np.uint8)
    labels[3:7, 3:7, 3:7] = 1
    found = region_volumes(Volume(regions, GRID), Volume(labels, GRID))
    assert found == {
        "femoral head": 108,
        "femoral neck": 108,
        "neck, trochanter and intertrochanter": 108,
        "cortical bone of the neck": 108 - 32,
        "cortical bone of neck, trochanter and intertrochanter": 108 - 32,
    }
    assert "cortical bone of the neck" not in region_volumes(Volume(regions, GRID), Volume(regions * 0 + 1, GRID))
    with pytest.raises(BadInputError, match="none of the regions"):
        region_volumes(Volume(regions * 0, GRID), Volume(labels, GRID))
    write(regions, tmp_path / "regions.nrrd")
    write(labels, tmp_path / "labels.nrrd")
    cohort = evaluated(
        tmp_path,
        [
            {
                "subject": "a",
                "result": "labels.nrrd",
                "reference": "labels.nrrd",
                "result_regions": "regions.nrrd",
                "reference_regions": "regions.nrrd",
            }
        ],
    )
    assert len(cohort.volumes) == 6
    assert all(entry["result_mm3"] == entry["reference_mm3"] > 0 for entry in cohort.volumes)
    # Of a map there is no cortex: neck is not taken for it, though both are labelled 2.
    write(probability(6), tmp_path / "map.nrrd")
    row = {"subject": "a", "probability": "map.nrrd", "reference": "labels.nrrd"}
    regions = {"result_regions": "regions.nrrd", "reference_regions": "regions.nrrd"}
    cohort = evaluated(tmp_path, [{**row, **regions}], threshold=0.7)
    assert [entry["region"] for entry in cohort.volumes] == [
        "whole structure",
        "femoral head",
        "femoral neck",
        "neck, trochanter and intertrochanter",
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_from_any_spreadsheet(tmp_path, separator):
    rows = [{**row, "age": "70"} for row in write_cohort(tmp_path, (4,))]
    path = write_table(rows, tmp_path / "table.csv", separator)
    path.write_text("\ufeff" + path.read_text() + separator * 2 + "\n", encoding="utf-8")
    found, unused = read_cohort_table(path)
    assert [row.model for row in found] == ["shifted", "grown"]
    assert unused == ["age"]
    assert found[0].labels is None and found[0].split == "test"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"result": "none.nrrd"}, "line 2: the result 'none.nrrd' does not exist"),
        ({"result": ""}, "line 2: there is neither a result nor a probability map"),
        ({"subject": ""}, "line 2: the subject is missing"),
        ({"label": "bone"}, "the label 'bone' is no whole number"),
        ({"split": "training"}, "the split is 'training'"),
        ({"split": "validation"}, "needs its probability map"),
        ({"result_regions": "reference4.nrrd"}, "regions are needed of both"),
        ({"model": "grown"}, "lines 2 and 3 are both of subject s4 and grown"),
    ],
)
def test_lines_that_cannot_be_used(tmp_path, change, words):
    first, second = write_cohort(tmp_path, (4,))
    with pytest.raises(BadInputError, match=words):
        read_cohort_table(write_table([{**first, **change}, second], tmp_path / "table.csv"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("subject,result\n", "lacks the column reference"),
        ("subject,reference\n", "lacks the column result"),
        ("subject,result,reference\n", "holds no cases"),
        ("subject,subject,result,reference\n", "the column subject twice"),
        ("subject,result,reference\na,b,c,d\n", "line 2, has more cells"),
    ],
)
def test_tables_that_are_none(tmp_path, text, words):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(BadInputError, match=words):
        read_cohort_table(tmp_path / "table.csv")


def test_a_mask_elsewhere_is_refused_with_its_line(tmp_path):
    from ProximalFemurSegLib.volume_io import write_volume

    rows = write_cohort(tmp_path, (4,))
    elsewhere = Grid.from_parts(GRID.shape, GRID.spacing, GRID.origin + 3)
    write_volume(Volume(cube(4).astype(np.uint8), elsewhere), tmp_path / "grown4.nrrd")
    with pytest.raises(BadInputError, match=r"^Line 3 of the table \(subject s4\): .*different grids"):
        evaluated(tmp_path, rows)
    assert evaluated(tmp_path, rows, interpolate=True).cases[1]["interpolated"]


def test_worst_slice_is_the_one_with_most_errors():
    """Thick slices along j, so coronal; slice 5 has more wrong voxels than slice 3."""
    grid = Grid.from_parts((12, 8, 12), (0.5, 2.0, 0.5), (0, 0, 0))
    reference, result = np.zeros((2, *grid.shape), bool)
    reference[2:10, 1:7, 2:10] = result[2:10, 1:7, 2:10] = True
    result[2:4, 3, 2:10] = False
    result[2:7, 5, 2:10] = False
    shown = worst_slice(Volume(result, grid), Volume(reference, grid), pixels=60)
    assert (shown.view, shown.wrong_voxels, shown.position_mm) == ("coronal", 40, 10.0)
    assert shown.letters == {"left": "R", "right": "L", "top": "S", "bottom": "I"}
    # What is missed is blue, at the inferior end: in the lower half of the picture.
    blue = shown.picture[..., 2].astype(int) - shown.picture[..., 0] > 20
    assert blue[30:].sum() > 3 * blue[:30].sum()
    assert slice_axis((1.0, 1.0, 1.0)) == slice_axis((0.8, 0.8, 0.987)) == 0
    assert slice_axis((0.2, 1.5, 0.2)) == 1
    same = worst_slice(Volume(reference, grid), Volume(reference, grid), pixels=60)
    assert same.wrong_voxels == 0
