"""The whole way from an image to labels, with networks of known behaviour: every mask is known beforehand."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

import simple_hips as hips
from ProximalFemurSegLib.errors import BadInputError, CancelledError, ProximalFemurSegError
from ProximalFemurSegLib.inference import apply_threshold, predict_probabilities, segment
from ProximalFemurSegLib.orientation import Reorientation
from ProximalFemurSegLib.volume import Grid, Volume

ALL_48 = [Reorientation(o, f) for o in permutations(range(3)) for f in product((False, True), repeat=3)]
LPS = np.diag([-1.0, -1.0, 1.0])
CORONAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # i to the left, j downwards, k to anterior
ONE_HIP = hips.HEADS["left"] + (-25, 0, -25)
EXACT = {"precision": "float32"}


def run(volume, **options):
    models = options.pop("models", None) or hips.fake_models()
    preset = "mr" if volume.metadata.get("modality") == "MR" else "ct"
    return segment(volume, options.pop("preset", preset), models=models, **EXACT, **options)


class Directional(hips.Level):
    """Sees edges that face upwards, forwards and to one side differently: an array turned wrongly is seen as such."""

    def forward(self, x):
        tilted = x + 0.2 * (x - x.roll(1, 2)) + 0.13 * (x - x.roll(1, 3)) + 0.09 * (x - x.roll(1, 4))
        return super().forward(tilted)


def noisy(volume, seed=0):
    noise = np.random.default_rng(seed).normal(size=volume.array.shape) * 60
    return volume.with_array((volume.array + noise).astype(np.float32))


@pytest.mark.parametrize(
    ("modality", "grid", "changes"),
    [
        ("CT", hips.centred((44, 32, 66), (5.6, 5.1, 4.7), LPS), ALL_48),
        ("MR", hips.centred((14, 30, 32), (4.2, 4.4, 5.0), CORONAL, ONE_HIP), ALL_48),
        ("CT", hips.centred((44, 40, 70), (5.6, 5.1, 4.7), hips.rotation((1, 0.4, 0.2), 31)), ALL_48[1::7]),
        ("MR", hips.centred((44, 32, 66), (5.6, 5.1, 4.7), hips.rotation((1, 0, 0.4), 9)), ALL_48[1::7]),
    ],
    ids=["ct", "mr one hip", "ct oblique", "mr pelvis"],
)
def test_all_array_orders_give_the_same_bits(modality, grid, changes):
    volume = noisy(hips.hip_image(grid, modality=modality))
    networks = {role: Directional(level) for role, level in [("bone", 0.0), ("periosteal", 0.0), ("endosteal", 0.4)]}
    models = hips.fake_models(**networks)
    expected = run(volume, models=models)
    assert (expected.labels.array > 0).sum() > 300
    for change in changes:
        shuffled = Volume(change.apply(volume.array), change.grid(volume.grid), metadata=volume.metadata)
        result = run(shuffled, models=models)
        assert np.array_equal(result.labels.array, change.apply(expected.labels.array))
        assert np.array_equal(result.probability.array, change.apply(expected.probability.array))
        assert result.sides == expected.sides
        assert result.measurements["volumes"] == expected.measurements["volumes"]


@pytest.mark.parametrize(
    ("grid", "bone", "marrow"),
    [
        (hips.centred((80, 50, 125), (2.5, 2.4, 2.3), LPS), 0.985, 0.975),
        (hips.centred((45, 80, 200), (1.5, 1.5, 5), LPS), 0.98, 0.97),
        (hips.centred((70, 80, 110), (3.2, 3, 3.4), hips.rotation((1, 0.4, 0.2), 15)), 0.98, 0.97),
        (hips.centred((80, 90, 110), (3.2, 3, 3.4), hips.rotation((1, 0.4, 0.2), 40)), 0.975, 0.95),
        (hips.centred((80, 90, 80), (3.4, 3.4, 3.4), hips.rotation((0.1, 0.4, 1), 100)), 0.975, 0.96),
    ],
    ids=["isotropic", "thick slices", "tilted", "oblique", "turned in the plane"],
)
def test_ct_masks_are_the_analytic_ones(grid, bone, marrow):
    result = run(hips.hip_image(grid, shaft_length=90))
    labels = result.labels.array
    assert set(np.unique(labels)) == {0, 1, 2, 11, 12}
    assert hips.dice(labels > 0, hips.truth(grid, shaft_length=90)) > bone
    assert hips.dice(labels % 10 == 1, hips.truth(grid, depth=hips.ENDOSTEAL_DEPTH, shaft_length=90)) > marrow
    left = hips.truth(grid, ("left",), shaft_length=90)
    assert hips.dice((labels == 1) | (labels == 2), left) > bone


@pytest.mark.parametrize(
    "grid",
    [
        hips.centred((40, 130, 130), (0.95, 0.95, 1.9), CORONAL, ONE_HIP),
        hips.centred((40, 100, 100), (1.2, 1.2, 2.3), hips.rotation((0.3, 1, 0.2), 14) @ CORONAL, ONE_HIP),
        hips.centred((90, 60, 60), (2.0, 1.6, 1.5), LPS, ONE_HIP),
        hips.centred((70, 60, 130), (3, 3, 3)),
    ],
    ids=["coronal", "oblique coronal", "axial", "pelvis"],
)
def test_mr_masks_are_the_analytic_ones(grid):
    result = run(hips.hip_image(grid, modality="MR", shaft_length=90))
    assert hips.dice(result.labels.array > 0, hips.truth(grid, shaft_length=90)) > 0.985
    assert set(np.unique(result.labels.array)) <= {0, 1, 11}
    assert result.endosteal_probability is None
    assert result.sides[1] == ("trabecular bone", "left")


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_side_of_a_lone_mr_hip_is_seen_from_its_shape(side):
    center = hips.HEADS[side] + (-25 if side == "left" else 25, 0, -40)
    grid = hips.centred((30, 90, 80), (1.5, 1.8, 2.4), CORONAL, center)
    assert run(hips.hip_image(grid, (side,), "MR")).sides == {1: ("trabecular bone", side)}
    other = "right" if side == "left" else "left"
    result = run(hips.hip_image(grid, (side,), "MR"), side=other)
    assert result.sides == {1: ("trabecular bone", other)}
    assert any(f"looks like a {side} femur" in m for m in result.messages)


class Opinionated(hips.Level):
    """A locator that is sure of one side, whatever it sees."""

    def __init__(self, level, side):
        super().__init__(level, classes=3)
        self.other = 2 if side == "left" else 1

    def forward(self, x):
        score = super().forward(x)
        score[:, self.other] = -20.0
        return score


@pytest.mark.parametrize("opinion", ["left", "right"])
def test_a_ct_femur_whose_side_is_disputed_is_tried_as_both(opinion):
    grid = hips.centred((60, 50, 60), (3, 3, 3), LPS, hips.HEADS["right"] + (25, 0, -40))
    models = hips.fake_models(locator=Opinionated(hips.ct_value(450), opinion))
    result = run(hips.hip_image(grid, ("right",)), models=models)
    assert {side for _, side in result.sides.values()} == {"right"}
    assert hips.dice(result.labels.array > 0, hips.truth(grid, ("right",))) > 0.97
    tried = 2 if opinion == "left" else 1
    assert len(models.networks["endosteal"].seen) == tried
    assert any("seen as both" in m for m in result.messages) == (tried == 2)


@pytest.mark.parametrize("glance", ["left", "right"])
def test_a_ct_femur_that_turns_out_to_be_the_other_one_is_segmented_again(glance, monkeypatch):
    from ProximalFemurSegLib.inference import pipeline, sides

    def locate(*arguments):
        found, = locate_femora(*arguments)
        return [sides.Femur(glance, True, found.points)]

    locate_femora = pipeline.locate_femora
    monkeypatch.setattr(pipeline, "locate_femora", locate)
    models = hips.fake_models()
    grid = hips.centred((60, 50, 60), (3, 3, 3), LPS, hips.HEADS["right"] + (25, 0, -40))
    image = hips.hip_image(grid, ("right",))
    result = run(image, models=models)
    assert {side for _, side in result.sides.values()} == {"right"}
    assert len(models.networks["endosteal"].seen) == (2 if glance == "left" else 1)
    # What the user says is not doubted.
    assert {side for _, side in run(image, side=glance).sides.values()} == {glance}


@pytest.mark.parametrize("side", ["auto", "right"])
def test_a_narrow_ct_of_which_the_locator_sees_a_speck_is_taken_whole(side, monkeypatch):
    from ProximalFemurSegLib.inference import pipeline, sides

    speck = np.array(np.meshgrid(*[np.arange(0.0, 20.0, 4.0)] * 3)).reshape(3, -1).T + hips.HEADS["right"] - 60
    monkeypatch.setattr(pipeline, "locate_femora", lambda *a: [sides.Femur("left", True, speck)])
    grid = hips.centred((60, 50, 60), (3, 3, 3), LPS, hips.HEADS["right"] + (25, 0, -40))
    result = run(hips.hip_image(grid, ("right",)), side=side)
    assert {side for _, side in result.sides.values()} == {"right"}
    assert hips.dice(result.labels.array > 0, hips.truth(grid, ("right",))) > 0.97
    assert any("the whole image is taken" in m for m in result.messages)


class LeftOnly(hips.Level):
    """Of a femur whose head points the other way it knows the lower half."""

    def forward(self, x):
        bone = x[0, 0] > self.level
        rows = torch.nonzero(bone)
        if len(rows):
            middle = rows[:, 0].double().mean()
            upper, lower = rows[rows[:, 0] > middle], rows[rows[:, 0] <= middle]
            if upper[:, 2].double().mean() > lower[:, 2].double().mean():
                x = x.clone()
                x[:, :, int(middle) :] = -1.0
        return super().forward(x)


@pytest.mark.parametrize("glance", ["left", "right"])
def test_a_ct_femur_of_which_much_is_missed_is_tried_as_the_other_side(glance):
    grid = hips.centred((60, 50, 60), (3, 3, 3), LPS, hips.HEADS["right"] + (25, 0, -40))
    networks = {"periosteal": LeftOnly(hips.ct_value(500)), "locator": Opinionated(hips.ct_value(450), glance)}
    result = run(hips.hip_image(grid, ("right",)), models=hips.fake_models(**networks))
    assert {side for _, side in result.sides.values()} == {"right"}
    assert hips.dice(result.labels.array > 0, hips.truth(grid, ("right",))) > 0.97


def test_a_head_without_a_shaft_has_no_side_unless_the_user_gives_one():
    grid = hips.centred((24, 40, 50), (1.5, 1.5, 2.4), CORONAL, hips.HEADS["left"])
    volume = hips.hip_image(grid, ("left",), "MR")
    result = run(volume)
    assert result.sides == {1: ("trabecular bone", None)}
    assert any("--side" in m for m in result.messages)
    assert run(volume, side="left").sides == {1: ("trabecular bone", "left")}


def test_the_result_lies_on_exactly_the_input_grid():
    grid = hips.centred((60, 70, 100), (4, 3, 3.5), hips.rotation((1, 0.3, 0.1), 11), (31.3, -400.7, 1500.1))
    image = hips.hip_image(hips.centred(grid.shape, grid.spacing, grid.direction))
    volume = Volume(image.array, grid, "hip", metadata={"modality": "CT"})
    result = run(volume)
    for part, kind in [
        (result.probability, np.float32),
        (result.endosteal_probability, np.float32),
        (result.labels, np.uint8),
    ]:
        assert part.grid is grid and part.array.shape == grid.shape and part.array.dtype == kind
    assert 0 <= result.probability.array.min() and 0.99 < result.probability.array.max() <= 1
    moved = run(image)
    assert np.array_equal(moved.labels.array, result.labels.array)  # where the patient lay makes no difference


def test_the_mirrored_patient_gives_the_mirrored_mask():
    grid = hips.centred((50, 36, 80), (4.4, 4.4, 4.4), LPS)
    image = noisy(hips.hip_image(grid, ("left",)))
    models = hips.fake_models(periosteal=Directional(0.0), endosteal=Directional(0.4))
    left = run(image, models=models)
    mirrored = run(image.with_array(image.array[:, :, ::-1]), models=models)
    assert [s for _, s in left.sides.values()] == ["left", "left"]
    assert [s for _, s in mirrored.sides.values()] == ["right", "right"]
    assert mirrored.probability.array[:, :, ::-1] == pytest.approx(left.probability.array, abs=1e-4)
    assert (mirrored.labels.array[:, :, ::-1] != left.labels.array).mean() < 1e-5


def test_the_ct_networks_always_see_a_left_femur():
    """The head of what they see lies medially: towards the start of W, which runs to the patient's left."""
    grid = hips.centred((50, 36, 80), (4.4, 4.4, 4.4), LPS)
    models = hips.fake_models()
    run(hips.hip_image(grid), models=models)
    left, right = models.networks["periosteal"].seen
    for image in (left, right):
        bone = torch.nonzero(image[0, 0] > 0).double()
        upper, lower = bone[bone[:, 0] > bone[:, 0].max() - 12], bone[bone[:, 0] < bone[:, 0].max() - 30]
        assert upper[:, 2].mean() < lower[:, 2].mean() - 3


