"""Fine-tuning: from shipped weights and a few corrected cases to weights that fit a reader's own scanner.

For every network of a preset that the masks teach, one training leaves each case out (or, of a single case, each
half), and the network that came out is run on it as `segment` would. Only if these cases, which it had not seen, became
better by a rule that was stated before, a last training on all cases makes the weights that are kept. Nothing is chosen
on the way: all trainings have the same recipe and number of steps, and their last (averaged) weights count.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from .. import models
from ..errors import BadInputError, CancelledError
from ..evaluation.curves import ScoreHistogram
from ..networks import build_network
from .augmentation import Augmentation
from .candidate import choose_operating_point, network_as_stored, predict_case
from .corrected_cases import CorrectedCase, taught_roles
from .left_out import FOLDS, LeftOut, assign_folds, cut_in_halves, least_slices
from .margins import NONE, InnerTargets, with_slices
from .mixed_samples import MixedSamples
from .pair_cases import prepare_pairs
from .pair_data import PairSamples
from .phantom_training import phantom_recipe
from .recipe import Recipe
from .rehearsal import EVERY, bake_rehearsal_hips, prepare_rehearsal
from .stage_data import sample_shapes
from .start import read_start
from .trainer import train
from .training_log import read_log

LEAST_GAIN = 0.005
RULE = (
    f"The new weights are kept if, over what was left out, the mean Dice rises by at least {LEAST_GAIN} and more of it "
    f"gains than loses."
)
DEFAULT_STEPS, LEAST_STEPS = 300, 20
_LARGEST_PATCH = (48, 128, 128)
_TIMED_STEPS = 5
_RATE = 3e-4
# Few cases have to stand for many; and all that is not bone has to be seen, or it is taken for bone.
_AUGMENTATION = Augmentation(scale=1.15, gain=0.2, offset=0.1, bone_share=0.4)


@dataclass(frozen=True)
class FineTuningOptions:
    """How to fine-tune.

    Attributes
    ----------
    roles : tuple of str
        Networks to teach; empty means all that the masks can teach.
    steps : int or None
        Of each training; None is the default, or as many as `minutes` allows.
    minutes : float or None
        For all trainings together; fewer steps are then done on a slow machine.
    patch : tuple of int or None
        (D, H, W) voxels of a sample.
    seed : int
        Of the folds and the samples.
    folds : int
        At most so many trainings leave cases out, at least 2.
    device : str
        Where to train and segment.
    """

    roles: tuple[str, ...] = ()
    steps: int | None = None
    minutes: float | None = None
    patch: tuple[int, int, int] | None = None
    seed: int = 1
    folds: int = FOLDS
    device: str = "cpu"


@dataclass(eq=False)
class StageOutcome:
    """What fine-tuning one network gave.

    Attributes
    ----------
    stage : models.Stage
        As shipped.
    rows : list of dict
        Of everything left out: ``name``, ``case``, ``fold``, ``before`` and ``after`` (scores), ``threshold`` (chosen
        on the others).
    kept : bool
        Whether the new weights are better by `RULE`.
    operating_point : dict
        Chosen on everything left out.
    recipe : Recipe
        Of every training.
    folder : pathlib.Path or None
        Of the training on all cases, if they are kept.
    phantoms : dict or None
        Dice on simulated samples of the old look, ``before`` and ``after``, if they are kept.
    seconds : float
        For all of it.
    """

    stage: models.Stage
    rows: list[dict]
    kept: bool
    operating_point: dict
    recipe: Recipe
    folder: Path | None = None
    phantoms: dict | None = None
    seconds: float = 0.0

    def mean(self, when: str, metric: str = "dice") -> float:
        """Mean over everything left out, ``before`` or ``after``."""
        return sum(row[when][metric] for row in self.rows) / len(self.rows)


@dataclass(eq=False)
class _Job:
    """What all parts of a run share."""

    preset: models.Preset
    cases: list[CorrectedCase]
    work: Path
    hips: Path
    stages: int  # how many of them are taught
    options: FineTuningOptions
    say: object
    cancelled: object
    # By place in the list of what is left out: networks and operating points of stages taught before, by weights' stem.
    earlier: list[dict] = field(default_factory=list)


def is_better(before: list[float], after: list[float]) -> bool:
    """Whether new weights are better by `RULE`, from the Dice of everything left out."""
    gains = [b - a for a, b in zip(before, after)]
    enough = sum(gains) / len(gains) >= LEAST_GAIN - 1e-12
    return enough and sum(g > 0 for g in gains) > sum(g < 0 for g in gains)


def fine_tune(preset, cases, work, options=None, hips=None, progress=None, cancelled=None) -> list[StageOutcome]:
    """Fine-tune the networks of a preset.

    Parameters
    ----------
    preset : models.Preset
        With weights of every stage.
    cases : list of CorrectedCase
        From `corrected_cases.read_cases`.
    work : path-like
        Folder for prepared cases, trainings and simulated hips.
    options : FineTuningOptions, optional
        How.
    hips : path-like, optional
        Where simulated hips are kept from run to run (the ``phantoms`` folder of a training will do).
    progress : callable, optional
        Called with (stage, done, total).
    cancelled : callable, optional
        Asked between steps.

    Returns
    -------
    list of StageOutcome
        In the order of the stages.

    Raises
    ------
    BadInputError
        If weights are missing, a role cannot be taught by these masks, or the work folder holds another run.
    CancelledError
        If ``cancelled`` says so.
    """
    options = FineTuningOptions() if options is None else options
    for stage in preset.stages:
        models.weights_path(stage)
    roles = _check_roles(preset, cases, options.roles)
    work = Path(work)
    if any((work / role).exists() for role in roles):
        raise BadInputError(f"The work folder {work} already holds a fine-tuning; name another one, or delete it.")
    job = _Job(preset, list(cases), work, Path(hips) if hips else work / "phantoms", len(roles), options,
               progress or (lambda stage, done, total: None), cancelled or (lambda: False))
    bake_rehearsal_hips(job.hips, lambda text: job.say(f"making {text}", 0, 1))
    outcomes = []
    for stage in preset.stages:
        if stage.role in roles:
            # The card says what was trained: a recipe may have had other options than the preset.
            options_of_card = models.card(stage).get("options", stage.options)
            outcomes.append(_fine_tune_stage(job, replace(stage, options=options_of_card)))
    return outcomes


def _check_roles(preset, cases, asked) -> list[str]:
    known = [stage.role for stage in preset.stages]
    for role in asked:
        if role not in known:
            raise BadInputError(f"The network {preset.name} has no stage '{role}'; choose one of {', '.join(known)}.")
    taught = taught_roles(preset, cases)
    for role in asked:
        if role not in taught:
            raise BadInputError(
                f"Not all masks teach the stage {role}: label what lies inside the cortex 1 and cortical bone 2, or "
                f"give it a mask of its own in the column endosteal."
            )
    return [role for role in known if role in (asked or taught)]


def _fine_tune_stage(job: _Job, stage) -> StageOutcome:
    began = time.monotonic()
    options = job.options
    folder = job.work / stage.role
    shapes = sample_shapes(stage, fine_tuning_recipe(stage, 1), options.patch or _quick_patch(stage))
    seen = with_slices(shapes.patch, shapes.margins)
    start = read_start(models.weights_path(stage), stage)
    names, left_out, taught = _leave_out(job, stage, folder / "cases")
    phantoms, look = prepare_rehearsal(stage, job.hips, folder / "phantoms", seen, shapes.validation, options.seed,
                                       lambda done, total: job.say(f"simulating {stage.role} samples", done, total))

    def samples(cases, recipe):
        whole = set(cases) <= set(names)
        shape = seen if whole else _within(stage, shapes, least_slices(folder / "cases", cases))
        own = PairSamples(folder / "cases", cases, stage, shape, options.seed, recipe.augmentation)
        return InnerTargets(MixedSamples(own, phantoms, EVERY - 1, EVERY), shapes.margins)

    recipe = fine_tuning_recipe(stage, _TIMED_STEPS, options.seed)
    steps = _steps(job, stage, recipe, samples(names, recipe), start, folder / "timing", len(taught) + 1)
    recipe = fine_tuning_recipe(stage, steps, options.seed)

    def teach(cases, place, title):
        return _train(job, recipe, samples(cases, recipe), folder / place, start, f"{stage.role}, {title}")

    networks = [
        network_as_stored(stage, teach(cases, f"fold{n + 1}", f"training {n + 1} of {len(taught)}"))
        for n, cases in enumerate(taught)
    ]
    rows, operating_point, own = _measure(job, stage, left_out, networks)
    outcome = StageOutcome(
        stage, rows, is_better([row["before"]["dice"] for row in rows], [row["after"]["dice"] for row in rows]),
        operating_point, recipe,
    )
    if outcome.kept:
        job.earlier = [{**known, stage.weights: new} for known, new in zip(job.earlier, own)]
        last = teach(names, "all", "training on all cases")
        outcome.folder = folder / "all"
        shipped, kept = (network_as_stored(stage, state).to(options.device) for state in (start, last))
        outcome.phantoms = {"before": look(shipped, 0)["dice"], "after": look(kept, steps)["dice"]}
    outcome.seconds = time.monotonic() - began
    return outcome


def fine_tuning_recipe(stage, steps: int, seed: int = 1) -> Recipe:
    """The program's own recipe, but few steps at a low rate: these weights know already what a femur is."""
    return phantom_recipe(stage, steps=steps, seed=seed).replace(
        learning_rate=_RATE, warmup_steps=5, ema_decay=0.95, augmentation=_AUGMENTATION, validate_every=steps,
        checkpoint_minutes=60.0,
    )


