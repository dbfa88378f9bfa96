"""Finding femora and telling left from right."""

import os
from pathlib import Path

import numpy as np
import pytest

import simple_hips as hips
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.inference.engine import Engine
from ProximalFemurSegLib.inference.frames import canonical_image
from ProximalFemurSegLib.inference.locate import find_femora, locate_femora
from ProximalFemurSegLib.inference.sides import Femur, choose_sides, head_direction, name_side
from ProximalFemurSegLib.volume import Volume

DATA = Path(os.environ.get("PROXIMAL_FEMUR_SEG_DATA", Path(__file__).parents[3] / "shared" / "data"))
GRID = hips.centred((60, 40, 90), (4, 4, 4), direction=np.diag([-1.0, -1.0, 1.0]))


def bone_points(side, **options):
    points = hips.voxel_centres(GRID)
    return points[hips.femur_distance(points, side, hips.HEADS[side], **options) < 0]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("turn", [0, 15, -15])
@pytest.mark.parametrize("length", [45, 140])
def test_the_head_lies_medially(side, turn, length):
    """Also when the leg is ad- or abducted, and when the scan ends below the lesser trochanter."""
    points = bone_points(side, shaft_length=length) @ hips.rotation((0, 1, 0), turn).T
    direction = head_direction(points)
    assert direction * (1 if side == "left" else -1) > 0.15
    assert name_side(points) == (side, True)
    assert name_side(points, vote=-np.sign(direction))[0] == side


def test_a_head_alone_has_no_side_of_its_own():
    points = bone_points("right")
    head = points[points[:, 2] > points[:, 2].max() - 50]
    assert head_direction(head) == 0
    assert name_side(head, vote=-0.9) == ("right", True)
    assert name_side(head, vote=0.1) == ("left", False)
    assert head_direction(np.zeros((0, 3))) == 0


@pytest.mark.parametrize("name", ["m3_lfemur", "m3_rfemur", "m4_lfemur", "m4_rfemur", "m7_lfemur", "m7_rfemur"])
def test_real_femora(name):
    """Points of the surface instead of the solid: the head counts less, and still enough."""
    path = DATA / "femora_libhip" / f"{name}_mm.npz"
    if not path.exists():
        pytest.skip("the folder of real femora is not here")
    vertices = np.load(path)["vertices"] * (-1, -1, 1)  # they are in LPS
    assert name_side(vertices) == ("left" if "_l" in name else "right", True)


def maps(left, right):
    return np.stack([left, right]).astype(np.float32)


def masks():
    points = hips.voxel_centres(GRID)
    return [hips.femur_distance(points, s, hips.HEADS[s]) < 0 for s in ("left", "right")]


def test_two_femora_are_named_by_their_place_even_if_the_maps_are_confused():
    left, right = masks()
    mixed = maps(right * 0.6 + left * 0.3, left * 0.6 + right * 0.5)
    found = find_femora(mixed, GRID)
    assert [f.side for f in found] == ["left", "right"] and all(f.certain for f in found)
    assert len(found[0].points) == left.sum()
    assert (found[0].points[:, 0] < 0).all() and (found[1].points[:, 0] > 0).all()


def test_one_femur_split_between_both_maps_is_one():
    left, _ = masks()
    upper = hips.voxel_centres(GRID)[..., 2] > -20
    found = find_femora(maps(left & upper, left & ~upper), GRID)
    assert [f.side for f in found] == ["left"]
    assert len(found[0].points) == left.sum()


def test_fragments_near_belong_to_it_and_crumbs_afar_do_not():
    left, _ = masks()
    points = hips.voxel_centres(GRID)
    gap = (points[..., 2] > -50) & (points[..., 2] < -40)
    crumb = np.linalg.norm(points - (60, 0, 60), axis=-1) < 8
    found = find_femora(maps((left & ~gap) | crumb, 0 * left), GRID)
    assert len(found) == 1
    assert len(found[0].points) == (left & ~gap).sum()


def test_head_and_shaft_of_opposite_sides_with_nothing_between_are_one_femur():
    """What a view of one hip may look like to the locator; the shape says which side it is."""
    _, right = masks()
    height = hips.voxel_centres(GRID)[..., 2]
    head, shaft = right & (height > -5), right & (height < -75)
    found = find_femora(maps(head, shaft), GRID)
    assert [f.side for f in found] == ["right"] and found[0].certain
    assert len(found[0].points) == (head | shaft).sum()


def test_a_piece_beside_a_femur_is_not_part_of_it():
    left, _ = masks()
    bladder = np.linalg.norm(hips.voxel_centres(GRID) - (0, 0, -110), axis=-1) < 22
    found = find_femora(maps(left | bladder, 0 * left), GRID)
    assert len(found[0].points) == left.sum()


def test_nothing_is_found_in_nothing():
    assert find_femora(np.zeros((2, *GRID.shape)), GRID) == []


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("degrees", [0, 14, 35])
def test_the_locator_sees_the_whole_scan_at_its_own_spacing(modality, degrees):
    grid = hips.centred((80, 60, 100), (3.6, 4.2, 3.1), hips.rotation((1, 0.3, 0), degrees))
    image = canonical_image(hips.hip_image(grid, modality=modality))
    level = hips.ct_value(450) if modality == "CT" else 0.0
    models = hips.fake_models(locator=hips.Level(level, classes=3))
    stage = models.find_preset("locator").stages[0]
    found = locate_femora(image, stage, modality.lower(), Engine("cpu", "float32"), models.load_network)
    assert [f.side for f in found] == ["left", "right"]
    shift = grid.ijk_to_ras(grid.ras_to_ijk(hips.HEADS["left"])) - image.change.grid(grid).origin
    head = found[0].points[np.linalg.norm(found[0].points - shift, axis=1) < 30].mean(axis=0)
    assert np.linalg.norm(head - shift) < 12
    seen = models.networks["locator"].seen[0]
    assert seen.min() >= -1 and all(n % 4 == 0 for n in seen.shape[2:])


def femora(*sides, certain=True):
    return [Femur(side, certain, np.zeros((1, 3))) for side in sides]


def test_what_the_user_asks_for_is_given():
    both = femora("left", "right")
    for request, expected in [("auto", ["left", "right"]), ("both", ["left", "right"]), ("right", ["right"])]:
        chosen, messages = choose_sides(both, request, "x.nii")
        assert [f.side for f in chosen] == expected and messages == []


def test_a_lone_femur_of_doubtful_side_takes_the_users_word():
    chosen, messages = choose_sides(femora("left", certain=False), "right", "x.nii")
    assert chosen[0].side == "right" and "as asked" in messages[0]
    _, messages = choose_sides(femora("left", certain=False), "auto", "x.nii")
    assert "not certain" in messages[0]


@pytest.mark.parametrize(
    ("found", "request_", "words"),
    [
        ((), "auto", "No femur was found in x.nii"),
        (("left",), "right", "right femur was asked for, but only the left"),
        (("right",), "both", "only the right one"),
        (("right",), "middle", "choose auto, left, right or both"),
    ],
)
def test_what_is_not_there_is_a_sentence(found, request_, words):
    with pytest.raises(BadInputError, match=words):
        choose_sides(femora(*found), request_, "x.nii")


def test_points_keep_their_place_when_the_volume_is_a_view():
    volume = hips.hip_image(hips.centred((60, 44, 80), (4, 4, 4)))
    moved = Volume(volume.array[::-1], volume.grid)
    assert canonical_image(moved).array.shape == canonical_image(volume).array.shape
