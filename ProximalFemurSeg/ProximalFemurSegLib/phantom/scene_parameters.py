"""What differs between the patients of the parametric phantom, beside their bones' shape."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from .cortex import CortexParameters, draw_cortex
from .femur_parameters import FemurParameters, draw_contralateral, draw_femur


@dataclass(frozen=True)
class SceneParameters:
    """One patient, supine.

    Attributes
    ----------
    sex : str
        'female' or 'male'.
    left, right : FemurParameters
    cortex : CortexParameters
        Of both femora.
    hip_half_distance : float
        mm from the midline to a hip centre.
    size : float
        Scale of pelvis and muscles' paths; 1 for an average adult man.
    pelvic_tilt : float
        Degrees, forward.
    inclination, socket_anteversion : float
        Degrees, of the socket's opening.
    joint_space : float
        mm between the bone of the head and that of the socket: both cartilages and the fluid.
    pelvic_cortex : float
        mm, mean thickness of the other bones' cortex.
    left_pose, right_pose : tuple of float
        Degrees of flexion, adduction and external rotation of each thigh.
    muscularity : float
        Scale of the muscles' girth.
    fat : float
        0 (lean) to 1 (severely obese); spread over the body by ``fat_belly``, ``fat_buttock``, ``fat_hip`` and
        ``fat_thigh``, mm of fat under the skin.
    muscle_gap : float
        mm of fat between neighbouring muscles.
    skin : float
        mm.
    bladder : float
        0 (empty) to 1 (full).
    bowel_gas : float
        0 to 1, share of bowel loops with gas.
    arms : bool
        Whether the forearms lie beside the hips.
    seed : int
        Of all that is shaped at random without a parameter of its own.
    """

    sex: str
    left: FemurParameters
    right: FemurParameters
    cortex: CortexParameters
    hip_half_distance: float
    size: float
    pelvic_tilt: float
    inclination: float
    socket_anteversion: float
    joint_space: float
    pelvic_cortex: float
    left_pose: tuple
    right_pose: tuple
    muscularity: float
    fat: float
    fat_belly: float
    fat_buttock: float
    fat_hip: float
    fat_thigh: float
    muscle_gap: float
    skin: float
    bladder: float
    bowel_gas: float
    arms: bool
    seed: int

    def as_dict(self) -> dict:
        """The parameters as plain numbers, nested for the femora and the cortex."""
        return asdict(self)


def draw_scene(seed: int) -> SceneParameters:
    """Draw a patient.

    Parameters
    ----------
    seed : int

    Returns
    -------
    SceneParameters
        Women have wider hips for their size and more fat at hip and thigh; strong osteoporosis goes with less
        muscle; both sides are nearly alike. Socket: about 40 +- 5 degrees inclination and 18 +- 5 degrees
        anteversion, in women 2 degrees more (Jiang et al., Medicine 2015;94:e891: mean 18.8 degrees anteversion);
        joint space 3 to 5 mm.
    """
    rng = np.random.default_rng(seed)
    female = bool(rng.random() < 0.5)
    sex = "female" if female else "male"
    one = draw_femur(rng, sex)
    other = draw_contralateral(one, rng)
    left, right = (one, other) if rng.random() < 0.5 else (other, one)
    cortex = draw_cortex(rng)

    def normal(mean, deviation, low, high):
        return float(np.clip(rng.normal(mean, deviation), low, high))

    size = float(np.clip(one.head_radius / (23.0 if female else 24.6) * rng.normal(0.985, 0.03), 0.86, 1.15))
    half = normal((89.0 if female else 88.0) * size, 3.5, 74.0, 106.0)
    fat = float(rng.beta(1.5, 2.6))

    def layer(lean, obese, more):
        return float((lean + (obese - lean) * fat) * (more if female else 1.0) * np.exp(rng.normal(0.0, 0.15)))

    adduction, flexion, rotation = normal(5, 2.5, -3, 10), normal(4, 3.5, -3, 14), normal(4, 7, -12, 17)

    def pose():
        return (normal(flexion, 1.0, -4, 15), normal(adduction, 1.0, -4, 11), normal(rotation, 3.0, -14, 18))

    return SceneParameters(
        sex=sex,
        left=left,
        right=right,
        cortex=cortex,
        hip_half_distance=half,
        size=size,
        pelvic_tilt=normal(0.0, 5.0, -10.0, 10.0),
        inclination=normal(40.0, 4.0, 31.0, 50.0),
        socket_anteversion=normal(19.0 if female else 17.0, 4.5, 7.0, 28.0),
        joint_space=normal(4.0, 0.5, 3.0, 5.0),
        pelvic_cortex=normal(1.5 - 0.4 * cortex.osteoporosis, 0.15, 1.0, 2.0),
        left_pose=pose(),
        right_pose=pose(),
        muscularity=normal((0.94 if female else 1.02) - 0.10 * cortex.osteoporosis, 0.05, 0.80, 1.12),
        fat=fat,
        fat_belly=layer(9.0, 60.0, 1.1),
        fat_buttock=layer(12.0, 52.0, 1.2),
        fat_hip=layer(7.0, 48.0, 1.3),
        fat_thigh=layer(6.0, 34.0, 1.35),
        muscle_gap=normal(0.9 + 1.0 * fat + 1.2 * cortex.osteoporosis * rng.random(), 0.3, 0.5, 3.5),
        skin=normal(1.9, 0.25, 1.3, 2.6),
        bladder=float(rng.uniform(0.0, 1.0)),
        bowel_gas=float(rng.uniform(0.0, 0.8)),
        arms=bool(rng.random() < 0.25),
        seed=int(rng.integers(2**31)),
    )
