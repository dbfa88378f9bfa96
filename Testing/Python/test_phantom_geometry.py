"""The project's own hip geometry against closed forms and against measurements that do not know how it is made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")

from ProximalFemurSegLib.phantom import signed_distance as sd  # noqa: E402
from ProximalFemurSegLib.phantom.cortex import CortexParameters, cortical_thickness, draw_cortex  # noqa: E402
from ProximalFemurSegLib.phantom.distance_grid import DistanceGrid  # noqa: E402
from ProximalFemurSegLib.phantom.femur_parameters import (  # noqa: E402
    FemurParameters,
    draw_contralateral,
    draw_femur,
)
from ProximalFemurSegLib.phantom.femur_regions import measure_neck  # noqa: E402
from ProximalFemurSegLib.phantom.femur_shape import ParametricFemur  # noqa: E402
from ProximalFemurSegLib.phantom.hip_scene import ParametricScene, leg_rotation  # noqa: E402
from ProximalFemurSegLib.phantom.tissues import Tissue  # noqa: E402

MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def lattice(low, high, step, turn=None):
    """Points of a regular lattice over a box, (n, 3), optionally turned about the origin."""
    axes = [torch.arange(a, b, step, dtype=torch.float32) for a, b in zip(low, high)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    return points if turn is None else points @ torch.as_tensor(turn, dtype=torch.float32).T


def volume_of(function, low, high, step=0.5):
    """mm3, a lattice point near the surface counting by the part of its cube inside."""
    distance = function(lattice(low, high, step))
    return float((0.5 - distance / step).clamp(0.0, 1.0).double().sum()) * step**3


def slope(function, points, step=0.05):
    """Length of the gradient by central differences."""
    parts = [
        (function(points + e) - function(points - e)) / (2.0 * step)
        for e in (torch.eye(3, dtype=points.dtype) * step)
    ]
    return torch.stack(parts, dim=-1).norm(dim=-1)


def tapered_capsule_volume(r0, r1, span):
    sine = (r0 - r1) / span
    x0, x1 = r0 * sine, span + r1 * sine
    a, b = r0 * np.sqrt(1 - sine**2), r1 * np.sqrt(1 - sine**2)
    frustum = np.pi / 3 * (x1 - x0) * (a * a + a * b + b * b)
    first = np.pi * (r0**2 * (x0 + r0) - (x0**3 + r0**3) / 3)
    u = r1 * sine
    second = np.pi * (r1**2 * (r1 - u) - (r1**3 - u**3) / 3)
    return frustum + first + second


# ---------------------------------------------------------------------- primitives

PLATE = np.array([[-8.0, -6.0, 1.0], [9.0, -4.0, 2.0], [1.0, 9.0, -3.0]])
_sides = np.roll(PLATE, -1, axis=0) - PLATE
_plate_area = 0.5 * np.linalg.norm(np.cross(_sides[0], -_sides[2]))
_plate_rim = np.linalg.norm(_sides, axis=1).sum()
_straight = np.array([[0.0, 0.0, -6.0], [0.0, 0.0, 6.0]])


@pytest.mark.parametrize(
    ("solid", "expected"),
    [
        (lambda p: sd.sphere(p, (1, 0, -1), 7.0), 4 / 3 * np.pi * 343),
        (lambda p: sd.ellipsoid(p, (0, 1, 0), (9.0, 6.0, 4.0)), 4 / 3 * np.pi * 216),
        (lambda p: sd.capsule(p, (-5, -3, 0), (4, 3, 2), 4.0), np.pi * 16 * np.sqrt(121) + 4 / 3 * np.pi * 64),
        (lambda p: sd.tapered_capsule(p, (-5, 0, -3), (5, 2, 3), 6.0, 2.5),
         tapered_capsule_volume(6.0, 2.5, np.sqrt(140))),
        (lambda p: sd.box(p, (0, 0, 1), (8.0, 5.0, 3.0)), 8 * 8 * 5 * 3),
        (lambda p: sd.plate(p, PLATE, (4.0, 4.0, 4.0)),
         4 * _plate_area + np.pi / 2 * 4 * _plate_rim + 4 / 3 * np.pi * 8),
        (lambda p: sd.tube(p, _straight, np.array([[5.0, 3.0], [5.0, 3.0]]), (1, 0, 0)),
         np.pi * 15 * 12 + 4 / 3 * np.pi * 5 * 3 * 3),
        (lambda p: torch.maximum(sd.slab(p, (0, 0, 2), (0, 0, 2), 5.0), sd.box(p, (0, 0, 0), (6.0, 6.0, 9.0))),
         12 * 12 * 5),
    ],
    ids=["sphere", "ellipsoid", "capsule", "tapered capsule", "box", "plate", "tube", "slab"],
)  # fmt: skip
def test_volume_of_a_primitive(solid, expected):
    assert volume_of(solid, (-14, -14, -14), (14, 14, 14)) == pytest.approx(expected, rel=0.015)


@pytest.mark.parametrize(
    "solid",
    [
        lambda p: sd.sphere(p, (1, 0, -1), 7.0),
        lambda p: sd.tapered_capsule(p, (-5, 0, -3), (5, 2, 3), 6.0, 2.5),
        lambda p: sd.box(p, (0, 0, 1), (8.0, 5.0, 3.0), rounding=1.0),
        lambda p: sd.plate(p, PLATE, (4.0, 4.0, 4.0)),
        lambda p: sd.half_space(p, (1, 2, 3), (3, 4, 12)),
    ],
    ids=["sphere", "tapered capsule", "box", "plate", "half space"],
)
def test_exact_primitives_have_unit_slope(solid):
    points = lattice((-14, -14, -14), (14, 14, 14), 1.37).double()
    lengths = slope(solid, points, 1e-5)
    # A few points sit on the medial sheet, where no gradient exists.
    assert float(((lengths - 1.0).abs() > 1e-3).double().mean()) < 0.005


def test_distance_to_a_plate_off_its_plane_and_off_its_corner():
    corners = np.array([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0], [0.0, 10.0, 0.0]])
    points = torch.tensor([[2.0, 2.0, 5.0], [-3.0, -4.0, 0.0], [13.0, 0.0, 4.0]])
    distance = sd.plate(points, corners, (2.0, 2.0, 2.0))
    np.testing.assert_allclose(distance, [4.0, 4.0, 4.0], atol=1e-5)


def test_tapered_capsule_refuses_a_sphere_inside_the_other():
    with pytest.raises(ValueError, match="inside the other"):
        sd.tapered_capsule(torch.zeros(1, 3), (0, 0, 0), (1, 0, 0), 5.0, 1.0)


def test_smooth_union_fills_the_crease_only():
    a, b = torch.meshgrid(torch.linspace(-9, 9, 61), torch.linspace(-9, 9, 61), indexing="ij")
    union = sd.smooth_union(a, b, 4.0)
    plain = torch.minimum(a, b)
    apart = (a - b).abs() >= 4.0
    assert torch.equal(union[apart], plain[apart])
    assert float((plain - union).max()) == pytest.approx(1.0)
    assert bool((union <= plain).all())
    torch.testing.assert_close(sd.smooth_subtraction(a, b, 4.0), -sd.smooth_union(-a, b, 4.0))


# ---------------------------------------------------------------------- tables of distances


def test_table_reads_back_a_sphere():
    table = DistanceGrid.tabulate(lambda p: sd.sphere(p, (0, 0, 0), 12.0), [[-20, -20, -20], [20, 20, 20]], 1.0, band=6)
    points = lattice((-16, -16, -16), (16, 16, 16), 0.83)
    exact = sd.sphere(points, (0, 0, 0), 12.0)
    near = exact.abs() < 5.0
    # Linear between nodes: h^2 / (4 r) off at most, two principal curvatures 1 / r.
    assert float((table(points) - exact)[near].abs().max()) < 0.04
    far = torch.tensor([[60.0, 0.0, 0.0]])
    assert float(table(far)) == pytest.approx(48.0, abs=0.5)


def test_redistancing_makes_true_distances_of_a_distorted_field():
    def distorted(points):
        return (points.norm(dim=-1) - 12.0) * (1.0 + 0.2 * torch.sin(points[..., 0] / 6.0))

    table = DistanceGrid.tabulate(distorted, [[-24, -24, -24], [24, 24, 24]], 1.0)
    true = table.redistanced(7.0)
    points = lattice((-19, -19, -19), (19, 19, 19), 1.21)
    exact = points.norm(dim=-1) - 12.0
    near = exact.abs() < 6.5
    assert float((table(points) - exact)[near].abs().max()) > 0.9
    assert float((true(points) - exact)[near].abs().max()) < 0.15


def test_smoothing_leaves_a_plane_alone():
    table = DistanceGrid.tabulate(lambda p: sd.half_space(p, (0, 0, 1), (0, 0, 1)), [[-9, -9, -9], [9, 9, 9]], 1.5)
    points = lattice((-6, -6, -6), (6, 6, 6), 1.1)
    torch.testing.assert_close(table.smoothed(2)(points), points[:, 2] - 1.0, atol=1e-5, rtol=0)


# ---------------------------------------------------------------------- parameters


def test_drawn_parameters_stay_in_human_ranges_and_follow_size_and_sex():
    women = [draw_femur(np.random.default_rng(n), "female") for n in range(150)]
    men = [draw_femur(np.random.default_rng(1000 + n), "male") for n in range(150)]
    both = women + men
    for name, low, high in (("head_radius", 19, 29), ("neck_shaft_angle", 110, 140), ("anteversion", 8, 25)):
        assert all(low <= getattr(p, name) <= high for p in both), name
    assert 122 < np.median([p.neck_shaft_angle for p in both]) < 126
    assert 2.0 < np.mean([p.head_radius for p in men]) - np.mean([p.head_radius for p in women]) < 4.0
    assert np.mean([p.anteversion for p in women]) > np.mean([p.anteversion for p in men])
    assert np.corrcoef([p.head_radius for p in both], [p.lesser_drop for p in both])[0, 1] > 0.6
    assert np.corrcoef([p.neck_shaft_angle for p in both], [p.trochanter_tip for p in both])[0, 1] < -0.3
    assert np.corrcoef([p.neck_shaft_angle for p in both], [p.offset for p in both])[0, 1] < -0.2
    other = draw_contralateral(both[0], np.random.default_rng(5))
    assert other != both[0]
    assert abs(other.head_radius - both[0].head_radius) < 1.5
    with pytest.raises(ValueError, match="'female' or 'male'"):
        draw_femur(np.random.default_rng(0), "unknown")


# ---------------------------------------------------------------------- one femur

POSE = leg_rotation(7.0, 5.0, 9.0)


@pytest.fixture(scope="module")
def parameters():
    return draw_femur(np.random.default_rng(11))


@pytest.fixture(scope="module")
def femur(parameters):
    return ParametricFemur(parameters, "left", spacing=1.5)


@pytest.fixture(scope="module")
def posed(parameters):
    return ParametricFemur(parameters, "left", center=(-84.0, 3.0, 5.0), rotation=POSE, spacing=1.5)


def test_prominences_lie_on_the_surface_and_centres_inside(femur):
    for name in ("greater_trochanter_tip", "lesser_trochanter", "vastus_ridge"):
        assert abs(float(femur.periosteal_distance(torch.tensor(femur.landmarks[name]).float()))) < 0.02, name
    for name in ("neck_center", "neck_base", "shaft_proximal", "shaft_distal"):
        assert float(femur.periosteal_distance(torch.tensor(femur.landmarks[name]).float())) < -5.0, name
    head = float(femur.periosteal_distance(torch.tensor(femur.landmarks["head_center"]).float()))
    assert head < -0.8 * femur.head_radius


def test_tip_is_the_top_of_the_trochanter_and_shaft_points_are_the_shafts_middle(femur):
    points = lattice(femur.bounds[0], femur.bounds[1], 1.0)
    inside = points[femur.periosteal_distance(points) < 0]
    lateral = inside[inside[:, 0] < float(femur.landmarks["neck_base"][0]) - 6.0]
    top = lateral[lateral[:, 2].argmax()].numpy()
    assert top[2] == pytest.approx(femur.landmarks["greater_trochanter_tip"][2], abs=1.0)
    np.testing.assert_allclose(top, femur.landmarks["greater_trochanter_tip"], atol=6.0)
    for name in ("shaft_proximal", "shaft_distal"):
        center = femur.landmarks[name]
        slice_ = inside[(inside[:, 2] - float(center[2])).abs() < 0.6]
        np.testing.assert_allclose(slice_.mean(dim=0).numpy()[:2], center[:2], atol=1.2)


def test_a_sphere_fitted_to_the_head_has_its_radius(femur, parameters):
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(600, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    neck = femur.landmarks["neck_center"] / np.linalg.norm(femur.landmarks["neck_center"])
    fovea = femur.solid.fovea_center / np.linalg.norm(femur.solid.fovea_center)
    directions = directions[(directions @ neck < 0.3) & (directions @ fovea < 0.85)]
    steps = np.arange(0.7, 1.3, 0.002) * parameters.head_radius
    rays = torch.as_tensor(directions[:, None] * steps[None, :, None], dtype=torch.float32)
    first = (femur.periosteal_distance(rays) > 0).int().argmax(dim=1).numpy()
    surface = directions * steps[first][:, None]
    system = np.column_stack([2 * surface, np.ones(len(surface))])
    x, *_ = np.linalg.lstsq(system, (surface**2).sum(axis=1), rcond=None)
    assert np.sqrt(x[3] + x[:3] @ x[:3]) == pytest.approx(parameters.head_radius, abs=0.08)
    np.testing.assert_allclose(x[:3], 0.0, atol=0.08)


def test_landmarks_give_the_neck_shaft_angle_and_the_anteversion(posed, femur, parameters):
    for bone in (femur, posed):
        neck = bone.landmarks["head_center"] - bone.landmarks["neck_base"]
        shaft = bone.landmarks["shaft_distal"] - bone.landmarks["shaft_proximal"]
        cosine = neck @ shaft / np.linalg.norm(neck) / np.linalg.norm(shaft)
        assert np.rad2deg(np.arccos(cosine)) == pytest.approx(parameters.neck_shaft_angle, abs=1e-6)
    neck = femur.landmarks["head_center"] - femur.landmarks["neck_base"]
    assert np.rad2deg(np.arctan2(neck[1], neck[0])) == pytest.approx(parameters.anteversion, abs=1e-6)


def test_the_neck_measured_on_the_surface_is_the_one_of_the_landmarks(femur):
    head, base = femur.landmarks["head_center"], femur.landmarks["neck_base"]
    measured = measure_neck(femur.periosteal_distance, head, base, femur.head_radius)
    neck = base / np.linalg.norm(base)
    assert np.rad2deg(np.arccos(np.clip(neck @ measured.axis, -1, 1))) < 6.0
    assert measured.minimum_mm == pytest.approx(np.linalg.norm(femur.landmarks["neck_center"]), abs=2.5)
    assert np.pi * measured.radius_mm**2 == pytest.approx(femur.narrow_area, rel=0.06)
    assert femur.cuts["head_end"] == pytest.approx(np.sqrt(femur.head_radius**2 - measured.radius_mm**2), abs=1.0)


@pytest.mark.parametrize("seed", [2, 3])
def test_the_bone_is_in_one_piece_of_human_size(seed):
    bone = ParametricFemur(draw_femur(np.random.default_rng(seed)), "right", spacing=2.0)
    inside = (bone.distances.values < 0).numpy()
    assert ndimage.label(inside)[1] == 1
    assert ndimage.label(~inside)[1] == 1
    assert 4.0 < bone.narrow_area / 100 < 12.0
    assert 110 < bone.parameters.neck_shaft_angle < 140


def test_periosteal_distance_is_a_true_distance_near_the_surface(femur):
    points = lattice(femur.bounds[0] - 4, femur.bounds[1] + 4, 2.3)
    distance = femur.periosteal_distance(points)
    for reach, share in ((4.0, 0.03), (8.0, 0.08)):
        near = points[distance.abs() < reach]
        lengths = slope(femur.periosteal_distance, near, 0.75)
        # What is left lies on the medial sheets of trochanters and fossa, where the nearest point jumps.
        assert float(((lengths - 1.0).abs() > 0.1).float().mean()) < share
    surface = points[distance.abs() < 0.4]
    offsets = torch.nn.functional.normalize(torch.randn(64, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    for depth in (3.0, 6.0):
        # No point at depth d has surface nearer than d: every probe within 0.9 d stays inside.
        deep = points[(distance < -depth) & (distance > -depth - 0.7)][::5]
        probes = deep[:, None] + 0.9 * depth * offsets
        assert float((femur.periosteal_distance(probes) > 0.0).float().mean()) < 1e-3
    assert len(surface) > 500


def test_right_is_the_exact_mirror_image_of_left(posed, parameters):
    right = ParametricFemur(parameters, "right", center=(84.0, 3.0, 5.0), rotation=POSE, spacing=1.5)
    points = lattice(posed.bounds[0], posed.bounds[1], 6.1)
    assert torch.equal(posed.periosteal_distance(points), right.periosteal_distance(points * MIRROR))
    assert torch.equal(posed.cortical_thickness(points), right.cortical_thickness(points * MIRROR))
    assert torch.equal(posed.region(points), right.region(points * MIRROR))
    for name, place in posed.landmarks.items():
        np.testing.assert_array_equal(place * [-1, 1, 1], right.landmarks[name])


def test_pose_moves_the_bone_and_nothing_else(posed, femur):
    points = lattice(femur.bounds[0], femur.bounds[1], 5.3)
    turned = points @ torch.as_tensor(POSE, dtype=torch.float32).T + torch.tensor([-84.0, 3.0, 5.0])
    torch.testing.assert_close(posed.periosteal_distance(turned), femur.periosteal_distance(points), atol=1e-3, rtol=0)
    inside = femur.periosteal_distance(points) < 0
    torch.testing.assert_close(
        posed.cortical_thickness(turned)[inside], femur.cortical_thickness(points)[inside], atol=1e-3, rtol=0
    )
    # Flexion lifts the knee (forward), adduction brings it to the midline, external rotation turns the front outward.
    assert (leg_rotation(10, 0, 0) @ [0, 0, -1])[1] > 0.1
    assert (leg_rotation(0, 10, 0) @ [0, 0, -1])[0] > 0.1
    assert (leg_rotation(0, 0, 10) @ [0, 1, 0])[0] < -0.1


def test_same_parameters_same_bytes_other_seed_other_surface(femur, parameters):
    points = lattice(femur.bounds[0], femur.bounds[1], 7.7)
    again = ParametricFemur(parameters, "left", spacing=1.5)
    assert torch.equal(again.periosteal_distance(points), femur.periosteal_distance(points))
    other = ParametricFemur(dataclasses.replace(parameters, seed=parameters.seed + 1), "left", spacing=1.5)
    difference = (other.periosteal_distance(points) - femur.periosteal_distance(points)).abs()
    assert 0.05 < float(difference.max()) < 4.0


def test_regions_are_complete_and_stand_where_the_landmarks_say(posed):
    points = lattice(posed.bounds[0], posed.bounds[1], 1.5)
    inside = points[posed.periosteal_distance(points) < 0]
    region = posed.region(inside)
    assert set(region.unique().tolist()) == {1, 2, 3, 4, 5}
    names = ("head_center", "neck_center", "greater_trochanter_tip", "lesser_trochanter", "shaft_distal")
    for expected, name in enumerate(names, start=1):
        assert int(posed.region(torch.tensor(posed.landmarks[name]).float())) == expected, name
    # Every region is in one piece, and each volume is that of an adult.
    shares = {k: float((region == k).sum()) * 1.5**3 / 1000 for k in range(1, 5)}
    assert 20 < shares[1] < 110 and 4 < shares[2] < 35 and 15 < shares[3] < 100 and 10 < shares[4] < 90
    for number in range(1, 6):
        mask = ((posed.periosteal_distance(points) < 0) & (posed.region(points) == number)).numpy()
        counts = [len(torch.arange(a, b, 1.5)) for a, b in zip(*posed.bounds)]
        parts, found = ndimage.label(mask.reshape(counts), np.ones((3, 3, 3)))
        assert np.bincount(parts.ravel())[1:].max() > 0.98 * mask.sum(), number


def test_region_volumes_do_not_change_when_the_lattice_turns(femur):
    def volumes(turn):
        corners = lattice((-75, -50, -110), (35, 35, 35), 1.25, turn)
        inside = corners[femur.periosteal_distance(corners) < 0]
        inside = inside[inside[:, 2] > -95.0]
        return torch.bincount(femur.region(inside).long(), minlength=6)[1:5].double()

    straight, turned = volumes(None), volumes(leg_rotation(4.0, 3.0, 6.0))
    torch.testing.assert_close(straight / turned, torch.ones(4, dtype=torch.double), atol=0.015, rtol=0)


def test_a_side_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'left' or 'right'"):
        ParametricFemur(FemurParameters(), "middle")


# ---------------------------------------------------------------------- cortex


def thickness_at(femur, cortex, **places):
    return {
        name: float(
            cortical_thickness(
                torch.tensor(np.asarray(place), dtype=torch.float32),
                femur.landmarks,
                femur.head_radius,
                femur.side,
                cortex,
            )
        )
        for name, place in places.items()
    }


def test_cortex_is_thin_on_head_and_trochanter_and_thick_on_calcar_and_shaft(femur):
    neck, up = femur.landmarks["neck_center"], femur.solid.superior
    r = np.sqrt(femur.narrow_area / np.pi)
    distal = femur.landmarks["shaft_distal"]
    places = {
        "head": np.array([0.0, 0.0, femur.head_radius]),
        "superior_neck": neck + up * r,
        "inferior_neck": neck - up * r,
        "trochanter": femur.landmarks["greater_trochanter_tip"],
        "lateral_shaft": distal - [femur.parameters.shaft_radius, 0, 0],
        "front_shaft": distal + [0, femur.parameters.shaft_radius, 0],
    }
    strong = thickness_at(femur, CortexParameters(osteoporosis=0.0, variation=0.0), **places)
    assert 0.3 < strong["head"] < 1.0
    assert 0.5 < strong["superior_neck"] < 1.0
    assert 1.5 < strong["inferior_neck"] < 4.0
    assert 0.7 < strong["trochanter"] < 1.6
    assert 4.0 < strong["front_shaft"] < strong["lateral_shaft"] < 7.0
    weak = thickness_at(femur, CortexParameters(osteoporosis=1.0, variation=0.0), **places)
    assert all(weak[name] < 0.8 * strong[name] for name in places)


def test_cortex_varies_smoothly_and_leaves_a_canal(femur):
    cortex = draw_cortex(np.random.default_rng(4))
    points = lattice(femur.bounds[0], femur.bounds[1], 2.1)
    points = points[femur.periosteal_distance(points).abs() < 6.0]

    def thickness(p):
        return cortical_thickness(p, femur.landmarks, femur.head_radius, femur.side, cortex)

    value = thickness(points)
    assert 0.25 < float(value.min()) < 1.0 < 3.0 < float(value.max()) < 9.5
    assert float(slope(thickness, points, 0.2).max()) < 0.5
    axis = torch.tensor(np.stack([femur.landmarks["shaft_proximal"], femur.landmarks["shaft_distal"]])).float()
    assert bool((femur.periosteal_distance(axis) < -thickness(axis)).all())
    assert draw_cortex(np.random.default_rng(4)) == cortex


# ---------------------------------------------------------------------- the whole patient


@pytest.fixture(scope="module")
def patient():
    return ParametricScene(4, spacing=2.5)


def test_looked_up_cells_agree_with_full_composition(patient):
    generator = torch.Generator().manual_seed(1)
    low, high = (torch.as_tensor(b, dtype=torch.float32) for b in patient.bounds)
    points = low + (high - low) * torch.rand(60_000, 3, generator=generator)
    points[:, 2].clamp_(-349.0, 179.0)
    quick = patient.surroundings(points)
    slow = patient._compose(points).label
    assert float((quick != slow).float().mean()) < 2e-4


def test_surroundings_keep_shape_and_do_not_depend_on_the_order_asked(patient):
    points = lattice((-130, -40, -60), (-50, 40, 60), 4.7).reshape(-1, 2, 3)
    label = patient.surroundings(points)
    assert label.dtype == torch.uint8 and label.shape == points.shape[:-1]
    assert torch.equal(patient.surroundings(points.flip(0)).flip(0), label)


def test_no_other_bone_reaches_into_a_femur_or_its_joint(patient):
    space = patient.parameters.joint_space
    for femur in patient.femora.values():
        points = lattice(femur.bounds[0] - 8, femur.bounds[1] + 8, 2.0)
        near = points[femur.periosteal_distance(points) < space - 0.3]
        label = patient.surroundings(near)
        assert not bool(((label == Tissue.CORTICAL_BONE) | (label == Tissue.TRABECULAR_BONE)).any())


def test_above_the_head_come_cartilage_then_the_sockets_bone(patient):
    femur = patient.femora["right"]
    # Up and a little medially: the weight-bearing roof.
    direction = np.array([-0.2, 0.0, 1.0]) / np.linalg.norm([0.2, 0.0, 1.0])
    steps = np.arange(0.0, 20.0, 0.1)
    line = femur.center + (femur.head_radius + steps)[:, None] * direction
    label = patient.surroundings(torch.as_tensor(line, dtype=torch.float32)).numpy()
    assert label[5] == Tissue.CARTILAGE
    bone = steps[np.argmax(label == Tissue.CORTICAL_BONE)]
    assert bone == pytest.approx(patient.parameters.joint_space, abs=0.5)
    assert Tissue.TRABECULAR_BONE in label


def test_from_the_femur_outward_come_muscle_fat_skin_and_air(patient):
    femur = patient.femora["left"]
    start = femur.landmarks["shaft_proximal"]
    line = start + np.arange(0.0, 260.0, 0.5)[:, None] * np.array([-1.0, 0.0, 0.0])
    points = torch.as_tensor(line, dtype=torch.float32)
    outside = femur.periosteal_distance(points) > 1.0
    label = patient.surroundings(points)[outside].numpy()
    last = {name: np.flatnonzero(label == name).max() for name in (Tissue.MUSCLE, Tissue.FAT, Tissue.SKIN, Tissue.AIR)}
    assert last[Tissue.MUSCLE] < last[Tissue.FAT] < last[Tissue.SKIN] < last[Tissue.AIR]
    assert (label[-20:] == Tissue.AIR).all()


def test_the_patient_has_all_tissues_in_human_amounts(patient):
    low, high = patient.bounds
    points = lattice(low, [high[0], high[1], 170.0], 6.0)
    points = points[points[:, 2] > -120]
    litres = torch.bincount(patient.surroundings(points).long(), minlength=32).double() * 6.0**3 / 1e6
    for tissue in ("SKIN", "FAT", "MUSCLE", "CORTICAL_BONE", "TRABECULAR_BONE", "CARTILAGE", "URINE", "BOWEL", "VESSEL",
                   "TENDON", "ORGAN"):  # fmt: skip
        assert float(litres[Tissue[tissue]]) > 0, tissue
    body = float(litres[1:].sum())
    assert 12 < body < 60
    assert 0.15 < float(litres[Tissue.MUSCLE]) / body < 0.6
    assert 0.4 < float(litres[Tissue.CORTICAL_BONE] + litres[Tissue.TRABECULAR_BONE]) < 1.8
    assert float(litres[20:].sum()) == 0.0


def test_both_sides_are_alike_but_not_mirror_images(patient):
    left, right = patient.femora["left"], patient.femora["right"]
    np.testing.assert_allclose(left.center + right.center, 0.0, atol=1e-9)
    assert abs(left.head_radius - right.head_radius) < 1.5
    assert left.parameters != right.parameters


def test_a_scene_needs_a_seed_or_parameters():
    with pytest.raises(ValueError, match="one of the two"):
        ParametricScene()
