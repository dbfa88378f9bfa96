"""``regions``: from a mask to head, neck, trochanter, intertrochanter and shaft, and their numbers."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .output import json_option, overwrite_option, print_json, print_table
from .progress import Progress, progress_option

MARKUPS = "landmarks.mrk.json"
VIEWS = [f"neck-{side}-{what}.nii.gz" for side in ("left", "right") for what in ("regions", "bone", "image")]
FILES = ("regions.nii.gz", "regions.json", MARKUPS, "thickness.nii.gz", "regions.png", *VIEWS)
_PATH = click.Path(path_type=Path)


@click.command(short_help="Divide a femur's mask into regions and measure them.")
@click.argument("mask", type=_PATH)
@click.option("--output", "-o", required=True, type=_PATH, help="Folder for the files.")
@click.option("--endosteal", type=_PATH, metavar="MASK",
              help="Mask inside the cortex, on the same voxels: adds cortical and trabecular volumes and the thickness "
              "of the cortex. Not needed where MASK has both compartments as labels 1 and 2.")
@click.option("--label", "labels", type=int, multiple=True, metavar="VALUE",
              help="Which label values of MASK are bone; may be given several times. Default: any but 0.")
@click.option("--side", type=click.Choice(["auto", "left", "right"]), default="auto", show_default=True,
              help="Which femur; auto tells it from where the head lies, and takes both where both are there.")
@click.option("--neck", type=click.Choice(["adaptive", "slab15", "slab10"]), default="adaptive", show_default=True,
              help="Extent of the neck: to where its section has grown to 1.3 times the smallest, or a slab of 15 or "
              "10 mm centred on the smallest section.")
@click.option("--distal-limit", "distal", type=click.Choice(["lesser-trochanter", "total-hip"]),
              default="lesser-trochanter", show_default=True,
              help="Where the shaft begins: at the lower edge of the lesser trochanter, or 10 mm below it.")
@click.option("--landmarks", type=_PATH, metavar="FILE",
              help="Landmarks and planes placed by hand. A .mrk.json of 3D Slicer: what was moved in a "
              "landmarks.mrk.json, or a list of points named as there. Or JSON, RAS mm: {\"vastus_ridge\": [x, y, z], "
              "...}, by side where both femora are in the mask; or a regions.json with \"placed_by_hand\": true.")
@click.option("--image", type=_PATH, metavar="CT", help="CT in HU on the same voxels, for density and the picture.")
@click.option("--calibration", metavar="HOW",
              help="How HU become mg/cm3: SLOPE,INTERCEPT; rods:D1,D2,... finds rods of these densities in the CT; "
              "internal:air=A,fat=F,muscle=M uses tissues that stand for these densities; or a .json file with slope "
              "and intercept or with the places of rods.")
@click.option("--neck-view", is_flag=True,
              help="Also write regions, compartments and image on slices of 1 mm at right angles to the neck's axis, "
              "where the inner border of the cortex shows best (QCT-2021, Fig. 10).")
@overwrite_option
@progress_option
@json_option
def regions(mask, output, endosteal, labels, side, neck, distal, landmarks, image, calibration, neck_view, overwrite,
            progress_style, as_json):
    """Divide the femur in MASK (whole bone, 0 outside) into regions, and measure them.

    Landmarks are found on the mask alone. What the field of view does not show is refused with the reason, and the
    other regions still come out.

    \b
    Written to the output folder:
      regions.nii.gz    1 head, 2 neck, 3 trochanter, 4 intertrochanter, 5 shaft
                        below the limit, 6 what could not be divided
      regions.json      volumes in mm3 (voxels that a cut passes through count
                        in parts), landmarks in RAS mm, planes, axes, angles in
                        degrees, the definition of the regions, density
      landmarks.mrk.json  landmarks, axes and planes for 3D Slicer; move what is
                        off, save, and give the file back as --landmarks
      thickness.nii.gz  with the endosteal mask: thickness of the cortex in mm,
                        in the voxels of the surface
      regions.png       picture
      neck-SIDE-*.nii.gz  with --neck-view: regions; bone (1, and 2 for the cortex
                        where it is known); and the image
    """
    from .. import __version__
    from ..errors import BadInputError
    from ..output_folder import staged_output
    from ..regions import RegionDefinition, calibration_from, compartments_of, measure_regions
    from ..regions.marks import marks_of
    from ..regions.markups_file import write_markups
    from ..regions.picture import draw_regions
    from ..report import write_json
    from ..volume_io import read_labels, read_mask, read_volume, write_volume

    if calibration is not None and image is None:
        raise BadInputError("--calibration needs the CT that belongs to the mask: add --image.")
    definition = RegionDefinition(neck, distal)
    placed = read_placed(landmarks) if landmarks else {}
    with staged_output(output, FILES, overwrite) as staging, Progress(progress_style) as progress:
        progress("reading", 0, 1)
        if labels:
            bone, inner = read_mask(mask, list(labels)), None
        else:
            bone, inner = compartments_of(read_labels(mask))
        if endosteal is not None:
            inner = read_mask(endosteal)
        ct = read_volume(image) if image else None
        progress("reading", 1, 1)
        scale = calibration_from(calibration, ct) if calibration else None
        result = measure_regions(bone, inner, side, definition, placed, ct, scale, progress)
        progress("writing", 0, 1)
        values = {
            "mask": str(mask),
            "program": f"ProximalFemurSeg {__version__}",
            "use": "Research use only; not a medical device.",
            **result.describe(),
        }
        write_volume(result.labels, staging / "regions.nii.gz")
        thickness = result.thickness_volume()
        if thickness is not None:
            write_volume(thickness, staging / "thickness.nii.gz")
        write_json(values, staging / "regions.json")
        if neck_view:
            _write_neck_views(result, inner, ct, staging)
        write_markups([marks_of(femur) for femur in result.femora], staging / MARKUPS)
        title = f"{mask.name}    neck: {neck}, distal limit: {distal}"
        draw_regions(result, title, ct).save(staging / "regions.png", optimize=True)
        progress("writing", 1, 1)
    if as_json:
        print_json(values)
    else:
        _print(values, output)


def _write_neck_views(result, inner, ct, folder: Path) -> None:
    """Every femur's regions, compartments and image on a grid along its neck; a femur without a neck has none."""
    import numpy as np

    from ..regions import neck_grid, reformat
    from ..volume_io import write_volume

    for femur in result.femora:
        if femur.landmarks.neck is None:
            continue
        grid = neck_grid(femur.landmarks)
        start = folder / f"neck-{femur.side}"
        bone = reformat(femur.femur.mask, grid)
        inside = None if inner is None else reformat(inner, grid).array
        labels = bone.array.astype(np.uint8) if inside is None else np.where(inside, 1, 2) * bone.array
        write_volume(reformat(femur.division.labels, grid), f"{start}-regions.nii.gz")
        write_volume(bone.with_array(labels.astype(np.uint8)), f"{start}-bone.nii.gz")
        if ct is not None:
            values = reformat(ct.with_array(ct.array.astype(np.float32)), grid, fill=-1000.0)
            write_volume(values, f"{start}-image.nii.gz")