def test_the_endosteal_network_sees_the_bone_and_nothing_else():
    grid = hips.centred((60, 50, 90), (4, 4, 4), LPS)
    models = hips.fake_models()
    run(noisy(hips.hip_image(grid, ("left",))), models=models)
    first, second = (models.networks[r].seen[0][0, 0] for r in ("periosteal", "endosteal"))
    bone = first > 0
    assert (first[~bone] > -1).any()
    # Cut out around the bone, and in the middle of the window.
    box = tuple(slice(int(places.min()), int(places.max()) + 1) for places in torch.nonzero(bone).T)
    start = [(w - (b.stop - b.start)) // 2 for w, b in zip(second.shape, box)]
    middle = tuple(slice(a, a + b.stop - b.start) for a, b in zip(start, box))
    assert torch.equal(second[middle], first[box].masked_fill(~bone[box], -1.0))
    assert (second == -1).sum() == second.numel() - bone.sum()


def test_marrow_never_leaves_the_bone():
    grid = hips.centred((60, 50, 90), (4, 4, 4), LPS)
    greedy = hips.fake_models(endosteal=hips.Level(-5.0))
    result = run(hips.hip_image(grid), models=greedy, threshold={"periosteal": 0.6, "endosteal": 0.01})
    assert (result.endosteal_probability.array <= result.probability.array).all()
    outer = run(hips.hip_image(grid), threshold=0.6).labels.array > 0
    assert np.array_equal(result.labels.array > 0, outer)


@pytest.mark.parametrize("slices", [2, 5, 9])
def test_few_slices(slices):
    """Fewer than a window, down to two."""
    grid = hips.centred((slices, 100, 180), (2, 2, 3), LPS, (0, 0, -20))
    result = run(hips.hip_image(grid))
    assert hips.dice(result.labels.array > 0, hips.truth(grid)) > 0.93
    grid = hips.centred((slices, 100, 100), (1.2, 1.2, 3), CORONAL, ONE_HIP)
    result = run(hips.hip_image(grid, modality="MR"))
    assert hips.dice(result.labels.array > 0, hips.truth(grid)) > 0.96


def test_sides_that_are_asked_for():
    grid = hips.centred((60, 50, 90), (4, 4, 4), LPS)
    volume = hips.hip_image(grid)
    both = run(volume, side="both").labels.array
    right = run(volume, side="right")
    assert right.sides == {1: ("trabecular bone", "right"), 2: ("cortical bone", "right")}
    assert np.array_equal(right.labels.array > 0, both > 10)
    assert run(hips.hip_image(grid, ("right",))).sides[1][1] == "right"
    with pytest.raises(BadInputError, match="left femur was asked for, but only the right"):
        run(hips.hip_image(grid, ("right",)), side="left")
    with pytest.raises(BadInputError, match="only the right one"):
        run(hips.hip_image(grid, ("right",)), side="both")
    with pytest.raises(BadInputError, match="choose auto, left, right or both"):
        run(volume, side="upper")


def test_an_image_without_a_femur_is_a_sentence_that_names_it():
    grid = hips.centred((40, 40, 80), (5, 5, 5))
    empty = Volume(np.full(grid.shape, -50.0, np.float32), grid, "abdomen", metadata={"modality": "CT"})
    with pytest.raises(BadInputError, match="No femur was found in 'abdomen'"):
        run(empty)


def test_a_narrow_ct_of_an_asked_side_needs_no_locator():
    grid = hips.centred((60, 50, 50), (3, 3, 3), LPS, ONE_HIP)
    blind = hips.fake_models(locator=hips.Level(99.0, classes=3))
    volume = hips.hip_image(grid)
    result = run(volume, models=blind, side="left")
    assert hips.dice(result.labels.array > 0, hips.truth(grid)) > 0.98
    with pytest.raises(BadInputError, match="No femur"):
        run(volume, models=blind)


def test_the_threshold_moves_without_a_network():
    grid = hips.centred((60, 50, 90), (4, 4, 4), LPS)
    models = hips.fake_models()
    probabilities = predict_probabilities(hips.hip_image(grid), "ct", models=models, **EXACT)
    runs = len(models.networks["periosteal"].seen)
    low, high = (apply_threshold(probabilities, t) for t in (0.2, 0.9))
    assert len(models.networks["periosteal"].seen) == runs
    assert (low.labels.array > 0).sum() > (high.labels.array > 0).sum()
    assert ((high.labels.array > 0) <= (low.labels.array > 0)).all()
    assert low.threshold == {"periosteal": 0.2, "endosteal": 0.2}
    whole = run(hips.hip_image(grid), threshold=0.9)
    assert np.array_equal(whole.labels.array, high.labels.array)


def test_otsu_is_that_of_the_hips_regions():
    grid = hips.centred((24, 50, 50), (2, 2, 3), CORONAL, ONE_HIP)
    result = run(noisy(hips.hip_image(grid, modality="MR")), threshold="otsu")
    assert result.threshold["bone"] == pytest.approx(threshold_otsu(result.probability.array))
    assert result.measurements["threshold_method"] == "otsu"


def test_the_models_operating_point_is_the_default():
    grid = hips.centred((24, 50, 50), (2, 2, 3), CORONAL, ONE_HIP)
    models = hips.fake_models()
    models.card = lambda stage: {"operating_point": {"threshold": 0.37, "youden": 0.21}}
    assert run(hips.hip_image(grid, modality="MR"), models=models).threshold == {"bone": 0.37}
    assert run(hips.hip_image(grid, modality="MR"), models=models, threshold="youden").threshold == {"bone": 0.21}


@pytest.mark.parametrize("threshold", ["median", 1.5, {"endosteal": 0.5}])
def test_impossible_thresholds_are_refused(threshold):
    grid = hips.centred((24, 50, 50), (2, 2, 3), CORONAL, ONE_HIP)
    with pytest.raises(BadInputError):
        run(hips.hip_image(grid, modality="MR"), threshold=threshold)


def test_only_the_largest_component_is_kept_unless_told_otherwise():
    grid = hips.centred((30, 60, 60), (2, 2, 2.4), CORONAL, ONE_HIP)
    volume = hips.hip_image(grid, modality="MR")
    far = np.linalg.norm(hips.voxel_centres(grid) - (ONE_HIP + (45, 0, -40)), axis=-1) < 6
    assert not (far & hips.truth(grid)).any()
    array = volume.array.copy()
    array[far] = array.max()
    kept = run(volume.with_array(array)).labels.array
    assert not (kept[far]).any() and kept.any()
    assert (run(volume.with_array(array), postprocess="none").labels.array[far] > 0).mean() > 0.5


def test_volumes_are_right_and_whole():
    grid = hips.centred((95, 50, 125), (2.5, 2.4, 2.3), LPS, (0, 0, -30))
    result = run(hips.hip_image(grid, shaft_length=60))
    rows = {(r["side"], r["structure"]): r for r in result.measurements["volumes"]}
    assert len(rows) == 6 and not any(r["incomplete"] for r in rows.values())
    fine = hips.centred((150, 80, 110), (1.3, 1.3, 1.3), LPS, hips.HEADS["left"] + (-20, 0, -50))
    exact = hips.truth(fine, ("left",), shaft_length=60).sum() * fine.voxel_volume_mm3
    marrow = hips.truth(fine, ("left",), depth=hips.ENDOSTEAL_DEPTH, shaft_length=60).sum() * fine.voxel_volume_mm3
    for side in ("left", "right"):
        assert rows[side, "whole bone"]["volume_mm3"] == pytest.approx(exact, rel=0.01)
        assert rows[side, "trabecular bone"]["volume_mm3"] == pytest.approx(marrow, rel=0.02)
        whole, parts = rows[side, "whole bone"], [rows[side, s + " bone"] for s in ("trabecular", "cortical")]
        assert whole["voxels"] == sum(p["voxels"] for p in parts)
        assert whole["volume_cm3"] == pytest.approx(whole["volume_mm3"] / 1000)


@pytest.mark.parametrize("degrees", [0, 30])
def test_bone_cut_by_the_scan_is_marked_incomplete(degrees):
    grid = hips.centred((70, 90, 130), (3, 3, 3), hips.rotation((1, 0, 0), degrees), (0, 0, 0))
    result = run(hips.hip_image(grid, shaft_length=140))
    assert all(r["incomplete"] for r in result.measurements["volumes"] if r["structure"] == "whole bone")
    assert any("not whole" in m for m in result.messages)


def test_a_long_shaft_is_cut_and_said_to_be():
    grid = hips.centred((130, 50, 90), (4, 4, 4), LPS, (0, 0, -150))
    result = run(hips.hip_image(grid, ("left",), shaft_length=300))
    top = hips.HEADS["left"][2] + 23
    z = hips.voxel_centres(grid)[result.labels.array > 0][:, 2]
    assert z.max() == pytest.approx(top, abs=4)
    assert z.min() == pytest.approx(top - 220, abs=8)
    assert any("upper 200 mm" in m for m in result.messages)
    assert all(r["incomplete"] for r in result.measurements["volumes"])


def test_central_slices_as_in_the_mr_papers():
    """The fake network's window is 24 slices of 1.5 mm."""
    grid = hips.centred((50, 60, 60), (2, 2, 1.5), CORONAL, ONE_HIP)
    result = run(hips.hip_image(grid, modality="MR"), slices="central")
    outside = np.r_[0:13, 37:50]
    assert not result.probability.array[outside].any()
    middle = slice(14, 36)
    assert hips.dice(result.labels.array[middle] > 0, hips.truth(grid)[middle]) > 0.98
    assert all(r["incomplete"] for r in result.measurements["volumes"])
    with pytest.raises(BadInputError, match="all or central"):
        run(hips.hip_image(grid, modality="MR"), slices="some")


def test_sliding_along_slices_like_the_papers():
    grid = hips.centred((60, 40, 60), (5, 5, 2), LPS, (ONE_HIP[0], 0, 0))
    models = hips.fake_models()
    result = run(hips.hip_image(grid), models=models, stride=4, side="left")
    seen = models.networks["periosteal"].seen
    assert len(seen) > 5 and all(x.shape[2:] == (24, 72, 72) for x in seen)
    assert hips.dice(result.labels.array > 0, hips.truth(grid)) > 0.97
    with pytest.raises(BadInputError, match="stride"):
        run(hips.hip_image(grid), stride=0)


def test_values_that_are_not_numbers_are_survived():
    grid = hips.centred((60, 50, 90), (4, 4, 4), LPS)
    volume = hips.hip_image(grid)
    volume.array[::7, ::5, ::3] = np.nan
    volume.array[0] = np.inf
    result = run(volume)
    assert np.isfinite(result.probability.array).all()


def test_progress_goes_forward_in_every_stage_and_ends():
    steps = []
    run(hips.hip_image(hips.centred((60, 50, 90), (4, 4, 4), LPS)), progress=lambda *step: steps.append(step))
    stages = list(dict.fromkeys(stage for stage, _, _ in steps))
    assert stages == [
        "finding the femora",
        "periosteal, left femur",
        "endosteal, left femur",
        "periosteal, right femur",
        "endosteal, right femur",
        "calibrating the borders",
        "labels and volumes",
    ]
    for stage in stages:
        done = [(d, t) for s, d, t in steps if s == stage]
        assert done[0][0] == 0 and done[-1][0] == done[-1][1] > 0
        assert [d for d, _ in done] == sorted(d for d, _ in done) and len({t for _, t in done}) == 1


@pytest.mark.parametrize("after", [0, 1, 3, 5, 8])
def test_cancel_ends_the_run_wherever_it_is(after):
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) > after

    with pytest.raises(CancelledError):
        run(hips.hip_image(hips.centred((60, 50, 90), (4, 4, 4), LPS)), cancelled=cancelled)
    assert len(asked) == after + 1


