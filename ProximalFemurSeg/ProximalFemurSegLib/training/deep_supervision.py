"""Auxiliary outputs that are trained beside a network's own and are gone afterwards."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..errors import BadInputError
from ..networks.blocks import init_glorot


class DeeplySupervised(nn.Module):
    """A network that in training also predicts from the coarser stages of its expanding path.

    Each of them gets a 1x1x1 convolution whose logits are interpolated to the full size and held against the same
    target, so that the gradient reaches the middle of the network by a short way (Lee et al., AISTATS 2015; for 3D
    networks Dou et al., Medical Image Analysis 41, 2017). The network itself is not changed: its weights are those of
    the plain one.

    Parameters
    ----------
    network : torch.nn.Module
        With ``expanding_stages``: the stages of its expanding path below the full size and how many maps each gives,
        the deepest first.
    outputs : int
        How many of these stages, from the finest on.

    Raises
    ------
    BadInputError
        If the network has no such stages, or fewer.
    """

    def __init__(self, network: nn.Module, outputs: int):
        super().__init__()
        name = getattr(network, "name", type(network).__name__)
        stages = getattr(network, "expanding_stages", ())
        if len(stages) < outputs:
            raise BadInputError(
                f"The network {name} offers {len(stages)} auxiliary outputs, not {outputs}; lower the recipe's "
                "deep_supervision."
            )
        chosen = stages[len(stages) - outputs :][::-1]
        self.network = network
        self.heads = init_glorot(nn.ModuleList(nn.Conv3d(maps, network.classes, 1) for _, maps in chosen), bias=0.0)
        self._maps: dict[int, torch.Tensor] = {}
        for number, (stage, _) in enumerate(chosen):
            stage.register_forward_hook(self._keep(number))

    def _keep(self, number: int):
        def keep(stage, inputs, maps):
            if self.training:
                self._maps[number] = maps

        return keep

    def forward(self, x: torch.Tensor):
        """Image (B, C, D, H, W) to logits (B, classes, D, H, W); in training a list, the auxiliary ones behind them."""
        logits = self.network(x)
        if not self.training:
            return logits
        size = logits.shape[2:]
        others = [head(self._maps.pop(number)) for number, head in enumerate(self.heads)]
        return [logits, *(functional.interpolate(o, size=size, mode="trilinear") for o in others)]


def output_weights(count: int) -> list[float]:
    """Weights of the losses of so many outputs, the network's own first: each half of the one before, in all 1.

    Isensee et al., Nature Methods 18, 2021 (nnU-Net).

    Examples
    --------
    >>> output_weights(1), output_weights(2)
    ([1.0], [0.6666666666666666, 0.3333333333333333])
    """
    weights = [0.5**n for n in range(count)]
    return [w / sum(weights) for w in weights]
