"""Devices, window plans, and what happens when memory runs out."""

from math import prod

import pytest
import torch

from ProximalFemurSegLib.errors import BadInputError, CancelledError, ProximalFemurSegError, is_out_of_memory
from ProximalFemurSegLib.inference.devices import choose_device, describe_device, fast_precision
from ProximalFemurSegLib.inference.engine import Engine
from ProximalFemurSegLib.inference.plan import exact_plan, plan_windows, sliding_plan
from ProximalFemurSegLib.inference.windows import window_starts
from ProximalFemurSegLib.networks import build_network


class Intensity:
    """A network that calls bright voxels bone, and keeps the sizes it was given."""

    size_multiple = (4, 4, 4)

    def __init__(self, largest=None):
        self.largest = largest
        self.sizes = []

    def __call__(self, x):
        self.sizes.append(tuple(x.shape[2:]))
        if self.largest and prod(self.sizes[-1]) > self.largest:
            raise torch.OutOfMemoryError("fake device is full")
        return torch.cat([-10 * x, 10 * x], dim=1)


def test_probability_is_the_softmax_of_the_logits():
    image = torch.linspace(-1, 1, 8 * 8 * 8).view(8, 8, 8)
    result = Engine("cpu", "float32").predict(lambda device: Intensity(), image, (8, 8, 8))
    assert result.shape == (1, 8, 8, 8)
    assert torch.allclose(result[0], torch.softmax(torch.stack([-10 * image, 10 * image]), 0)[1], atol=1e-6)


def test_three_classes_give_two_maps():
    image = torch.zeros(4, 4, 4)
    scores = torch.tensor([0.0, 1.0, 2.0]).view(1, 3, 1, 1, 1)
    result = Engine("cpu").predict(lambda device: lambda x: x + scores, image, (4, 4, 4))
    assert result[:, 0, 0, 0].tolist() == pytest.approx(torch.softmax(scores.flatten(), 0)[1:].tolist())


def test_memory_that_runs_out_gives_smaller_windows_and_says_so():
    network, said, progress = Intensity(largest=64 * 64 * 64), [], []
    image = torch.rand(100, 64, 64) - 0.5
    engine = Engine("cpu", "float32", say=said.append)
    result = engine.predict(lambda device: network, image, (64, 64, 64), progress=lambda *a: progress.append(a))
    assert torch.allclose(result[0], torch.sigmoid(20 * image), atol=1e-5)
    assert prod(network.sizes[0]) > 64**3 and all(prod(s) <= 64**3 for s in network.sizes[1:])
    assert len(said) == 1 and "windows of" in said[0]
    assert progress[-1][0] == progress[-1][1] > 1


def test_a_gpu_without_memory_hands_over_to_the_cpu():
    said, asked = [], []

    def load(device):
        asked.append(device.type)
        if device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Intensity()

    engine = Engine("cpu", "float32", say=said.append)
    engine.device = torch.device("cuda", 0)
    image = torch.rand(8, 8, 8)
    result = engine.predict(load, image, (8, 8, 8))
    assert torch.allclose(result[0], torch.sigmoid(20 * image), atol=1e-5)
    assert asked == ["cuda", "cpu"] and engine.device.type == "cpu"
    assert len(said) == 1 and "CPU" in said[0]


def test_work_beside_the_network_moves_to_the_cpu_too():
    engine = Engine("cpu")
    engine.device = torch.device("cuda", 0)

    def work(device):
        if device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return device.type

    assert engine.on_device(work) == "cpu"


def test_memory_too_small_for_any_window_is_a_sentence():
    with pytest.raises(ProximalFemurSegError, match="memory is too small"):
        Engine("cpu").predict(lambda device: Intensity(largest=1), torch.zeros(64, 64, 64), (64, 64, 64))


