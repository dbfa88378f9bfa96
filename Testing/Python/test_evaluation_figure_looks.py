"""Looks that can be told apart, and axes that show what matters and say what lies beyond."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist

from ProximalFemurSegLib.evaluation.figure_looks import Look, looks_of, readable_range, shorten_axis


def test_eight_models_have_eight_looks_and_no_mark_is_another_s():
    looks = [Look(number) for number in range(8)]
    assert len({look.color for look in looks}) == len({look.mark["marker"] for look in looks}) == 8
    assert len({str(look.line["linestyle"]) for look in looks}) == 8


# What people without red or green receptors see of linear red, green and blue (Machado, Oliveira and Fernandes, IEEE
# Trans. Vis. Comput. Graph. 15, 2009).
COLOR_BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}


@pytest.mark.parametrize("kind", COLOR_BLIND)
def test_the_first_four_colours_differ_for_the_colour_blind(kind):
    """By more than 30 units of CIELAB, where 2 can just be told apart."""
    rgb2lab = pytest.importorskip("skimage.color").rgb2lab
    rgb = np.array([to_rgb(Look(number).color) for number in range(4)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.array(COLOR_BLIND[kind]).T
    linear = np.clip(linear, 0, 1)
    seen = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert pdist(rgb2lab(seen)).min() > 30


def test_a_model_after_postprocessing_looks_like_the_model_but_hollow():
    looks = looks_of(["a", "a + PP", "b", "b + PP"])
    assert [look.number for look in looks.values()] == [0, 0, 1, 1]
    assert looks["b + PP"].color == looks["b"].color
    assert looks["b + PP"].mark["markerfacecolor"] == "none" != looks["b"].mark["markerfacecolor"]


def test_one_failed_case_does_not_flatten_the_others():
    good = np.linspace(0.95, 0.97, 19)
    low, high = readable_range([np.append(good, 0.0)])
    assert (low, high) == (pytest.approx(np.append(good, 0.0).mean()), 0.97), "the mean is drawn, too"
    assert readable_range([good]) == (0.95, 0.97)
    assert readable_range([[0.0, 0.9, 0.95]]) == (0.0, 0.95), "of three nobody can tell"
    assert readable_range([good, np.linspace(0.5, 0.9, 19)]) == (0.5, 0.97)


@settings(max_examples=50, deadline=None)
@given(groups=st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=12), min_size=1, max_size=3))
def test_a_range_lies_within_the_values_and_holds_the_quartiles(groups):
    low, high = readable_range(groups)
    everything = np.concatenate(groups)
    assert everything.min() - 1e-12 <= low <= high <= everything.max() + 1e-12
    for group in groups:
        # Up to values that are there: a quartile may lie between two of them.
        lower, upper = np.percentile(group, (25, 75), method="closest_observation")
        assert low <= max(lower, np.median(group)) + 1e-12 and min(upper, np.median(group)) - 1e-12 <= high


def test_what_lies_beyond_an_edge_is_marked_there_with_its_value():
    axes = Figure().subplots()
    values = [*np.linspace(0.95, 0.97, 19), 0.0, 0.97]
    axes.plot(range(21), values, "o")
    assert shorten_axis(axes, [(Look(0), range(21), values)])
    bottom, _ = axes.get_ylim()
    assert 0.8 < bottom < 0.95
    assert [text.get_text() for text in axes.texts] == ["0"]
    mark = axes.lines[-1]
    assert (mark.get_xdata()[0], mark.get_ydata()[0], mark.get_clip_on()) == (19, bottom, False)
    assert not shorten_axis(Figure().subplots(), [(Look(0), [1, 2], [0.9, 0.95])])
    assert not shorten_axis(Figure().subplots(), [(Look(0), [], [])])


def test_an_axis_from_zero_keeps_its_zero():
    axes = Figure().subplots()
    values = [*np.linspace(0.1, 2, 19), 100.0]
    axes.plot(range(20), values, "o")
    assert shorten_axis(axes, [(Look(0), range(20), values)], from_zero=True)
    bottom, top = axes.get_ylim()
    assert top < 7 and bottom == pytest.approx(-0.03 * top)
    assert axes.texts[0].get_text() == "100"