def _quick_patch(stage) -> tuple[int, int, int] | None:
    """Parts of large windows, a step of which takes a CPU several seconds; None leaves the choice to the stage.

    Networks are run over whole windows all the same; what is measured on the cases left out decides.
    """
    frame = stage.preprocessing
    return tuple(map(min, frame.window, _LARGEST_PATCH)) if frame.exact_window else None


def _within(stage, shapes, slices: int) -> tuple[int, int, int]:
    """The shape of samples of halves with so many slices.

    Whole images are padded to the trained window at inference too; from halves in padding, a network that normalises
    over what it sees would learn brightnesses that it never meets again. Networks of slices do not look that far.
    """
    if shapes.margins is not NONE:
        return with_slices(shapes.patch, shapes.margins)
    with torch.device("meta"):
        multiple = build_network(stage.architecture, **stage.options).size_multiple[0]
    return (min(shapes.patch[0], max(1, slices // multiple) * multiple), *shapes.patch[1:])


def _leave_out(job: _Job, stage, folder: Path):
    """Names of all prepared cases, what is left out, and for every fold the names of the cases that it is taught."""
    names = []
    for done, case in enumerate(job.cases):
        job.say(f"preparing {stage.role}", done, len(job.cases))
        names.append(list(prepare_pairs([case.pair], stage, job.preset.modality, folder, cancelled=job.cancelled)))
    if len(job.cases) == 1:
        (case,) = job.cases
        halves, parts = cut_in_halves(case, stage, job.preset.modality, folder)
        left_out = [LeftOut(case, fold, halves, part=fold) for fold in range(2)]
        taught = [parts[1], parts[0]]
    else:
        folds = assign_folds(job.cases, job.options.seed, job.options.folds)
        left_out = [LeftOut(case, fold) for case, fold in zip(job.cases, folds)]
        taught = [[name for own, f in zip(names, folds) if f != fold for name in own] for fold in range(max(folds) + 1)]
    job.earlier = job.earlier or [{} for _ in left_out]
    return [name for own in names for name in own], left_out, taught


def _train(job: _Job, recipe: Recipe, samples, folder: Path, start: dict, title: str) -> dict:
    result = train(
        recipe, samples, folder, device=job.options.device, workers=0, start=start, log_every=1,
        progress=lambda entry: job.say(title, entry["step"], recipe.steps), cancelled=job.cancelled,
    )
    if not result.finished:
        raise CancelledError("The fine-tuning was cancelled; nothing was written.")
    return result.network.state_dict()


def _measure(job: _Job, stage, left_out: list[LeftOut], networks):
    """Rows, the operating point on everything left out, and for each of it the network and its own operating point."""
    usual = models.card(stage).get("operating_point") or {"threshold": 0.5}
    threshold = float(usual.get("threshold", 0.5))
    befores, afters, histograms, distances, masks = [], [], [], [], []
    for n, item in enumerate(left_out):
        def say(title, done, total, n=n):
            job.say(f"{stage.role}, measuring {n + 1} of {len(left_out)}", done, total)

        earlier = job.earlier[n]
        before = predict_case(item.case, job.preset, stage.role, earlier, job.options.device, say, job.cancelled)
        mask = item.counted(before.image.grid)
        befores.append(before.scores(counted=mask))
        del before
        new = {**earlier, stage.weights: (networks[item.fold], usual)}
        after = predict_case(item.case, job.preset, stage.role, new, job.options.device, say, job.cancelled)
        afters.append(after)
        histograms.append(after.histogram(mask))
        distances.append(after.distances(threshold, mask))
        masks.append(mask)
    rows, own = [], []
    for n, item in enumerate(left_out):
        # A threshold that the case itself had no part in choosing.
        others = [*range(n), *range(n + 1, len(left_out))]
        points = choose_operating_point(
            _pooled(histograms[o] for o in others).curve(), [distances[o] for o in others], threshold
        )
        own.append((networks[item.fold], points))
        rows.append({
            "name": item.name, "subject": item.case.pair.name, "case": item.case.number, "fold": item.fold + 1,
            "part": item.part + 1 if item.halves else None, "threshold": points["threshold"], "before": befores[n],
            "after": afters[n].scores(points["threshold"], masks[n]),
        })
    return rows, choose_operating_point(_pooled(histograms).curve(), distances, threshold), own


def _pooled(histograms) -> ScoreHistogram:
    result = ScoreHistogram()
    for histogram in histograms:
        result.include(histogram)
    return result


def _steps(job: _Job, stage, recipe: Recipe, samples, start: dict, folder: Path, trainings: int) -> int:
    """Steps of each training: what was asked for, or what the time allows."""
    options = job.options
    if options.steps is not None:
        return options.steps
    if options.minutes is None:
        return DEFAULT_STEPS
    _train(job, recipe, samples, folder, start, f"{stage.role}, timing a step")
    seconds = [entry["seconds"] for entry in read_log(folder) if "loss" in entry]
    # The first step sets things up that the others find ready.
    each = (seconds[-1] - seconds[0]) / (len(seconds) - 1)
    affordable = int(options.minutes * 60 / job.stages / trainings / max(each, 0.01))
    return max(LEAST_STEPS, min(DEFAULT_STEPS, affordable))