def test_other_errors_of_a_network_are_not_hidden():
    def load(device):
        raise RuntimeError("weights do not fit")

    with pytest.raises(RuntimeError, match="weights do not fit"):
        Engine("cpu").predict(load, torch.zeros(4, 4, 4), (4, 4, 4))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("itk::ERROR: Image(0x1): Failed to allocate memory for image."), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for a convolution forward propagation"), False),
        (RuntimeError("shape mismatch"), False),
        (KeyError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


def test_a_real_allocation_failure_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)


def test_numbers_out_of_range_are_repeated_in_float32():
    said, seen = [], []

    def network(x):
        seen.append(torch.is_autocast_enabled("cpu"))
        return torch.cat([x, x / (0.0 if seen[-1] else 1.0)], dim=1)

    engine = Engine("cpu", "bfloat16", say=said.append)
    result = engine.predict(lambda device: network, torch.zeros(4, 4, 4), (4, 4, 4))
    assert (result == 0.5).all() and seen == [True, False]
    assert "float32" in said[0]


def test_a_network_without_numbers_is_a_sentence():
    with pytest.raises(ProximalFemurSegError, match="not numbers"):
        Engine("cpu", "float32").predict(
            lambda device: lambda x: torch.cat([x, x * float("nan")], 1), torch.zeros(4, 4, 4), (4, 4, 4)
        )


def test_bfloat16_and_float32_agree_on_a_real_network():
    torch.manual_seed(0)
    network = build_network("unet3d", base_features=4, levels=2)
    image = torch.randn(16, 32, 32)
    full = Engine("cpu", "float32").predict(lambda device: network, image, (16, 32, 32))
    half = Engine("cpu", "bfloat16").predict(lambda device: network, image, (16, 32, 32))
    assert (full - half).abs().max() < 0.02
    assert full.std() > 0


def test_cancel_reaches_the_windows():
    with pytest.raises(CancelledError):
        Engine("cpu").predict(lambda d: Intensity(), torch.zeros(8, 8, 8), (8, 8, 8), cancelled=lambda: True)


def test_the_papers_stride_runs_every_offset():
    network = Intensity()
    Engine("cpu", "float32").predict(lambda d: network, torch.zeros(12, 8, 8), (8, 8, 8), stride_along_slices=1)
    assert network.sizes == [(8, 8, 8)] * (12 - 8 + 1)