def read_placed(path: Path) -> dict:
    """Landmarks and planes placed by hand, by name or by side and name.

    Raises
    ------
    BadInputError
        A file that cannot be read or holds no places.
    """
    from ..errors import BadInputError
    from ..regions.marks import placed_marks
    from ..regions.markups_file import read_markups

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if "markups" in data:
            return placed_marks(read_markups(path))
        if "femora" in data:
            return {femur["side"]: _placed_in_result(femur) for femur in data["femora"]}
        items = [place for value in data.values() for place in (value.values() if isinstance(value, dict) else [value])]
        if not all(isinstance(p, list) and len(p) == 3 and all(isinstance(x, (int, float)) for x in p) for p in items):
            raise TypeError
        return data
    except OSError as error:
        raise BadInputError(f"'{path}' cannot be read ({error.strerror}); check the name of the landmarks.") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BadInputError(
            f"'{path}' holds no landmarks: it needs JSON with a name and three RAS coordinates in mm for each."
        ) from None


def _placed_in_result(femur: dict) -> dict:
    placed = {
        name: mark["ras_mm"]
        for name, mark in femur["landmarks"].items()
        if mark["placed_by_hand"] and mark["ras_mm"] is not None
    }
    for name, plane in femur["planes"].items():
        if plane["placed_by_hand"]:
            placed[name] = [plane["origin_ras_mm"], plane["normal_ras"]]
    return placed


def _print(values: dict, output) -> None:
    for femur in values["femora"]:
        definition = femur["definition"]
        click.echo(f"{femur['side'].capitalize()} femur    {definition['name']} {definition['version']}, neck "
                   f"{definition['neck']}, distal limit {definition['distal_limit']}")
        columns = ["region", "volume cm3", "cortical cm3", "trabecular cm3", "cortex mm", "vBMD mg/cm3"]
        rows = []
        for name, entry in femur["volumes"].items():
            thickness = femur.get("cortical_thickness", {}).get(name, {}).get("mean_mm")
            density = femur.get("density", {}).get(name, {}).get("integral", {}).get("vbmd_mg_cm3")
            volumes = [entry.get(key) for key in ("volume_mm3", "cortical_mm3", "trabecular_mm3")]
            rows.append([name.replace("_", " "), *(_text(v, 1000) for v in volumes), _text(thickness), _text(density)])
        used = [0, *(c for c in range(1, len(columns)) if any(row[c] != "-" for row in rows))]
        print_table([[row[c] for c in used] for row in rows], [columns[c] for c in used])
        geometry = femur["geometry"]
        for title, key, unit in (("neck-shaft angle", "neck_shaft_angle_deg", "deg"),
                                 ("head diameter", "head_diameter_mm", "mm"),
                                 ("femoral offset", "femoral_offset_mm", "mm")):
            if geometry[key] is not None:
                click.echo(f"{title} {geometry[key]:.1f} {unit}")
        for name, reason in femur["refused"].items():
            click.echo(f"{name}: refused. {reason}")
        for message in femur["messages"]:
            click.echo(message)
    click.echo(f"The files are in '{output}'.")


def _text(value, divisor: float = 1.0) -> str:
    return "-" if value is None else f"{value / divisor:.2f}"
