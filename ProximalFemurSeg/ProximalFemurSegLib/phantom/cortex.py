"""How thick the cortex of a proximal femur is, from place to place, for any femur whose landmarks are known."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch

from .signed_distance import transform

_NOMINAL_HEAD_RADIUS = 24.0  # mm; lengths of the model scale with head_radius / this
_THINNEST = 0.3  # mm


@dataclass(frozen=True)
class CortexParameters:
    """Cortical thickness in mm at the sites that anatomists name, before osteoporosis thins it.

    Attributes
    ----------
    head, neck_superior, neck_inferior, trochanter, intertrochanter, shaft : float
        mm. ``neck_inferior`` goes over into the calcar; ``shaft`` is reached some 50 mm below the lesser trochanter.
    osteoporosis : float
        0 (young, strong) to 1 (severe): the cortex loses up to 40 % of its thickness, the superior neck up to 55 %.
    variation : float
        Standard deviation of the logarithm of the slow random variation over the bone.
    seed : int
        Of that variation.

    References
    ----------
    Mayhew et al., Lancet 2005;366:129 (femoral neck by octants: superior thin, inferior thick, superior loss with
    age); Treece et al., Med Image Anal 2010;14:276 (thickness maps of the proximal femur: about 1 mm and less on head
    and trochanter); Noble et al., Clin Orthop 1988;235:148 (canal and cortex of the shaft below the lesser
    trochanter).
    """

    head: float = 0.7
    neck_superior: float = 0.8
    neck_inferior: float = 2.8
    trochanter: float = 1.0
    intertrochanter: float = 2.0
    shaft: float = 5.5
    osteoporosis: float = 0.2
    variation: float = 0.12
    seed: int = 0

    def as_dict(self) -> dict[str, float]:
        """The parameters as plain numbers."""
        return asdict(self)


def draw_cortex(rng: np.random.Generator, osteoporosis: float | None = None) -> CortexParameters:
    """Draw the cortex of one person.

    Parameters
    ----------
    rng : numpy.random.Generator
    osteoporosis : float, optional
        0 to 1; drawn (mostly low) if left out.

    Returns
    -------
    CortexParameters
        With a common factor for the whole bone (thick cortices are thick everywhere) and a part of its own per site.
    """
    drawn = float(rng.beta(1.3, 2.2))
    common = rng.normal(0.0, 0.08)

    def site(mean, spread, low, high):
        return float(np.clip(mean * np.exp(common + spread * rng.normal()), low, high))

    return CortexParameters(
        head=site(0.70, 0.15, 0.45, 0.95),
        neck_superior=site(0.90, 0.15, 0.6, 1.3),
        neck_inferior=site(3.1, 0.18, 2.0, 4.5),
        trochanter=site(1.15, 0.15, 0.8, 1.6),
        intertrochanter=site(2.2, 0.15, 1.5, 3.2),
        shaft=site(6.0, 0.12, 4.5, 7.5),
        osteoporosis=drawn if osteoporosis is None else float(np.clip(osteoporosis, 0.0, 1.0)),
        variation=float(rng.uniform(0.05, 0.16)),
        seed=int(rng.integers(2**31)),
    )


def femur_axes(landmarks: dict[str, np.ndarray], side: str) -> tuple[np.ndarray, np.ndarray]:
    """The frame of a femur, the same for a left bone and for its mirror image.

    Parameters
    ----------
    landmarks : dict
        'head_center', 'shaft_proximal' and 'shaft_distal', RAS mm.
    side : str
        'left' or 'right'.

    Returns
    -------
    origin : numpy.ndarray
        (3,) RAS mm, the centre of the head.
    axes : numpy.ndarray
        (3, 3); rows are the unit vectors medial (from the shaft axis to the head), anterior (at right angles to it,
        so turned from the body's by the anteversion) and proximal (up the shaft).
    """
    if side not in ("left", "right"):
        raise ValueError(f"The side of a femur is 'left' or 'right', not {side!r}.")
    head = np.asarray(landmarks["head_center"], dtype=np.float64)
    upper = np.asarray(landmarks["shaft_proximal"], dtype=np.float64)
    lower = np.asarray(landmarks["shaft_distal"], dtype=np.float64)
    proximal = (upper - lower) / np.linalg.norm(upper - lower)
    offset = head - upper
    medial = offset - proximal * (offset @ proximal)
    medial /= np.linalg.norm(medial)
    anterior = np.cross(proximal, medial) * (1.0 if side == "left" else -1.0)
    return head, np.stack([medial, anterior, proximal])


def _smoothstep(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """0 below ``low``, 1 above ``high``, with continuous second derivative."""
    x = ((x - low) / (high - low)).clamp(0.0, 1.0)
    return x * x * x * (x * (x * 6.0 - 15.0) + 10.0)


def slow_variation(points: torch.Tensor, seed: int, wavelengths: tuple[float, float], waves: int = 10) -> torch.Tensor:
    """Smooth random field of zero mean and unit standard deviation.

    Parameters
    ----------
    points : torch.Tensor
        (..., 3) mm.
    seed : int
    wavelengths : tuple of float
        Shortest and longest wavelength in mm.
    waves : int
        Number of plane waves summed.

    Returns
    -------
    torch.Tensor
        (...,), of the dtype and on the device of ``points``.
    """
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(waves, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    numbers = 2.0 * np.pi / np.exp(rng.uniform(np.log(wavelengths[0]), np.log(wavelengths[1]), size=(waves, 1)))
    phases = rng.uniform(0.0, 2.0 * np.pi, size=waves)
    x, y, z = points.unbind(-1)
    # Written out, not left to matrix multiplication: the same bytes whatever the number of threads.
    total = torch.zeros_like(x)
    for (a, b, c), phase in zip((directions * numbers).tolist(), phases.tolist()):
        total = total + torch.sin(x * a + y * b + z * c + phase)
    return total * float(np.sqrt(2.0 / waves))


def cortical_thickness(
    points: torch.Tensor,
    landmarks: dict[str, np.ndarray],
    head_radius: float,
    side: str,
    parameters: CortexParameters,
) -> torch.Tensor:
    """Thickness of the cortex nearest to each point.

    Parameters
    ----------
    points : torch.Tensor
        (..., 3) RAS mm, floating point, any device.
    landmarks : dict
        RAS mm: 'head_center', 'neck_base', 'lesser_trochanter', 'greater_trochanter_tip', 'shaft_proximal' and
        'shaft_distal'.
    head_radius : float
        mm.
    side : str
        'left' or 'right'.
    parameters : CortexParameters

    Returns
    -------
    torch.Tensor
        (...,) mm, smooth in space: thin over head, superior neck and greater trochanter, thick along the inferior neck
        and the calcar, growing down the shaft, there thinner in front than medially, laterally and at the linea
        aspera.
    """
    origin, axes = femur_axes(landmarks, side)
    scale = head_radius / _NOMINAL_HEAD_RADIUS

    def local(name):
        return axes @ (np.asarray(landmarks[name], dtype=np.float64) - origin) / scale

    q = transform(points, origin, axes) / scale
    medial, anterior, proximal = q.unbind(-1)

    base, lesser, tip = local("neck_base"), local("lesser_trochanter"), local("greater_trochanter_tip")
    base_distance = float(np.linalg.norm(base))
    n = base / base_distance
    superior = np.array([0.0, 0.0, 1.0]) - n * n[2]
    superior /= np.linalg.norm(superior)
    along = medial * float(n[0]) + anterior * float(n[1]) + proximal * float(n[2])
    up = medial * float(superior[0]) + anterior * float(superior[1]) + proximal * float(superior[2])
    across = (q.square().sum(dim=-1) - along.square()).clamp_min(0.0)
    # The constant keeps the angle around an axis smooth where the axis is crossed.
    up = up / torch.sqrt(across + 9.0)

    shaft_medial = float(local("shaft_proximal")[0])
    around_medial, around_anterior = medial - shaft_medial, anterior - float(local("shaft_proximal")[1])
    radial = torch.sqrt(around_medial.square() + around_anterior.square() + 9.0)
    around_medial, around_anterior = around_medial / radial, around_anterior / radial
    height = proximal - float(lesser[2])

    loss = parameters.osteoporosis
    general, superior_loss, shaft_loss = 1.0 - 0.35 * loss, 1.0 - 0.55 * loss, 1.0 - 0.40 * loss

    neck_top, neck_floor = parameters.neck_superior * superior_loss, parameters.neck_inferior * general
    inferior = _smoothstep(-up, -0.75, 0.95)
    neck = neck_top + (neck_floor - neck_top) * inferior

    # Between the neck and the shaft the bone is thick medially (calcar) and thin over the greater trochanter.
    trochanter = parameters.trochanter * general
    between = parameters.intertrochanter * general * (1.0 + 0.30 * around_medial - 0.10 * around_anterior)
    toward_tip = _smoothstep(height, 8.0, max(20.0, 0.75 * (float(tip[2]) - float(lesser[2]))))
    lateral = 1.0 - toward_tip * _smoothstep(-around_medial, -0.9, 0.5)
    metaphysis = trochanter + (between - trochanter) * lateral

    linea_aspera = _smoothstep(-around_anterior, 0.5, 1.0)
    shape = 1.0 + 0.10 * (around_medial.square() - 0.5) - 0.08 * around_anterior + 0.15 * linea_aspera
    shaft = parameters.shaft * shaft_loss * shape

    head = parameters.head * general
    on_neck = _smoothstep(along, 10.0, 25.0)
    on_base = _smoothstep(along, 0.72 * base_distance, 1.35 * base_distance)
    on_shaft = _smoothstep(-height, -14.0, 50.0)
    proximal_part = head + (neck - head) * on_neck
    thickness = proximal_part + (metaphysis - proximal_part) * on_base
    thickness = thickness + (shaft - thickness) * on_shaft

    if parameters.variation > 0.0:
        field = slow_variation(q, parameters.seed, (30.0, 90.0))
        thickness = thickness * torch.exp(parameters.variation * field.clamp(-2.5, 2.5))
    return thickness.clamp_min(_THINNEST)
