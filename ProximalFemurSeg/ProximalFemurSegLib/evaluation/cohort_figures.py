"""The papers' figures of a cohort, for the colour-blind and for grey prints: each model has its colour and its mark."""

from __future__ import annotations

import io
import math
from itertools import chain, count

import numpy as np

from .cohort import Cohort
from .cohort_tables import metric_title, named, region_title, volume_groups
from .figure_looks import BEYOND, Look, looks_of, shorten_axis
from .mean_curves import FALSE_POSITIVE_RATES, RECALLS, mean_curve
from .statistics import summarise

_MOST_COLUMNS = 3
_GOOD_AREA = 0.97  # under ROC curves that leave the middle of the axes empty
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.edgecolor": "#666666",
    "svg.fonttype": "path",
    "svg.hashsalt": "proximal-femur-seg",
}


def draw_figures(cohort: Cohort) -> dict[str, tuple[str, str, dict[str, bytes]]]:
    """All figures that the cohort has data for.

    Returns
    -------
    dict
        Name to title, caption, and the bytes of a ``png`` and an ``svg``.
    """
    import matplotlib

    drawn = {}
    with matplotlib.rc_context(_STYLE):
        for structure, ending in _endings(cohort.structures).items():
            for name, draw in _drawings().items():
                made = draw(cohort, structure)
                if made is not None:
                    title, caption, figure = made
                    drawn[name + ending] = title + named(structure), caption, _saved(figure)
    return drawn


def figure_names(structures) -> list[str]:
    """Names of all figures that a cohort may have.

    Parameters
    ----------
    structures : iterable of str
        Those of the cases that are reported, in their order.
    """
    return [name + ending for ending in _endings(structures).values() for name in _drawings()]


def _drawings():
    return {
        "curves": _curves,
        "box-plots": _boxes,
        "dice-per-case": _dice_per_case,
        "volume-errors": _volume_errors,
        "bland-altman": _bland_altman,
    }


def _endings(structures) -> dict[str, str]:
    """What the names of each structure's figures end in; those that differ only in signs get a number."""
    endings: dict[str, str] = {}
    for structure in structures:
        if structure in endings:
            continue
        plain = f"-{_slug(structure)}" if structure else ""
        numbers = (f"{plain}-{number}" for number in count(2))
        endings[structure] = next(name for name in chain([plain], numbers) if name not in endings.values())
    return endings


def _slug(text: str) -> str:
    return "-".join("".join(c if c.isalnum() and c.isascii() else " " for c in text.lower()).split()) or "structure"


def _figure(width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _saved(figure) -> dict[str, bytes]:
    files = {}
    for kind, options in (("png", {"dpi": 200}), ("svg", {"metadata": {"Date": None}})):
        stream = io.BytesIO()
        figure.savefig(stream, format=kind, **options)
        files[kind] = stream.getvalue()
    return files


def _models(cohort: Cohort, structure: str) -> list[tuple[Look, str]]:
    """Models of a structure, with their look in all figures."""
    return [(look, model) for model, look in looks_of(cohort.models).items() if cohort.of(structure, model)]


def _curves(cohort: Cohort, structure: str):
    """Mean ROC and precision-recall curves (SciRep-2018, Fig. 2)."""
    found = {
        model: cohort.curves[structure, model]
        for _, model in _models(cohort, structure)
        if cohort.curves.get((structure, model))
    }
    if not found:
        return None
    figure = _figure(9.2, 4.3)
    roc, pr = figure.subplots(1, 2)
    shown = [(look, model, mean_curve(found[model])) for look, model in _models(cohort, structure) if model in found]
    for look, model, mean in shown:
        auc, ap = summarise(mean.roc_auc), summarise(mean.average_precision)
        roc.plot(FALSE_POSITIVE_RATES, mean.recall, label=f"{model} (AUC {_with_sd(auc, 4)})", **look.line)
        pr.plot(RECALLS, mean.precision, label=f"{model} (AP {_with_sd(ap, 3)})", **look.line)
        if len(found[model]) > 1:
            for axes, x, y, sd in (
                (roc, FALSE_POSITIVE_RATES, mean.recall, mean.recall_sd),
                (pr, RECALLS, mean.precision, mean.precision_sd),
            ):
                axes.fill_between(x, np.clip(y - sd, 0, 1), np.clip(y + sd, 0, 1), color=look.color, alpha=0.15, lw=0)
    roc.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8)
    roc.set(xlabel="false positive rate (1 − specificity)", ylabel="true positive rate (sensitivity)", title="ROC")
    pr.set(xlabel="recall", ylabel="precision", title="Precision-recall")
    for axes, place in ((roc, "lower right"), (pr, "lower left")):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
        axes.legend(loc=place, fontsize=7.5, framealpha=0.9)
    enlarged = min(mean.roc_auc.mean() for *_, mean in shown) > _GOOD_AREA
    if enlarged:
        # Bone is a small part of a scan, and curves differ only in a corner.
        roc_curves = [(look, FALSE_POSITIVE_RATES, mean.recall) for look, _, mean in shown]
        pr_curves = [(look, RECALLS, mean.precision) for look, _, mean in shown]
        _enlarge(roc, [0.4, 0.42, 0.5, 0.4], roc_curves, {"xlim": (0, 0.02), "ylim": (0.8, 1.005)})
        _enlarge(pr, [0.2, 0.38, 0.5, 0.44], pr_curves, {"xlim": (0.8, 1.005), "ylim": (0.8, 1.005)})
    most = max(len(curves) for curves in found.values())
    caption = (
        f"Mean ROC and precision-recall curves over {most} {cohort.curve_unit}, with one standard deviation shaded; "
        "AUC and AP in the legend as mean ± standard deviation."
        + (" The small axes enlarge the corners that are framed." if enlarged else "")
    )
    return "ROC and precision-recall curves", caption, figure


