"""Borders read from CT profiles, against tubes of bone of known thickness under known blurs."""

import re

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import expit, logit, ndtr

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.inference import predict_probabilities
from ProximalFemurSegLib.inference.border_calibration import calibrate_borders, moved_border
from ProximalFemurSegLib.inference.border_profiles import DEPTH_MM, SurfaceNormals, crossings
from ProximalFemurSegLib.inference.cortex_fit import fit_layers
from ProximalFemurSegLib.inference.result import FemurRegion, Probabilities
from ProximalFemurSegLib.volume import Volume
from simple_hips import centred, fake_models, hip_image, rotation, voxel_centres

RADIUS, THICK = 14.0, 4.5
SOFT, SPONGY = 40.0, 120.0
TILT = rotation((0, 1, 0), 50.0)[:, 2]  # so that the surface faces many ways


def tube(points, thin):
    """How far points (..., 3) lie from a tilted tube's axis, and how thick its wall is there: thicker further down."""
    along = points @ TILT
    across = np.linalg.norm(points - along[..., None] * TILT, axis=-1)
    return across, THICK + (thin - THICK) * expit(along / 1.5)


def scan(spacing, blur, thin, compact=1200.0, shift=(0.0, 0.0), noise=20.0, direction=None):
    """A CT of the tube, and a cascade's maps of it with borders off by ``shift`` mm outwards where the wall is thin.

    ``blur`` is the scanner's in mm, across and along the patient.
    """
    shape = tuple(int(np.ceil(n / s)) for n, s in zip((66, 60, 72), spacing[::-1]))
    grid = centred(shape, spacing, direction)
    places = voxel_centres(grid).astype(np.float32)
    hu = 0.0
    # Means over 2 x 2 x 2 points of every voxel.
    for corner in np.ndindex(2, 2, 2):
        across, wall = tube(places + grid.affine[:3, :3] @ (np.array(corner) / 2 - 0.25), thin)
        hu = hu + np.select([across > RADIUS, across > RADIUS - wall], [SOFT, compact], SPONGY) / 8
    sigma = [blur[int(abs(axis[2]) > 0.5)] / s for axis, s in zip(grid.direction.T, spacing)][::-1]
    hu = ndimage.gaussian_filter(hu, sigma) + np.random.default_rng(0).normal(0, noise, grid.shape)
    across, wall = tube(places, thin)
    part = expit((places @ TILT) / 1.5)
    depths = {"periosteal": RADIUS + shift[0] * part, "endosteal": RADIUS - wall + shift[1] * part}
    maps = {role: Volume(expit((d - across) / 0.1).astype(np.float32), grid) for role, d in depths.items()}
    femur = FemurRegion("left", (0, 0, 0), grid.shape, grid)
    return Volume(hu.astype(np.float32), grid), Probabilities(maps, [femur], dict.fromkeys(maps, {"threshold": 0.5}))


def borders(probabilities):
    """Mean radii in mm of both surfaces in the part of the tube whose wall is thin, along lines from its axis."""
    first = np.array([0.0, 1.0, 0.0])
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)[:, None]
    lines = np.cos(angles) * first + np.sin(angles) * np.cross(TILT, first)
    radii = np.arange(RADIUS - 4, RADIUS + 2, 0.02)
    heights = np.linspace(14, 24, 11)[:, None, None, None]
    points = heights * TILT + radii[:, None] * lines[:, None]
    found = []
    for volume in probabilities.maps.values():
        odds = logit(np.clip(volume.array, 1e-6, 1 - 1e-6))
        there = ndimage.map_coordinates(odds, volume.grid.ras_to_ijk(points)[..., ::-1].reshape(-1, 3).T, order=1)
        found.append(radii[0] + 0.02 * (there.reshape(points.shape[:3]) > 0).sum(axis=2).mean())
    return np.array(found)


FLIPPED = np.array([[0, -1.0, 0], [-1.0, 0, 0], [0, 0, -1.0]])


@pytest.mark.parametrize(
    ("spacing", "blur", "thin", "shift", "direction"),
    [
        ((0.8, 0.8, 1.0), (0.5, 0.5), 1.2, (0.15, -0.1), None),
        ((0.8, 0.8, 1.0), (0.7, 0.45), 1.0, (0.15, 0.1), FLIPPED),
        ((0.7, 0.7, 0.7), (0.6, 0.6), 1.5, (-0.1, 0.1), None),
        ((0.9, 0.9, 1.5), (0.5, 0.6), 2.0, (0.1, -0.15), None),
    ],
)
def test_a_thin_wall_gets_its_thickness(spacing, blur, thin, shift, direction):
    image, network = scan(spacing, blur, thin, shift=shift, direction=direction)
    truth = np.array([RADIUS, RADIUS - thin])
    assert borders(network) - truth == pytest.approx(shift, abs=0.02)
    calibrated = calibrate_borders(image, network)
    found = borders(calibrated)
    assert found - truth == pytest.approx([0, 0], abs=0.05)
    # A wall of little more than the blur is told to a tenth of its thickness.
    assert found[0] - found[1] == pytest.approx(thin, abs=0.1 if thin < 1.1 else 0.05)
    compact = float(re.search(r"compact bone of (\d+) HU", calibrated.messages[-1]).group(1))
    assert compact == pytest.approx(1200, abs=15)


