"""Legends of colours in the views, where the application has them."""

from __future__ import annotations

import slicer


def add_legend(display, title: str, visible: bool = True) -> None:
    """Give what a display node colours a legend at the right of its views, or another title to that which it has."""
    if not hasattr(slicer, "vtkSlicerColorLogic"):
        return
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(display)
    if legend is not None:
        legend.SetTitleText(title)
        legend.SetVisibility(visible)
        legend.SetLabelFormat("%.3g")
        # Its letters grow with it; Slicer's own size covers the bone in a small view.
        legend.SetSize(0.1, 0.35)
        legend.SetPosition(0.98, 0.5)


def show_legend(display, visible: bool) -> None:
    """Show the legend of a display node or not: it would stay in slices that the volume was taken from."""
    legend = _legend(display)
    if legend is not None:
        legend.SetVisibility(visible)


def renew_legend(display) -> None:
    """Have the views draw the legend of a display node, if it has one: they look what it belongs to when it changes."""
    legend = _legend(display)
    if legend is not None:
        legend.Modified()


def _legend(display):
    if not hasattr(slicer, "vtkSlicerColorLogic"):
        return None
    return slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display)
