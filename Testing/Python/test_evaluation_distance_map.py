"""Distances on a surface against shapes with known distances, and the file and the picture that hold them."""

import numpy as np
import pytest

from command_line import assert_refused, invoke
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.evaluation.comparison import ComparisonOptions, compare_pair
from ProximalFemurSegLib.evaluation.distance_map import color_limit, distance_map
from ProximalFemurSegLib.evaluation.distance_picture import draw_distance_map, project, standard_views
from ProximalFemurSegLib.evaluation.mask_surface import smooth_border, stepped_border
from ProximalFemurSegLib.evaluation.mesh_distance import distances_to_mesh
from ProximalFemurSegLib.evaluation.surface import surface_distances
from ProximalFemurSegLib.evaluation.vtp import write_vtp
from ProximalFemurSegLib.volume import Grid, Volume
from ProximalFemurSegLib.volume_io import write_volume

OBLIQUE = np.linalg.qr(np.array([[3.0, 1, 0.5], [-1, 2, 0.3], [0.2, -0.4, 1]]))[0]
GRIDS = [
    Grid.from_parts((14, 22, 22), (1.0, 1.0, 1.6), (20, -30, 100)),
    Grid.from_parts((14, 22, 22), (1.0, 1.0, 1.6), (20, -30, 100), OBLIQUE * [1, 1, -1]),
    Grid.from_parts((14, 22, 22), (1.0, 1.0, 1.6), (20, -30, 100), np.eye(3)[:, [2, 0, 1]] * [-1, 1, 1]),
]


def ball(grid, radius, shift=(0, 0, 0)):
    """Voxels whose centre lies within a radius in mm of the middle of the grid, which is moved along RAS."""
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)[..., ::-1]
    return Volume(np.linalg.norm(grid.ijk_to_ras(ijk) - grid.center - shift, axis=-1) <= radius, grid, "ball")


def enclosed_volume(points, triangles):
    a, b, c = (points[triangles[:, n]] for n in range(3))
    return np.einsum("ij,ij->", a, np.cross(b, c)) / 6


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("border", [stepped_border, smooth_border])
def test_surface_encloses_the_ball_where_it_lies(grid, border):
    mask = ball(grid, 8.0)
    field = border(mask.array, grid)
    points, triangles = field.surface()
    assert field.is_inside(grid.center + np.array([[0, 0, 0], [5.9, 0, 0], [0, 0, -10], [40, 0, 0]])).tolist() == [
        True, True, False, False,
    ]  # fmt: skip
    radii = np.linalg.norm(points - grid.center, axis=1)
    assert radii.mean() == pytest.approx(8.0, abs=0.4)
    assert enclosed_volume(points - grid.center, triangles) == pytest.approx(4 / 3 * np.pi * 512, rel=0.12)
    assert np.isin(np.arange(len(points)), triangles).all()


def test_smooth_surface_has_no_steps():
    radii = [
        np.linalg.norm(border(ball(GRIDS[0], 8.0).array, GRIDS[0]).surface()[0] - GRIDS[0].center, axis=1)
        for border in (stepped_border, smooth_border)
    ]
    assert radii[1].std() < 0.25 * radii[0].std()
    assert radii[1].mean() == pytest.approx(8.0, abs=0.05), "and it is not drawn inwards"


def test_mask_at_the_border_is_closed():
    grid = Grid.from_parts((4, 5, 6), (1, 1, 1))
    for border in (stepped_border, smooth_border):
        points, triangles = border(np.ones(grid.shape, bool), grid).surface()
        edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
        assert 0 < enclosed_volume(points, triangles) <= 120


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("smooth", [False, True])
def test_concentric_balls_are_as_far_apart_as_their_radii(grid, smooth):
    outer, inner = ball(grid, 9.0), ball(grid, 6.0)
    found = distance_map(outer, inner, smooth=smooth)
    assert found.distances.mean() == pytest.approx(3, abs=0.4)
    assert (found.distances > 0).all()
    assert distance_map(outer, inner, signed=True, smooth=smooth).distances.min() > 0
    within = distance_map(inner, outer, signed=True, smooth=smooth).distances
    assert within.max() < 0
    assert within.mean() == pytest.approx(-3, abs=0.4)


@pytest.mark.parametrize("smooth", [False, True])
def test_shifted_ball_is_outside_on_one_side_and_inside_on_the_other(smooth):
    """At every point how far it lies from the sphere around the other centre, to within a voxel."""
    grid = GRIDS[1]
    found = distance_map(ball(grid, 7.0, shift=(2.5, 0, 0)), ball(grid, 7.0), signed=True, smooth=smooth)
    exact = np.linalg.norm(found.points - grid.center, axis=1) - 7
    assert exact.min() < -1.5 and exact.max() > 2
    assert np.abs(found.distances - exact).max() < 1.7
    assert np.abs(found.distances - exact).mean() < 0.5


