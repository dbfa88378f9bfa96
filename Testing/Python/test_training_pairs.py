"""Training cases from pairs of images and masks: found, brought to the network's grid, and cropped."""

import dataclasses

import numpy as np
import pytest
import torch

from ProximalFemurSegLib.errors import BadInputError, CancelledError
from ProximalFemurSegLib.inference.normalisation import normalise
from ProximalFemurSegLib.models import find_preset
from ProximalFemurSegLib.orientation import reorient
from ProximalFemurSegLib.training.augmentation import Augmentation
from ProximalFemurSegLib.training.pair_cases import OUTER, TARGET, prepare_pair, prepare_pairs, prepare_views
from ProximalFemurSegLib.training.pair_data import PairSamples, split_subjects, vary_intensity
from ProximalFemurSegLib.training.pair_table import Pair, find_pairs
from ProximalFemurSegLib.volume import Grid, Volume
from ProximalFemurSegLib.volume_io import write_volume

PERIOSTEAL, ENDOSTEAL = find_preset("vnet").stages
BONE = find_preset("unet3d-dilated").stages[0]


def coarse(stage, spacing=(3.0, 3.0, 3.0)):
    """The stage on a grid so coarse that tests take no time."""
    return dataclasses.replace(stage, preprocessing=dataclasses.replace(stage.preprocessing, spacing_mm=spacing))


def femur(ras, middle):
    """Distance in mm from the surface (negative inside) of a ball on a stick; the ball lies towards the midline."""
    x, y, z = np.moveaxis(ras, -1, 0)
    toward = -np.sign(middle)
    head = np.sqrt((x - middle - 30 * toward) ** 2 + y**2 + (z - 20) ** 2) - 22
    neck = np.maximum(np.hypot(y, z - 0.7 * (x - middle) * toward) - 12, np.abs(x - middle - 15 * toward) - 20)
    shaft = np.maximum(np.hypot(x - middle, y) - 14, np.abs(z + 50) - 60)
    return np.minimum(np.minimum(head, neck), shaft)


def pelvis(sides=("left", "right"), spacing=3.0):
    """CT in HU and labels (1 inside, 2 cortex, 11/12 the second side); mirror symmetric about x = 0 in RAS."""
    shape = (62, 40, 92)
    size = np.array(shape[::-1]) * spacing
    grid = Grid.from_parts(shape, (spacing,) * 3, -(size - spacing) / 2 - np.array([0, 0, 20.0]))
    k, j, i = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    ras = grid.ijk_to_ras(np.stack([i, j, k], axis=-1))
    labels, image = np.zeros(shape, np.uint8), np.zeros(shape, np.int16)
    # Patient left is the negative side of RAS.
    for number, side in enumerate(sides):
        distance = femur(ras, {"left": -80.0, "right": 80.0}[side])
        labels[distance < 0] = 2 + 10 * number
        labels[distance < -6] = 1 + 10 * number
        image[distance < 0] = 1000
        image[distance < -6] = 300
    return Volume(image, grid), Volume(labels, grid)


def save(folder, image, labels, **changes):
    write_volume(image, folder / "image.nii.gz")
    write_volume(labels, folder / "mask.nii.gz")
    return Pair("someone", folder / "image.nii.gz", folder / "mask.nii.gz", **changes)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_both_femora_become_left_ones(tmp_path):
    pair = save(tmp_path, *pelvis())
    (left, image, labels), (right, mirrored, others) = prepare_pair(pair, coarse(PERIOSTEAL), "ct")
    assert (left, right) == ("someone-left", "someone-right")
    # The scene is symmetric, so the mirrored right femur is the left one.
    assert image.shape == mirrored.shape
    assert np.abs(image.astype(float) - mirrored).max() < 0.02
    assert np.array_equal(labels, others)
    # W runs to the patient's left: the head of a left femur lies at its beginning, and D runs upwards.
    bone = np.argwhere(labels & TARGET)
    top, bottom = bone[bone[:, 0] > bone[:, 0].max() - 8], bone[bone[:, 0] < bone[:, 0].min() + 8]
    assert top[:, 2].mean() < bottom[:, 2].mean() - 5


@pytest.mark.parametrize("stage", [PERIOSTEAL, ENDOSTEAL])
def test_labels_and_image_fit_each_other(tmp_path, stage):
    pair = save(tmp_path, *pelvis(("left",)))
    ((name, image, labels),) = prepare_pair(pair, coarse(stage), "ct")
    # HU 0 becomes -0.625, HU 300 -0.25, HU 1000 0.625.
    assert name == "someone-left"
    seen = image > -0.4375
    if stage is ENDOSTEAL:
        assert dice((labels & OUTER) > 0, seen) > 0.99
        assert dice((labels & TARGET) > 0, np.abs(image + 0.25) < 0.1) > 0.9
    else:
        assert dice((labels & TARGET) > 0, seen) > 0.99