def test_modality_and_network_have_to_fit():
    grid = hips.centred((40, 40, 80), (5, 5, 5))
    with pytest.raises(BadInputError, match="for CT, but.*MR.*--modality ct"):
        run(hips.hip_image(grid, modality="MR"), preset="ct")
    volume = hips.hip_image(grid)
    unknown = Volume(volume.array, grid, "x")
    result = segment(unknown, models=hips.fake_models(), **EXACT)
    assert result.network == "ct" and any("Hounsfield" in m for m in result.messages)


def test_memory_that_runs_out_in_a_real_run_changes_nothing_but_the_messages():
    grid = hips.centred((60, 50, 90), (4, 4, 4), LPS)
    volume = hips.hip_image(grid, ("left",))

    class Small(hips.Level):
        def forward(self, x):
            if x.numel() > 24 * 72 * 72:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(x)

    expected = run(volume)
    result = run(volume, models=hips.fake_models(periosteal=Small(0.0)))
    assert any("smaller" in m or "windows of" in m for m in result.messages)
    assert result.probability.array == pytest.approx(expected.probability.array, abs=1e-4)


def test_memory_that_runs_out_after_the_networks_is_said_in_a_sentence():
    def want_more(stage, done, total):
        if stage == "labels and volumes":
            torch.empty(10**15)

    volume = hips.hip_image(hips.centred((60, 50, 90), (4, 4, 4), LPS))
    with pytest.raises(ProximalFemurSegError, match="memory is too small for this image; .* crop the image"):
        run(volume, progress=want_more)


