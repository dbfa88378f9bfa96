"""How much training samples of image and mask pairs vary, as entries of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BadInputError


@dataclass(frozen=True)
class Augmentation:
    """Changes of a sample; the defaults follow QCT-2021 (noise, brightness, 3D scaling) and the MR papers (flips).

    Phantoms vary by themselves: every sample is a patient, a pose and a scanner of its own.

    Attributes
    ----------
    scale : float
        Isotropic scaling from 1/scale to scale; 1 is none.
    noise : float
        Largest standard deviation of Gaussian noise, in normalised intensity.
    gain, offset : float
        Standard deviations of a factor's logarithm and of a summand, on the normalised intensity: brightness.
    bone_contrast : float
        CT: standard deviation of the logarithm of a factor on what exceeds 0 HU, so that compact bone has another HU
        and its borders, halfway to what lies beside it, stay in place.
    flip : bool
        Mirror every other sample along W; only for a network that does not know sides.
    bone_share : float
        Share of the crops that are centred on the bone; the others lie anywhere.

    Raises
    ------
    BadInputError
        If a value is impossible.
    """

    scale: float = 1.1
    noise: float = 0.08
    gain: float = 0.1
    offset: float = 0.05
    bone_contrast: float = 0.0
    flip: bool = True
    bone_share: float = 0.8

    def __post_init__(self):
        if not isinstance(self.flip, bool):
            raise BadInputError(f"The augmentation's flip must be true or false, not {self.flip!r}.")
        for name, low, high in (("scale", 1.0, 2.0), ("noise", 0, None), ("gain", 0, None), ("offset", 0, None),
                                ("bone_contrast", 0, None), ("bone_share", 0, 1)):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or value < low or (high is not None and value > high):
                limits = f"at least {low}" if high is None else f"from {low} to {high}"
                raise BadInputError(f"The augmentation's {name} must be {limits}, not {value!r}.")