def test_volume_is_kept_on_another_grid(tmp_path):
    image, labels = pelvis(("right",))
    pair = save(tmp_path, image, labels)
    ((_, _, found),) = prepare_pair(pair, coarse(ENDOSTEAL, (2.0, 1.6, 1.6)), "ct")
    voxel = 2.0 * 1.6 * 1.6
    # Interpolating voxels of 3 mm rounds a marrow cavity of 16 mm off a little.
    assert (found & TARGET > 0).sum() * voxel == pytest.approx((labels.array == 1).sum() * 27.0, rel=0.07)
    assert (found & OUTER > 0).sum() * voxel == pytest.approx((labels.array > 0).sum() * 27.0, rel=0.03)


def test_array_order_of_the_files_does_not_matter(tmp_path):
    image, labels = pelvis(("left",))
    ((_, image_a, labels_a),) = prepare_pair(save(tmp_path, image, labels), coarse(PERIOSTEAL), "ct")
    for axes in ("LPS", "IRA", "ASR"):
        pair = save(tmp_path, reorient(image, axes), reorient(labels, axes))
        ((_, image_b, labels_b),) = prepare_pair(pair, coarse(PERIOSTEAL), "ct")
        assert np.array_equal(image_a, image_b)
        assert np.array_equal(labels_a, labels_b)


def test_mask_may_lie_on_a_grid_of_its_own(tmp_path):
    image, labels = pelvis(("left",))
    ((_, _, whole),) = prepare_pair(save(tmp_path, image, labels), coarse(PERIOSTEAL), "ct")
    start, stop = (0, 2, 0), (60, 39, 50)
    cropped = Volume(labels.array[0:60, 2:39, 0:50], labels.grid.crop(start, stop))
    ((_, _, again),) = prepare_pair(save(tmp_path, image, cropped), coarse(PERIOSTEAL), "ct")
    boxes = []
    for found in (whole, again):
        bone = np.argwhere(found)
        boxes.append(found[tuple(slice(a, b + 1) for a, b in zip(bone.min(axis=0), bone.max(axis=0)))])
    assert np.array_equal(*boxes)


def one_hip(volume):
    """The part of a pelvis that a scan of the left hip shows, 180 mm wide."""
    return Volume(volume.array[:, :, :60], volume.grid.crop((0, 0, 0), (62, 40, 60)))


def test_mr_of_one_hip_is_taken_whole_and_faces_forwards(tmp_path):
    image, labels = map(one_hip, pelvis(("left",)))
    pair = save(tmp_path, image, labels)
    ((name, prepared, found),) = prepare_pair(pair, coarse(BONE), "mr")
    assert name == "someone"
    # Axes D, H, W run to anterior, inferior, left.
    expected = reorient(labels, "AIL").array
    assert prepared.shape == expected.shape
    assert dice(found & TARGET > 0, expected == 1) > 0.99
    assert prepared.min() >= -1.5
    assert prepared.max() <= 2.0


def test_mr_of_two_hips_is_seen_femur_by_femur_as_at_inference(tmp_path):
    image, labels = pelvis()
    stage = coarse(BONE)
    views = prepare_views(save(tmp_path, image, labels), stage, "mr")
    assert [view.name for view in views] == ["someone-left", "someone-right"]
    for view, middle in zip(views, (-80.0, 80.0)):
        bone = np.isin(labels.array, (1,) if middle < 0 else (11,))
        assert ((view.labels & TARGET) > 0).sum() * 27.0 == pytest.approx(bone.sum() * 27.0, rel=0.03)
        # The window of the network around the femur, but no more slices than there are.
        size = np.ptp(view.grid.corners(), axis=0)
        assert size[1] == pytest.approx(min(40 * 3.0, 48 * 3.0), abs=3.0)
        assert view.grid.center[0] == pytest.approx(middle - 30 * np.sign(middle) / 2, abs=10.0)
    left, right = (view.image for view in views)
    # No side is mirrored: this network is shown both.
    assert np.abs(left[:, :, ::-1].astype(float) - right).mean() < np.abs(left.astype(float) - right).mean() / 4


