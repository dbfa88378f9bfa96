"""A training recipe: everything that decides a training except the data, as a small typed file."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field

from ..errors import BadInputError
from .augmentation import Augmentation

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
SAMPLINGS = ("crops", "slices", "patches")
KEPT = ("best", "last")


@dataclass(frozen=True)
class Recipe:
    """How to train one network.

    Attributes
    ----------
    architecture, options
        Arguments of `networks.build_network`.
    source : str
        Where the recipe is from, and what is not printed there.
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
        Samples a step, over all processes together.
    accumulate : int
        Passes that a step's samples are computed in, one after the other, to save memory; the gradient is that of the
        whole batch (but for batch norm, which sees one pass at a time).
    steps : int
        Steps of the whole training.
    epochs : int or None
        Passes over the training data, instead of steps; it is then validated after every one of them.
    minutes : float or None
        Time budget over all runs of this training; the schedule ends with whichever of steps and minutes comes
        first. With a time budget two runs are equal only if they are equally fast.
    patience, minimum_epochs, minimum_gain : int or None, int, float
        Early stopping on the accuracy of the validation; see `early_stopping.has_stopped_gaining`. None is none.
    keep : str
        Which weights are the result: those of the ``best`` validation (highest DSC) or the ``last`` ones.
    clip_norm : float or None
        The gradient's norm is cut to this.
    ema_decay : float
        Decay per step of the running average of the weights, which is what is validated and exported; 0 turns it off.
    freeze_norm : float
        Share of the training, at its end, in which batch norm uses its running statistics instead of the batch's.
    precision : str
        ``auto`` is bfloat16 where the device computes it fast, float16 on older GPUs, else float32.
    sampling : str
        What an epoch of image and mask pairs goes through once: every case, of which a random crop is cut (``crops``);
        every slab of slices (``slices``, for 2D networks); every point of a grid in the slices, with the patch around
        it (``patches``, for the patch networks).
    patch : tuple of int or None
        Voxels (D, H, W) of a crop or a slab; None is that of the network's role.
    validation_patch : tuple of int or None
        Voxels of what is validated, cut around the bone; None is `patch`, for a slab of few slices more of them.
    stride : int
        Rows and columns from one point of the grid to the next (arXiv-v1: 8).
    augmentation : Augmentation
        How samples of pairs vary.
    seed : int
        Decides the first weights and the dropout; the data set has its own.
    validate_every : int
        Steps between validations, unless the training counts epochs.
    checkpoint_minutes : float
        Time between checkpoints.
    """

    architecture: str
    options: dict = field(default_factory=dict)
    source: str = ""
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
    accumulate: int = 1
    steps: int = 10000
    epochs: int | None = None
    minutes: float | None = None
    patience: int | None = None
    minimum_epochs: int = 0
    minimum_gain: float = 0.0
    keep: str = "best"
    clip_norm: float | None = 1.0
    ema_decay: float = 0.995
    freeze_norm: float = 0.3
    precision: str = "auto"
    sampling: str = "crops"
    patch: tuple[int, int, int] | None = None
    validation_patch: tuple[int, int, int] | None = None
    stride: int = 8
    augmentation: Augmentation = Augmentation()
    seed: int = 1
    validate_every: int = 500
    checkpoint_minutes: float = 3.0

    def __post_init__(self):
        from .losses import find_loss

        find_loss(self.loss, **self.loss_options)
        for name, choices in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("precision", PRECISIONS),
                              ("sampling", SAMPLINGS), ("keep", KEPT)):
            if getattr(self, name) not in choices:
                raise BadInputError(f"The recipe's {name} must be one of {', '.join(choices)}, "
                                    f"not {getattr(self, name)!r}.")
        for name in ("batch_size", "accumulate", "steps", "epochs", "patience", "stride", "validate_every"):
            value = getattr(self, name)
            if value is None and name in ("epochs", "patience"):
                continue
            if not _is_whole(value) or value < 1:
                raise BadInputError(f"The recipe's {name} must be a whole number of at least 1, not {value!r}.")
        for name in ("deep_supervision", "minimum_epochs", "warmup_steps"):
            if not _is_whole(getattr(self, name)) or getattr(self, name) < 0:
                raise BadInputError(f"The recipe's {name} must be a whole number, 0 or more, "
                                    f"not {getattr(self, name)!r}.")
        for name in ("learning_rate", "checkpoint_minutes"):
            if not getattr(self, name) > 0:
                raise BadInputError(f"The recipe's {name} must be above 0, not {getattr(self, name)!r}.")
        for name in ("weight_decay", "minimum_gain"):
            if not getattr(self, name) >= 0:
                raise BadInputError(f"The recipe's {name} must be 0 or more, not {getattr(self, name)!r}.")
        for name in ("ema_decay", "freeze_norm", "final_rate", "momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInputError(f"The recipe's {name} must lie in [0, 1], not {getattr(self, name)!r}.")
        if self.minutes is not None and not self.minutes > 0:
            raise BadInputError(f"The recipe's minutes must be above 0, not {self.minutes!r}.")
        if self.batch_size % self.accumulate:
            raise BadInputError(f"The recipe's batch of {self.batch_size} cannot be computed in {self.accumulate} "
                                f"equal passes; make batch_size a multiple of accumulate.")
        for name in ("patch", "validation_patch"):
            object.__setattr__(self, name, _as_shape(name, getattr(self, name)))
        if isinstance(self.augmentation, dict):
            object.__setattr__(self, "augmentation", _as_augmentation(self.augmentation))

    def replace(self, **changes) -> Recipe:
        """The same recipe with some entries changed."""
        return dataclasses.replace(self, **changes)

    def total_steps(self, epoch_samples: int | None = None) -> int:
        """Steps of the whole training, where an epoch has so many samples."""
        return self.steps if self.epochs is None else math.ceil(self.epochs * epoch_samples / self.batch_size)

    def share_done(self, step: int, seconds: float, epoch_samples: int | None = None) -> float:
        """Share of the whole training, 0 to 1: of its steps, or of its minutes if these run out first."""
        by_time = seconds / 60 / self.minutes if self.minutes else 0.0
        return min(max(step / self.total_steps(epoch_samples), by_time), 1.0)

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


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _as_shape(name: str, value):
    if value is None:
        return None
    shape = tuple(value) if isinstance(value, (list, tuple)) else ()
    if len(shape) != 3 or not all(_is_whole(n) and n >= 1 for n in shape):
        raise BadInputError(f"The recipe's {name} must be three whole numbers of voxels, along D, H and W, "
                            f"not {value!r}.")
    return shape


def _as_augmentation(entries: dict) -> Augmentation:
    known = [f.name for f in dataclasses.fields(Augmentation)]
    unknown = sorted(set(entries) - set(known))
    if unknown:
        raise BadInputError(f"The recipe's augmentation has the unknown entry {', '.join(unknown)}; known are "
                            f"{', '.join(known)}.")
    return Augmentation(**entries)
