"""The measures that make one proximal femur differ from another, and how they are spread among people."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np


@dataclass(frozen=True)
class FemurParameters:
    """Shape of one proximal femur; lengths in mm, angles in degrees.

    Attributes
    ----------
    head_radius : float
        Of the sphere that the articular surface follows.
    neck_shaft_angle : float
        Between neck axis and shaft axis.
    anteversion : float
        Forward turn of the neck against the plane of the knee's axis.
    offset : float
        Distance of the head's centre from the shaft axis.
    neck_ratio : float
        Radius of the circle with the narrow section's area, over the head's radius.
    neck_flattening : float
        Height over depth of the narrow section.
    neck_minimum : float
        Distance of the narrow section from the head's centre, over the head's radius.
    trochanter_tip : float
        Height of the greater trochanter's tip above the head's centre.
    trochanter_width, trochanter_depth : float
        How far the greater trochanter reaches laterally of the shaft axis, and from front to back.
    overhang : float
        How far the tip leans medially from the middle of the trochanter.
    fossa_depth : float
        Of the trochanteric fossa.
    lesser_drop : float
        Height of the head's centre above the tip of the lesser trochanter.
    lesser_size : float
        How far the lesser trochanter stands out of the shaft.
    crest : float
        How far the intertrochanteric crest stands out.
    shaft_radius : float
        50 mm below the lesser trochanter.
    shaft_flattening : float
        Width over depth of the shaft there.
    bow_radius : float
        Radius of the forward bow.
    linea_aspera : float
        Height of the ridge behind the shaft.
    fovea_depth : float
        Of the dimple in the head; 0 for none.
    shaft_length : float
        From the lesser trochanter to the lower end of the modelled bone.
    roughness : float
        Amplitude of the slow irregularities of the surface.
    seed : int
        Of these irregularities.
    """

    head_radius: float = 24.0
    neck_shaft_angle: float = 124.0
    anteversion: float = 14.0
    offset: float = 42.0
    neck_ratio: float = 0.655
    neck_flattening: float = 1.18
    neck_minimum: float = 0.97
    trochanter_tip: float = -3.0
    trochanter_width: float = 27.0
    trochanter_depth: float = 38.0
    overhang: float = 5.0
    fossa_depth: float = 7.0
    lesser_drop: float = 54.0
    lesser_size: float = 10.0
    crest: float = 3.5
    shaft_radius: float = 14.5
    shaft_flattening: float = 1.07
    bow_radius: float = 950.0
    linea_aspera: float = 1.5
    fovea_depth: float = 1.5
    shaft_length: float = 250.0
    roughness: float = 0.35
    seed: int = 0

    def as_dict(self) -> dict[str, float]:
        """The parameters as plain numbers."""
        return asdict(self)


def draw_femur(rng: np.random.Generator, sex: str | None = None) -> FemurParameters:
    """Draw one adult's proximal femur.

    Lengths follow the head's radius (the bone's size) with a spread of their own; women have smaller heads and a
    little more anteversion; a long offset goes with a small neck-shaft angle, as does a high trochanter.

    Parameters
    ----------
    rng : numpy.random.Generator
    sex : {'female', 'male'}, optional
        Drawn if left out.

    Returns
    -------
    FemurParameters

    References
    ----------
    Noble et al., Clin Orthop 1988;235:148: head diameter 46 +- 5 mm, offset 43 +- 7 mm, neck-shaft angle
    125 +- 7 deg, head 52 +- 7 mm above the lesser trochanter.
    Hartel et al., PLoS One 2016;11:e0149480 (1070 femora on CT): median neck-shaft angle 122 deg (quartiles 118 and
    126, range 100 to 146), median torsion 14 deg (7 to 20), more in women (16 against 12 deg).
    Toogood et al., Clin Orthop 2009;467:876 (375 femora): mean neck-shaft angle 129 deg, version 10 deg.
    Soodmand et al., Orthop Surg 2019;11:135 (169 people on CT): neck-shaft angle falls as the trochanter is higher.
    Thiesen et al., PLoS One 2018;13:e0204961 (1232 femora): mean radius of the forward bow 943 mm.
    The narrow section measures 7.8 +- 1.1 cm2 at 23 +- 2 mm from the centre of the head (ten femora on CT).
    """
    if sex is None:
        sex = "female" if rng.random() < 0.5 else "male"
    if sex not in ("female", "male"):
        raise ValueError(f"The sex is 'female' or 'male', not {sex!r}.")
    female = sex == "female"

    def normal(mean, deviation, low, high):
        return float(np.clip(rng.normal(mean, deviation), low, high))

    radius = normal(22.2 if female else 25.2, 1.4, 19.0, 29.0)
    size = radius / 24.0
    angle = normal(124.5 if female else 123.5, 5.5, 110.0, 140.0)
    offset = normal(42.5 * size - 0.45 * (angle - 124.0), 3.0, 30.0, 58.0)
    return FemurParameters(
        head_radius=radius,
        neck_shaft_angle=angle,
        anteversion=normal(15.5 if female else 12.5, 4.5, 8.0, 25.0),
        offset=offset,
        neck_ratio=normal(0.655, 0.025, 0.60, 0.71),
        neck_flattening=normal(1.18, 0.07, 1.02, 1.35),
        neck_minimum=normal(0.97, 0.05, 0.86, 1.08),
        trochanter_tip=normal(-3.0 - 0.5 * (angle - 124.0), 3.5, -16.0, 8.0),
        trochanter_width=normal(27.0 * size, 1.6, 21.0, 34.0),
        trochanter_depth=normal(38.0 * size, 2.4, 29.0, 47.0),
        overhang=normal(5.0 * size, 2.0, 0.5, 10.0),
        fossa_depth=normal(7.0 * size, 1.5, 3.0, 11.0),
        lesser_drop=normal(54.0 * size + 0.25 * (angle - 124.0), 3.0, 42.0, 68.0),
        lesser_size=normal(10.0 * size, 1.4, 7.0, 14.0),
        crest=normal(3.5 * size, 0.9, 1.5, 6.0),
        shaft_radius=normal(14.4 * size, 0.8, 11.0, 18.0),
        shaft_flattening=normal(1.07, 0.05, 0.97, 1.2),
        bow_radius=normal(950.0, 150.0, 600.0, 1500.0),
        linea_aspera=normal(1.5, 0.5, 0.4, 3.0),
        fovea_depth=0.0 if rng.random() < 0.15 else normal(1.5, 0.5, 0.5, 2.8),
        roughness=normal(0.35, 0.1, 0.15, 0.6),
        seed=int(rng.integers(2**31)),
    )


def draw_contralateral(parameters: FemurParameters, rng: np.random.Generator) -> FemurParameters:
    """The other side's femur of the same person: nearly the same, never equal.

    Parameters
    ----------
    parameters : FemurParameters
    rng : numpy.random.Generator

    Returns
    -------
    FemurParameters
        Lengths differ by about 1.5 %, angles by about 2 degrees; the irregularities are its own.
    """

    def near(value, deviation, low, high):
        return float(np.clip(value + rng.normal(0.0, deviation), low, high))

    p = parameters
    return replace(
        p,
        head_radius=near(p.head_radius, 0.25, 19.0, 29.0),
        neck_shaft_angle=near(p.neck_shaft_angle, 2.0, 110.0, 140.0),
        anteversion=near(p.anteversion, 2.5, 8.0, 25.0),
        offset=near(p.offset, 1.2, 30.0, 58.0),
        neck_ratio=near(p.neck_ratio, 0.01, 0.60, 0.71),
        trochanter_tip=near(p.trochanter_tip, 1.0, -16.0, 8.0),
        trochanter_width=near(p.trochanter_width, 0.6, 21.0, 34.0),
        overhang=near(p.overhang, 0.8, 0.5, 10.0),
        lesser_drop=near(p.lesser_drop, 1.0, 42.0, 68.0),
        lesser_size=near(p.lesser_size, 0.8, 7.0, 14.0),
        shaft_radius=near(p.shaft_radius, 0.25, 11.0, 18.0),
        fovea_depth=max(0.0, near(p.fovea_depth, 0.3, 0.0, 2.8)) if p.fovea_depth else 0.0,
        seed=int(rng.integers(2**31)),
    )