def test_without_thick_bone_nothing_moves():
    image, network = scan((0.8, 0.8, 1.0), (0.5, 0.5), 1.2, shift=(0.15, -0.1))
    soft = Volume(np.minimum(image.array, 300.0), image.grid)
    thin = dict(network.maps)
    across, _ = tube(voxel_centres(image.grid), 1.2)
    thin["endosteal"] = Volume(expit((RADIUS - 1.2 - across) / 0.1).astype(np.float32), image.grid)
    said = calibrate_borders(soft, Probabilities(thin, network.regions, network.operating_points))
    for role in thin:
        assert np.array_equal(said.maps[role].array, thin[role].array)
    assert "thick enough" in said.messages[-1]


def test_a_profile_of_known_layers_is_taken_apart():
    """Walls of 0.5 to 4 mm, none of them blurred by less than its own thickness but the thickest."""
    thickness = np.array([0.5, 0.8, 1.2, 2.0, 4.0])
    outer = np.array([0.1, -0.2, 0.0, 0.15, 0.05])
    blur = 0.6
    hu = (
        -80
        + 1080 * ndtr((outer[:, None] - DEPTH_MM) / blur)
        - 900 * ndtr((outer[:, None] - thickness[:, None] - DEPTH_MM) / blur)
    )
    found = fit_layers(hu, -thickness - 0.3, 1000.0, 1.0, blur)
    assert found.outer == pytest.approx(outer, abs=0.01)
    assert found.outer - found.inner == pytest.approx(thickness, abs=0.02)
    assert found.soft == pytest.approx(-80, abs=2) and found.spongy == pytest.approx(100, abs=5)
    # Where the wall is thick its own HU shows, though another was expected.
    free = fit_layers(hu[-1:], -thickness[-1:], 1100.0, 100.0, blur)
    assert free.compact == pytest.approx(1000, abs=5)


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 1.4), (1.0, 0.8, 0.9)])
def test_places_and_normals_of_a_ball(spacing):
    grid = centred((62, 70, 70), spacing, rotation((1, 2, 3), 25.0))
    distance = np.linalg.norm(voxel_centres(grid), axis=-1)
    places = crossings((18.0 - distance).astype(np.float32), 0.0)
    points = grid.ijk_to_ras(places[:, ::-1])
    assert np.linalg.norm(points, axis=1) == pytest.approx(18.0, abs=0.02)
    normals = SurfaceNormals(distance < 18.0, grid).at(places)
    assert np.degrees(np.arccos(np.clip((normals * points).sum(axis=1) / 18.0, -1, 1))).mean() < 2.5


def test_a_surface_moves_by_what_is_asked():
    grid = centred((44, 54, 54), (0.9, 0.9, 1.1), rotation((1, 2, 3), 25.0))
    distance = np.linalg.norm(voxel_centres(grid), axis=-1)
    values = (15.0 - distance).astype(np.float32)
    directions = np.random.default_rng(0).normal(size=(400, 3))
    points = 15.0 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    shifts = np.where(points[:, 0] > 0, 0.3, -0.2)
    near, moved = moved_border(values, grid, 0.0, points, shifts)
    values[near] = moved
    places = grid.ijk_to_ras(crossings(values, 0.0)[:, ::-1])
    radii, right = np.linalg.norm(places, axis=1), places[:, 0] / 15
    assert radii[right > 0.3].mean() == pytest.approx(15.3, abs=0.03)
    assert radii[right < -0.3].mean() == pytest.approx(14.8, abs=0.03)


def test_choices_that_cannot_be():
    grid = centred((40, 40, 40), (4, 4, 4))
    image = hip_image(grid, modality="MR")
    with pytest.raises(BadInputError, match="takes a CT"):
        predict_probabilities(image, borders="profiles", models=fake_models())
    with pytest.raises(BadInputError, match="choose network, profiles or auto"):
        predict_probabilities(image, borders="guess", models=fake_models())
    left = predict_probabilities(image, borders="auto", models=fake_models())
    assert not any("borders" in message for message in left.messages)
    ct = predict_probabilities(hip_image(grid), borders="auto", models=fake_models())
    assert sum("The borders of" in message for message in ct.messages) == len(ct.regions)
