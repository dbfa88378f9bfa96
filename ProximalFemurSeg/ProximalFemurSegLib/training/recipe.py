"""A training recipe: everything that decides a training except the data, as a small typed file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BadInputError

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Recipe:
    """How to train one network.

    Attributes
    ----------
    architecture, options
        Arguments of `networks.build_network`.
    loss : str
        ``weighted-ce`` (MR papers), ``ce`` (QCT-2021), ``dice-ce``, or one that looks after the border: ``surface-ce``
        (what SciRep-2018 proposes), ``dice-surface-ce``.
    loss_options : dict
        Of that loss, see `losses.find_loss`.
    deep_supervision : int
        Auxiliary outputs in training, from the finest coarse stage of the expanding path on, for networks that offer
        them (3D U-Nets, V-Net); see `deep_supervision`.
    optimizer : str
        ``adam``, ``adamw`` or ``sgd``.
    learning_rate, weight_decay, momentum : float
        The peak learning rate; L2 (adam, sgd) or decoupled decay (adamw); momentum of SGD.
    schedule : str
        ``constant``, or ``cosine`` from the peak to `final_rate` of it.
    warmup_steps : int
        Steps of linear warm-up.
    final_rate : float
        Where the cosine ends, as a share of `learning_rate`.
    batch_size : int
        Samples a step.
    steps : int
        Steps of the whole training.
    minutes : float or None
        Time budget over all runs of this training; the schedule ends with whichever of steps and minutes comes
        first. With a time budget two runs are equal only if they are equally fast.
    clip_norm : float or None
        The gradient's norm is cut to this.
    ema_decay : float
        Decay per step of the running average of the weights, which is what is validated and exported; 0 turns it off.
    freeze_norm : float
        Share of the training, at its end, in which batch norm uses its running statistics instead of the batch's.
    precision : str
        ``auto`` is bfloat16 where the device computes it fast, float16 on older GPUs, else float32.
    seed : int
        Decides the first weights and the dropout; the data set has its own.
    validate_every : int
        Steps between validations.
    checkpoint_minutes : float
        Time between checkpoints.
    """

    architecture: str
    options: dict = field(default_factory=dict)
    loss: str = "dice-ce"
    loss_options: dict = field(default_factory=dict)
    deep_supervision: int = 0
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    momentum: float = 0.9
    schedule: str = "cosine"
    warmup_steps: int = 100
    final_rate: float = 0.01
    batch_size: int = 1
    steps: int = 10000
    minutes: float | None = None
    clip_norm: float | None = 1.0
    ema_decay: float = 0.995
    freeze_norm: float = 0.3
    precision: str = "auto"
    seed: int = 1
    validate_every: int = 500
    checkpoint_minutes: float = 3.0

    def __post_init__(self):
        from .losses import find_loss

        find_loss(self.loss, **self.loss_options)
        for name, choices in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                raise BadInputError(f"The recipe's {name} must be one of {', '.join(choices)}, "
                                    f"not {getattr(self, name)!r}.")
        for name in ("batch_size", "steps", "validate_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise BadInputError(f"The recipe's {name} must be a whole number of at least 1, not {value!r}.")
        if not isinstance(self.deep_supervision, int) or self.deep_supervision < 0:
            raise BadInputError(f"The recipe's deep_supervision must be a whole number of outputs, not "
                                f"{self.deep_supervision!r}.")
        for name in ("learning_rate", "checkpoint_minutes"):
            if not getattr(self, name) > 0:
                raise BadInputError(f"The recipe's {name} must be above 0, not {getattr(self, name)!r}.")
        for name in ("ema_decay", "freeze_norm", "final_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInputError(f"The recipe's {name} must lie in [0, 1], not {getattr(self, name)!r}.")
        if self.minutes is not None and not self.minutes > 0:
            raise BadInputError(f"The recipe's minutes must be above 0, not {self.minutes!r}.")

    def replace(self, **changes) -> Recipe:
        """The same recipe with some entries changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict:
        """Plain values, as they stand in a recipe file."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, entries: dict, source="the recipe") -> Recipe:
        """Build from plain values.

        Raises
        ------
        BadInputError
            If an entry is unknown or missing or its value impossible.
        """
        known = [f.name for f in dataclasses.fields(cls)]
        unknown = sorted(set(entries) - set(known))
        if unknown:
            raise BadInputError(f"{source} has the unknown entry {', '.join(unknown)}; known are {', '.join(known)}.")
        if "architecture" not in entries:
            raise BadInputError(f"{source} does not say which architecture to train.")
        try:
            return cls(**entries)
        except TypeError as error:
            raise BadInputError(f"{source} has an entry of the wrong type: {error}.") from error


def read_recipe(path) -> Recipe:
    """Read a recipe from a .json or .toml file.

    Raises
    ------
    BadInputError
        If the file cannot be read or says something impossible.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    try:
        if path.suffix.lower() == ".toml":
            try:
                import tomllib
            except ModuleNotFoundError as error:  # Python before 3.11
                raise BadInputError(f"Reading {path} needs Python 3.11; write the recipe as JSON.") from error
            entries = tomllib.loads(text)
        else:
            entries = json.loads(text)
    except ValueError as error:
        raise BadInputError(f"The recipe {path} is not well formed: {error}.") from error
    if not isinstance(entries, dict):
        raise BadInputError(f"The recipe {path} must be a table of entries.")
    return Recipe.from_dict(entries, source=f"The recipe {path}")
