"""The windows' blend against a plain loop over voxels and counts."""

import numpy as np
import pytest
import torch

from ProximalFemurSegLib.errors import CancelledError
from ProximalFemurSegLib.inference.windows import axis_factors, predict_windows, window_starts


def distinct(batch):
    """A prediction that depends on the place in the window, so that windows disagree with one another."""
    ramps = [torch.linspace(0, 1, n) ** 2 for n in batch.shape[2:]]
    place = ramps[0][:, None, None] + 2 * ramps[1][:, None] - ramps[2]
    return torch.cat([batch * place, batch - place], dim=1)


def naive(image, window, stride, blend, order=None):
    size = image.shape[1:]
    total = np.zeros((2, *size))
    weight = np.zeros(size)
    shapes = []
    for w in window:
        t = np.arange(w)
        shapes.append(np.minimum(t + 1, w - t) if blend == "tent" else np.ones(w))
    one = shapes[0][:, None, None] * shapes[1][:, None] * shapes[2]
    corners = [[]]
    for n, w, s in zip(size, window, stride):
        starts = sorted({min(a, n - w) for a in range(0, n, s)})
        corners = [[*c, a] for c in corners for a in starts]
    for n in range(len(corners)) if order is None else order(len(corners)):
        d, h, w = (slice(a, a + b) for a, b in zip(corners[n], window))
        total[:, d, h, w] += distinct(image[None, :, d, h, w])[0].numpy() * one
        weight[d, h, w] += one
    return total / weight


IMAGE = torch.from_numpy(np.random.default_rng(5).normal(size=(1, 11, 9, 7)))


@pytest.mark.parametrize("blend", ["tent", "mean"])
@pytest.mark.parametrize(
    ("window", "stride"),
    [((4, 4, 4), (2, 2, 2)), ((4, 9, 7), (1, 9, 7)), ((5, 3, 7), (4, 3, 1)), ((11, 9, 7), (11, 9, 7))],
)
@pytest.mark.parametrize("batch", [1, 4])
def test_equals_a_naive_loop(window, stride, blend, batch):
    result = predict_windows(distinct, IMAGE, window, stride, blend, batch=batch)
    assert result.shape == (2, 11, 9, 7)
    assert result.numpy() == pytest.approx(naive(IMAGE, window, stride, blend), abs=1e-12)


def test_the_order_of_the_windows_does_not_matter():
    result = predict_windows(distinct, IMAGE, (4, 4, 4), (3, 3, 3)).numpy()
    backwards = naive(IMAGE, (4, 4, 4), (3, 3, 3), "tent", order=lambda n: range(n - 1, -1, -1))
    assert result == pytest.approx(backwards, abs=1e-12)


def test_stride_one_runs_the_papers_number_of_windows():
    """QCT-2021: S - 64 + 1 windows for S slices."""
    seen = []

    def forward(batch):
        seen.append(tuple(batch.shape[2:]))
        return batch

    image = torch.rand(1, 75, 4, 4)
    result = predict_windows(forward, image, (64, 4, 4), (1, 4, 4), "mean")
    assert len(seen) == 75 - 64 + 1 and set(seen) == {(64, 4, 4)}
    assert torch.allclose(result, image, atol=1e-6)


@pytest.mark.parametrize("size", [(3, 4, 5), (8, 2, 4), (9, 3, 3)])
def test_an_image_smaller_than_the_window_is_padded_evenly(size):
    image = torch.rand(1, *size)
    seen = []

    def forward(batch):
        seen.append(batch.clone())
        return batch * 2

    result = predict_windows(forward, image, (8, 4, 5), (8, 4, 5), pad_value=-1.0)
    assert torch.allclose(result, image * 2)
    window = seen[0][0, 0]
    assert window.shape == (8, 4, 5)
    for axis, (n, w) in enumerate(zip(size, (8, 4, 5))):
        if n < w:
            filled = (window == -1).amin(dim=[a for a in range(3) if a != axis])
            lack = w - n
            assert filled[: lack // 2].all() and filled[w - (lack - lack // 2) :].all()
            assert filled.sum() == lack


@pytest.mark.parametrize("blend", ["tent", "mean"])
def test_factors_of_all_windows_add_up_to_one(blend):
    starts = window_starts(37, 10, 4)
    total = np.zeros(37)
    for start, factor in zip(starts, axis_factors(37, 10, starts, blend)):
        total[start : start + 10] += factor
    assert total == pytest.approx(1)


@pytest.mark.parametrize(("size", "window", "stride"), [(10, 4, 3), (10, 4, 4), (4, 4, 1), (3, 8, 5), (65, 64, 32)])
def test_windows_cover_the_axis_and_end_with_it(size, window, stride):
    starts = window_starts(size, window, stride)
    covered = {v for s in starts for v in range(s, s + window)}
    assert set(range(size)) <= covered
    assert starts[-1] == max(0, size - window) and len(starts) == len(set(starts))


def test_progress_counts_every_window():
    seen = []
    predict_windows(distinct, IMAGE, (4, 9, 7), (4, 9, 7), batch=2, progress=lambda *a: seen.append(a))
    assert seen == [(0, 3), (2, 3), (3, 3)]


def test_cancel_stops_before_the_next_window():
    calls = []

    def forward(batch):
        calls.append(1)
        return batch

    with pytest.raises(CancelledError):
        predict_windows(forward, IMAGE, (4, 9, 7), (1, 9, 7), cancelled=lambda: len(calls) == 3)
    assert len(calls) == 3


def test_gaps_between_windows_and_unknown_blends_are_refused():
    with pytest.raises(ValueError, match="steps of 5"):
        window_starts(20, 4, 5)
    with pytest.raises(ValueError, match="gauss"):
        axis_factors(4, 4, [0], "gauss")