def test_the_record_of_a_run_is_complete():
    grid = hips.centred((60, 50, 90), (4, 4, 4), LPS)
    result = run(hips.hip_image(grid))
    record = result.measurements
    assert record["network"] == "ct" and record["modality"] == "ct" and record["device"].startswith("CPU")
    assert record["weights"] == {"periosteal": "periosteal", "endosteal": "endosteal"}
    assert record["threshold"] == {"periosteal": 0.5, "endosteal": 0.5} and record["threshold_method"] == "model"
    assert record["seconds"]["total"] >= record["seconds"]["networks"] > 0
    assert result.messages is record["messages"]
    assert isinstance(result.probabilities.regions[0].network_grid, Grid)


def test_choices_that_no_card_can_meet_are_refused_before_a_network_runs():
    grid = hips.centred((24, 50, 50), (2, 2, 3), CORONAL, ONE_HIP)
    models = hips.fake_models()
    for options in ({"threshold": "median"}, {"postprocess": "polish"}):
        with pytest.raises(BadInputError):
            run(hips.hip_image(grid, modality="MR"), models=models, **options)
    models.card = None
    with pytest.raises(TypeError):  # whoever has no card is asked before the femora are looked for
        run(hips.hip_image(hips.centred((60, 50, 90), (4, 4, 4), LPS)), models=models)
    assert not models.networks["bone"].seen and not models.networks["locator"].seen


