"""The training loop: it learns, it can be killed and goes on to the same end, and it refuses what cannot work."""

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import ProximalFemurSegLib
from one_thread import one_thread  # noqa: F401
from ProximalFemurSegLib.errors import BadInputError, ProximalFemurSegError
from ProximalFemurSegLib.networks import build_network
from ProximalFemurSegLib.training import optimisation, thread_choice
from ProximalFemurSegLib.training.feeding import Feeder
from ProximalFemurSegLib.training.optimisation import learning_rate
from ProximalFemurSegLib.training.overlap_counts import batch_dice
from ProximalFemurSegLib.training.recipe import Recipe
from ProximalFemurSegLib.training.recipe_files import read_recipe
from ProximalFemurSegLib.training.trainer import train
from ProximalFemurSegLib.training.training_log import read_log
from ProximalFemurSegLib.training.validation import DiceValidation
from toy_samples import Balls, Failing
from train_toy import toy_recipe

HERE = Path(__file__).parent


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("architecture", ["vnet", "unet3d", "unet3d-dilated"])
def test_a_network_learns_balls(architecture, tmp_path):
    options = {
        "vnet": {"base_features": 4, "down_convs": (1, 1, 1), "up_convs": (1, 1), "momentum": 0.1},
        "unet3d": {"base_features": 4, "levels": 2},
        "unet3d-dilated": {"base_features": 4, "levels": 2, "rates": (1, 2)},
    }[architecture]
    recipe = Recipe(architecture, options, steps=60, warmup_steps=5, validate_every=30, batch_size=2, ema_decay=0.9,
                    learning_rate=5e-3, loss="dice-ce")
    check = DiceValidation(Balls(), 4, first=10**6)
    result = train(recipe, Balls(), tmp_path / "run", check, workers=0, log_every=10)
    log = read_log(tmp_path / "run")
    losses = [e["loss"] for e in log if "loss" in e]
    assert losses[-1] < 0.5 * losses[0]
    scores = [e["validation"]["dice"] for e in log if "validation" in e]
    assert len(scores) == 2
    assert scores[-1] > 0.85
    assert check(result.network, 0)["dice"] == pytest.approx(scores[-1], abs=1e-6)
    assert result.finished
    assert result.steps == 60
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"checkpoint.pt", "best.pt", "log.jsonl", "recipe.json"}


