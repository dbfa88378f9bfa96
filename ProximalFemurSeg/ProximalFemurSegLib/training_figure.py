"""Loss, accuracy and Dice over trainings, drawn as in SciRep-2018, Fig. 7."""

from __future__ import annotations

from pathlib import Path

_PANELS = (("loss", "loss"), ("accuracy", "accuracy"), ("dice", "Dice (DSC)"))
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999933", "#882255", "#44aa99", "#555555",
)


def draw_training_curves(folder, path, title: str) -> None:
    """Write the curves of a training as a picture.

    Parameters
    ----------
    folder : path-like
        Of the training; its log is read.
    path : path-like
        .png, .svg or .pdf.
    title : str
        Above the picture.
    """
    from .figure_file import save_figure
    from .training.export import thin_curves

    curves = thin_curves(folder)
    figure, (row,) = _figure(1, title)
    for axes, (name, label) in zip(row, _PANELS):
        _draw(axes, curves["training"], name, color="#8fb4d9", label="training")
        _draw(axes, curves["validation"], name, color="#d9541a", label="validation", marker="o", markersize=3)
        _finish(axes, label, curves["training"])
    save_figure(figure, path)


def draw_fold_curves(folders, path, title: str) -> list[Path]:
    """Write the curves of all folds of a cross-validation as one picture, in PNG and SVG.

    Parameters
    ----------
    folders : mapping of str to list of path-like
        For each network of a cascade the trainings of its folds.
    path : path-like
        Without ending.
    title : str
        Above the picture.

    Returns
    -------
    list of pathlib.Path
        The two files.
    """
    from matplotlib.lines import Line2D

    from .figure_file import save_figure
    from .training.export import thin_curves

    figure, rows = _figure(len(folders), title)
    for (role, trainings), row in zip(folders.items(), rows):
        for number, folder in enumerate(trainings):
            curves, colour = thin_curves(folder), _COLOURS[number % len(_COLOURS)]
            for axes, (name, _) in zip(row, _PANELS):
                _draw(axes, curves["training"], name, color=colour, alpha=0.45, linewidth=0.8, linestyle="--")
                _draw(axes, curves["validation"], name, color=colour, label=f"fold {number + 1}")
        for axes, (_, label) in zip(row, _PANELS):
            _finish(axes, f"{role}: {label}" if len(folders) > 1 else label, curves["training"])
    kinds = [Line2D([], [], color="#444444", linestyle=style, label=name)
             for style, name in (("--", "training"), ("-", "validation"))]
    lines, names = rows[0][0].get_legend_handles_labels()
    for axes in (axes for row in rows for axes in row):
        if axes.get_legend():
            axes.get_legend().remove()
    figure.legend(handles=[*lines, *kinds], labels=[*names, "training", "validation"], loc="outside lower center",
                  ncols=min(8, len(lines) + 2), frameon=False, fontsize=8)
    written = []
    for kind in ("png", "svg"):
        written.append(Path(f"{path}.{kind}"))
        save_figure(figure, written[-1])
    return written


def _figure(rows: int, title: str):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.6 + 3.1 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    return figure, figure.subplots(rows, len(_PANELS), squeeze=False)


def _draw(axes, curve: dict, name: str, **style) -> None:
    """A line over epochs, or over steps where they were not counted; values that are not there leave gaps."""
    values = curve.get(name)
    if values and any(value is not None for value in values):
        axes.plot(curve.get("epoch", curve["step"]), [float("nan") if v is None else v for v in values], **style)


def _finish(axes, label: str, curve: dict) -> None:
    axes.set(xlabel="epoch" if "epoch" in curve else "step", ylabel=label)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
