"""``phantom``: a simulated scan with exact truth."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, overwrite_option, print_json
from .progress import Progress, progress_option

FILES = ("image.nii.gz", "truth.nii.gz", "regions.nii.gz", "landmarks.json")


@click.command(short_help="Simulate a hip MR or CT with exact truth.")
@click.option("--modality", type=click.Choice(["mr", "ct"]), required=True,
              help="mr: T1-weighted 3D FLASH, coronal, 0.234 x 0.234 x 1.5 mm. ct: QCT, axial, 0.8 x 0.8 x 1 mm.")
@click.option("--seed", type=click.IntRange(min=0), required=True, help="The same seed gives the same bytes.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("--side", type=click.Choice(["random", "left", "right"]), default="random", show_default=True,
              help="The patient's hip in view.")
@click.option("--anatomy", type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Folder of real shapes to build on, instead of the program's own geometry.")
@click.option("--field", type=click.Choice(["hip", "pelvis"]), default="hip", show_default=True,
              help="CT: one hip, 154 mm wide, or both, 410 mm wide.")
@click.option("--slices", type=click.IntRange(8, 600), help="Number of slices. Default: MR 60, CT 200 (pelvis 244).")
@click.option("--matrix", type=click.IntRange(32, 1024),
              help="Pixels a row and column in the field of view, MR and pelvis CT. Default: 512.")
@click.option("--noise", type=click.FloatRange(0, 20), default=1.0, show_default=True,
              help="Factor on the noise of the scanner.")
@click.option("--bias", type=click.FloatRange(0, 3), help="MR: logarithmic amplitude of the coil's shading.")
@click.option("--fold-over", type=click.FloatRange(0, 1), help="MR: share of the signal that is folded in.")
@click.option("--ghost", type=click.FloatRange(0, 1), help="MR: share of the signal that motion repeats.")
@click.option("--chemical-shift", type=click.FloatRange(-5, 5), help="MR: shift of fat, in voxels.")
@click.option("--cysts", is_flag=True, help="MR: bone cysts with hypointense foci.")
@click.option("--metal", is_flag=True, help="CT: an implant with streaks.")
@click.option("--rods", is_flag=True, help="CT: five calibration rods under the patient, 0 to 200 mg/cm3; both hips.")
@click.option("--device", default="cpu", show_default=True, metavar="auto|cpu|cuda[:N]|mps",
              help="Processor; bytes are the same on the same kind of processor.")
@overwrite_option
@progress_option
@json_option
def phantom(modality, seed, output, side, anatomy, field, slices, matrix, device, overwrite, progress_style, as_json,
            **artefacts):
    """Simulate the scan of a hip, with the truth on the same grid.

    Shading, fold-over, ghosts and chemical shift that are not named are drawn as in a clinical cohort.

    \b
    Written to the output folder:
      image.nii.gz     CT in Hounsfield units, or MR signal
      truth.nii.gz     1 trabecular bone, 2 cortical bone; 11 and 12 those of the
                       other femur, where it is in view
      regions.nii.gz   1 head, 2 neck, 3 trochanter, 4 intertrochanter, 5 shaft
      landmarks.json   landmarks in RAS mm, and how the scan was made
    """
    from ..errors import BadInputError
    from ..output_folder import staged_output

    size = {name: value for name, value in (("slices", slices), ("matrix", matrix)) if value is not None}
    for name in ("bias", "fold_over", "ghost", "chemical_shift", "cysts"):
        if modality == "ct" and artefacts[name]:
            raise BadInputError(f"--{name.replace('_', '-')} is an artefact of MR; leave it out, or add --modality mr.")
    for name, given in (("metal", artefacts["metal"]), ("rods", artefacts["rods"]), ("field", field == "pelvis")):
        if modality == "mr" and given:
            raise BadInputError(f"--{name} is for CT; leave it out, or add --modality ct.")
    if matrix is not None and modality == "ct" and field == "hip" and not artefacts["rods"]:
        raise BadInputError("--matrix is for MR and for CT with --field pelvis; a CT of one hip has 192 x 192 pixels.")
    with staged_output(output, FILES, overwrite) as staging, Progress(progress_style) as progress:
        progress("simulating the scan", 0, 1)
        made = make(modality, seed, side, anatomy, device, staging, field=field, artefacts=artefacts, size=size)
        progress("simulating the scan", 1, 1)
    if as_json:
        print_json({"output": output, "files": FILES, "landmarks": made.landmarks, "parameters": made.parameters})
    else:
        shape = " x ".join(str(n) for n in made.image.array.shape[::-1])
        spacing = " x ".join(f"{s:.3g}" for s in made.image.grid.spacing)
        click.echo(f"{modality.upper()} of a {made.parameters['side']} hip, {shape} voxels of {spacing} mm, "
                   f"simulated (seed {seed}).\nThe files are in '{output}'.")


def make(modality, seed, side, anatomy, device, folder, field="hip", artefacts=None, size=None):
    """Simulate a scan and write it; `phantom.generate.generate` with the options of the command line."""
    from ..inference.devices import choose_device
    from ..phantom.generate import Artefacts, generate, save_phantom

    made = generate(modality, seed, side, anatomy, field=field, artefacts=Artefacts(**(artefacts or {})),
                    device=choose_device(device), **(size or {}))
    save_phantom(made, folder)
    return made
