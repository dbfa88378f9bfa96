"""Fine-tuned weights and what their card says: what taught them, what was left out, and how these cases changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from .. import models
from ..fine_tuned import own_name
from .export import export_training
from .fine_tuning import RULE, FineTuningOptions, StageOutcome
from .rehearsal import EVERY, HELD_OUT_SAMPLES

_FORGETTING = 0.02  # of Dice, worth a word


def taught_with(cases, simulated: bool) -> str:
    """In a few words, for example '3 corrected cases'."""
    count = len(cases)
    return f"{count} {'simulated ' if simulated else ''}corrected case{'' if count == 1 else 's'}"


def store_outcome(
    preset, outcome: StageOutcome, label: str, cases, options: FineTuningOptions, simulated: bool, out_dir
) -> Path:
    """Write the weights and the card of a network that got better.

    Parameters
    ----------
    preset : models.Preset
        What was fine-tuned.
    outcome : StageOutcome
        With weights that are kept.
    label : str
        What the user calls the network.
    cases : list of CorrectedCase
        What taught it.
    options : FineTuningOptions
        How.
    simulated : bool
        What the card says of the cases.
    out_dir : path-like
        Where to.

    Returns
    -------
    pathlib.Path
        The weights' file.
    """
    shipped = models.card(outcome.stage)
    stage = replace(outcome.stage, weights=own_name(outcome.stage.weights, label))
    first = f"{shipped.get('trained_on', 'unknown data')}, then {taught_with(cases, simulated)}"
    data = {
        "description": f"Started from the shipped weights {outcome.stage.weights}; taught with "
        f"{taught_with(cases, simulated)}, every {EVERY}th sample a simulated one of the old look.",
        "simulated": simulated,
        "modality": preset.modality,
        "cases": [case.description for case in cases],
        "started_from": {"network": preset.name, "weights": outcome.stage.weights, "sha256": shipped.get("sha256")},
    }
    weights = export_training(
        outcome.folder,
        stage,
        data,
        out_dir,
        which="last",
        metrics=_metrics(outcome, cases),
        operating_point=outcome.operating_point,
        limits=[*limits(outcome, cases), *shipped.get("limits", ())],
        # Without the paths, which may name people.
        command=f"proximal-femur-seg fine-tune --network {preset.name} --data DATA --name {label} "
        f"--stage {stage.role} --steps {outcome.recipe.steps} --folds {options.folds} --seed {options.seed}",
    )
    path = weights.with_suffix(".json")
    entries = json.loads(path.read_text(encoding="utf-8"))
    entries["trained_on"] = first
    models.write_card(entries, path)
    return weights


def _metrics(outcome: StageOutcome, cases) -> dict:
    keep = ("case", "part", "fold", "threshold", "before", "after")
    return {
        "left_out": {
            "what": scheme(outcome, cases),
            "rule": RULE,
            "cases": [{name: row[name] for name in keep if row[name] is not None} for row in outcome.rows],
            "dice": {when: round(outcome.mean(when), 4) for when in ("before", "after")},
        },
        "old_look": {
            "what": f"Dice over {HELD_OUT_SAMPLES} simulated samples as in the first training, of hips that it did not "
            "see",
            "dice": outcome.phantoms,
        },
    }


def scheme(outcome: StageOutcome, cases) -> str:
    """How the figures of an outcome came about, in one sentence."""
    folds = max(row["fold"] for row in outcome.rows)
    if len(cases) == 1:
        return (
            "There is one case only, so nothing else could be left out than parts of itself: each half of "
            "its slices, by a training on the other half."
        )
    subjects = {case.pair.name for case in cases}
    if len(subjects) == 1:
        return "All cases are of one subject: each was left out of a training on the others."
    if folds == len(subjects):
        return "Each subject was left out of a training on the others."
    return f"The subjects were left out in {folds} groups, each of a training on the others."


def limits(outcome: StageOutcome, cases) -> list[str]:
    """What fine-tuned weights are not for."""
    subjects = len({case.pair.name for case in cases})
    said = [f"Taught by images of {subjects} subject{'' if subjects == 1 else 's'}: for images like these alone."]
    if subjects == 1:
        said.append("Measured on parts of the very subject that taught it: how it does on other people is not known.")
    if outcome.phantoms and outcome.phantoms["before"] - outcome.phantoms["after"] > _FORGETTING:
        said.append(
            f"Images like those that the shipped network was trained on it segments worse than that one does: Dice "
            f"{outcome.phantoms['after']:.3f} instead of {outcome.phantoms['before']:.3f} on simulated samples."
        )
    return said