def test_what_the_reader_of_the_file_said_is_passed_on():
    grid = hips.centred((24, 50, 50), (2, 2, 3), CORONAL, ONE_HIP)
    volume = hips.hip_image(grid, modality="MR")
    volume.metadata["messages"] = ["The file has two names."]
    assert run(volume).messages[0] == "The file has two names."


@pytest.mark.parametrize("fooled", [False, True])
def test_an_mr_network_searches_by_itself_where_the_locator_finds_nothing_or_the_wrong_thing(fooled):
    grid = hips.centred((60, 36, 70), (4, 4, 4), LPS)
    volume = hips.hip_image(grid, modality="MR")
    if fooled:

        class Misled(hips.Level):
            """Finds one femur, between the thighs."""

            def forward(self, x):
                logits = super().forward(x)
                logits[:, 0], logits[:, 1:] = 9, 0
                logits[:, 1, 8:20, 14:22, 31:39] = 20
                return logits

        locator = Misled(0.0, classes=3)
    else:
        locator = hips.Level(99.0, classes=3)
    result = run(volume, models=hips.fake_models(locator=locator))
    assert any("searched" in m for m in result.messages)
    assert result.sides == {1: ("trabecular bone", "left"), 11: ("trabecular bone", "right")}
    assert hips.dice(result.labels.array > 0, hips.truth(grid)) > 0.93
    assert hips.dice(result.labels.array == 1, hips.truth(grid, ("left",))) > 0.93
    if not fooled:
        right = run(volume, models=hips.fake_models(locator=locator), side="right")
        assert right.sides == {1: ("trabecular bone", "right")}