def _enlarge(axes, place, curves, limits) -> None:
    """A corner of the axes once more, larger."""
    corner = axes.inset_axes(place)
    for look, x, y in curves:
        corner.plot(x, y, **look.line)
    corner.set(**limits)
    corner.tick_params(labelsize=6.5)
    made = axes.indicate_inset_zoom(corner, edgecolor="#888888")
    # matplotlib before 3.10 gives a pair.
    for line in made.connectors if hasattr(made, "connectors") else made[1]:
        line.set_visible(False)


def _with_sd(summary, digits: int) -> str:
    return f"{summary.mean:.{digits}f}" + ("" if math.isnan(summary.sd) else f" ± {summary.sd:.{digits}f}")


def _boxes(cohort: Cohort, structure: str):
    """Box plots of DSC, precision, recall and ASD (SciRep-2018, Fig. 3)."""
    models = _models(cohort, structure)
    figure = _figure(9.2, 2.6 + 0.12 * max(len(m) for _, m in models) * (len(models) > 3))
    keys = ("dice", "precision", "recall", "asd_mm")
    beyond = False
    for axes, key in zip(figure.subplots(1, len(keys)), keys):
        drawn = []
        for place, (look, model) in enumerate(models):
            values = [case[key] for case in cohort.of(structure, model) if case[key] is not None]
            if not values:
                continue
            color = {"color": look.color}
            axes.boxplot(
                [values],
                positions=[place],
                widths=0.55,
                showmeans=True,
                showfliers=False,
                medianprops={**color, "linewidth": 1.8},
                boxprops=color,
                whiskerprops=color,
                capprops=color,
                meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 4},
            )
            # Spread evenly by rank, so that the picture is the same every time.
            spread = (np.argsort(np.argsort(values)) * 0.618 % 1 - 0.5) * 0.36
            axes.plot(place + spread, values, linestyle="none", markersize=3, alpha=0.55, **look.mark)
            drawn.append((look, place + spread, values))
        axes.set(title=metric_title(key), xticks=range(len(models)), xlim=(-0.6, len(models) - 0.4))
        labels = axes.set_xticklabels([model for _, model in models])
        if len(models) > 3 or max(len(m) for _, m in models) > 12:
            for label in labels:
                label.set(rotation=35, ha="right", rotation_mode="anchor")
        axes.grid(axis="x", visible=False)
        beyond |= shorten_axis(axes, drawn, from_zero=key == "asd_mm")
    caption = (
        "Boxes from the lower to the upper quartile with the median; whiskers to the farthest case within 1.5 times "
        "the interquartile range; diamonds are means, small marks single cases."
    )
    return "Box plots", caption + (f" {BEYOND}" if beyond else ""), figure


