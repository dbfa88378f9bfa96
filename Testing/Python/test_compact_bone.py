"""The compact bone's HU, against shafts whose bone is known, and images in which it is made alike."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

import simple_hips as hips
from ProximalFemurSegLib.inference import predict_probabilities
from ProximalFemurSegLib.inference.compact_bone import around_points, compact_bone_hu, scale_bone, usual_bone
from ProximalFemurSegLib.volume import Grid

RADIUS, MARROW, MUSCLE = 15.0, -60.0, 50.0


def shaft(bone, thickness, slices=60, noise=25.0, spacing=0.8, uneven=0.0):
    """HU (D, H, W) of a tube of bone of 15 mm radius, blurred as a scanner does, and its mask.

    ``uneven`` is the relative standard deviation of the bone's density from one centimetre to the next.
    """
    generator = np.random.default_rng(0)
    x, y = np.meshgrid(*[(np.arange(64) - 31.5) * spacing] * 2)
    radius = np.hypot(x, y)
    patches = ndimage.gaussian_filter(generator.normal(size=(slices, 64, 64)), 6)
    compact = bone * (1 + uneven * patches / patches.std())
    hu = np.where(radius > RADIUS, MUSCLE, np.where(radius > RADIUS - thickness, compact, MARROW))
    hu = ndimage.gaussian_filter(hu, (0, 0.6 / spacing, 0.6 / spacing))
    hu = hu + generator.normal(0, noise, hu.shape)
    mask = np.broadcast_to(radius < RADIUS, hu.shape)
    return torch.from_numpy(hu.astype(np.float32)), torch.from_numpy(mask.copy())


@pytest.mark.parametrize("bone", [850.0, 1100.0, 1500.0])
@pytest.mark.parametrize("thickness", [3.5, 5.0, 7.0])
@pytest.mark.parametrize("uneven", [0.0, 0.08])
def test_a_shaft_shows_how_dense_its_bone_is(bone, thickness, uneven):
    values, mask = shaft(bone, thickness, uneven=uneven)
    within = 0.06 if thickness < 4 else 0.02
    assert compact_bone_hu(values, mask) == pytest.approx(bone, rel=within)
    # Of a mask a few millimetres too large there is as much to see, and of metal in it nothing.
    wide = torch.from_numpy(ndimage.binary_dilation(mask.numpy(), iterations=3))
    values[:, 30:33, 30:33] = 3000.0
    assert compact_bone_hu(values, wide) == pytest.approx(bone, rel=within)


def test_thin_ends_do_not_count():
    """A femur whose upper half is a thin shell."""
    values, mask = shaft(1200.0, 5.0)
    thin, _ = shaft(1200.0, 0.8)
    assert thin.max() < 1100
    both = torch.cat([values, thin])
    assert compact_bone_hu(both, torch.cat([mask, mask])) == pytest.approx(1200, rel=0.06)


def test_what_is_no_bone_has_no_value():
    values, mask = shaft(1200.0, 5.0, slices=15)
    assert compact_bone_hu(values, mask) is None
    values, mask = shaft(300.0, 5.0)
    assert compact_bone_hu(values, mask) is None
    assert compact_bone_hu(values, torch.zeros_like(mask)) is None


def test_scaling_keeps_the_borders_and_what_is_below_water():
    values, _ = shaft(1400.0, 5.0, noise=0.0)
    scaled = scale_bone(values, 1400.0, 1000.0)
    assert torch.equal(scaled[values <= 0], values[values <= 0])
    assert float(scaled.max()) == pytest.approx(float(values.max()) / 1.4, rel=1e-5)
    halfway = (1400.0 + MUSCLE) / 2
    outer = (slice(None), slice(None, 20))
    assert torch.equal((values > halfway)[outer], (scaled > halfway / 1.4)[outer])
    # No scan is stretched beyond belief.
    assert float(scale_bone(torch.tensor(400.0), 500.0, 1100.0)) == pytest.approx(400 * 1.6)


def test_two_scanners_give_the_same_image():
    grid = Grid.from_parts((60, 64, 64), (0.8, 0.8, 1.0))
    values, mask = shaft(1000.0, 5.0)
    coarse = np.argwhere(mask.numpy()[::4, ::4, ::4]) * 4
    points = grid.ijk_to_ras(coarse[:, ::-1])
    first = usual_bone(values, grid, points, 1100.0)
    second = usual_bone(torch.where(values > 0, values * 1.3, values), grid, points, 1100.0)
    assert torch.allclose(first, second, rtol=1e-4, atol=1e-2)
    assert not torch.allclose(first, values, atol=10)
    nothing = usual_bone(values, grid, points[:3], 1100.0)
    assert nothing is values


def test_near_points():
    found = around_points((9, 9, 9), np.array([[4.2, 4.0, 3.9], [-3.0, 0.0, 0.0]]), (1, 2, 0))
    wanted = torch.zeros(9, 9, 9, dtype=torch.bool)
    wanted[3:6, 2:7, 4] = True
    assert torch.equal(found, wanted)


def test_the_networks_of_ct_see_usual_bone():
    grid = hips.centred((60, 50, 90), (4, 4, 4), np.diag([-1.0, -1.0, 1.0]))
    image = hips.hip_image(grid, ("left",))
    brighter = image.with_array(np.where(image.array > 0, image.array * 1.25, image.array).astype(np.float32))
    seen = {}
    for bone_hu in (None, 1000.0):
        for name, volume in (("as it is", image), ("brighter", brighter)):
            models = hips.fake_models()
            preset = models.find_preset("ct")
            stages = [dataclasses.replace(s, preprocessing=dataclasses.replace(s.preprocessing, bone_hu=bone_hu))
                      for s in preset.stages]
            preset = dataclasses.replace(preset, stages=tuple(stages))
            models.default_preset = models.find_preset = {"ct": preset, "locator": models.find_preset("locator")}.get
            predict_probabilities(volume, "ct", models=models, precision="float32")
            found = models.networks["periosteal"].seen[0]
            # The locator draws its box a little wider around what is brighter.
            seen[bone_hu, name] = float(found[found > -0.2].median())
    assert seen[1000.0, "as it is"] == pytest.approx(seen[1000.0, "brighter"], abs=0.03)
    assert abs(seen[None, "as it is"] - seen[None, "brighter"]) > 0.1