def test_both_hips_of_a_subject_are_kept_apart(tmp_path):
    pairs = []
    for side, value in (("left", 100), ("right", 200)):
        image, labels = map(one_hip, pelvis(("left",)))
        (tmp_path / side).mkdir()
        image = image.with_array(image.array + value * (labels.array == 1).astype(np.int16))
        pairs.append(save(tmp_path / side, image, labels, side=side))
    subjects = prepare_pairs(pairs, coarse(BONE), "mr", tmp_path / "kept")
    assert subjects == {"someone-left": "someone", "someone-right": "someone"}
    first, second = (np.load(tmp_path / "kept" / f"{name}.image.npy") for name in subjects)
    assert not np.array_equal(first, second)


def test_a_mask_of_one_label_is_the_bone_for_mr_but_not_enough_for_the_endosteal_network(tmp_path):
    image, labels = pelvis(("left",))
    pair = save(tmp_path, image, labels.with_array((labels.array > 0).astype(np.uint8)))
    ((_, _, found),) = prepare_pair(pair, coarse(BONE), "mr")
    assert ((found & TARGET) > 0).sum() == (labels.array > 0).sum()
    with pytest.raises(BadInputError, match="does not tell what lies inside the cortex"):
        prepare_pair(pair, coarse(ENDOSTEAL), "ct")
    write_volume(labels.with_array((labels.array == 1).astype(np.uint8)), tmp_path / "endosteal.nrrd")
    ((_, _, found),) = prepare_pair(
        dataclasses.replace(pair, endosteal=tmp_path / "endosteal.nrrd"), coarse(ENDOSTEAL), "ct"
    )
    assert ((found & TARGET) > 0).sum() == (labels.array == 1).sum()


def test_side_of_a_bone_that_does_not_show_it(tmp_path):
    image, labels = pelvis(("right",))
    top = np.nonzero(labels.array.any(axis=(1, 2)))[0].max()
    cut = np.zeros_like(labels.array)
    cut[top - 12 :] = labels.array[top - 12 :]
    pair = save(tmp_path, image, labels.with_array(cut))
    with pytest.raises(BadInputError, match="does not show which side"):
        prepare_pair(pair, coarse(PERIOSTEAL), "ct")
    ((name, _, _),) = prepare_pair(dataclasses.replace(pair, side="right"), coarse(PERIOSTEAL), "ct")
    assert name == "someone-right"


def test_masks_that_cannot_be_used(tmp_path):
    image, labels = pelvis(("left",))
    with pytest.raises(BadInputError, match="is empty"):
        prepare_pair(save(tmp_path, image, labels.with_array(labels.array * 0)), coarse(PERIOSTEAL), "ct")
    affine = labels.grid.affine.copy()
    affine[0, 3] += 900.0
    away = Volume(labels.array, Grid(labels.grid.shape, affine))
    for stage, modality in ((PERIOSTEAL, "ct"), (BONE, "mr")):
        with pytest.raises(BadInputError, match="does not lie within its image"):
            prepare_pair(save(tmp_path, image, away), coarse(stage), modality)
    with pytest.raises(BadInputError, match="locator network cannot be trained"):
        prepare_pair(save(tmp_path, image, labels), find_preset("locator").stages[0], "ct")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    pair = save(folder, *pelvis())
    cases = prepare_pairs([pair], coarse(ENDOSTEAL), "ct", folder / "cases")
    assert cases == {"someone-left": "someone", "someone-right": "someone"}
    return folder / "cases", list(cases)


def test_prepared_cases_are_kept_until_a_file_changes(prepared, monkeypatch):
    folder, names = prepared
    pair = Pair("someone", folder.parent / "image.nii.gz", folder.parent / "mask.nii.gz")
    from ProximalFemurSegLib.training import pair_cases

    asked = []
    monkeypatch.setattr(pair_cases, "prepare_pair", lambda *a: asked.append(a) or [])
    assert list(prepare_pairs([pair], coarse(ENDOSTEAL), "ct", folder)) == names
    assert not asked
    prepare_pairs([pair], coarse(PERIOSTEAL), "ct", folder.parent / "others")
    assert len(asked) == 1
    with pytest.raises(CancelledError):
        prepare_pairs([pair], coarse(ENDOSTEAL), "ct", folder, cancelled=lambda: True)