def test_drawn_as_voxels_it_has_no_distance_that_the_masks_do_not_have():
    result, reference = ball(GRIDS[0], 8.0, (1.3, 0.4, 0)), ball(GRIDS[0], 7.0)
    measured = surface_distances(result.array, reference.array, GRIDS[0])
    found = distance_map(result, reference)
    assert np.isin(found.distances, measured.result_to_reference.astype(np.float32)).all()
    assert found.distances.max() == pytest.approx(measured.result_to_reference.max(), abs=1e-6)
    assert np.array_equal(found.voxel_distances, measured.result_to_reference)


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 0.8), (1.0, 1.0, 1.6), (0.5, 0.5, 1.5)])
@pytest.mark.parametrize("radius", [8.0, 16.0])
def test_a_ball_one_millimetre_larger_is_so_everywhere_without_rings(spacing, radius):
    shape = tuple(int((2 * radius + 8) / side) for side in reversed(spacing))
    grid = Grid.from_parts(shape, spacing, (5, -8, 3), OBLIQUE)
    middle = (0.13, 0.21, 0.07)
    larger, smaller = ball(grid, radius + 1.0, middle), ball(grid, radius, middle)
    steps, found = (distance_map(larger, smaller, signed=True, smooth=smooth) for smooth in (False, True))
    assert found.distances.mean() == pytest.approx(1.0, abs=0.05)
    assert found.distances.std() < 0.09 * max(spacing) < 0.5 * steps.distances.std()
    within = distance_map(smaller, larger, signed=True, smooth=True)
    assert within.distances.mean() == pytest.approx(-1.0, abs=0.05)
    assert not distance_map(larger, larger, smooth=True).distances.any()


def test_the_figures_do_not_depend_on_how_the_surface_is_drawn():
    pair = ball(GRIDS[0], 8.0, (1.3, 0.4, 0)), ball(GRIDS[0], 7.0)
    (steps, voxels), (smooth, drawn) = (compare_pair(*pair, ComparisonOptions(smooth=one)) for one in (False, True))
    assert steps == smooth and steps["asd_mm"] > 0.5 and steps["hd95_mm"] > 1
    assert np.array_equal(voxels.voxel_distances, drawn.voxel_distances)


def test_distances_to_triangles_are_those_of_vtk():
    vtk = pytest.importorskip("vtkmodules.vtkFiltersCore")
    from ProximalFemurSegLib.mrml.distance_model import poly_data

    found = distance_map(ball(GRIDS[1], 8.0), ball(GRIDS[1], 7.0, (1, 0, 2)), smooth=True)
    exact = vtk.vtkImplicitPolyDataDistance()
    exact.SetInput(poly_data(found))
    points = GRIDS[1].center + np.random.default_rng(0).normal(0, 6, (400, 3))
    expected = [abs(exact.EvaluateFunction(point)) for point in points]
    assert distances_to_mesh(points, found.points, found.triangles) == pytest.approx(expected, abs=2e-2)
    corner = distances_to_mesh(np.array([[0, 0, 3.0], [-3, -4, 0], [0.2, 0.2, 1]]), np.eye(3) * [1, 1, 0],
                               np.array([[0, 1, 2]]))
    assert corner == pytest.approx([3, 5, 1])


def test_normals_point_outwards():
    found = distance_map(ball(GRIDS[2], 8.0), ball(GRIDS[2], 7.0), smooth=True)
    outwards = found.points - GRIDS[2].center
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    assert np.einsum("ij,ij->i", outwards, found.normals).min() > 0.8


def test_empty_masks_and_other_places_are_refused():
    empty = ball(GRIDS[0], -1.0)
    with pytest.raises(BadInputError, match="holds no bone"):
        distance_map(empty, ball(GRIDS[0], 5.0))
    with pytest.raises(BadInputError, match="different grids"):
        distance_map(ball(GRIDS[1], 5.0), ball(GRIDS[0], 5.0))


def test_file_is_read_by_vtk_as_it_was_written(tmp_path):
    reader_of = pytest.importorskip("vtkmodules.vtkIOXML").vtkXMLPolyDataReader
    to_numpy = pytest.importorskip("vtkmodules.util.numpy_support").vtk_to_numpy
    found = distance_map(ball(GRIDS[1], 8.0, (1, 0, 0)), ball(GRIDS[1], 7.0), signed=True)
    write_vtp(tmp_path / "map.vtp", found.points, found.triangles, {"SurfaceDistance": found.distances})
    reader = reader_of()
    reader.SetFileName(str(tmp_path / "map.vtp"))
    reader.Update()
    data = reader.GetOutput()
    assert to_numpy(data.GetPoints().GetData()) == pytest.approx(found.points, abs=1e-4)
    assert np.array_equal(to_numpy(data.GetPolys().GetConnectivityArray()).reshape(-1, 3), found.triangles)
    assert np.array_equal(to_numpy(data.GetPointData().GetArray("SurfaceDistance")), found.distances)
    assert data.GetPointData().GetScalars().GetName() == "SurfaceDistance"
    assert data.GetFieldData().GetAbstractArray("SPACE").GetValue(0) == "RAS"