def _dice_per_case(cohort: Cohort, structure: str):
    """DSC of every case with the mean across (ISMRM-2017, Fig. 4)."""
    models = _models(cohort, structure)
    subjects = list(dict.fromkeys(case["subject"] for case in cohort.cases if case["structure"] == structure))
    first = {case["subject"]: case["dice"] for case in cohort.of(structure, models[0][1])}
    subjects.sort(key=lambda name: first.get(name, -1.0))
    at = {subject: n + 1 for n, subject in enumerate(subjects)}
    figure = _figure(9.2, 3.2)
    axes = figure.subplots()
    drawn = []
    for look, model in models:
        cases = cohort.of(structure, model)
        places, values = [at[case["subject"]] for case in cases], [case["dice"] for case in cases]
        mean = summarise(values).mean
        size = 7 if look.hollow else 5
        axes.plot(places, values, linestyle="none", markersize=size, label=f"{model} (mean {mean:.3f})", **look.mark)
        axes.axhline(mean, **look.line)
        drawn.append((look, places, values))
    axes.set(xlabel=f"case, in the order of the DSC of {models[0][1]}", ylabel="DSC", xlim=(0.3, len(subjects) + 0.7))
    if len(subjects) <= 40:
        axes.set_xticks(range(1, len(subjects) + 1), subjects, rotation=60, ha="right", fontsize=7)
    axes.grid(axis="x", visible=False)
    caption = "Each mark is a case; lines are the means over all cases."
    if shorten_axis(axes, drawn):
        caption += f" {BEYOND}"
    _legend(figure, axes)
    return "DSC of every case", caption, figure


def _legend(figure, axes) -> None:
    """Below everything, so that it hides no mark."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)


def _region_panels(cohort: Cohort, structure: str):
    """A figure with one panel a region, and what belongs into each: (axes, [(number, model, volumes), ...])."""
    groups = {key[1:]: found for key, found in volume_groups(cohort).items() if key[0] == structure}
    regions = list(dict.fromkeys(region for region, _ in groups))
    if not any((found.reference_mm3 > 0).any() for found in groups.values()):
        return None
    columns = min(_MOST_COLUMNS, len(regions))
    rows = math.ceil(len(regions) / columns)
    figure = _figure(max(5.2, 3.1 * columns), 2.9 * rows + 0.5)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[len(regions) :]:
        unused.set_visible(False)
    looks = looks_of(cohort.models)
    panels = []
    for panel, region in zip(axes, regions):
        panel.set_title(_wrapped(region_title(structure, region)), fontsize=9)
        entries = [(looks[model], model, found) for (name, model), found in groups.items() if name == region]
        panels.append((panel, entries))
    return figure, panels, columns


def _volume_errors(cohort: Cohort, structure: str):
    """Relative error against volume (QCT-2021, Fig. 8)."""
    made = _region_panels(cohort, structure)
    if made is None:
        return None
    figure, panels, columns = made
    beyond = False
    for place, (axes, entries) in enumerate(panels):
        drawn = []
        for look, model, found in entries:
            x, y, size = found.reference_mm3 / 1000, found.relative_percent, 6 if look.hollow else 4.5
            axes.plot(x, y, linestyle="none", markersize=size, label=model, **look.mark)
            defined = np.isfinite(y)
            drawn.append((look, x[defined], y[defined]))
        axes.set_xlabel("reference volume (cm³)")
        if place % columns == 0:
            axes.set_ylabel("relative error (%)")
        beyond |= shorten_axis(axes, drawn, from_zero=True)
    _legend(figure, panels[0][0])
    return "Relative error of volumes", "Each mark is a subject." + (f" {BEYOND}" if beyond else ""), figure


def _bland_altman(cohort: Cohort, structure: str):
    """Differences of volumes against their means."""
    made = _region_panels(cohort, structure)
    if made is None:
        return None
    figure, panels, columns = made
    for place, (axes, entries) in enumerate(panels):
        axes.axhline(0, color="#999999", linewidth=0.7)
        for look, model, found in entries:
            mean, difference = (found.result_mm3 + found.reference_mm3) / 2000, found.differences_mm3 / 1000
            size = 6 if look.hollow else 4.5
            axes.plot(mean, difference, linestyle="none", markersize=size, label=model, **look.mark)
            if look.hollow:
                continue  # most of its lines would lie on those of the model itself
            axes.axhline(found.bias_mm3 / 1000, color=look.color, linewidth=1.2)
            for limit in found.limits_of_agreement_mm3:
                if math.isfinite(limit):
                    axes.axhline(limit / 1000, color=look.color, linewidth=0.9, linestyle="--")
        axes.set_xlabel("mean of result and reference (cm³)")
        if place % columns == 0:
            axes.set_ylabel("result − reference (cm³)")
    _legend(figure, panels[0][0])
    caption = "Each mark is a subject; solid lines are the bias, dashed lines the 95 % limits of agreement."
    if any(look.hollow for _, entries in panels for look, *_ in entries):
        caption += " After post-processing (hollow marks) they are in the table."
    return "Agreement of volumes (Bland-Altman)", caption, figure


def _wrapped(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text[:1].upper() + text[1:], 26))
