"""Loss and Dice over a training, drawn as in SciRep-2018, Fig. 7."""

from __future__ import annotations


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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from .figure_file import save_figure
    from .training.export import thin_curves

    curves = thin_curves(folder)
    training, validation = curves["training"], curves["validation"]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "dice")):
        axes.plot(training["step"], training[name], color="#8fb4d9", label="training")
        if validation.get(name):
            axes.plot(validation["step"], validation[name], "o-", color="#d9541a", markersize=3, label="validation")
        axes.set(xlabel="step", ylabel="Dice (DSC)" if name == "dice" else "loss")
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, path)
