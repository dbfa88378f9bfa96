"""A fine-tuning as a picture: every case before and after, and the curves of the training."""

from __future__ import annotations


def draw_fine_tuning(outcome, path, title: str) -> None:
    """Draw what was left out, before and after, beside the loss of the training on all cases.

    Parameters
    ----------
    outcome : training.fine_tuning.StageOutcome
        With weights that are kept.
    path : path-like
        .png, .svg or .pdf.
    title : str
        Above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from .figure_file import save_figure
    from .training.export import thin_curves

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    cases, loss = figure.subplots(1, 2)
    for row in outcome.rows:
        cases.plot([0, 1], [row["before"]["dice"], row["after"]["dice"]], "o-", color="#8fb4d9")
    cases.plot([0, 1], [outcome.mean("before"), outcome.mean("after")], "o-", color="#d9541a", linewidth=2.5,
               label="mean")
    cases.set(xticks=[0, 1], xticklabels=["before", "after"], xlim=(-0.3, 1.3), ylabel="Dice (DSC), left out")
    cases.legend()
    training = thin_curves(outcome.folder)["training"]
    loss.plot(training["step"], training["loss"], color="#8fb4d9")
    loss.set(xlabel="step", ylabel="loss, training on all cases")
    for axes in (cases, loss):
        axes.grid(alpha=0.3)
    save_figure(figure, path)