def test_an_mr_without_a_femur_gives_an_empty_mask_and_says_so():
    grid = hips.centred((40, 40, 80), (6, 6, 6))
    array = np.random.default_rng(0).gamma(3.0, size=grid.shape).astype(np.float32)
    models = hips.fake_models(locator=hips.Level(99.0, classes=3), bone=hips.Level(5.0))
    result = run(Volume(array, grid, "abdomen", metadata={"modality": "MR"}), models=models)
    assert not result.labels.array.any() and any("No femur was found" in m for m in result.messages)
    with pytest.raises(BadInputError, match="No femur was found in 'abdomen'"):
        run(Volume(array, grid, "abdomen", metadata={"modality": "MR"}), models=models, side="left")


def test_what_only_looked_like_a_second_femur_is_left_out():
    grid = hips.centred((60, 50, 90), (4, 4, 4), LPS)
    volume = hips.hip_image(grid, ("left",))

    class Eager(hips.Level):
        """Finds a second femur where there is none."""

        def forward(self, x):
            logits = super().forward(x)
            logits[:, 1:, 20:30, 20:26, 10:15] = 12
            return logits

    result = run(volume, models=hips.fake_models(locator=Eager(hips.ct_value(450), classes=3)))
    assert result.sides == {1: ("trabecular bone", "left"), 2: ("cortical bone", "left")}
    assert any("right femur turned out to be none" in m for m in result.messages)
