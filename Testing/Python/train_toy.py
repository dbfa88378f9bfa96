"""Run by test_trainer.py in a process of its own, which the test kills: train_toy.py FOLDER STEPS DELAY."""

import sys
import time

import torch

from ProximalFemurSegLib.training.recipe import Recipe
from ProximalFemurSegLib.training.trainer import train
from toy_samples import Balls


def toy_recipe(**changes):
    options = {"base_features": 2, "levels": 1, "dropout": 0.2}
    return Recipe("unet3d", options, steps=24, warmup_steps=4, batch_size=2, validate_every=8, precision="float32",
                  checkpoint_minutes=1e-6, learning_rate=1e-2, **changes)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, delay = sys.argv[1], float(sys.argv[2])
    train(toy_recipe(), Balls((8, 8, 8)), folder, resume=True, workers=0, log_every=1,
          progress=lambda entry: time.sleep(delay))