def test_samples_depend_on_nothing_but_their_index(prepared):
    samples = [PairSamples(*prepared, coarse(ENDOSTEAL), (16, 24, 24), seed=3) for _ in range(2)]
    for index in (0, 5, 1):
        (image, target), (again, same) = (s.sample(index) for s in samples)
        assert image.shape == (1, 16, 24, 24)
        assert image.dtype == np.float32
        assert target.shape == (16, 24, 24)
        assert target.dtype == np.int64
        assert np.array_equal(image, again)
        assert np.array_equal(target, same)
    assert not np.array_equal(samples[0].sample(0)[0], samples[0].sample(1)[0])
    other = PairSamples(*prepared, coarse(ENDOSTEAL), (16, 24, 24), seed=4)
    assert not np.array_equal(samples[0].sample(0)[0], other.sample(0)[0])


def test_unchanged_samples_are_the_cases(prepared):
    folder, names = prepared
    image, labels = (np.load(folder / f"{names[1]}.{kind}.npy") for kind in ("image", "labels"))
    samples = PairSamples(folder, names, coarse(PERIOSTEAL), (96, 64, 80), augmentation=None)
    assert len(samples) == 2
    found, target = samples.sample(3)
    # The crop is larger than the case: the case lies in it, and around it is padding.
    bone = np.argwhere(target)
    shift = bone.min(axis=0) - np.argwhere(labels & TARGET).min(axis=0)
    box = tuple(slice(s, s + n) for s, n in zip(shift, image.shape))
    assert np.array_equal(found[0][box], image)
    assert np.array_equal(target[box] > 0, labels & TARGET > 0)
    rest = found[0].copy()
    rest[box] = -1
    assert (rest == -1).all()


def test_endosteal_samples_are_blank_outside_a_slightly_wrong_outline(prepared):
    exact = PairSamples(*prepared, coarse(ENDOSTEAL), (72, 40, 40), augmentation=None)
    image, target = exact.sample(0)
    labels = np.load(prepared[0] / f"{prepared[1][0]}.labels.npy")
    assert (image != -1).sum() == (labels & OUTER > 0).sum()
    assert (image[0][target > 0] > -0.7).all()
    still = Augmentation(scale=1.0, noise=0.0, gain=0.0, offset=0.0, bone_share=1.0)
    wrong = PairSamples(*prepared, coarse(ENDOSTEAL), (72, 40, 40), augmentation=still)
    shares = [(image != -1).sum() / max(1, target.sum()) for image, target in map(wrong.sample, range(12))]
    assert max(shares) > 1.05 * min(shares)


def test_augmentations_do_what_they_say(prepared):
    folder, names = prepared
    stage, shape = coarse(PERIOSTEAL), (40, 40, 40)
    none = Augmentation(scale=1.0, noise=0.0, gain=0.0, offset=0.0, bone_share=1.0)

    def draw(stage=stage, **changes):
        return PairSamples(folder, names, stage, shape, augmentation=dataclasses.replace(none, **changes))

    plain = draw().sample(2)
    noisy, bright, darker = (draw(**c).sample(2) for c in ({"noise": 0.2}, {"offset": 0.2}, {"gain": 0.5}))
    for other in (noisy, bright, darker):
        assert np.array_equal(other[1], plain[1])
        assert not np.array_equal(other[0], plain[0])
    inside = (plain[0] > -0.9) & (plain[0] < 0.5)
    difference = (bright[0] - plain[0])[inside]
    assert difference.std() < 1e-3 < abs(difference.mean())
    # A network that knows its side never sees a mirrored one; one that does not, sees both.
    sideless = dataclasses.replace(stage, preprocessing=dataclasses.replace(stage.preprocessing, canonical_side=None))
    fixed = [draw(flip=True).sample(n)[1] for n in range(8)]
    free = [draw(sideless, flip=True).sample(n)[1] for n in range(8)]
    assert all(np.array_equal(a, b) for a, b in zip(fixed, [draw(flip=False).sample(n)[1] for n in range(8)]))
    kinds = {np.array_equal(a, b) for a, b in zip(free, fixed)}
    assert kinds == {True, False}
    assert all(np.array_equal(a, b) or np.array_equal(a, b[:, :, ::-1]) for a, b in zip(free, fixed))


def test_bone_contrast_is_a_factor_on_what_exceeds_water():
    hu = torch.tensor([-250.0, -60.0, 0.0, 40.0, 240.0, 520.0, 600.0])
    change = Augmentation(noise=0.0, gain=0.0, offset=0.0, bone_contrast=0.2)
    factors = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = vary_intensity(normalise(hu, "ct-window"), change, rng, "ct-window").numpy() * 800 + 500
        assert found[:3] == pytest.approx(hu[:3], abs=1e-3)
        above = found[3:] / hu[3:].numpy()
        assert above == pytest.approx(np.full(4, above[0]), rel=1e-4)
        factors.append(np.log(above[0]))
    assert np.std(factors) == pytest.approx(0.2, rel=0.3)
    # An MR image has no fixed value of water.
    same = vary_intensity(hu / 800, change, np.random.default_rng(0), "mr-percentile")
    assert torch.equal(same, hu / 800)


