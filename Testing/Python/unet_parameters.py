"""Weights and biases of the papers' U-Nets, summed layer by layer from their text."""

from __future__ import annotations


def unet_parameters(features, levels, rates=None, channels=1, dims=3, up_kernel=3):
    """Of a network with 3 x 3 (x 3) kernels, up-convolutions of another size perhaps, and two classes."""

    def conv(inputs, outputs, kernel=3):
        return kernel**dims * inputs * outputs + outputs

    total, maps = 0, channels
    for level in range(levels):
        wider = features * 2**level
        total += conv(maps, wider) + conv(wider, wider)
        maps = wider
    centre = features * 2**levels
    if rates is None:
        total += conv(maps, centre) + conv(centre, centre)
        maps = centre
    else:
        total += len(rates) * conv(maps, centre)
        maps = len(rates) * centre
    for level in reversed(range(levels)):
        narrower = features * 2**level
        total += conv(maps, narrower, up_kernel)
        total += conv(2 * narrower, narrower) + conv(narrower, narrower)
        maps = narrower
    return total + conv(maps, 2, kernel=1)
