"""k-fold cross-validation of a preset: every case is segmented by networks that have not seen it.

A folder of a cross-validation::

    folds.json                   who is in which fold, and what was asked for
    pairs/ROLE/                  the cases on the network's grid
    fold-1/ROLE/                 the training of a network: checkpoint, log, recipe
    fold-1/weights/              what came out of it, with cards
    fold-1/predictions/SUBJECT/  masks and maps of the cases held out, and the masks that are right
    table.csv                    all of these, for the cohort command

What is there already is not made again, so that a stopped cross-validation goes on.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import BadInputError
from ..phantom.generate import generate
from ..phantom.phantom_folders import make_missing
from ..whole_file import write_whole_text
from .fold_predictions import DETAILS, models_of_fold, predict_held_out
from .folds import BOTH, describe_subjects, stratified_folds
from .pair_cases import prepare_pairs
from .pair_data import split_subjects
from .pair_table import Pair, are_phantoms, find_pairs
from .processes import Processes
from .recipe_files import find_recipe
from .stage_data import split_training_data
from .stage_training import train_stage

PLAN, TABLE = "folds.json", "table.csv"
VALIDATIONS = ("fold", "inner")


@dataclass(frozen=True)
class CrossValidation:
    """What is asked for.

    Attributes
    ----------
    preset : models.Preset
        The networks.
    folder : pathlib.Path
        For everything.
    recipe : str
        Name or file, see `recipe_files.find_recipe`.
    changes : dict
        Entries of the recipe that are to be others.
    folds : int
        Their number.
    validation : str
        What a training is validated on: the ``fold`` that is held out, as in the papers, whose early stopping, best
        weights and thresholds are then chosen on the cases that are reported; or some subjects of the others
        (``inner``), so that nothing is chosen on them.
    patch : tuple of int or None
        Voxels of a sample; stands in for the recipe's.
    simulated : bool
        What the cards say of the images.
    """

    preset: object
    folder: Path
    recipe: str = "default"
    changes: dict = dataclasses.field(default_factory=dict)
    folds: int = 4
    validation: str = "fold"
    patch: tuple[int, int, int] | None = None
    simulated: bool = False

    def recipe_for(self, stage):
        """The recipe of one of the networks."""
        return find_recipe(self.recipe, stage).replace(**self.changes)


def make_phantoms(folder, modality: str, count: int, seed: int = 0, announce=None, **size) -> Path:
    """Simulated scans with exact masks, as pairs; those that are there already are not made again.

    Parameters
    ----------
    folder : path-like
        Gets a folder for each.
    modality : {'mr', 'ct'}
    count, seed : int
        How many; the first one's seed.
    announce : callable, optional
        Called with (scans done, scans in all) before each that is made.
    **size
        As for `phantom.generate.generate`.
    """
    makers = {f"phantom-{n:04d}": partial(generate, modality, n, **size) for n in range(seed, seed + count)}
    return make_missing(folder, makers, announce and (lambda name, done, total: announce(done, total)))


@dataclass(frozen=True)
class Plan:
    """Who is in which fold.

    Attributes
    ----------
    pairs : list of Pair
        All of them.
    folds : list of list of str
        Subjects.
    sides : dict of str to str
        Of each subject; see `folds.Subject`.
    """

    pairs: list[Pair]
    folds: list[list[str]]
    sides: dict[str, str]

    def held_out(self, number: int) -> list[Pair]:
        """The pairs of a fold, counted from 1."""
        return [pair for pair in self.pairs if pair.name in self.folds[number - 1]]


def plan_folds(request: CrossValidation, source, resume: bool, seed: int, progress=None) -> Plan:
    """Divide the subjects of some pairs; in a folder that goes on, the folds are those that it began with.

    Parameters
    ----------
    request : CrossValidation
        What is asked for.
    source : path-like
        Folder or table of pairs.
    resume : bool
        Whether the folder may hold a cross-validation.
    seed : int
        Of the folds.
    progress : callable, optional
        Called with (pairs looked at, pairs in all).

    Returns
    -------
    Plan

    Raises
    ------
    BadInputError
        If the folder holds a cross-validation and is not to go on with it, or it is another one; or the pairs cannot be
        used.
    """
    pairs = find_pairs(source)
    path = request.folder / PLAN
    asked = {
        "network": request.preset.name,
        "recipes": {s.role: _meaning(request.recipe_for(s)) for s in request.preset.stages},
        "folds": request.folds,
        "seed": seed,
        "validation": request.validation,
        "patch": list(request.patch) if request.patch else None,
        "pairs": [[pair.name, pair.side, str(pair.image.resolve())] for pair in pairs],
    }
    if path.exists():
        if not resume:
            raise BadInputError(
                f"{request.folder} already holds a cross-validation; resume it or choose another folder."
            )
        plan = json.loads(path.read_text(encoding="utf-8"))
        for name, value in asked.items():
            if plan["asked"][name] != value:
                raise BadInputError(
                    f"{request.folder} holds a cross-validation with other {name}; resume it with its own, or choose "
                    "another folder."
                )
        return _as_plan(pairs, plan)
    subjects = describe_subjects(pairs, request.preset.stages[0].role, progress)
    folds = stratified_folds(subjects, request.folds, seed)
    request.folder.mkdir(parents=True, exist_ok=True)
    plan = {"asked": asked, "subjects_of_fold": folds, "subjects": [dataclasses.asdict(s) for s in subjects],
            "stratified_by": ["side", "bone_mm3"]}
    write_whole_text(path, json.dumps(plan, indent=2) + "\n")
    return _as_plan(pairs, plan)


def _as_plan(pairs, entries: dict) -> Plan:
    return Plan(pairs, entries["subjects_of_fold"], {s["name"]: s["side"] for s in entries["subjects"]})


def _meaning(recipe) -> dict:
    """What decides a training's result; its budget may change."""
    return {name: value for name, value in recipe.to_dict().items() if name not in ("minutes", "checkpoint_minutes")}