@pytest.mark.parametrize("size", [(240, 192, 192), (61, 512, 480), (30, 30, 30), (500, 200, 193)])
@pytest.mark.parametrize("budget", [1e9, 3e6, 5e5, 1.0])
def test_plans_fit_cover_and_use_sizes_the_network_takes(size, budget):
    trained, multiple = (64, 192, 192), (16, 16, 16)
    plan = plan_windows(size, trained, multiple, budget)
    padded = [max(n, w) for n, w in zip(size, plan.window)]
    assert all(w % m == 0 for w, m in zip(plan.window, multiple))
    assert prod(plan.window) <= budget or max(plan.window) <= 48
    for n, w, s in zip(padded, plan.window, plan.stride):
        starts = window_starts(n, w, s)
        assert starts[-1] + w == n
        assert all(b - a <= w - min(16, w // 2) for a, b in zip(starts, starts[1:]))


def test_one_pass_where_it_fits_and_no_window_below_the_trained_one_before_it_must():
    assert plan_windows((50, 256, 250), (48, 256, 256), (8, 8, 8), 1e8).window == (56, 256, 256)
    assert plan_windows((400, 192, 192), (64, 192, 192), (16, 16, 16), 64 * 192 * 192).window == (64, 192, 192)


@pytest.mark.parametrize("size", [(240, 192, 192), (61, 512, 480), (30, 30, 30), (72, 217, 216), (81, 400, 193)])
@pytest.mark.parametrize("padded", [False, True])
def test_exact_plans_have_the_trained_window_on_every_axis_that_is_not_a_little_longer(size, padded):
    trained, overlap = (64, 192, 192), 16
    plan = exact_plan(size, trained, (8, 8, 8), padded, overlap)
    for n, t, w, s in zip(size, trained, plan.window, plan.stride):
        if n < t and padded:
            assert w == t
        elif n <= 1.125 * t:
            assert n <= w < n + 8
        else:
            assert w == t
        starts = window_starts(max(n, w), w, s)
        assert starts[-1] + w == max(n, w)
        steps = [b - a for a, b in zip(starts, starts[1:])]
        # As few windows as overlap that much, and evenly spread.
        assert all(step <= t - overlap for step in steps)
        assert len(starts) == 1 or (len(starts) - 1) * (t - overlap) + overlap < n
        assert not steps or max(steps) - min(steps) <= len(steps)


def test_a_network_that_normalises_over_its_window_sees_the_same_whatever_the_memory():
    torch.manual_seed(0)
    network = build_network("unet3d", base_features=4, levels=2, norm="instance")
    # Bright at one end: a larger window would have another mean there.
    image = torch.randn(40, 24, 48) + torch.linspace(0, 3, 40)[:, None, None]
    little, much, free = (
        Engine("cpu", "float32", memory_bytes=memory).predict(lambda d: network, image, (16, 32, 32), plan=plan)
        for memory, plan in ((16 * 32 * 32 * 9 * 4 * 4, exact_plan), (1e12, exact_plan), (1e12, None))
    )
    assert torch.equal(little, much)
    assert not torch.allclose(free, much, atol=0.01)


def test_exact_windows_shrink_where_memory_runs_out():
    network, said = Intensity(largest=40**3), []
    image = torch.rand(90, 32, 32) - 0.5
    result = Engine("cpu", "float32", say=said.append).predict(lambda d: network, image, (64, 32, 32), plan=exact_plan)
    assert network.sizes[0] == (64, 32, 32) and prod(network.sizes[-1]) <= 40**3
    assert torch.allclose(result[0], torch.sigmoid(20 * image), atol=1e-6)
    assert "Memory ran out" in said[0]


def test_sliding_plan_keeps_the_trained_window():
    plan = sliding_plan((64, 192, 192), (16, 16, 16), 1)
    assert (plan.window, plan.stride, plan.blend) == ((64, 192, 192), (1, 192, 192), "mean")


def test_the_cpu_is_always_there_and_described():
    device = choose_device("cpu")
    assert device.type == "cpu" and choose_device("auto").type in ("cpu", "cuda")
    assert fast_precision(device) in (torch.bfloat16, torch.float32)
    text = describe_device(device, torch.bfloat16)
    assert text.startswith("CPU (") and "bfloat16" in text and torch.__version__ in text


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:1", "auto:0", "", "cuda:-1"])
def test_unknown_devices_are_refused(name):
    with pytest.raises(BadInputError, match="choose auto, cpu, cuda"):
        choose_device(name)


def test_an_absent_gpu_is_explained(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(BadInputError, match=r"built without CUDA.*--device auto"):
        choose_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    with pytest.raises(BadInputError, match=r"no GPU with a driver for its CUDA 12\.6"):
        choose_device("cuda:1")
    assert choose_device("auto").type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(BadInputError, match="Apple GPU"):
        choose_device("mps")


def test_a_gpu_number_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(BadInputError, match=r"cuda:0 to cuda:1"):
        choose_device("cuda:2")
    assert str(choose_device("CUDA:1")) == "cuda:1"


def test_a_gpu_that_does_not_work_is_left_alone_by_auto(monkeypatch):
    """PyTorch lists it, but has no kernels for it (here: no CUDA in the build at all)."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def broken(*args, **kwargs):
        raise RuntimeError("no kernel image is available for execution on the device")

    monkeypatch.setattr(torch, "ones", broken)
    assert choose_device("auto").type == "cpu"


def test_an_unknown_precision_is_refused():
    with pytest.raises(BadInputError, match="int8"):
        Engine("cpu", "int8")


def test_memory_decides_the_window_but_never_below_the_trained_one_at_first():
    network = Intensity()
    engine = Engine("cpu", "float32", memory_bytes=1000.0)
    engine.predict(lambda d: network, torch.zeros(40, 32, 32), (16, 32, 32))
    assert all(s[0] < 40 and s[1:] == (32, 32) for s in network.sizes) and len(network.sizes) > 1
    network = Intensity()
    Engine("cpu", "float32").predict(lambda d: network, torch.zeros(40, 32, 32), (16, 32, 32))
    assert network.sizes == [(40, 32, 32)]


@pytest.mark.parametrize(
    ("architecture", "options", "size"),
    [
        ("unet3d-dilated", {"base_features": 16, "levels": 3, "norm": "batch"}, (64, 256, 256)),
        ("vnet", {"base_features": 16}, (64, 192, 192)),
    ],
)
def test_the_papers_volumes_go_through_in_one_pass(architecture, options, size):
    """60 slices of MR, padded to what the network takes, and one CT patch."""
    engine = Engine("cpu", "bfloat16")
    assert engine._budget_voxels(build_network(architecture, **options), size, size) >= prod(size)


# Bytes of the maps of four slices of 512 x 512 (or of 512 patches of 32 x 32) in bfloat16, 12 maps of the first layer's
# width at a time (patch2d: 18), and 32 bytes for every voxel of the image.
_FOUR_SLICES = 4 * 512 * 512


@pytest.mark.parametrize(
    ("architecture", "options", "fixed"),
    [
        ("unet2d", {"base_features": 16}, 12 * 16 * 2 * _FOUR_SLICES),
        ("unet2d-dilated", {"base_features": 8}, 12 * 8 * 2 * _FOUR_SLICES),
        ("unet2d-valid", {"base_features": 16, "patch": 300}, 12 * 16 * 2 * 4 * 300 * 300),
        ("patch2d", {"base_features": 16}, 18 * 16 * 2 * _FOUR_SLICES),
        ("patch25d", {"base_features": 32}, 12 * 32 * 2 * 512 * 32 * 32),
    ],
)
def test_memory_of_networks_of_slices(architecture, options, fixed):
    """The maps of a few slices, whatever the number of slices; the rest is for the image."""
    network = build_network(architecture, **options)
    for memory in (1.25e9, 3e9):
        engine = Engine("cpu", "bfloat16", memory_bytes=memory)
        for depth in (10, 300):
            budget = engine._budget_voxels(network, (depth, 512, 512), (1, 512, 512))
            assert budget == pytest.approx((memory - fixed) / 32)


def test_the_papers_widest_2d_network_takes_whole_slices():
    """F 64: the maps of four slices take more than the CPU's share, and no way of cutting the slices makes them less
    than what the network was trained on; so it gets few slices at a time, and a larger image is cut to 512 pixels."""
    with torch.device("meta"):
        network = build_network("unet2d", base_features=64, levels=4)
    engine, trained = Engine("cpu", "bfloat16"), (1, 512, 512)
    for size, window in (((60, 512, 512), (8, 512, 512)), ((60, 1024, 1024), (8, 528, 528))):
        budget = max(engine._budget_voxels(network, size, trained), prod(trained))
        assert plan_windows(size, trained, network.size_multiple, budget).window == window


def test_few_slices_at_a_time_give_nearly_the_same():
    torch.manual_seed(0)
    network = build_network("unet2d", base_features=4, levels=2).eval()
    seen = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape[2:])))
    image = torch.randn(30, 32, 32)
    whole = Engine("cpu", "float32").predict(lambda d: network, image, (1, 32, 32))
    parts = Engine("cpu", "float32", memory_bytes=1.0).predict(lambda d: network, image, (1, 32, 32))
    assert seen[0] == (30, 32, 32) and set(seen[1:]) == {(8, 32, 32)}
    # Only the outermost slice of a window lacks a neighbour, and has little weight.
    assert (whole - parts).abs().mean() < 0.1 * whole.std()
    assert (whole - parts)[:, 2].abs().max() < 1e-6
