"""How dense the compact bone of a femur looks in a CT, and images in which it always looks the same.

Where the cortex is thinner than the scanner resolves, thin and dense looks like thick and less dense. A window of a
network that shows the neck alone cannot tell them apart, and takes the cortex for one of usual density: its volume came
out 10 % too large where bone has 1250 HU, 8 % too small at 850. The shaft's cortex is thick enough to show its
density (the idea of Treece et al., Med Image Anal 2010;14:276).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..postprocessing import bounding_box

# A first look: of the values in a slice of the femur, and of those of all slices, what the thick cortex of the shaft
# has; and by how much more that is than the bone's mean, for bone is uneven and images are noisy.
_OF_SLICE, _OF_SLICES, _ABOVE_MEAN = 0.9, 0.9, 1.03
_LEAST_VOXELS = 60  # of a slice that counts
_LEAST_SLICES = 20
_HIGHEST_HU = 2000.0  # above is metal
_LEAST_HU = 500.0  # below is no compact bone
# Then what lies deep in the bone, where nothing of the marrow or the muscles is mixed in.
_BONE = 0.6  # of the first look
_DEEP = 2  # voxels
_LEAST_DEEP = 200
_LARGEST_FACTOR = 1.6
_REACH_MM = 3.0  # half of the locator's voxels, and a little


def compact_bone_hu(values, femur) -> float | None:
    """HU of the compact bone of a femur's shaft: the median where all around is bone, if the cortex is so thick.

    Parameters
    ----------
    values : torch.Tensor
        (D, H, W) HU, slices across the shaft along D, on voxels of about a millimetre.
    femur : torch.Tensor
        (D, H, W) bool, roughly where it is; a few millimetres of what lies around it do not matter.

    Returns
    -------
    float or None
        None if too few slices show it, or if it is not in the range of bone.
    """
    import torch

    rough = _first_look(values, femur)
    if rough is None:
        return None
    bone = (femur & (values > _BONE * rough) & (values < _HIGHEST_HU)).cpu().numpy()
    box = bounding_box(bone)
    deep = ndimage.binary_erosion(bone[box], iterations=_DEEP)
    within = values[box][torch.from_numpy(deep).to(values.device)]
    return float(within.median()) if within.numel() >= _LEAST_DEEP else rough


def _first_look(values, femur) -> float | None:
    found = []
    for hu, mask in zip(values, femur & (values < _HIGHEST_HU)):
        inside = hu[mask]
        if inside.numel() >= _LEAST_VOXELS:
            found.append(float(inside.float().quantile(_OF_SLICE)))
    if len(found) < _LEAST_SLICES:
        return None
    hu = float(np.quantile(found, _OF_SLICES))
    return hu / _ABOVE_MEAN if hu >= _LEAST_HU else None


def scale_bone(values, hu: float, usual: float):
    """HU above 0 scaled so that bone of ``hu`` has the usual value, by no more than 1.6: borders stay in place.

    (D, H, W) HU in and out.
    """
    factor = min(max(usual / hu, 1 / _LARGEST_FACTOR), _LARGEST_FACTOR)
    return values.clamp_max(0.0) + values.clamp_min(0.0) * factor


def usual_bone(values, grid, points, usual: float):
    """The image with the compact bone of a femur at the usual HU, or as it is where the shaft does not show it.

    Parameters
    ----------
    values : torch.Tensor
        (D, H, W) HU, slices across the shaft along D.
    grid : Grid
        Of the image.
    points : numpy.ndarray
        (n, 3) RAS mm, places of the femur at most a few millimetres apart.
    usual : float
        HU.
    """
    reach = tuple(round(_REACH_MM / s) for s in grid.spacing[::-1])
    femur = around_points(grid.shape, grid.ras_to_ijk(points)[:, ::-1], reach).to(values.device)
    hu = compact_bone_hu(values, femur)
    return values if hu is None else scale_bone(values, hu, usual)


def around_points(shape, voxels, reach):
    """The voxels near some points, such as those of a coarse mask.

    Parameters
    ----------
    shape : tuple of int
        (D, H, W).
    voxels : numpy.ndarray
        (n, 3) places (d, h, w), which may lie outside.
    reach : tuple of int
        Voxels along (D, H, W) to either side of a point.

    Returns
    -------
    torch.Tensor
        (D, H, W) bool.
    """
    import torch

    places = np.round(voxels).astype(int)
    places = places[((places >= 0) & (places < shape)).all(axis=1)]
    mask = torch.zeros(shape)
    mask[tuple(places.T)] = 1.0
    mask = mask[None, None]
    for axis, r in enumerate(reach):
        size, pad = [1, 1, 1], [0, 0, 0]
        size[axis], pad[axis] = 2 * r + 1, r
        mask = torch.nn.functional.max_pool3d(mask, size, stride=1, padding=pad)
    return mask[0, 0] > 0