def test_values_must_be_one_a_point(tmp_path):
    with pytest.raises(ValueError, match="not one number for each of 3 points"):
        write_vtp(tmp_path / "map.vtp", np.zeros((3, 3)), np.array([[0, 1, 2]]), {"SurfaceDistance": np.zeros(2)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("side", "medial", "lateral"), [("left", (1, 0, 0), (-1, 0, 0)), ("right", (-1, 0, 0), (1, 0, 0))]
)
def test_medial_is_towards_the_other_leg(side, medial, lateral):
    views = dict(standard_views(side))
    assert (views["medial"], views["lateral"]) == (medial, lateral)
    assert views["anterior"] == (0, 1, 0)
    assert "medial" not in dict(standard_views(""))


def test_what_is_seen_from_each_side():
    """A ball moved forwards and to the right shows positive distances to the front, negative ones to the back."""
    grid = GRIDS[0]
    found = distance_map(ball(grid, 7.0, (2, 2, 0)), ball(grid, 7.0), signed=True, smooth=True)
    front, light, extent = project(found, (0, 1, 0), 0.5)
    back, _, _ = project(found, (0, -1, 0), 0.5)
    assert np.nanmean(front) > 0.5 > -0.5 > np.nanmean(back)
    # Seen from in front, the patient's right is on the left.
    middle = front.shape[1] // 2
    assert np.nanmean(front[:, :middle]) > np.nanmean(front[:, middle:])
    area = np.isfinite(front).sum() * 0.25
    assert area == pytest.approx(np.pi * 49, rel=0.1)
    assert light.max() > 0.97
    assert extent[1] - extent[0] == pytest.approx(14 + 12, abs=1.5)


def test_no_holes_between_large_triangles():
    grid = Grid.from_parts((5, 5, 5), (4.0, 4.0, 4.0))
    mask = np.zeros(grid.shape, bool)
    mask[1:4, 1:4, 1:4] = True
    found = distance_map(Volume(mask, grid), Volume(mask, grid))
    seen = np.isfinite(project(found, (0, 1, 0), 0.5)[0])
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    inner = seen[rows[4] : rows[-4], columns[4] : columns[-4]]
    assert inner.mean() > 0.999


def test_colours_end_at_a_round_number():
    found = distance_map(ball(GRIDS[0], 9.0), ball(GRIDS[0], 6.0))
    assert color_limit(found) == 5.0
    assert color_limit(distance_map(ball(GRIDS[0], 6.0), ball(GRIDS[0], 6.0))) == 1.0


def test_picture_is_drawn(tmp_path):
    from PIL import Image

    found = distance_map(ball(GRIDS[0], 8.0, (1, 0, 0)), ball(GRIDS[0], 7.0), signed=True, smooth=True)
    draw_distance_map(found, tmp_path / "map.png", "Ball", "left")
    with Image.open(tmp_path / "map.png") as picture:
        colors = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (colors.min(axis=1) < 250).mean() > 0.15, "four whole balls on white"
    assert (colors.max(axis=1) - colors.min(axis=1) > 40).mean() > 0.05, "and they are coloured"
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


def test_command_writes_the_surface(tmp_path):
    write_volume(
        ball(GRIDS[0], 8.0, (1, 0, 0)).with_array(ball(GRIDS[0], 8.0, (1, 0, 0)).array.astype(np.uint8)),
        tmp_path / "result.nii.gz",
    )
    write_volume(ball(GRIDS[0], 7.0).with_array(ball(GRIDS[0], 7.0).array.astype(np.uint8)), tmp_path / "truth.nrrd")
    masks = tmp_path / "result.nii.gz", tmp_path / "truth.nrrd"
    done = invoke("distance-map", *masks, "--output", tmp_path / "map.vtp", "--signed", "--json")
    assert done.exit_code == 0, done.output
    assert b'Name="SurfaceDistance"' in (tmp_path / "map.vtp").read_bytes()
    assert_refused(invoke("distance-map", *masks, "-o", tmp_path / "map.vtp"), "map.vtp", "--overwrite")
    assert_refused(invoke("distance-map", *masks, "-o", tmp_path / "map.stl"), ".vtp")
    assert_refused(invoke("distance-map", *masks, "-o", tmp_path / "none" / "map.vtp"), "does not exist")
