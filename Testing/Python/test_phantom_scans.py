"""Simulated scans of a patient known in closed form: truth, contrast, artefacts, and nothing left to chance."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ball_scene import BODY_RADIUS, RADIUS, THICKNESS, BallScene
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.phantom import ct_scanner, mr_scanner, random_fields
from ProximalFemurSegLib.phantom.anatomy_sample import grid_points, sample_scene
from ProximalFemurSegLib.phantom.generate import Artefacts, generate, save_phantom
from ProximalFemurSegLib.phantom.pathology import draw_cysts
from ProximalFemurSegLib.phantom.tissues import Tissue
from ProximalFemurSegLib.volume import Grid
from ProximalFemurSegLib.volume_io import read_volume


def ball_volume(radius):
    return 4 / 3 * np.pi * radius**3


def small_grid(side="left", spacing=(1.0, 1.0, 1.0), direction=None, size=56.0):
    """A cube of 56 mm around one ball."""
    center = BallScene().femora[side].center
    shape = tuple(int(size / s) for s in spacing[::-1])
    grid = Grid.from_parts(shape, spacing, direction=direction)
    return Grid.from_parts(shape, spacing, center - grid.center, direction)


def oblique():
    """A direction turned about every axis, left-handed."""
    a, b = np.deg2rad([25, 17])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return turn @ tilt @ np.diag([1, 1, -1])


def test_grid_points_are_the_grids_own_positions():
    grid = Grid.from_parts((3, 4, 5), (0.7, 1.1, 2.0), (3.0, -2.0, 9.0), oblique())
    points = grid_points(grid, 1, 3)
    assert points.shape == (2, 4, 5, 3)
    np.testing.assert_allclose(points[1, 2, 4].numpy(), grid.ijk_to_ras([4, 2, 2]), atol=1e-4)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 1.5)])
@pytest.mark.parametrize("direction", [None, oblique()])
@pytest.mark.parametrize("modality", ["ct", "mr"])
def test_truth_has_the_volume_of_the_balls(modality, spacing, direction):
    phantom = generate(modality, 1, "left", grid=small_grid("left", spacing, direction), scene=BallScene())
    voxel = phantom.truth.grid.voxel_volume_mm3
    whole = np.count_nonzero(phantom.truth.array) * voxel
    trabecular = np.count_nonzero(phantom.truth.array == 1) * voxel
    assert whole == pytest.approx(ball_volume(RADIUS), rel=0.01)
    assert trabecular == pytest.approx(ball_volume(RADIUS - THICKNESS), rel=0.01)
    # The balls' own division: halves.
    regions = phantom.regions.array
    assert set(np.unique(regions)) == {0, 1, 5}
    assert np.array_equal(regions > 0, phantom.truth.array > 0)
    assert np.count_nonzero(regions == 1) * voxel == pytest.approx(ball_volume(RADIUS) / 2, rel=0.08)


def test_the_other_hip_gets_the_labels_of_the_second_side():
    grid = Grid.from_parts((24, 30, 110), (2.2, 2.2, 2.2), (-121.0, -28.0, -15.0))
    truth = generate("ct", 1, "right", grid=grid, scene=BallScene()).truth.array
    counts = {int(value): int(np.count_nonzero(truth == value)) for value in np.unique(truth)}
    assert set(counts) == {0, 1, 2, 11, 12}
    left = np.flatnonzero((truth > 10).any(axis=(0, 1)))
    right = np.flatnonzero(((truth > 0) & (truth < 10)).any(axis=(0, 1)))
    # Columns run to the patient's right here.
    assert left.max() < right.min()


def test_landmarks_are_those_of_the_femora_in_view():
    phantom = generate("ct", 1, "left", grid=small_grid("left"), scene=BallScene())
    assert set(phantom.landmarks) == {"left"}
    assert phantom.landmarks["left"]["landmarks"]["head_center"] == pytest.approx([-85.0, 5.0, 10.0])
    assert phantom.landmarks["left"]["head_radius"] == RADIUS


@pytest.mark.parametrize("modality", ["ct", "mr"])
def test_same_seed_same_bytes_other_seed_other_image(modality):
    first, again, other = (
        generate(modality, seed, "left", grid=small_grid(), scene=BallScene()).image.array for seed in (5, 5, 6)
    )
    assert first.tobytes() == again.tobytes()
    assert not np.array_equal(first, other)


def test_ct_shows_the_tissues_hounsfield_units():
    phantom = generate("ct", 3, "left", grid=small_grid(), scene=BallScene(), artefacts=Artefacts(noise=0.0))
    contrast = phantom.parameters["contrast"]
    grid, image = phantom.image.grid, phantom.image.array.astype(float)
    distance = np.linalg.norm(
        grid_points(grid, 0, grid.shape[0]).numpy() - BallScene().femora["left"].center, axis=-1
    )
    muscle = image[distance > RADIUS + 5]
    assert muscle.mean() == pytest.approx(contrast["values"][int(Tissue.MUSCLE)], abs=6)
    # The cortex is thicker than the point spread, so its crest comes near its own value.
    cortex = image[np.abs(distance - (RADIUS - THICKNESS / 2)) < 0.5]
    assert cortex.mean() == pytest.approx(contrast["cortex"], rel=0.15)
    center = image[distance < 5].mean()
    assert contrast["marrow"] < center < contrast["marrow"] + 1.3 * contrast["trabecular_gain"]


def test_ct_noise_has_the_drawn_strength():
    shape = (40, 60, 60)
    still = torch.zeros(shape)
    far = torch.full(shape, 30.0)
    contrast = ct_scanner.draw_ct_contrast(np.random.default_rng(0))
    for grain in (1.0, 2.0):
        scan = ct_scanner.CtScan(noise_hu=20.0, noise_grain=grain)
        source = (random_fields.generator(1), random_fields.generator(1))
        noisy = ct_scanner.compose_ct(still, far, far, still, (1, 1, 1), contrast, scan, source[0])
        quiet = ct_scanner.CtScan(noise_hu=0.0, noise_grain=grain)
        clean = ct_scanner.compose_ct(still, far, far, still, (1, 1, 1), contrast, quiet, source[1])
        assert float((noisy - clean).std()) == pytest.approx(20.0, rel=0.05)


def test_flash_signal_is_the_ernst_equation():
    sequence = mr_scanner.FlashSequence(repetition_ms=31.0, echo_ms=4.92, flip_deg=25.0)
    # By hand, T1 = 370 ms: E1 = exp(-31/370) = 0.919632; sin 25 = 0.422618; cos 25 = 0.906308;
    # 0.422618 * 0.080368 / (1 - 0.833470) = 0.203957; exp(-4.92/35) = 0.868863.
    assert sequence.signal(370.0, 35.0, 1.0) == pytest.approx(0.203957 * 0.868863, rel=2e-4)


def test_t1_weighted_contrast_is_that_of_a_hip():
    contrast = mr_scanner.draw_mr_contrast(np.random.default_rng(1))
    total = np.array(contrast.water) + np.array(contrast.fat)
    assert total[Tissue.FAT] > 1.5 * total[Tissue.MUSCLE]
    assert total[Tissue.FEMUR_YELLOW_MARROW] > 1.5 * total[Tissue.MUSCLE]
    assert total[Tissue.FEMUR_CORTICAL] < 0.1 * total[Tissue.MUSCLE]
    assert total[Tissue.JOINT_FLUID] < total[Tissue.MUSCLE]
    assert total[Tissue.MUSCLE] == pytest.approx(1.0)


def test_spin_echoes_recover_and_decay():
    sequence = mr_scanner.SpinEchoSequence(repetition_ms=2000.0, echo_ms=70.0)
    # By hand: 1 - exp(-2) = 0.864665; exp(-70/35) = 0.135335.
    assert sequence.signal(1000.0, 35.0, 0.5) == pytest.approx(0.5 * 0.864665 * 0.135335, rel=1e-5)


def test_t2_weighted_contrast_is_that_of_a_pelvis():
    sequence = mr_scanner.SpinEchoSequence(repetition_ms=4500.0, echo_ms=95.0)
    contrast = mr_scanner.draw_mr_contrast(np.random.default_rng(1), sequence=sequence)
    total = np.array(contrast.water) + np.array(contrast.fat)
    assert total[Tissue.URINE] > total[Tissue.FAT] > total[Tissue.FEMUR_TRABECULAR] > 2 * total[Tissue.MUSCLE]
    assert total[Tissue.JOINT_FLUID] > total[Tissue.CARTILAGE]
    for dark in (Tissue.FEMUR_CORTICAL, Tissue.VESSEL, Tissue.TENDON):
        assert total[dark] < 0.3 * total[Tissue.MUSCLE]


def test_wide_contrast_holds_gradient_and_spin_echoes():
    kinds = [type(mr_scanner.draw_sequence(np.random.default_rng(seed))) for seed in range(60)]
    assert {mr_scanner.FlashSequence, mr_scanner.SpinEchoSequence} == set(kinds)


def test_mr_background_is_rician_noise():
    shape = (30, 64, 64)
    zero, far = torch.zeros(shape), torch.full(shape, 30.0)
    contrast = mr_scanner.draw_mr_contrast(np.random.default_rng(0))
    scan = mr_scanner.MrScan(noise=0.1, bias=0.0)
    image = mr_scanner.compose_mr(
        zero, zero, far, far, zero, (1, 1, 1), contrast, scan, random_fields.generator(2)
    )
    # Without signal, Rician is Rayleigh: mean sigma sqrt(pi/2), variance (2 - pi/2) sigma^2.
    assert float(image.mean()) == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.02)
    assert float(image.var()) == pytest.approx(0.01 * (2 - np.pi / 2), rel=0.05)


def test_chemical_shift_moves_fat_by_fractions_of_a_voxel():
    row = torch.zeros(1, 1, 8)
    row[0, 0, 3] = 1.0
    np.testing.assert_allclose(mr_scanner.shift_columns(row, 1.0)[0, 0], [0, 0, 0, 0, 1, 0, 0, 0], atol=1e-6)
    back = mr_scanner.shift_columns(row, -1.25)[0, 0]
    np.testing.assert_allclose(back, [0, 0.25, 0.75, 0, 0, 0, 0, 0], atol=1e-6)


def test_fold_over_brings_in_what_lies_beyond_the_rows():
    # Rows run through the body: its far part lies beyond the field of view and folds onto the empty end.
    grid = small_grid("left", (2.0, 2.0, 2.0))
    clean = generate("mr", 4, "left", grid=grid, scene=BallScene(), artefacts=Artefacts(noise=0.0, fold_over=0.0))
    folded = generate("mr", 4, "left", grid=grid, scene=BallScene(), artefacts=Artefacts(noise=0.0, fold_over=1.0))
    difference = folded.image.array.astype(float) - clean.image.array
    margin = grid.shape[1] // 4
    assert difference[:, :margin].mean() > 10 and difference[:, -margin:].mean() > 10
    assert np.abs(difference[:, margin + 1 : -margin - 1]).max() <= 1
    assert np.array_equal(folded.truth.array, clean.truth.array)


def test_cysts_stay_within_trabecular_bone_and_have_dark_foci():
    sample = sample_scene(BallScene(), small_grid())
    cyst = draw_cysts(sample.endosteal, (1, 1, 1), np.random.default_rng(2))
    assert set(torch.unique(cyst).tolist()) == {0, int(Tissue.CYST), int(Tissue.CYST_FOCUS)}
    assert float(sample.endosteal[cyst > 0].max()) <= -0.5


def test_metal_is_bright_and_changes_no_truth():
    grid = small_grid()
    clean = generate("ct", 4, "left", grid=grid, scene=BallScene())
    metal = generate("ct", 4, "left", grid=grid, scene=BallScene(), artefacts=Artefacts(metal=True))
    assert clean.image.array.max() < 2500 <= metal.image.array.max()
    assert np.array_equal(clean.truth.array, metal.truth.array)


def test_table_and_rods_lie_behind_the_patient():
    grid = Grid.from_parts((4, 60, 130), (2.0, 2.0, 4.0), (-130.0, -230.0, 0.0))
    phantom = generate(
        "ct", 2, "left", grid=grid, scene=BallScene(), artefacts=Artefacts(noise=0.0, rods=True)
    )
    image = phantom.image.array[1].astype(float)
    for rod in phantom.parameters["rods"]:
        i, j, _ = np.round(grid.ras_to_ijk([rod["x"], rod["y"], 0.0])).astype(int)
        assert rod["y"] + rod["radius"] < -BODY_RADIUS
        assert image[j - 1 : j + 2, i - 1 : i + 2].mean() == pytest.approx(rod["hu"], abs=12)


def test_usual_grids_are_the_papers():
    from ProximalFemurSegLib.phantom import field_of_view

    femur = BallScene().femora["left"]
    mr = field_of_view.mr_grid(femur)
    assert mr.shape == (60, 512, 512)
    np.testing.assert_allclose(mr.spacing, (0.234375, 0.234375, 1.5))
    # Coronal: slices run forwards, rows down, columns to the patient's left.
    np.testing.assert_allclose(mr.direction @ [0, 0, 1], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(mr.direction @ [0, 1, 0], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(mr.direction @ [1, 0, 0], [-1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(mr.center, field_of_view.hip_center(femur))
    ct = field_of_view.ct_hip_grid(femur)
    assert ct.shape == (200, 192, 192)
    np.testing.assert_allclose(ct.spacing, (0.8, 0.8, 1.0))


def test_smooth_noise_has_unit_spread_at_any_grain():
    for grain in (1.0, 3.0, 8.0):
        field = random_fields.smooth_noise((64, 64, 64), (grain,) * 3, random_fields.generator(3))
        assert 0.6 < float(field.std()) < 1.3


def test_saved_phantom_reads_back_and_is_not_overwritten(tmp_path):
    phantom = generate("mr", 2, "left", grid=small_grid("left", (1.0, 1.0, 1.5), oblique()), scene=BallScene())
    paths = save_phantom(phantom, tmp_path / "case")
    image = read_volume(paths["image"])
    assert np.array_equal(image.array, phantom.image.array)
    assert image.grid.is_close(phantom.image.grid, 1e-2)
    assert json.loads(paths["landmarks"].read_text())["parameters"]["seed"] == 2
    with pytest.raises(BadInputError, match="already exists"):
        save_phantom(phantom, tmp_path / "case")


@pytest.mark.parametrize("wrong", [{"modality": "pet"}, {"side": "both"}, {"field": "knee"}])
def test_impossible_requests_are_refused(wrong):
    with pytest.raises(BadInputError, match="does not exist"):
        generate(**{"modality": "ct", "seed": 1, "scene": BallScene(), **wrong})
