"""Normalisation and the choice between CT and MR."""

import numpy as np
import pytest
import torch

from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.inference.modality import detect_modality
from ProximalFemurSegLib.inference.normalisation import normalise, percentiles
from ProximalFemurSegLib.volume import Grid, Volume


def test_ct_window_by_hand():
    image = torch.tensor([-1000.0, -300.0, 100.0, 500.0, 1300.0, 3000.0]).view(1, 1, 6)
    assert normalise(image, "ct-window").flatten().tolist() == [-1, -1, -0.5, 0, 1, 1]


def test_mr_percentiles_become_minus_one_and_one():
    image = torch.arange(101.0).view(1, 1, 101)
    result = normalise(image, "mr-percentile").flatten()
    assert result[1] == pytest.approx(-1) and result[99] == pytest.approx(1) and result[50] == pytest.approx(0)
    assert normalise(torch.cat([image, image * 0 + 1e6], 2)[..., :102], "mr-percentile").max() == 2


def test_mr_normalisation_does_not_know_the_scanner_gain():
    image = torch.from_numpy(np.random.default_rng(1).gamma(2.0, size=(5, 6, 7)).astype(np.float32))
    assert torch.allclose(normalise(image, "mr-percentile"), normalise(image * 37 + 11, "mr-percentile"), atol=1e-5)


@pytest.mark.parametrize("kind", ["ct-window", "mr-percentile"])
def test_what_lies_outside_is_minus_one_and_has_no_say(kind):
    image = torch.rand(4, 5, 6) * 500
    inside = torch.ones(4, 5, 6, dtype=torch.bool)
    inside[:2] = False
    other = image.clone()
    other[:2] = 1e5
    first, second = normalise(image, kind, inside), normalise(other, kind, inside)
    assert torch.equal(first, second)
    assert (first[:2] == -1).all()


def test_a_constant_image_and_an_empty_view_give_numbers():
    assert torch.isfinite(normalise(torch.full((2, 2, 2), 7.0), "mr-percentile")).all()
    nearly = torch.full((4, 4, 4), 100.0) + 1e-5 * torch.rand(4, 4, 4)
    assert (normalise(nearly, "mr-percentile") + 1).abs().max() < 0.01
    nothing = torch.zeros(2, 2, 2, dtype=torch.bool)
    assert (normalise(torch.ones(2, 2, 2), "mr-percentile", nothing) == -1).all()


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(ValueError, match="z-score"):
        normalise(torch.zeros(1, 1, 1), "z-score")


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_percentiles_equal_numpy(count):
    values = np.random.default_rng(count).normal(size=count)
    expected = np.percentile(values, (0, 1, 37.5, 99, 100))
    assert percentiles(torch.from_numpy(values), (0, 1, 37.5, 99, 100)) == pytest.approx(expected)


def volume(values, **metadata):
    array = np.resize(np.asarray(values, dtype=np.float32), (10, 20, 30))
    return Volume(array, Grid.from_parts(array.shape), metadata=metadata)


CT_VALUES = [-1000, -1000, -90, 40, 60, 300, 1200]
MR_VALUES = [0, 3, 20, 180, 400, 900]


@pytest.mark.parametrize(
    ("values", "metadata", "expected"),
    [
        (CT_VALUES, {}, "ct"),
        ([-100, -90, 30, 60, 700, 1100], {}, "ct"),  # a crop without air
        (MR_VALUES, {}, "mr"),
        ([-1.2, 0.1, 3.4], {}, "mr"),  # standardised
        (MR_VALUES, {"modality": "CT"}, "ct"),
        (CT_VALUES, {"modality": "MR"}, "mr"),
        (CT_VALUES, {"modality": "OT"}, "ct"),
    ],
)
def test_header_first_then_values(values, metadata, expected):
    modality, reason = detect_modality(volume(values, **metadata))
    assert modality == expected
    assert expected.upper() in reason


def test_the_user_has_the_last_word_and_is_warned():
    modality, reason = detect_modality(volume(MR_VALUES, modality="MR"), "CT")
    assert modality == "ct" and "as asked" in reason and "rescale" in reason


def test_values_that_are_not_numbers_do_not_disturb():
    array = np.resize(np.array([np.nan, -1000, 40, np.inf, 1000], dtype=np.float32), (5, 5, 5))
    assert detect_modality(Volume(array, Grid.from_parts(array.shape)))[0] == "ct"


def test_an_unknown_modality_is_refused():
    with pytest.raises(BadInputError, match="pet"):
        detect_modality(volume(MR_VALUES), "pet")
