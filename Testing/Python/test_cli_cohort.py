"""``cohort``: its files, and a report that stands alone."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from closed_form_cohort import GRID, SIDES, cube, grown, probability, shifted, write, write_cohort, write_table
from command_line import assert_refused, files_in, invoke
from ProximalFemurSegLib.volume import Volume
from ProximalFemurSegLib.volume_io import write_volume

FIGURES = ("bland-altman", "box-plots", "curves", "dice-per-case", "volume-errors")


class Page(HTMLParser):
    """Everything of a page that points somewhere, its texts, and whether its tags close."""

    def __init__(self, text):
        super().__init__()
        self.links, self.sources, self.ids, self.cells, self.open = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values["href"]] if "href" in values else []
        self.sources += [values["src"]] if "src" in values else []
        self.ids += [values["id"]] if "id" in values else []
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two models on six subjects with maps and images, and a subject whose name is no good HTML."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = write_cohort(folder)
    for row in rows:
        side = int(row["subject"][1:])
        write(probability(side), folder / f"map{side}.nrrd")
        image = (100 * cube(side) + np.arange(GRID.shape[2])).astype(np.float32)
        write(image, folder / f"image{side}.nrrd")
        row.update(probability=f"map{side}.nrrd", image=f"image{side}.nrrd", remark="x")
        row["subject"] = row["subject"].replace("s4", "<s&4>")
    table = write_table(rows, folder / "table.csv")
    return folder, invoke("cohort", table, "--output", folder / "out", "--worst", 3, "--title", "Cubes")


def test_files(cohort):
    folder, done = cohort
    assert done.exit_code == 0, done.output
    figures = [f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")]
    names = ["report.html", "cases.csv", "summary.csv", "tests.csv", "volumes.csv", *figures]
    assert files_in(folder / "out") == sorted(names)
    for name in FIGURES:
        assert (folder / "out" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert "<svg" in (folder / "out" / f"{name}.svg").read_text(encoding="utf-8")[:900]
    assert "Columns that were not used: remark." in done.stderr
    assert "shifted" in done.stdout and "report.html" in done.stdout


def test_report_stands_alone(cohort):
    folder, _ = cohort
    text = (folder / "out" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(source.startswith("data:image/") for source in page.sources)
    assert len(page.sources) == len(FIGURES) + 3
    assert not re.search(r"https?://|<script|url\(|@import", re.sub(r'src="data:[^"]*"', "", text))
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (folder / "out" / unquote(link)).is_file(), link
    for source in page.sources:
        base64.b64decode(source.partition("base64,")[2], validate=True)


def test_report_says_the_closed_form(cohort):
    folder, _ = cohort
    page = Page((folder / "out" / "report.html").read_text(encoding="utf-8"))
    for closed in (shifted, grown):
        values = [closed(side)["dice"] for side in SIDES]
        assert f"{np.mean(values):.3f} ±\u00a0{np.std(values, ddof=1):.3f}" in page.cells
    assert "1.000 (0.000)" in page.cells, "AP as median (IQR)"
    # The worst case first, in the pictures and in the table.
    assert page.ids.index("case._3c_s_26_4_3e_.grown.") < page.ids.index("case.s5.grown.")


def test_json(tmp_path):
    table = write_table(write_cohort(tmp_path, (4, 5)), tmp_path / "table.csv")
    done = invoke("cohort", table, "-o", tmp_path / "out", "--worst", 0, "--json", "--surface", "mesh")
    values = json.loads(done.stdout)
    means = {entry["model"]: entry["mean"] for entry in values["models"]}
    assert means["grown"]["dice"] == pytest.approx(np.mean([grown(side)["dice"] for side in (4, 5)]))
    assert values["cases"] == 4
    assert_refused(invoke("cohort", table, "-o", tmp_path / "out"), "report.html", "--overwrite")


def test_structures_that_differ_only_in_signs_have_figures_of_their_own(tmp_path):
    """Also where file systems do not tell capitals; and models and subjects whose joined names are alike."""
    write_cohort(tmp_path, (4,))
    masks = {"result": "grown4.nrrd", "reference": "reference4.nrrd"}
    names = ("neck (left)", "neck, left", "Neck left", "neck left 2", "")
    rows = [{"subject": "s 1", "model": "net", "structure": name, **masks} for name in names]
    rows += [{"subject": "s", "model": "1 net", "structure": names[0], **masks}]
    folder = tmp_path / "out"
    done = invoke("cohort", write_table(rows, tmp_path / "table.csv"), "-o", folder)
    assert done.exit_code == 0, done.output
    figures = [path.stem for path in folder.glob("box-plots*.png")]
    endings = ["", "-neck-left", "-neck-left-2", "-neck-left-2-2", "-neck-left-3"]
    assert sorted(figures) == [f"box-plots{ending}" for ending in endings]
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert len(page.ids) == len(set(page.ids))


def test_maps_alone_are_postprocessed_and_the_worse_is_pictured(tmp_path):
    """Of a bone in two pieces post-processing keeps one; the picture stands for the case with and without it."""
    truth = cube(4)
    truth[12, 12, 14] = True
    write(np.where(truth, 0.9, 0.1).astype(np.float32), tmp_path / "map.nrrd")
    write(truth, tmp_path / "truth.nrrd")
    row = {"subject": "s", "model": "net", "probability": "map.nrrd", "reference": "truth.nrrd"}
    table = write_table([row], tmp_path / "table.csv")
    done = invoke("cohort", table, "-o", tmp_path / "out", "--threshold", 0.5, "--postprocess", "largest")
    assert done.exit_code == 0, done.output
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert [name for name in page.ids if name.startswith("case.")] == ["case.s.net-_2b_-PP."]
    assert "#case.s.net-_2b_-PP." in page.links
    assert {"1.000", f"{128 / 129:.3f}"} <= set(page.cells)


def test_nothing_is_written_where_something_is_wrong(tmp_path):
    rows = write_cohort(tmp_path, (4,))
    table = write_table(rows, tmp_path / "table.csv")
    assert_refused(invoke("cohort", tmp_path / "none.csv", "-o", tmp_path / "out"), "none.csv")
    assert_refused(invoke("cohort", table, "-o", tmp_path / "out", "--baseline", "best"), "best", "shifted, grown")
    assert_refused(invoke("cohort", table, "-o", tmp_path / "out", "--postprocess", "polish"), "polish")
    assert_refused(invoke("cohort", table, "-o", tmp_path / "out", "--threshold", "otsu"), "model, roc, youden")
    assert_refused(invoke("cohort", table, "-o", tmp_path / "out", "--corrections", tmp_path / "no"), "does not exist")
    smaller = Volume(cube(4)[1:].astype(np.uint8), GRID.crop((1, 0, 0), GRID.shape))
    write_volume(smaller, tmp_path / "grown4.nrrd")
    assert_refused(invoke("cohort", table, "-o", tmp_path / "out"), "Line 3", "grown4.nrrd", "resample")
    assert not (tmp_path / "out").exists()
