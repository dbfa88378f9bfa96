"""Validation on a fixed set of samples."""

from __future__ import annotations

import torch

from ..cpu_tuning import bf16_is_fast


class DiceValidation:
    """Dice, accuracy and loss over samples ``first`` to ``first + count - 1`` of a data set, kept in memory.

    Parameters
    ----------
    dataset : object
        With ``sample(index)`` as in `trainer.train`; give it indices that the training never reaches, or a data set
        of its own.
    count, first : int
        How many samples, and the index of the first.
    loss : callable or None
        The training's loss, ``loss(logits, target)``, to be looked at beside it.
    """

    def __init__(self, dataset, count: int, first: int = 0, loss=None):
        samples = (dataset.sample(index) for index in range(first, first + count))
        # Whole scans of a fold have to fit into memory together.
        self._samples = [(image, torch.as_tensor(target).to(torch.uint8)) for image, target in samples]
        self._loss = loss

    @torch.inference_mode()
    def __call__(self, network, step: int) -> dict:
        """Score the network: the hard Dice of each foreground class over the voxels of all samples together.

        A mean of the samples' own values would hang on those with hardly any bone, where a few voxels decide. The
        accuracy is the share of all voxels that are right, losses are means over the samples.
        """
        device = next(network.parameters()).device
        low = device.type == "cuda" or (device.type == "cpu" and bf16_is_fast())
        per_class, losses, own_losses, right, voxels = {}, [], [], 0, 0
        for image, target in self._samples:
            image = torch.as_tensor(image)[None].to(device, memory_format=torch.channels_last_3d)
            target = target[None].to(device).long()
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                logits = network(image)
            losses.append(float(torch.nn.functional.cross_entropy(logits.float(), target)))
            if self._loss:
                own_losses.append(float(self._loss(logits, target)))
            result = logits.argmax(dim=1)
            right, voxels = right + int((result == target).sum()), voxels + target.numel()
            for label in range(1, logits.shape[1]):
                truth, found = target == label, result == label
                size = int(truth.sum()) + int(found.sum())
                overlaps, sizes = per_class.get(label, (0, 0))
                per_class[label] = overlaps + 2 * int((truth & found).sum()), sizes + size
        means = {label: overlap / size for label, (overlap, size) in sorted(per_class.items()) if size}
        scores = {f"dice_{label}": round(value, 6) for label, value in means.items()} if len(means) > 1 else {}
        own = {"loss": round(sum(own_losses) / len(own_losses), 6)} if self._loss else {}
        # Early stopping looks for gains of 1e-4, so the accuracy keeps all its digits.
        return {"dice": round(sum(means.values()) / len(means), 6) if means else 0.0, **scores,
                "accuracy": right / voxels, "cross_entropy": round(sum(losses) / len(losses), 6), **own}
