"""``distance-map``: the result's surface, coloured by how far it is from the reference."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, print_json

_PATH = click.Path(path_type=Path)
_PICTURES = (".png", ".svg", ".pdf")


@click.command("distance-map", short_help="Surface of a mask with its distance to the reference.")
@click.argument("result", type=_PATH)
@click.argument("reference", type=_PATH)
@click.option("--output", "-o", required=True, type=_PATH, metavar="FILE.vtp",
              help="The surface, in RAS mm, with the point array SurfaceDistance in mm.")
@click.option("--picture", type=_PATH, metavar="FILE.png",
              help="Also draw it from in front, behind, medial and lateral; .png, .svg or .pdf.")
@click.option("--label", "labels", type=int, multiple=True, metavar="VALUE",
              help="Which label values are bone, in both masks; may be given several times. Default: any but 0.")
@click.option("--signed", is_flag=True, help="Negative distances where the result lies within the reference.")
@click.option("--smooth", is_flag=True,
              help="Smooth surfaces and the distances between them, instead of the steps of voxels; the mean and the "
              "largest distance that are printed stay those of the masks.")
@click.option("--range", "limit", type=click.FloatRange(min=0, min_open=True), metavar="MM",
              help="Where the picture's colours end, in mm. Default: a round number that fits.")
@click.option("--side", type=click.Choice(["auto", "left", "right"]), default="auto", show_default=True,
              help="Which femur it is; tells medial from lateral in the picture.")
@click.option("--resample", is_flag=True,
              help="Bring a RESULT on another grid onto that of the REFERENCE; without it, it is refused.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@json_option
def distance_map(result, reference, output, picture, labels, signed, smooth, limit, side, resample, overwrite, as_json):
    """Write the surface of the mask RESULT with the distance to that of the mask REFERENCE at every point.

    The distance of a point is the one, in mm, from the surface voxel of RESULT next to it to the nearest surface
    voxel of REFERENCE; with --smooth from the point itself to the smooth surface of REFERENCE.
    """
    from ..errors import BadInputError
    from ..evaluation.distance_map import ARRAY_NAME
    from ..evaluation.distance_map import distance_map as measure
    from ..evaluation.vtp import write_vtp
    from ..volume_io import read_mask

    if output.suffix.lower() != ".vtp":
        raise BadInputError(f"'{output}' is no .vtp file; choose a name that ends in .vtp.")
    if picture is not None and picture.suffix.lower() not in _PICTURES:
        raise BadInputError(f"'{picture}' cannot be drawn; choose a name that ends in {', '.join(_PICTURES)}.")
    for path in filter(None, (output, picture)):
        if path.exists() and not overwrite:
            raise BadInputError(f"'{path}' exists; choose another name, or add --overwrite to replace it.")
        if not path.absolute().parent.is_dir():
            raise BadInputError(f"The folder '{path.parent}' does not exist; make it, or choose another one.")
    chosen = list(labels) or None
    mask = read_mask(result, chosen)
    surface = measure(mask, read_mask(reference, chosen), signed, smooth, resample)
    write_vtp(output, surface.points, surface.triangles, {ARRAY_NAME: surface.distances})
    side = _side(mask) if side == "auto" else side
    if picture is not None:
        from ..evaluation.distance_picture import draw_distance_map

        draw_distance_map(surface, picture, f"Surface distance of {result.name}", side, limit)
    values = surface.voxel_distances
    facts = {"mean_mm": float(values.mean()), "max_mm": float(values.max()), "points": len(surface.points)}
    if as_json:
        print_json({"output": output, "picture": picture, "side": side or None, **facts})
    else:
        click.echo(f"From the result's surface to the reference's: mean {facts['mean_mm']:.3f} mm, largest "
                   f"{facts['max_mm']:.3f} mm.\nThe surface is in '{output}'"
                   + (f", the picture in '{picture}'." if picture else "."))


def _side(mask) -> str:
    """'left' or 'right', or nothing where the shape does not tell."""
    import numpy as np

    from ..inference.sides import name_side

    voxels = np.argwhere(mask.array)
    points = mask.grid.ijk_to_ras(voxels[:: max(1, len(voxels) // 100_000), ::-1])
    side, certain = name_side(points)
    return side if certain else ""
