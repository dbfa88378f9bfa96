"""``demo``: the whole way on a sample case of the program's own making."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, print_json, print_table
from .phantom import FILES as SAMPLE_FILES
from .phantom import make
from .progress import Progress, progress_option
from .segment import print_segmentation, run_options, segment_into

DEFAULT_OUTPUT = Path("demo-output")
_METRICS = ("dice", "asd_mm", "hd95_mm", "relative_volume_error_percent")


@click.command(short_help="Make a sample hip, segment it and measure it.")
@click.option("--modality", type=click.Choice(["ct", "mr"]), default="ct", show_default=True, help="Of the sample.")
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Another seed, another patient.")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=DEFAULT_OUTPUT, show_default=True,
              help="Folder for the files; an earlier demo in it is replaced.")
@run_options
@progress_option
@json_option
def demo(modality, seed, output, device, threshold, postprocess, progress_style, as_json):
    """Simulate a hip scan, segment it, and compare the result with the exact truth.

    \b
    Written to the output folder:
      sample/   the simulated scan and its truth, as of the phantom command
      result/   maps, masks, volumes and a picture, as of the segment command
    """
    from ..output_folder import staged_output
    from ..volume_io import read_volume

    sample, result = output / "sample", output / "result"
    with Progress(progress_style) as progress:
        with staged_output(sample, SAMPLE_FILES, overwrite=True) as staging:
            progress("simulating a scan", 0, 1)
            made = make(modality, seed, "random", None, "cpu", staging)
            progress("simulating a scan", 1, 1)
        measurements = segment_into(
            result,
            lambda: read_volume(sample / "image.nii.gz"),
            True,
            progress,
            modality=modality,
            device=device,
            threshold=threshold,
            postprocess=postprocess,
        )
        progress("comparing with the truth", 0, 1)
        accuracy = compare(result, made.truth)
        progress("comparing with the truth", 1, 1)
    if as_json:
        print_json({"output": output, **measurements, "accuracy": accuracy})
        return
    click.echo(f"A simulated {modality.upper()} of a {made.parameters['side']} hip:\n")
    print_segmentation(measurements, result)
    click.echo("\nAgainst the exact truth of the simulation:")
    print_table(
        [[name, *(_text(values[metric]) for metric in _METRICS)] for name, values in accuracy.items()],
        ["", "dice", "asd mm", "hd95 mm", "volume error %"],
    )
    click.echo(f"\nThe picture to look at is '{result / 'preview.png'}'.")


def _text(value) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def compare(result: Path, truth) -> dict:
    """Metrics of a result in a folder against a phantom's truth, for every structure that was segmented.

    Parameters
    ----------
    result : pathlib.Path
        Output folder of a segmentation.
    truth : Volume
        1 trabecular, 2 cortical bone.

    Returns
    -------
    dict of str to dict
        Structure to what `evaluation.evaluate_masks` gives.
    """
    import numpy as np

    from ..evaluation import evaluate_masks
    from ..report import SEGMENTATION
    from ..volume_io import read_labels

    labels = read_labels(result / SEGMENTATION)
    structures = {"trabecular bone": (1,)}
    if (labels.array == 2).any():
        structures = {"whole bone": (1, 2), "inside the cortex": (1,)}
    return {
        name: evaluate_masks(
            labels.with_array(np.isin(labels.array, values)), truth.with_array(np.isin(truth.array, values))
        )
        for name, values in structures.items()
    }
