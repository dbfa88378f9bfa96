"""Weights that a training goes on from."""

from __future__ import annotations

from pathlib import Path

from ..errors import BadInputError
from ..networks import build_network


def read_start(path, stage) -> dict:
    """The weights of an earlier training, to start another from.

    Parameters
    ----------
    path : path-like
        A .safetensors file.
    stage : models.Stage
        What is to be trained.

    Returns
    -------
    dict
        State of the stage's network, float32.

    Raises
    ------
    BadInputError
        If the file cannot be read, or holds another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    try:
        state = {name: value.float() for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise BadInputError(
            f"The weights '{path}' cannot be read ({error}); name a .safetensors file that a training made."
        ) from None
    network = build_network(stage.architecture, **stage.options)
    # Batch norm's counter of steps is not kept with weights.
    wanted = {n: v.shape for n, v in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    if {name: value.shape for name, value in state.items()} != wanted:
        raise BadInputError(
            f"The weights '{path}' are not those of {stage.architecture} {stage.options}; choose the network that they "
            "belong to."
        )
    network.load_state_dict(state, strict=False)
    return network.state_dict()
