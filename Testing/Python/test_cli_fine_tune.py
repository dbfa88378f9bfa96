"""``fine-tune``: from a few corrected cases to a network of one's own, kept only where it is better."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import taught_networks as taught
from command_line import assert_refused, files_in, invoke
from ProximalFemurSegLib import models, presenter
from ProximalFemurSegLib.training import fine_tuning
from ProximalFemurSegLib.volume_io import read_labels, read_volume, write_volume

NAME = "tiny-mr+site"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A folder of weights that know the bright look, as far as a few seconds teach it."""
    folder = tmp_path_factory.mktemp("shipped")
    known = taught.write_cases(tmp_path_factory.mktemp("known"), 3, inverted=False)
    work = tmp_path_factory.mktemp("work")
    taught.teach(taught.TINY_MR.stages[0], "mr", known, work, folder, steps=60)
    return folder


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return taught.bake_balls(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture(scope="module")
def inverted(tmp_path_factory):
    """Three corrected cases of the inverted look."""
    return taught.write_cases(tmp_path_factory.mktemp("data"), 3)


@pytest.fixture
def program(shipped, tmp_path, monkeypatch):
    """The program with a tiny network, whose shipped weights lie in a folder, and a user's folder of its own."""
    home = tmp_path / "home"
    monkeypatch.setattr("ProximalFemurSegLib.models.user_model_folder", lambda: home)
    monkeypatch.setattr("ProximalFemurSegLib.fine_tuned.user_model_folder", lambda: home)
    monkeypatch.setenv(models.ENVIRONMENT_VARIABLE, str(shipped))
    taught.offer(monkeypatch, taught.TINY_MR)
    return home


@pytest.fixture
def quick(monkeypatch):
    """A network this small stands higher rates, and needs them to learn in so few steps."""
    usual = fine_tuning.fine_tuning_recipe
    monkeypatch.setattr(
        fine_tuning, "fine_tuning_recipe",
        lambda *arguments: usual(*arguments).replace(learning_rate=1e-2, precision="float32"),
    )


def arguments(data, phantoms, *more, name="site"):
    small = ["--patch", *taught.PATCH, "--phantoms", phantoms, "--device", "cpu"]
    return ["fine-tune", "--network", "tiny-mr", "--data", data, "--name", name, *small, *more]


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def segmented(data, subject, out, *more):
    """Dice of what the segment command gives for a case, counted by hand."""
    result = invoke("segment", data / subject / "image.nii.gz", "--output", out, "--device", "cpu", "--modality", "mr",
                    *more)
    assert result.exit_code == 0, result.stderr
    files = out / "segmentation.nii.gz", data / subject / "mask.nii.gz"
    found, true = (read_labels(path).array > 0 for path in files)
    return dice(found, true)


@pytest.fixture
def done(program, quick, shipped, phantoms, inverted, tmp_path):
    """A fine-tuning that was kept: (result, folder of its work)."""
    before = {path.name: path.read_bytes() for path in shipped.iterdir()}
    work = tmp_path / "work"
    result = invoke(*arguments(inverted, phantoms, "--steps", 40, "--work", work, "--json"))
    assert result.exit_code == 0, result.stderr
    assert {path.name: path.read_bytes() for path in shipped.iterdir()} == before, "shipped weights were touched"
    return json.loads(result.stdout), work


def test_better_weights_are_kept_beside_the_shipped_ones(done, program, shipped, phantoms, inverted, tmp_path):
    result, work = done
    (entry,) = result["taught"]
    assert entry["kept"] and result["network"] == NAME
    assert files_in(program) == [f"{NAME}.json", f"{NAME}.png", f"{NAME}.safetensors"]
    with Image.open(program / f"{NAME}.png") as picture:
        assert picture.width > 600
    # Before: what the shipped weights give, measured by the program's own commands and by hand.
    assert [row["subject"] for row in entry["left_out"]] == ["person0", "person1", "person2"]
    for row in entry["left_out"]:
        alone = segmented(inverted, row["subject"], tmp_path / f"before-{row['case']}", "--network", "tiny-mr")
        assert row["before"]["dice"] == pytest.approx(alone, abs=1e-4)
    # After: the weights of the fold that had not seen the case, at a threshold that it had no part in.
    assert sorted(row["fold"] for row in entry["left_out"]) == [1, 2, 3]
    row = entry["left_out"][1]
    fold = torch.load(work / "bone" / f"fold{row['fold']}" / "checkpoint.pt", weights_only=True)["average"]
    elsewhere = tmp_path / "fold"
    models.save_weights(fold, elsewhere / "tiny-mr.safetensors")
    card = json.loads((shipped / "tiny-mr.json").read_text())
    card["sha256"] = models.sha256(elsewhere / "tiny-mr.safetensors")
    models.write_card(card, elsewhere / "tiny-mr.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(models.ENVIRONMENT_VARIABLE, str(elsewhere))
        again = segmented(inverted, row["subject"], tmp_path / "after", "--network", "tiny-mr",
                          "--threshold", row["threshold"])
    assert row["after"]["dice"] == pytest.approx(again, abs=1e-4)
    means = [np.mean([row[when]["dice"] for row in entry["left_out"]]) for when in ("before", "after")]
    assert [entry["mean_dice"][when] for when in ("before", "after")] == pytest.approx(means, abs=1e-4)
    assert means[1] > means[0] + 0.005

    # The card says the same, and names no file and no person.
    text = (program / f"{NAME}.json").read_text()
    card = json.loads(text)
    assert not any(word in text for word in ("person", str(inverted), str(work), "nii"))
    assert card["trained_on"] == "simulated images, then 3 corrected cases" and card["data"]["simulated"] is False
    assert [c["case"] for c in card["data"]["cases"]] == [1, 2, 3]
    first = card["data"]["cases"][0]
    assert first["image_sha256"] == models.sha256(inverted / "person0" / "image.nii.gz")
    assert first["mask_sha256"] == models.sha256(inverted / "person0" / "mask.nii.gz")
    assert first["voxel_size_mm"] == [4.0, 4.0, 4.0] and first["voxels"] == [30, 30, 18]
    checksum = models.sha256(shipped / "tiny-mr.safetensors")
    assert card["data"]["started_from"] == {"network": "tiny-mr", "weights": "tiny-mr", "sha256": checksum}
    assert card["sha256"] == models.sha256(program / f"{NAME}.safetensors") != checksum
    assert [c["before"] for c in card["metrics"]["left_out"]["cases"]] == [r["before"] for r in entry["left_out"]]
    assert set(card["metrics"]["old_look"]["dice"]) == {"before", "after"}
    assert (card["seed"], card["recipe"]["steps"], card["data"]["modality"]) == (1, 40, "mr")
    assert "--steps 40 --folds 4 --seed 1" in card["command"] and card["hardware"]["cores"] >= 1
    assert len(card["curves"]["training"]["loss"]) == 40
    assert "only analytic hips" in card["limits"] and any("3 subjects" in limit for limit in card["limits"])
    assert set(card["operating_point"]) == {"threshold", "roc", "youden"}

    # Every face finds it: the list of networks, the menu of the module, and segment.
    listed = {n["name"]: n for n in json.loads(invoke("networks", "--json").stdout)["networks"]}
    assert listed[NAME]["origin"] == "tiny-mr" and listed[NAME]["weights_here"]
    assert listed["tiny-mr"]["origin"] is None
    assert f"{NAME} " in invoke("networks").stdout and "your own, from tiny-mr" in invoke("networks").stdout
    (menu,) = [e for e in presenter.network_entries() if e.name == NAME]
    assert menu.available and "3 corrected cases" in menu.note
    taught_now = segmented(inverted, "person0", tmp_path / "own", "--network", NAME)
    assert taught_now > entry["mean_dice"]["before"]
    measured = json.loads((tmp_path / "own" / "measurements.json").read_text())
    assert measured["network"] == NAME and measured["weights"] == {NAME: card["sha256"]}
    assert measured["threshold"]["bone"] == card["operating_point"]["threshold"]

    # The same name again is refused before anything is trained; so is a fine-tuned network as the start of another.
    assert_refused(invoke(*arguments(inverted, phantoms)), "site", "--name")
    assert_refused(invoke("fine-tune", "--network", NAME, "--data", inverted), "tiny-mr", "already")


@pytest.fixture
def worse(monkeypatch):
    """Nothing counts as better; what does is a test of its own."""
    monkeypatch.setattr(fine_tuning, "is_better", lambda before, after: False)


def test_weights_that_are_not_better_are_not_kept(worse, program, phantoms, inverted):
    result = invoke(*arguments(inverted, phantoms, "--steps", 1))
    assert result.exit_code == 0, result.stderr
    assert "The shipped weights stay." in result.stdout and fine_tuning.RULE in result.stdout
    assert "person2" in result.stdout and "mean" in result.stdout
    assert not program.exists()
    assert NAME not in invoke("networks").stdout


def test_a_replacement_that_is_not_better_leaves_the_earlier_one(done, worse, program, phantoms, inverted):
    before = {path.name: path.read_bytes() for path in program.iterdir()}
    result = invoke(*arguments(inverted, phantoms, "--steps", 1, "--overwrite"))
    assert result.exit_code == 0, result.stderr
    assert "The shipped weights stay." in result.stdout
    assert {path.name: path.read_bytes() for path in program.iterdir()} == before


@pytest.fixture
def sampled(monkeypatch):
    """Cases and shapes that samples are cut from and in."""
    noted, real = [], fine_tuning.PairSamples

    def samples(folder, names, stage, shape, *rest):
        noted.append((tuple(names), shape))
        return real(folder, names, stage, shape, *rest)

    monkeypatch.setattr(fine_tuning, "PairSamples", samples)
    return noted


def test_a_single_case_is_measured_on_parts_of_itself_and_says_so(
    program, quick, phantoms, inverted, sampled, tmp_path
):
    data = tmp_path / "one"
    shutil.copytree(inverted / "person0", data / "person0")
    out, work = tmp_path / "out", tmp_path / "work"
    result = invoke(*arguments(data, phantoms, "--steps", 40, "--out", out, "--work", work, "--json"))
    assert result.exit_code == 0, result.stderr
    (entry,) = json.loads(result.stdout)["taught"]
    assert [row["name"] for row in entry["left_out"]] == ["case 1, part 1", "case 1, part 2"]
    assert "one case only" in entry["scheme"]
    # The halves together hold all the bone, each voxel once.
    whole = np.load(work / "bone" / "cases" / "person0.labels.npy")
    halves = [np.load(work / "bone" / "cases" / f"person0-half{n}.labels.npy") for n in (1, 2)]
    assert np.array_equal(np.concatenate(halves), whole)
    # Samples of a half have no padding, which would change what the network normalises by; the case itself is whole.
    shapes = dict(sampled)
    assert shapes[("person0",)] == taught.PATCH
    for number, half in enumerate(halves, start=1):
        # This network halves its slices twice.
        assert shapes[(f"person0-half{number}",)] == (len(half) // 4 * 4, *taught.PATCH[1:])
        assert len(half) < taught.PATCH[0]
    assert entry["kept"] and files_in(out) == [f"{NAME}.json", f"{NAME}.png", f"{NAME}.safetensors"]
    card = json.loads((out / f"{NAME}.json").read_text())
    assert any("parts of the very subject" in limit for limit in card["limits"])
    assert "one case only" in card["metrics"]["left_out"]["what"]
    assert card["trained_on"] == "simulated images, then 1 corrected case"
    assert not program.exists(), "another folder was named"


def test_phantoms_are_not_taken_for_people(program, quick, phantoms, inverted, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(inverted, data)
    (data / "person0" / "landmarks.json").write_text("{}")
    result = invoke(*arguments(data, phantoms, "--steps", 40))
    assert result.exit_code == 0, result.stderr
    card = json.loads((program / f"{NAME}.json").read_text())
    assert card["trained_on"] == "simulated images, then 3 simulated corrected cases"
    assert "Segment with it: " in result.stdout and NAME in result.stdout


def test_time_decides_the_number_of_steps(program, phantoms, inverted):
    result = invoke(*arguments(inverted, phantoms, "--minutes", 0.0001, "--json"))
    assert result.exit_code == 0, result.stderr
    (entry,) = json.loads(result.stdout)["taught"]
    assert entry["steps"] == fine_tuning.LEAST_STEPS


def test_interrupted_it_leaves_nothing(program, phantoms, inverted, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(fine_tuning, "train", interrupt)
    result = invoke(*arguments(inverted, phantoms))
    assert result.exit_code == 130 and "nothing was written" in result.stderr
    assert not program.exists()


def changed(data, tmp_path, **changes):
    """A copy of the cases in which a function changes the first one's image or mask."""
    copy = tmp_path / "changed"
    shutil.copytree(data, copy)
    for name, change in changes.items():
        path = copy / "person0" / f"{name}.nii.gz"
        volume = change(read_volume(path) if name == "image" else read_labels(path))
        write_volume(volume, path)
    return copy


def hounsfield(volume):
    return volume.with_array(np.where(volume.array > 800, 300, -900).astype(np.int16))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mask": lambda v: v.with_array(v.array * 0)}, ["mask.nii.gz", "empty"]),
        ({"mask": lambda v: type(v)(v.array[1:], v.grid.crop((1, 0, 0), v.grid.shape))}, ["mask.nii.gz", "grids"]),
        ({"image": hounsfield}, ["image.nii.gz", "CT", "tiny-mr"]),
    ],
    ids=["empty mask", "mask on another grid", "wrong modality"],
)
def test_bad_cases_are_refused(program, phantoms, inverted, tmp_path, change, words):
    assert_refused(invoke(*arguments(changed(inverted, tmp_path, **change), phantoms)), *words)
    assert not program.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--network", "resnet"], ["resnet"]),
        (["--network", "unet3d"], ["no trained weights", "unet3d"]),
        (["--stage", "endosteal"], ["endosteal", "bone"]),
        (["--name", "my/site"], ["my/site"]),
        (["--data", "nowhere"], ["nowhere"]),
    ],
)
def test_impossible_choices_are_refused(program, phantoms, inverted, options, words):
    assert_refused(invoke(*arguments(inverted, phantoms, *options)), *words)
    assert not program.exists()