def test_scaling_changes_the_size_of_the_bone(prepared):
    change = Augmentation(scale=1.2, noise=0.0, gain=0.0, offset=0.0, bone_share=1.0)
    samples = PairSamples(*prepared, coarse(PERIOSTEAL), (72, 72, 72), augmentation=change)
    volumes = [samples.sample(n)[1].sum() for n in range(16)]
    labels = np.load(prepared[0] / f"{prepared[1][0]}.labels.npy")
    whole = (labels & TARGET > 0).sum()
    assert 0.55 * whole < min(volumes) < 0.8 * whole
    assert 1.3 * whole < max(volumes) < 1.8 * whole


def test_split_keeps_subjects_together():
    train, held = split_subjects([f"s{n // 2}" for n in range(40)], held_out=0.25)
    assert (len(train), len(held)) == (15, 5)
    assert not set(train) & set(held)
    assert split_subjects("ab")[0] != split_subjects("ab")[1]
    with pytest.raises(BadInputError, match="At least two subjects"):
        split_subjects(["one", "one"])


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


LAYOUTS = {
    "subjects": (["b/image.nii.gz", "b/truth.nii.gz", "a/image.mha", "a/mask.nrrd", "a/endosteal.nrrd", "notes.txt"],
                 [("a", "a/image.mha", "a/mask.nrrd", "a/endosteal.nrrd"),
                  ("b", "b/image.nii.gz", "b/truth.nii.gz", None)]),
    "two folders": (["images/x.nii.gz", "masks/x.nrrd"], [("x", "images/x.nii.gz", "masks/x.nrrd", None)]),
    "side by side": (["p.nii.gz", "p-mask.nii.gz", "q.nii", "q_labels.nii", "q_endosteal.nii", "lonely.nii"],
                     [("p", "p.nii.gz", "p-mask.nii.gz", None), ("q", "q.nii", "q_labels.nii", "q_endosteal.nii")]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders(tmp_path, layout):
    files, expected = LAYOUTS[layout]
    touch(tmp_path, *files)
    found = [
        tuple(None if v is None else str(v.relative_to(tmp_path)) if v is not pair.name else v
              for v in (pair.name, pair.image, pair.mask, pair.endosteal))
        for pair in find_pairs(tmp_path)
    ]
    assert [tuple(f.replace("\\", "/") if f else f for f in row) for row in found] == expected


def test_table(tmp_path):
    touch(tmp_path, "1.nii.gz", "1m.nii.gz", "sub/2.nrrd", "sub/2m.nrrd", "sub/dicom/x")
    table = tmp_path / "cases.csv"
    table.write_text("image,mask,side,subject\n1.nii.gz,1m.nii.gz,Left,ann\nsub/2.nrrd,sub/2m.nrrd,,\n"
                     "sub/dicom,sub/2m.nrrd,right,ann\n")
    pairs = find_pairs(table)
    assert [(p.name, p.side) for p in pairs] == [("2", None), ("ann", "left"), ("ann", "right")]
    assert pairs[2].image == tmp_path / "sub" / "dicom"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("picture,mask\na,b\n", "columns image and mask"),
        ("image,mask\n", "at least one row"),
        ("image,mask\n1.nii,\n", "Line 2 .* has no mask"),
        ("image,mask\n1.nii,2.nii\n", "2.nii, which does not exist"),
        ("image,mask,side\n1.nii,1.nii,up\n", "the side 'up'"),
        ("image,mask\n1.nii,1.nii\n1.nii,1.nii\n", "subject 1 twice"),
        ("image,mask,subject\n1.nii,1.nii,a/b\n", "cannot be a file's name"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, words):
    touch(tmp_path, "1.nii")
    table = tmp_path / "cases.csv"
    table.write_text(text)
    with pytest.raises(BadInputError, match=words):
        find_pairs(table)


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(BadInputError, match="does not exist"):
        find_pairs(tmp_path / "none")
    with pytest.raises(BadInputError, match="no pairs"):
        find_pairs(tmp_path)
    touch(tmp_path, "images/x.nii", "images/y.nii", "masks/x.nii")
    with pytest.raises(BadInputError, match="y.nii has no mask"):
        find_pairs(tmp_path)
