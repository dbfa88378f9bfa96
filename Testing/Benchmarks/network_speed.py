"""Time per training step and per volume, memory, and the share of the processor's FLOP rate, for every network.

    python Testing/Benchmarks/network_speed.py [--device cuda] [--networks NAME ...] [--volume] [--output FILE.json]

A step is forward, loss, backward and optimizer on one sample of the size that training uses; a volume is the network's
frame over a scan as in the papers (MR 48 x 256 x 256 or 60 x 512 x 512, CT 192 x 192 x 200), run by the same engine as
`segment`. The FLOP rate that counts as 100 % is that of one large matrix product in the same precision in this run:
what the processor can do, not what its data sheet says. A multiplication and an addition are two operations.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from ProximalFemurSegLib.inference.devices import choose_device, describe_device, fast_precision
from ProximalFemurSegLib.inference.engine import Engine
from ProximalFemurSegLib.models import all_presets
from ProximalFemurSegLib.networks import build_network, parameter_count, use_channels_last
from ProximalFemurSegLib.training.losses import find_loss
from ProximalFemurSegLib.training.phantom_training import patch_shape

SCANS = {"mr 3D": (48, 256, 256), "mr 2D": (60, 512, 512), "mr half": (60, 256, 256), "ct": (200, 192, 192)}


def wait(device) -> None:
    """Until the GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(function, device, repeats: int) -> float:
    """Median over some calls, after one that does not count."""
    function()
    wait(device)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        wait(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def peak_flops(device, dtype) -> float:
    """Operations per second of one large matrix product."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / median_seconds(lambda: a @ b, device, 5)


def peak_memory(device) -> float:
    """Largest memory in MB so far: of the GPU since the last reset, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def scan_of(preset, stage) -> tuple[int, int, int]:
    """Voxels of a scan as the network sees it."""
    if preset.modality == "ct":
        return SCANS["ct"]
    if preset.dimension == "3D":
        return SCANS["mr 3D"]
    return SCANS["mr 2D" if stage.preprocessing.window[1] == 512 else "mr half"]


def measure(preset, stage, device, dtype, peak, repeats: int, volume: bool) -> dict:
    """Times and memory of one network."""
    network = use_channels_last(build_network(stage.architecture, **stage.options)).to(device)
    shape = patch_shape(stage)
    image = torch.randn(1, 1, *shape, device=device)
    target = torch.randint(0, 2, (1, *shape), device=device)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    loss_function = find_loss("dice-ce")

    def step():
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            logits = network(image)
        optimizer.zero_grad(set_to_none=True)
        loss_function(logits, target).backward()
        optimizer.step()

    network.train()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with FlopCounterMode(display=False) as counter:
        step()
    seconds = median_seconds(step, device, repeats)
    row = {
        "network": preset.name,
        "stage": stage.role,
        "parameters": parameter_count(network),
        "sample": list(shape),
        "step_seconds": round(seconds, 4),
        "step_tflop": round(counter.get_total_flops() / 1e12, 4),
        "step_share_of_peak": round(counter.get_total_flops() / seconds / peak, 3),
        "step_memory_mb": round(peak_memory(device)),
    }
    if volume:
        network.eval().requires_grad_(False)
        scan = torch.randn(scan_of(preset, stage))
        engine = Engine(str(device))
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

        def predict():
            engine.predict(lambda where: network.to(where), scan.to(engine.device), stage.preprocessing.window)

        with FlopCounterMode(display=False) as counter:
            predict()
        seconds = median_seconds(predict, device, max(1, repeats // 2))
        row["scan"] = list(scan.shape)
        row["volume_seconds"] = round(seconds, 3)
        row["volume_share_of_peak"] = round(counter.get_total_flops() / seconds / peak, 3)
        row["volume_memory_mb"] = round(peak_memory(device))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--networks", nargs="+", metavar="NAME")
    parser.add_argument("--volume", action="store_true", help="a whole scan, too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    dtype = fast_precision(device)
    peak = peak_flops(device, dtype)
    found = {"device": describe_device(device, dtype), "threads": torch.get_num_threads(),
             "matrix_product_tflops": round(peak / 1e12, 3), "networks": []}
    print(f"{found['device']}: {peak / 1e12:.2f} TFLOP/s in one large matrix product", flush=True)
    for preset in all_presets():
        if arguments.networks and preset.name not in arguments.networks:
            continue
        for stage in preset.stages:
            row = measure(preset, stage, device, dtype, peak, arguments.repeats, arguments.volume)
            found["networks"].append(row)
            print(json.dumps(row), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
