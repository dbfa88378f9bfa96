"""``segment``: from an image to maps, masks, volumes and a picture."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, overwrite_option, print_json, print_table
from .progress import Progress, progress_option


class Threshold(click.ParamType):
    """A probability between 0 and 1, or the name of a way to find one."""

    name = "model|otsu|roc|youden|VALUE"
    methods = ("model", "otsu", "roc", "youden")

    def convert(self, value, parameter, context):
        if isinstance(value, float) or value in self.methods:
            return value
        try:
            number = float(value)
        except ValueError:
            self.fail(f"'{value}' is neither a number nor one of {', '.join(self.methods)}.", parameter, context)
        if not 0 < number < 1:
            self.fail(f"{number:g} is no probability between 0 and 1.", parameter, context)
        return number




def _checked_steps(context, parameter, value):
    """Refuse unknown steps before anything is read."""
    from ..postprocessing import postprocess_steps

    postprocess_steps(value)
    return value


def run_options(command):
    """The options that say how a network is run; ``demo`` has them too."""
    for option in (
        click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]|mps",
                     help="Processor for the networks; auto is a GPU that works, else the CPU."),
        click.option("--threshold", type=Threshold(), default="model", show_default=True, metavar=Threshold.name,
                     help="Probability (0 to 1) above which a voxel is bone: the operating point on the network's card "
                     "(model), Otsu's threshold of this probability map (otsu), the point of the ROC curve nearest to "
                     "its corner (roc) or with the highest Youden index (youden), or a number."),
        click.option("--postprocess", default="auto", show_default=True, metavar="auto|none|STEP,...",
                     callback=_checked_steps,
                     help="What is done to the mask of each femur: auto is largest,fill; none leaves it as it is; or "
                     "steps in their order, of largest (keep the largest connected piece), fill (holes), small=MM3 "
                     "(remove pieces below a volume in mm3), open=MM (open with a ball of a radius in mm)."),
    ):
        command = option(command)
    return command


@click.command(short_help="Segment a hip MR or CT.")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option("--network", default="auto", show_default=True, metavar="NAME",
              help="One of `proximal-femur-seg networks`; auto is the best one for the modality.")
@click.option("--modality", type=click.Choice(["auto", "mr", "ct"]), default="auto", show_default=True,
              help="What the image is; auto decides by the header, else by the values, and says so.")
@click.option("--side", type=click.Choice(["auto", "left", "right", "both"]), default="auto", show_default=True,
              help="Which femur to segment, the patient's left or right; auto is every one in view.")
@run_options
@click.option("--borders", type=click.Choice(["auto", "profiles", "network"]), default="auto", show_default=True,
              help="Where a CT's cortex begins and ends: where the network has it (network), or moved, by 0.4 mm at "
              "most, to where the profiles of HU across the cortex have it (profiles), which takes a few seconds more; "
              "auto does so for every CT whose cortex a network finds, and says by how much.")
@click.option("--uncertainty", type=click.Choice(["entropy", "variants", "folds"]),
              help="Also write where the result is uncertain, as a map in bits, 0 to 1: the entropy of the "
              "probability; or that of the mean over the image, its mirror image and shifted ones (variants), which "
              "takes four times as long; or the spread between the weights of several folds (folds). The last two make "
              "the mean the probability map. Folds are those of `cross-validate`: name its folder in "
              "PROXIMAL_FEMUR_SEG_MODELS.")
@click.option("--series", "series_uid", metavar="UID", help="Which DICOM series, where a folder holds several.")
@overwrite_option
@progress_option
@json_option
def segment(image, output, network, series_uid, overwrite, progress_style, as_json, **options):
    """Segment the proximal femur in IMAGE.

    IMAGE is a .nii, .nii.gz, .nrrd, .mha or .mhd file (CT in Hounsfield units) or a folder with a DICOM series; any
    orientation, voxel size and field of view.

    \b
    Written to the output folder, all on the image's own grid:
      probability.nii.gz    bone probability, 0 to 1, float32 (CT: of the whole bone)
      probability-endosteal.nii.gz
                            CT: probability of the inside of the cortex
      segmentation.nii.gz   labels: 1 trabecular bone (MR: the bone), 2 cortical
                            bone; 11 and 12 those of the second femur
      segmentation.json     what each label is, and on which side
      uncertainty.nii.gz    with --uncertainty: where not to trust them
      measurements.json     volumes in mm3 and cm3, marked incomplete where bone
                            goes on beyond the image; network, weights checksum,
                            threshold, device, times in seconds
      measurements.csv      the same volumes as a table
      preview.png           three sections with contours and probability
    """
    from ..volume_io import read_volume

    with Progress(progress_style) as progress:
        measurements = segment_into(
            output,
            lambda: read_volume(image, series_uid),
            overwrite,
            progress,
            preset=network,
            **options,
        )
    if as_json:
        print_json({"output": output, **measurements})
    else:
        print_segmentation(measurements, output)


def segment_into(output: Path, read, overwrite: bool, progress, uncertainty: str | None = None, **options) -> dict:
    """Read an image, segment it, and write the results to a folder, all of them or none.

    Parameters
    ----------
    output : pathlib.Path
        For the results.
    read : callable
        Gives the image; called once it is certain that the results can be written.
    overwrite : bool
        Replace an earlier result.
    progress : callable
        Called with (stage, done, total).
    uncertainty : str, optional
        Where it is to come from, as for `inference.segment`; without it no map of it is written.
    **options
        As for `inference.segment`.

    Returns
    -------
    dict
        What ``measurements.json`` says.
    """
    from ..output_folder import staged_output
    from ..report import FILES, write_segmentation

    with staged_output(output, FILES, overwrite) as staging:
        progress("reading the image", 0, 1)
        volume = read()
        progress("reading the image", 1, 1)
        from ..inference import segment as run

        result = run(volume, progress=progress, uncertainty=uncertainty or "entropy", **options)
        progress("writing the results", 0, 1)
        measurements = write_segmentation(result, volume, staging, with_uncertainty=uncertainty is not None)
        progress("writing the results", 1, 1)
    return measurements


def print_segmentation(measurements: dict, output: Path) -> None:
    """What a person wants to know of a run: remarks, volumes, and where the files are."""
    for message in measurements["messages"]:
        click.echo(message, err=True)
    rows = [
        [row["side"] or "-", row["structure"], f"{row['volume_mm3']:.0f}", f"{row['volume_cm3']:.2f}",
         "incomplete" if row["incomplete"] else ""]
        for row in measurements["volumes"]
    ]
    print_table(rows, ["side", "structure", "mm3", "cm3", ""])
    click.echo(f"\n{measurements['network']} on {measurements['device']}, {measurements['seconds']['total']:.1f} s. "
               f"Weights trained on {measurements['trained_on']}. Research use only.")
    click.echo(f"The files are in '{output}'.")
