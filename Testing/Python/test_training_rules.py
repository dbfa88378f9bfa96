"""What a recipe's entries do: accumulation, epochs, early stopping, L2, momentum."""

from __future__ import annotations

import pytest
import torch

from one_thread import one_thread  # noqa: F401
from ProximalFemurSegLib.errors import BadInputError
from ProximalFemurSegLib.training.early_stopping import has_stopped_gaining
from ProximalFemurSegLib.training.optimisation import make_optimizer
from ProximalFemurSegLib.training.recipe import Recipe
from ProximalFemurSegLib.training.trainer import train
from ProximalFemurSegLib.training.training_log import read_log
from ProximalFemurSegLib.training.validation import DiceValidation
from toy_samples import Balls


class TenBalls(Balls):
    """An epoch has ten."""

    def __len__(self):
        return 10


def recipe(**changes):
    entries = {"steps": 3, "warmup_steps": 0, "precision": "float32", "learning_rate": 1e-2, "ema_decay": 0.0}
    return Recipe("unet3d", {"base_features": 2, "levels": 1}, **{**entries, **changes})


class Told:
    """A validation whose accuracies are known beforehand; the DSC is highest in the second epoch."""

    def __init__(self, accuracies):
        self.accuracies, self.steps = accuracies, []

    def __call__(self, network, step):
        self.steps.append(step)
        number = len(self.steps)
        return {"accuracy": self.accuracies[number - 1], "dice": 0.9 if number == 2 else 0.5}


@pytest.mark.parametrize("loss", ["ce", "weighted-ce", "dice-ce", "surface-ce"])
def test_accumulated_gradient_is_that_of_the_whole_batch(loss, tmp_path):
    """Four samples at once, in two passes of two, and one by one; every sample has another share of bone."""
    results = []
    for passes in (1, 2, 4):
        made = recipe(loss=loss, batch_size=4, accumulate=passes, optimizer="sgd", clip_norm=None)
        results.append(train(made, Balls((8, 8, 8)), tmp_path / str(passes), workers=0, log_every=1))
    states = [r.network.state_dict() for r in results]
    for other in states[1:]:
        assert all(torch.allclose(other[name], value, atol=2e-6) for name, value in states[0].items())
    logs = [[e["loss"] for e in read_log(r.folder)] for r in results]
    assert logs[1] == pytest.approx(logs[0], abs=2e-6) and logs[2] == pytest.approx(logs[0], abs=2e-6)
    dice = [[e["dice"] for e in read_log(r.folder)] for r in results]
    assert dice[1] == pytest.approx(dice[0], abs=2e-6)