def run_folds(request: CrossValidation, plan: Plan, workers: int = 1, processes: Processes | None = None,
              progress=None, cancelled=None) -> bool:
    """Train the networks of every fold and segment what was held out.

    Parameters
    ----------
    request : CrossValidation
        What is asked for.
    plan : Plan
        From `plan_folds`.
    workers : int
        Processes that prepare samples.
    processes : Processes, optional
        Those that train together; the first one predicts.
    progress : callable, optional
        Called with (stage, done, total).
    cancelled : callable, optional
        Asked at every step of a training; then it can be gone on with.

    Returns
    -------
    bool
        False if it was cancelled before its end.
    """
    processes = processes or Processes()
    progress = progress or (lambda stage, done, total: None)
    request = dataclasses.replace(request, simulated=request.simulated or are_phantoms(plan.pairs))
    subjects = {}
    for stage in request.preset.stages if processes.first else ():
        title = f"preparing {stage.role}"
        subjects[stage.role] = prepare_pairs(
            plan.pairs, stage, request.preset.modality, _prepared(request, stage),
            lambda done, total, title=title: progress(title, done, total),
        )
    subjects = processes.from_first(subjects)
    for number in range(1, len(plan.folds) + 1):
        for stage in request.preset.stages:
            fold = _Fold(request, stage, number, plan.folds[number - 1], subjects[stage.role])
            if not fold.train(workers, processes, progress, cancelled):
                return False
        if processes.first:
            _predict_fold(request, plan, number, str(processes.device), progress)
    return True


def _prepared(request, stage) -> Path:
    return request.folder / "pairs" / stage.role


def fold_folder(request: CrossValidation, number: int) -> Path:
    """Folder of a fold, counted from 1."""
    return request.folder / f"fold-{number}"


class _Fold:
    """One network of one fold."""

    def __init__(self, request, stage, number, held_out, subjects):
        self.request, self.stage, self.number, self.held_out, self.subjects = request, stage, number, held_out, subjects
        self.folder = fold_folder(request, number)
        self.weights = self.folder / "weights"

    def train(self, workers, processes, progress, cancelled) -> bool:
        """Train it, unless that is done; False if it was cancelled."""
        # The card is written last.
        if processes.from_first((self.weights / f"{self.stage.weights}.json").is_file()):
            return True
        recipe = self.request.recipe_for(self.stage)
        data = self._data(recipe)

        def report(entry):
            share = recipe.share_done(entry["step"], entry["seconds"], data.epoch)
            progress(f"fold {self.number} of {self.request.folds}, {self.stage.role}", share, 1)

        stage = dataclasses.replace(self.stage, options=recipe.options)
        result, _ = train_stage(stage, data, recipe, self.folder / stage.role, self.weights, True, processes.device,
                                workers, report, cancelled, processes=processes)
        return result.finished

    def _data(self, recipe):
        request = self.request
        training = sorted(set(self.subjects.values()) - set(self.held_out))
        validation = self.held_out
        if request.validation == "inner":
            training, validation = split_subjects(training, seed=recipe.seed)
        data = split_training_data(self.stage, _prepared(request, self.stage), self.subjects, training, validation,
                                   request.simulated, request.patch, recipe.seed, recipe)
        inner = request.validation == "inner"
        data.description["fold"] = f"{self.number} of {request.folds}"
        data.description["validated_on"] = "subjects of the other folds" if inner else "the fold that is held out"
        return data


def case_name(pair: Pair) -> str:
    """A name for the case that no other has: of one subject there may be two, one for each side."""
    return f"{pair.name}-{pair.side}" if pair.side else pair.name


def _predict_fold(request, plan, number, device, progress) -> None:
    pairs = plan.held_out(number)
    postprocess = "none" if shows_postprocessing(request, plan) else "auto"
    title = f"fold {number} of {request.folds}, predicting"
    models = None
    for done, pair in enumerate(pairs):
        progress(title, done, len(pairs))
        place = fold_folder(request, number) / "predictions" / case_name(pair)
        if not (place / DETAILS).is_file():
            shutil.rmtree(place, ignore_errors=True)
            models = models or models_of_fold(request.preset, fold_folder(request, number) / "weights")
            predict_held_out(pair, request.preset, models, place, postprocess, device)
    progress(title, len(pairs), len(pairs))


def shows_postprocessing(request, plan) -> bool:
    """Whether masks are left as they are and the report shows them before and after the largest component was kept
    (SciRep-2018, Table 2): of MR networks, where no image shows two femora."""
    return request.preset.modality == "mr" and BOTH not in plan.sides.values()


def write_case_table(request: CrossValidation, plan: Plan) -> Path:
    """The table of all held-out cases, for `evaluation.cohort_rows.read_cohort_table`."""
    rows = []
    several = len(request.preset.stages) > 1
    for number in range(1, len(plan.folds) + 1):
        for pair in plan.held_out(number):
            place = Path(f"fold-{number}") / "predictions" / case_name(pair)
            for stage in request.preset.stages:
                rows.append({
                    "subject": case_name(pair),
                    "model": request.preset.name,
                    "structure": stage.role if several else "",
                    "fold": str(number),
                    "reference": (place / f"{stage.role}-reference.nii.gz").as_posix(),
                    "result": (place / f"{stage.role}.nii.gz").as_posix(),
                    "probability": (place / f"{stage.role}-probability.nii.gz").as_posix(),
                    "image": os.path.abspath(pair.image),
                })
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_whole_text(request.folder / TABLE, text.getvalue())
    return request.folder / TABLE