def test_killed_and_resumed_gives_the_same_weights(tmp_path):
    whole = train(toy_recipe(), Balls((8, 8, 8)), tmp_path / "whole", workers=0, log_every=1)
    folder = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": str(Path(ProximalFemurSegLib.__file__).parent.parent)}
    command = [sys.executable, str(HERE / "train_toy.py"), str(folder)]
    child = subprocess.Popen([*command, "0.2"], env=environment)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and child.poll() is None:
            if len(read_log(folder)) >= 7:
                break
            time.sleep(0.05)
        assert child.poll() is None, "the training ended before it could be killed"
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    stopped = torch.load(folder / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < stopped < 24
    subprocess.run([*command, "0"], env=environment, check=True, timeout=300)
    for state in ("network", "average"):
        ends = [torch.load(f / "checkpoint.pt", weights_only=True) for f in (folder, tmp_path / "whole")]
        assert ends[0]["step"] == ends[1]["step"] == 24
        assert same(ends[0][state], ends[1][state])
    assert same(torch.load(folder / "best.pt", weights_only=True)["network"], whole.network.state_dict())
    logs = [[(e["step"], e["loss"]) for e in read_log(f) if "loss" in e] for f in (folder, tmp_path / "whole")]
    assert logs[0] == logs[1]


def test_stopped_on_request_and_resumed_elsewhere_gives_the_same_weights(tmp_path):
    """Also with samples from another process, and stopped at a step between two checkpoints."""
    recipe = toy_recipe().replace(steps=10, checkpoint_minutes=60)
    whole = train(recipe, Balls((8, 8, 8)), tmp_path / "whole", workers=0)
    asked = []
    part = train(recipe, Balls((8, 8, 8)), tmp_path / "part", workers=0,
                 cancelled=lambda: asked.append(1) or len(asked) > 5)
    assert (part.steps, part.finished) == (5, False)
    rest = train(recipe, Balls((8, 8, 8)), tmp_path / "part", workers=1, resume=True)
    assert (rest.steps, rest.finished) == (10, True)
    assert same(rest.network.state_dict(), whole.network.state_dict())


def test_a_failing_sample_keeps_what_was_learnt_and_says_why(tmp_path):
    recipe = toy_recipe().replace(batch_size=1, checkpoint_minutes=60)
    with pytest.raises(ProximalFemurSegError, match="no ball today"):
        train(recipe, Failing((8, 8, 8)), tmp_path / "run", workers=0)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 3


def test_time_budget_ends_the_schedule(tmp_path, monkeypatch):
    """By a clock that goes on by 0.1 s whenever it is looked at, so that a busy machine changes nothing."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks) * 0.1)
    recipe = toy_recipe().replace(steps=10**6, minutes=0.5, schedule="cosine", final_rate=0.1, validate_every=10**6,
                                  checkpoint_minutes=10**6)
    result = train(recipe, Balls((8, 8, 8)), tmp_path / "run", workers=0, log_every=1)
    assert result.finished
    assert 30 <= result.seconds < 33
    log = [e for e in read_log(tmp_path / "run") if "rate" in e]
    assert len(log) == result.steps > 20
    # Half of the time: half-way down the cosine.
    middle = min(log, key=lambda e: abs(e["seconds"] - 15))
    assert middle["rate"] == pytest.approx(recipe.learning_rate * 0.55, rel=0.1)
    assert log[-1]["rate"] < 0.12 * recipe.learning_rate


def test_learning_rate_by_hand():
    recipe = Recipe("vnet", learning_rate=2.0, warmup_steps=4, steps=100, schedule="cosine", final_rate=0.1)
    assert [learning_rate(recipe, n, 0.0) for n in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert learning_rate(recipe, 50, 0.5) == pytest.approx(2 * (0.1 + 0.9 * 0.5))
    assert learning_rate(recipe, 99, 1.0) == pytest.approx(0.2)
    assert learning_rate(recipe.replace(schedule="constant"), 99, 1.0) == 2.0


def test_average_of_the_weights_by_hand():
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    average = optimisation.WeightAverage(network, 0.9)
    torch.nn.init.ones_(network.weight)
    expected = 0.0
    for step in range(30):
        decay = min(0.9, (step + 1) / (step + 10))
        expected = decay * expected + (1 - decay)
        average.update(network, step)
    assert float(average.network.weight) == pytest.approx(expected, rel=1e-5)


def test_norms_are_frozen_at_the_end(tmp_path):
    options = {"base_features": 2, "down_convs": (1, 1), "up_convs": (1,), "momentum": 0.5}
    recipe = Recipe("vnet", options, steps=6, freeze_norm=0.5, batch_size=1, precision="float32")
    seen = []

    def look(network, step):
        seen.append({n: b.clone() for n, b in network.named_buffers() if "running" in n})
        return {"dice": step}

    train(recipe.replace(validate_every=1), Balls((8, 8, 8)), tmp_path / "run", look, workers=0)
    changed = [not same(a, b) for a, b in zip(seen, seen[1:])]
    assert changed == [True, True, False, False, False]


def test_weight_decay_spares_vectors():
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), torch.nn.BatchNorm3d(2))
    optimizer = optimisation.make_optimizer(Recipe("vnet", weight_decay=0.1), network)
    shrunk = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    assert shrunk == {id(network[0].weight)}


def test_thread_chooser_takes_the_fastest(monkeypatch):
    monkeypatch.setattr(thread_choice, "available_cpus", lambda: 4)
    chosen = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: chosen[-1])
    chooser = thread_choice.ThreadChooser(period=20, probe=2)
    for _ in range(20):
        chooser.before_step()
        chooser.after_step({1: 3.0, 2: 1.0, 4: 2.0}[chosen[-1]])
    assert chosen == [1, 2, 4, 2]


def test_batch_dice_by_hand():
    target = torch.tensor([[[[1, 1, 0, 2]]]])
    result = torch.tensor([[[[1, 0, 0, 2]]]])
    logits = torch.nn.functional.one_hot(result, 3).permute(0, 4, 1, 2, 3).float()
    assert batch_dice(logits, target) == pytest.approx((2 / 3 + 1) / 2)
    assert batch_dice(torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1), torch.zeros(1, 1, 1, 1)) == 1.0


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_samples_come_in_order(workers):
    balls = Balls((4, 4, 4))
    with Feeder(balls, 5, 12, workers=workers, ahead=2) as feeder:
        for index in range(5, 11, 2):
            images, targets = feeder.next_batch(2)
            assert images.dtype == torch.float32
            assert targets.dtype == torch.int64
            for place in range(2):
                image, target = balls.sample(index + place)
                assert np.array_equal(images[place], image)
                assert np.array_equal(targets[place], target)


def test_no_thread_of_a_feeder_outlives_it():
    """At the end of Python it would end the process with it, in the middle of torch."""
    entered, left = threading.Event(), threading.Event()

    class Slow:
        def sample(self, index):
            entered.set()
            time.sleep(0.3)
            left.set()
            return np.zeros((1, 4, 4, 4), np.float32), np.zeros((4, 4, 4), np.int64)

    before = set(threading.enumerate())
    with Feeder(Slow(), 0, 9, workers=0):
        assert entered.wait(5)
    assert left.is_set() and set(threading.enumerate()) <= before


def test_a_sample_that_fails_in_another_process_is_reported():
    with Feeder(Failing((4, 4, 4)), 3, 6, workers=1) as feeder:
        with pytest.raises(ProximalFemurSegError, match="no ball today"):
            feeder.next_sample()


def test_another_training_is_neither_overwritten_nor_resumed(tmp_path):
    recipe = toy_recipe().replace(steps=1)
    train(recipe, Balls((8, 8, 8)), tmp_path, workers=0)
    with pytest.raises(BadInputError, match="already holds a training"):
        train(recipe, Balls((8, 8, 8)), tmp_path, workers=0)
    with pytest.raises(BadInputError, match="another optimizer"):
        train(recipe.replace(optimizer="sgd"), Balls((8, 8, 8)), tmp_path, resume=True, workers=0)


def test_a_log_line_cut_by_a_kill_is_left_out(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_log(tmp_path) == [{"step": 1, "loss": 2.0}]


def test_recipe_files(tmp_path):
    recipe = Recipe("vnet", {"base_features": 8}, loss="ce", optimizer="adam", learning_rate=1e-4, minutes=5.0)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.to_dict()))
    assert read_recipe(path) == recipe
    if sys.version_info >= (3, 11):
        toml = tmp_path / "recipe.toml"
        toml.write_text('architecture = "vnet"\nloss = "ce"\noptimizer = "adam"\nlearning_rate = 1e-4\nminutes = 5.0\n'
                        "[options]\nbase_features = 8\n")
        assert read_recipe(toml) == recipe


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not well formed"),
        ("[1]", "table of entries"),
        ("{}", "which architecture"),
        ('{"architecture": "vnet", "speed": 3}', "unknown entry speed"),
        ('{"architecture": "vnet", "optimizer": "lion"}', "adam, adamw, sgd"),
        ('{"architecture": "vnet", "loss": "mse"}', "weighted-ce, ce, dice-ce"),
        ('{"architecture": "vnet", "loss_options": {"sigma_mm": 1}}', "dice-ce has no option sigma_mm"),
        ('{"architecture": "vnet", "deep_supervision": -1}', "deep_supervision must be a whole number"),
        ('{"architecture": "vnet", "steps": 0}', "steps must be a whole number"),
        ('{"architecture": "vnet", "learning_rate": -1}', "learning_rate must be above 0"),
        ('{"architecture": "vnet", "learning_rate": "fast"}', "wrong type"),
        ('{"architecture": "vnet", "freeze_norm": 2}', r"freeze_norm must lie in \[0, 1\]"),
        ('{"architecture": "vnet", "batch_size": 3, "accumulate": 2}', "batch of 3 cannot be computed in 2"),
        ('{"architecture": "vnet", "epochs": 0}', "epochs must be a whole number of at least 1"),
        ('{"architecture": "vnet", "keep": "first"}', "best, last"),
        ('{"architecture": "vnet", "sampling": "rows"}', "crops, slices, patches"),
        ('{"architecture": "vnet", "patch": [8, 8]}', "three whole numbers"),
        ('{"architecture": "vnet", "augmentation": {"flip": 1}}', "flip must be true or false"),
        ('{"architecture": "vnet", "augmentation": {"scale": 0.5}}', "scale must be from 1.0 to 2.0"),
        ('{"architecture": "vnet", "augmentation": {"shear": 1}}', "unknown entry shear"),
    ],
)
def test_recipes_that_cannot_work_are_refused(tmp_path, text, words):
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(BadInputError, match=words):
        read_recipe(path)


def test_missing_recipe(tmp_path):
    with pytest.raises(BadInputError, match="cannot be read"):
        read_recipe(tmp_path / "none.json")


def test_gradients_are_clipped(tmp_path):
    """With SGD and a clip far below the gradient, a step moves the weights by exactly rate x clip."""
    recipe = toy_recipe().replace(optimizer="sgd", momentum=0.0, weight_decay=0.0, clip_norm=1e-3, steps=1,
                                  warmup_steps=0, schedule="constant", learning_rate=1.0, ema_decay=0.0)
    torch.manual_seed(recipe.seed)
    before = torch.cat([p.detach().flatten() for p in build_network("unet3d", **recipe.options).parameters()])
    result = train(recipe, Balls((8, 8, 8)), tmp_path / "run", workers=0)
    after = torch.cat([p.flatten() for p in result.network.parameters()])
    moved = float((after - before).norm())
    # clip_grad_norm_ divides by the norm + 1e-6; the weights are float32 of size about 1.
    assert math.isclose(moved, 1e-3, rel_tol=0.01)
