"""``networks``: what can be chosen, and what is known about it."""

from __future__ import annotations

import click

from .output import json_option, print_json, print_table

_STRUCTURES = {"bone": "trabecular bone", "periosteal": "whole bone", "endosteal": "inside the cortex"}


@click.command(short_help="List the networks, their papers, sizes and weights.")
@json_option
def networks(as_json):
    """List every network that can be chosen with --network, your own fine-tuned ones too.

    For each one: its name, the paper that describes it, 2D or 3D, modality, the structures it segments, its number of
    parameters, whether trained weights are here, the operating point (the probability above which a voxel is bone)
    and where the card is that says on what the weights were trained and what was measured.
    """
    from ..models import all_presets

    described = [describe(preset) for preset in all_presets()]
    if as_json:
        print_json({"networks": described})
        return
    heading = ["name", "modality", "kind", "parameters", "weights", "threshold", "paper", "segments"]
    rows = [
        [
            entry["name"],
            entry["modality"].upper(),
            entry["dimension"],
            f"{entry['parameters'] / 1e6:.2f} M",
            f"your own, from {entry['origin']}" if entry["origin"] else "here" if entry["weights_here"] else "none",
            ", ".join("-" if s["threshold"] is None else f"{s['threshold']:.3f}" for s in entry["stages"]),
            entry["paper"],
            ", ".join(s["structure"] for s in entry["stages"]),
        ]
        for entry in described
    ]
    print_table(rows, heading)
    cards = [stage["card"] for entry in described for stage in entry["stages"] if stage["card"]]
    click.echo("\nCards, which say on what the weights were trained and what was measured:" if cards else "")
    for path in cards:
        click.echo(f"  {path}")


def describe(preset) -> dict:
    """One preset as plain values.

    Parameters
    ----------
    preset : models.Preset
        Any.
    """
    from ..models import has_weights

    stages = [_describe_stage(stage) for stage in preset.stages]
    return {
        "name": preset.name,
        "title": preset.title,
        "paper": preset.paper,
        "dimension": preset.dimension,
        "modality": preset.modality,
        "parameters": sum(stage["parameters"] for stage in stages),
        "origin": preset.origin,
        "weights_here": has_weights(preset),
        "stages": stages,
    }


def _describe_stage(stage) -> dict:
    from ..errors import BadInputError
    from ..models import card, weights_path

    entry = {
        "role": stage.role,
        "structure": _STRUCTURES[stage.role],
        "architecture": stage.architecture,
        "options": stage.options,
        "parameters": count_parameters(stage.architecture, stage.options),
        "spacing_mm": stage.preprocessing.spacing_mm,
        "threshold": None,
        "card": None,
        "sha256": None,
    }
    try:
        weights = weights_path(stage)
    except BadInputError:
        return entry
    known = card(stage)
    entry["card"] = str(weights.with_suffix(".json"))
    entry["sha256"] = known.get("sha256")
    entry["threshold"] = known.get("operating_point", {}).get("threshold")
    if known.get("options", stage.options) != stage.options:  # trained by a recipe with others
        entry["options"] = known["options"]
        entry["parameters"] = count_parameters(stage.architecture, known["options"])
    return entry


def count_parameters(architecture: str, options: dict) -> int:
    """Number of trainable values of a network, found without allocating them."""
    import torch

    from ..networks import build_network

    with torch.device("meta"):
        return sum(p.numel() for p in build_network(architecture, **options).parameters())
