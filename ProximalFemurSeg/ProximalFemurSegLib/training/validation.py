"""Validation on a fixed set of samples."""

from __future__ import annotations

import torch

from ..cpu_tuning import bf16_is_fast


class DiceValidation:
    """Dice and loss over samples ``first`` to ``first + count - 1`` of a data set, kept in memory.

    Parameters
    ----------
    dataset : object
        With ``sample(index)`` as in `trainer.train`; give it indices that the training never reaches, or a data set
        of its own.
    count, first : int
        How many samples, and the index of the first.
    """

    def __init__(self, dataset, count: int, first: int = 0):
        self._samples = [dataset.sample(index) for index in range(first, first + count)]

    @torch.inference_mode()
    def __call__(self, network, step: int) -> dict:
        """Score the network: the hard Dice of each foreground class over the voxels of all samples together.

        A mean of the samples' own values would hang on those with hardly any bone, where a few voxels decide.
        """
        device = next(network.parameters()).device
        low = device.type == "cuda" or (device.type == "cpu" and bf16_is_fast())
        per_class, losses = {}, []
        for image, target in self._samples:
            image = torch.as_tensor(image)[None].to(device, memory_format=torch.channels_last_3d)
            target = torch.as_tensor(target)[None].to(device).long()
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                logits = network(image)
            losses.append(float(torch.nn.functional.cross_entropy(logits.float(), target)))
            result = logits.argmax(dim=1)
            for label in range(1, logits.shape[1]):
                truth, found = target == label, result == label
                size = int(truth.sum()) + int(found.sum())
                overlaps, sizes = per_class.get(label, (0, 0))
                per_class[label] = overlaps + 2 * int((truth & found).sum()), sizes + size
        means = {label: overlap / size for label, (overlap, size) in sorted(per_class.items()) if size}
        scores = {f"dice_{label}": round(value, 6) for label, value in means.items()} if len(means) > 1 else {}
        return {"dice": round(sum(means.values()) / len(means), 6) if means else 0.0, **scores,
                "cross_entropy": round(sum(losses) / len(losses), 6)}