@pytest.mark.parametrize(
    ("accuracies", "stops"),
    [
        # Rises by a little more than 1e-4 every ten epochs: never stops.
        ([0.5 + 1.01e-4 * (n // 10) for n in range(60)], None),
        # Rises for 25 epochs, then nothing: the first 30 are trained in any case, and by then ten of them gained
        # something; after 35 the best of ten epochs before is the best of all.
        ([0.5 + 0.01 * min(n, 24) for n in range(60)], 35),
        # Nothing at all from the start: the end of the 30th epoch is the first at which it is asked.
        ([0.5] * 60, 30),
        # A gain that is too small within ten epochs, though there is one in every epoch.
        ([0.5 + 0.9e-5 * n for n in range(60)], 30),
        # What counts is the best of the last ten, not the last.
        ([0.5] * 29 + [0.6] + [0.4] * 30, 40),
    ],
)
def test_early_stopping_as_printed(accuracies, stops):
    """SciRep-2018: not improved by 1e-4 within the last 10 epochs; the first 30 without."""
    asked = (n for n in range(1, 61) if has_stopped_gaining(accuracies[:n], 10, 30, 1e-4))
    assert next(asked, None) == stops


def test_early_stopping_ends_a_training_and_resuming_does_not_revive_it(tmp_path):
    made = recipe(epochs=50, batch_size=4, patience=2, minimum_epochs=3, minimum_gain=0.01, keep="last")
    check = Told([0.5, 0.6, 0.7, 0.705, 0.705, 0.9])
    result = train(made, TenBalls((8, 8, 8)), tmp_path / "run", check, workers=0)
    # An epoch of ten samples in batches of four ends with the step in which its last sample is seen.
    assert check.steps == [3, 5, 8, 10, 13]
    assert (result.steps, result.finished, result.stopped_early) == (13, True, True)
    log = read_log(tmp_path / "run")
    assert [e["epoch"] for e in log if "validation" in e] == [1.2, 2.0, 3.2, 4.0, 5.2]
    assert torch.load(tmp_path / "run" / "best.pt", weights_only=True)["step"] == 5
    again = train(made, TenBalls((8, 8, 8)), tmp_path / "run", check, workers=0, resume=True)
    assert (again.steps, again.stopped_early, len(check.steps)) == (13, True, 5)


def test_early_stopping_goes_on_after_an_interruption_as_if_there_were_none(tmp_path):
    """Stopped in the middle of a validation, which is then made up for."""

    class Interrupted(Told):
        def __call__(self, network, step):
            if step == 8 and not self.steps[2:]:
                self.steps.append(None)
                raise KeyboardInterrupt
            self.steps = [s for s in self.steps if s]
            return super().__call__(network, step)

    made = recipe(epochs=50, batch_size=4, patience=2, minimum_epochs=3, minimum_gain=0.01)
    check = Interrupted([0.5, 0.6, 0.7, 0.705, 0.705, 0.9])
    with pytest.raises(KeyboardInterrupt):
        train(made, TenBalls((8, 8, 8)), tmp_path / "run", check, workers=0)
    result = train(made, TenBalls((8, 8, 8)), tmp_path / "run", check, workers=0, resume=True)
    assert check.steps == [3, 5, 8, 10, 13] and result.stopped_early
    assert [e["step"] for e in read_log(tmp_path / "run") if "validation" in e] == check.steps


def test_epochs_end_a_training(tmp_path):
    result = train(recipe(epochs=2, batch_size=4), TenBalls((8, 8, 8)), tmp_path / "run", workers=0)
    assert result.steps == 5 and result.finished
    result = train(recipe(epochs=1, steps=99), Balls((8, 8, 8)), tmp_path / "other", workers=0, epoch_samples=7)
    assert result.steps == 7


def test_epochs_of_data_without_an_end_are_refused(tmp_path):
    with pytest.raises(BadInputError, match="how many samples make one"):
        train(recipe(epochs=2), Balls((8, 8, 8)), tmp_path / "run", workers=0)
    with pytest.raises(BadInputError, match="there is no validation"):
        train(recipe(patience=2), TenBalls((8, 8, 8)), tmp_path / "run", workers=0)


def test_validation_knows_accuracy_and_the_trainings_loss():
    class Half(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, x):
            return torch.cat([torch.zeros_like(x), self.scale * (x - 0.5)], dim=1)

    found = DiceValidation(Balls((8, 8, 8), noise=0.0), 3, loss=lambda logits, target: target.float().sum())(Half(), 0)
    balls = [Balls((8, 8, 8), noise=0.0).sample(n) for n in range(3)]
    assert found["accuracy"] == 1.0 and found["dice"] == 1.0
    assert found["loss"] == pytest.approx(sum(target.sum() for _, target in balls) / 3, abs=1e-5)


def step_of(optimizer, weight, gradient):
    weight.grad = torch.full_like(weight, gradient)
    optimizer.step()
    return float(weight.detach())


class OneKernel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1, 1), 2.0))


def test_l2_of_sgd_is_part_of_the_loss_and_of_its_momentum():
    """w = 2, gradient 0.5, L2 0.1, rate 0.01, momentum 0.9, all by hand.

    First step: g = 0.5 + 0.1 * 2 = 0.7, w = 2 - 0.007 = 1.993. Second: g = 0.5 + 0.1993 = 0.6993, velocity
    0.9 * 0.7 + 0.6993 = 1.3293, w = 1.993 - 0.013293 = 1.979707.
    """
    network = OneKernel()
    optimizer = make_optimizer(recipe(optimizer="sgd", weight_decay=0.1, momentum=0.9), network)
    assert step_of(optimizer, network.weight, 0.5) == pytest.approx(1.993, abs=1e-6)
    assert step_of(optimizer, network.weight, 0.5) == pytest.approx(1.979707, abs=1e-6)


def test_l2_of_adam_goes_through_its_scaling_and_that_of_adamw_does_not():
    """Without a gradient of its own, a kernel of 2 moves by the whole rate, 0.01, under L2 (Adam's first step is the
    rate times the sign), and by rate * decay * w = 0.01 * 0.1 * 2 = 0.002 under decoupled decay."""
    moved = {}
    for name in ("adam", "adamw"):
        network = OneKernel()
        optimizer = make_optimizer(recipe(optimizer=name, weight_decay=0.1), network)
        moved[name] = 2 - step_of(optimizer, network.weight, 0.0)
    assert moved["adam"] == pytest.approx(0.01, rel=1e-4)
    assert moved["adamw"] == pytest.approx(0.002, rel=1e-3)
