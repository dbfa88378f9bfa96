"""How well regions and landmarks are found: on phantoms whose truth is exact, and on real femora and model samples.

    python Testing/Benchmarks/region_accuracy.py --output FOLDER [--phantoms 50] [--data FOLDER] [--samples 100]

Phantoms are the project's own femora, sides and poses drawn at random (flexed and turned up to 25 degrees), each as a
mask at 0.8 and at 1.5 mm; the exact volumes are counted at 0.8 mm. From a folder with femur_ssm/, femora_libhip/ and
femora_whole/ come bones without truth: there the question is whether every one is divided or refused with a reason, and
whether the same bone on a grid turned by 25 degrees, and its mirror image, have the same volumes. Results are added to
FOLDER/regions.jsonl one by one, so that a stopped run goes on; FOLDER/regions.json holds the summary, regions.md its
tables (of errors: mean; mean absolute; largest absolute), bones/ a picture of each bone and contact-sheet.jpg all.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from ProximalFemurSegLib.phantom.distance_field import vertex_normals
from ProximalFemurSegLib.phantom.shape_model import LPS_TO_RAS, ShapeModel
from ProximalFemurSegLib.regions.head_sphere import guess_sphere
from ProximalFemurSegLib.regions.measure import measure_regions
from ProximalFemurSegLib.regions.picture import draw_femur
from ProximalFemurSegLib.volume import Grid, Volume
from ProximalFemurSegLib.whole_file import whole_file

FIRST_SEED = 960_000
SPACINGS = (0.8, 1.5)
LENGTH_MM = 150.0
NAMES = ("head", "neck", "trochanter", "intertrochanter", "shaft")


def grid_over(low, high, spacing: float, rotation=None) -> Grid:
    """A grid of cubic voxels over a box, or over the box turned about its middle."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    axes = np.eye(3) if rotation is None else rotation
    middle, half = (low + high) / 2, (high - low) / 2
    half = np.abs(axes.T) @ half if rotation is not None else half
    counts = np.ceil(2 * half / spacing).astype(int) + 1
    return Grid.from_parts(counts[::-1], (spacing,) * 3, middle - axes @ ((counts - 1) * spacing / 2), axes)


def turn(degrees: float, axis) -> np.ndarray:
    """(3, 3) rotation about an axis."""
    from scipy.spatial.transform import Rotation

    axis = np.asarray(axis, dtype=np.float64)
    return Rotation.from_rotvec(np.deg2rad(degrees) * axis / np.linalg.norm(axis)).as_matrix()


def phantom_femur(number: int):
    """A femur of the project's own geometry in a leg that is flexed, spread and turned."""
    from ProximalFemurSegLib.phantom.femur_parameters import draw_femur as draw_parameters
    from ProximalFemurSegLib.phantom.femur_shape import ParametricFemur
    from ProximalFemurSegLib.phantom.hip_scene import leg_rotation

    rng = np.random.default_rng(FIRST_SEED + number)
    side = "left" if rng.random() < 0.5 else "right"
    pose = leg_rotation(rng.uniform(-25, 25), rng.uniform(-8, 12), rng.uniform(-25, 25))
    return ParametricFemur(draw_parameters(rng), side, rng.uniform(-60, 60, 3), pose)


def rasterised(femur, spacing: float, divided: bool) -> tuple[Volume, Volume]:
    """Mask of a phantom's femur down to 150 mm below the head's centre, and if asked for its regions' truth."""
    import torch

    low, high = femur.bounds.copy()
    low[2] = femur.landmarks["head_center"][2] - LENGTH_MM
    grid = grid_over(low - [4, 4, 0], high + 4, spacing)
    mask, regions = np.zeros(grid.shape, bool), np.zeros(grid.shape, np.uint8)
    rows, columns = np.mgrid[: grid.shape[1], : grid.shape[2]]
    for k in range(grid.shape[0]):
        points = grid.ijk_to_ras(np.stack([columns, rows, np.full_like(rows, k)], axis=-1))
        points = torch.as_tensor(points.astype(np.float32))
        mask[k] = (femur.periosteal_distance(points) < 0).numpy()
        if divided:
            regions[k][mask[k]] = femur.region(points[torch.as_tensor(mask[k])]).numpy()
    return Volume(mask, grid, "phantom"), Volume(regions, grid)


def angle(one, other) -> float:
    cosine = np.dot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def exact_volumes(truth: Volume) -> dict:
    """mm3 of every region, by its voxels."""
    counts = np.bincount(truth.array.ravel(), minlength=len(NAMES) + 1)[1:]
    return {name: count * truth.grid.voxel_volume_mm3 for name, count in zip(NAMES, counts) if count}


def score_phantom(femur, mask: Volume, exact: dict) -> tuple[dict, object]:
    """Errors of one phantom at one spacing."""
    start = time.process_time()
    found = measure_regions(mask).femora[0]
    seconds = time.process_time() - start
    marks, true = found.landmarks, femur.landmarks
    shaft = true["shaft_proximal"] - true["shaft_distal"]
    neck = true["neck_base"] - true["head_center"]

    def off(name):
        place = marks.position(name)
        return None if place is None else float(np.linalg.norm(place - true[name]))

    own = {name: found.volumes[name]["volume_mm3"] for name in exact}
    entry = {
        "spacing_mm": mask.grid.spacing[0],
        "side_right": marks.side == femur.side,
        "refused": sorted(found.division.refused),
        "seconds": round(seconds, 2),
        "radius_mm": None if marks.head_radius is None else marks.head_radius - femur.head_radius,
        "neck_axis_deg": None if marks.neck is None else angle(marks.neck.axis, neck),
        "shaft_axis_deg": None if marks.shaft is None else angle(marks.shaft.direction, shaft),
        "volume_percent": {n: None if own[n] is None else (own[n] / exact[n] - 1) * 100 for n in exact},
    }
    nsa = found.geometry["neck_shaft_angle_deg"]
    entry["neck_shaft_angle_deg"] = None if nsa is None else nsa - femur.parameters.neck_shaft_angle
    for name in ("head_center", "greater_trochanter_tip", "vastus_ridge", "lesser_trochanter"):
        entry[f"{name}_mm"] = off(name)
    return entry, found


def voxelised(vertices, faces, grid: Grid) -> np.ndarray:
    """Which voxels of a grid lie inside a closed surface: crossings counted along every row of voxels."""
    place = grid.ras_to_ijk(vertices) + np.array([1e-4, 1.7e-4, 2.3e-4])  # no vertex on a row of voxel centres
    corners = place[faces]
    low = np.ceil(corners[:, :, 1:].min(axis=1)).astype(int)
    high = np.floor(corners[:, :, 1:].max(axis=1)).astype(int)
    low, high = np.maximum(low, 0), np.minimum(high, np.array(grid.shape[1::-1]) - 1)
    size = (high - low + 1).max(axis=1)
    crossings = np.zeros((grid.shape[0], grid.shape[1], grid.shape[2] + 1), np.int32)
    for width in (1, 2, 3, 4, 6, 9, 14, 24, 60, 400):
        chosen = np.flatnonzero((size <= width) & (size > 0) & ((high >= low).all(axis=1)))
        size[chosen] = 0
        for part in np.array_split(chosen, max(1, len(chosen) * width * width // 2_000_000)):
            if len(part) == 0:
                continue
            steps = np.arange(width)
            j = (low[part, 0, None, None] + steps[None, :, None]) + 0 * steps[None, None, :]
            k = (low[part, 1, None, None] + steps[None, None, :]) + 0 * steps[None, :, None]
            a, b, c = (corners[part, n][:, None, None, :] for n in range(3))
            u, v = b - a, c - a
            determinant = u[..., 1] * v[..., 2] - u[..., 2] * v[..., 1]
            y, z = j - a[..., 1], k - a[..., 2]
            with np.errstate(divide="ignore", invalid="ignore"):
                s = (y * v[..., 2] - z * v[..., 1]) / determinant
                t = (u[..., 1] * z - u[..., 2] * y) / determinant
            inside = (s >= 0) & (t >= 0) & (s + t <= 1)
            inside &= (j <= high[part, 0, None, None]) & (k <= high[part, 1, None, None])
            x = a[..., 0] + s * u[..., 0] + t * v[..., 0]
            index = np.clip(np.ceil(x[inside]), 0, grid.shape[2]).astype(int)
            np.add.at(crossings, (k[inside], j[inside], index), 1)
    return np.cumsum(crossings, axis=2)[..., :-1] % 2 == 1


def upright(vertices, faces, marks) -> tuple[np.ndarray, str]:
    """A whole femur of any pose set upright, its head medially; and the side that makes its lesser trochanter point
    back."""
    up = marks[:3].mean(axis=0) - marks[3:].mean(axis=0)
    up /= np.linalg.norm(up)
    helper = np.eye(3)[int(np.argmin(np.abs(up)))]
    first = np.cross(helper, up)
    first /= np.linalg.norm(first)
    axes = np.stack([first, np.cross(up, first), up])
    points = vertices @ axes.T
    center, radius = guess_sphere(points, vertex_normals(points, faces), np.ones(len(points)))
    points = points - center
    shaft = points[(points[:, 2] < -90) & (points[:, 2] > -150)].mean(axis=0)
    medial = -shaft[:2] / np.linalg.norm(shaft[:2])
    for side, sign in (("left", 1.0), ("right", -1.0)):  # noqa: B007
        x = np.array([sign * medial[0], sign * medial[1], 0.0])
        turned = points @ np.stack([x, np.cross([0, 0, 1.0], x), [0, 0, 1.0]]).T
        axis = shaft @ np.stack([x, np.cross([0, 0, 1.0], x), [0, 0, 1.0]]).T
        level = (turned[:, 2] < -1.7 * radius) & (turned[:, 2] > -3.0 * radius)
        level &= sign * (turned[:, 0] - axis[0]) > 5.0
        back, front = axis[1] - turned[level, 1].min(), turned[level, 1].max() - axis[1]
        if back > front:
            break
    return turned, side


def real_bones(folder: Path, samples: int):
    """Name, vertices in RAS mm and faces of every bone in the data folder."""
    model = folder / "femur_ssm" / "femur_ssm.npz"
    if model.exists():
        shapes = ShapeModel.load(model)
        for number in range(samples):
            coefficients = np.random.default_rng(number).standard_normal(len(shapes.sd))
            yield f"ssm-{number:03d}", shapes.shape(coefficients), shapes.faces, "left"
    for path in sorted((folder / "femora_libhip").glob("*.npz")):
        with np.load(path) as data:
            side = "left" if "_l" in path.stem else "right"
            yield path.stem, data["vertices"].astype(np.float64) * LPS_TO_RAS, data["faces"], side
    for path in sorted((folder / "femora_whole").glob("*.npz")):
        with np.load(path) as data:
            vertices, side = upright(data["vertices"].astype(np.float64), data["faces"], data["landmarks"])
            yield path.stem, vertices, data["faces"], side


def volumes_of(mask: Volume) -> tuple[dict, object]:
    femur = measure_regions(mask).femora[0]
    return {name: femur.volumes[name]["volume_mm3"] for name in NAMES[:4]}, femur


def score_bone(vertices, faces, side: str, spacing: float) -> tuple[dict, object]:
    """What is found on a bone without truth, and what a turned grid and the mirror image change."""
    top = vertices[:, 2].max()
    upper = vertices[vertices[:, 2] > top - LENGTH_MM - 20]
    low, high = upper.min(axis=0) - 5, upper.max(axis=0) + 5
    low[2] = max(low[2], top - LENGTH_MM - 20)

    def mask_on(grid):
        mask = voxelised(vertices, faces, grid)
        k, j, i = (np.arange(n) for n in grid.shape)
        row = grid.affine[2]
        height = row[0] * i + row[1] * j[:, None] + row[2] * k[:, None, None] + row[3]
        return Volume(mask & (height > top - LENGTH_MM), grid, "bone")

    mask = mask_on(grid_over(low, high, spacing))
    start = time.process_time()
    volumes, femur = volumes_of(mask)
    seconds = time.process_time() - start
    turned, _ = volumes_of(mask_on(grid_over(low, high, spacing, turn(25, (1, -2, 1)))))
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirrored, other = volumes_of(Volume(mask.array, Grid(mask.grid.shape, mirror @ mask.grid.affine), "mirrored"))

    def change(values):
        pairs = {name: (volumes[name], values[name]) for name in volumes}
        return {n: None if a is None or b is None else (b / a - 1) * 100 for n, (a, b) in pairs.items()}

    geometry = femur.geometry
    entry = {
        "spacing_mm": spacing,
        "length_mm": round(float(np.ptp(vertices[:, 2])), 1),
        "side": femur.landmarks.side,
        "side_right": femur.landmarks.side == side,
        "mirrored_side_right": other.landmarks.side != femur.landmarks.side,
        "refused": femur.division.refused,
        "seconds": round(seconds, 2),
        "volumes_mm3": volumes,
        "turned_percent": change(turned),
        "mirrored_percent": change(mirrored),
        "neck_shaft_angle_deg": geometry["neck_shaft_angle_deg"],
        "head_radius_mm": femur.landmarks.head_radius,
        "smallest_section_mm2": None if femur.landmarks.neck is None else femur.landmarks.neck.minimum_area_mm2,
        "smallest_from_center_mm": geometry["neck_minimum_from_head_center_mm"],
        "doubtful": {n: m.reason for n, m in femur.landmarks.points.items() if m.confidence < 0.5},
    }
    return entry, femur


def _spread(values) -> dict | None:
    values = np.array([v for v in values if v is not None], dtype=float)
    if len(values) == 0:
        return None
    return {
        "n": len(values),
        "mean": round(float(values.mean()), 3),
        "mean_abs": round(float(np.abs(values).mean()), 3),
        "max_abs": round(float(np.abs(values).max()), 3),
        "sd": round(float(values.std(ddof=1)), 3) if len(values) > 1 else 0.0,
    }


def summary(entries: list[dict]) -> dict:
    """Mean, mean and largest absolute value of every error."""
    table = {}
    for spacing in SPACINGS:
        rows = [e for e in entries if e["kind"] == "phantom" and e["spacing_mm"] == spacing]
        if not rows:
            continue
        numeric = [k for k in rows[0] if k.endswith(("_mm", "_deg")) and k != "spacing_mm"]
        part = {key: _spread([row[key] for row in rows]) for key in numeric}
        for name in NAMES:
            part[f"{name}_volume_percent"] = _spread([row["volume_percent"].get(name) for row in rows])
        part["refusals"] = sum(bool(row["refused"]) for row in rows)
        part["sides_wrong"] = sum(not row["side_right"] for row in rows)
        part["seconds"] = _spread([row["seconds"] for row in rows])
        table[f"phantoms at {spacing} mm"] = part
    for kind, spacing in sorted({(e["kind"], e["spacing_mm"]) for e in entries if e["kind"] != "phantom"}):
        rows = [e for e in entries if e["kind"] == kind and e["spacing_mm"] == spacing]
        part = {"bones": len(rows), "refusals": {r["name"]: r["refused"] for r in rows if r["refused"]}}
        for key in ("neck_shaft_angle_deg", "head_radius_mm", "smallest_section_mm2", "smallest_from_center_mm"):
            part[key] = _spread([row[key] for row in rows])
        for name in NAMES[:4]:
            volumes = [row["volumes_mm3"][name] for row in rows]
            part[f"{name}_cm3"] = _spread([None if v is None else v / 1000 for v in volumes])
            for change in ("turned_percent", "mirrored_percent"):
                part[f"{name}_{change}"] = _spread([row[change][name] for row in rows])
        part["sides_wrong"] = [r["name"] for r in rows if not r["side_right"] or not r["mirrored_side_right"]]
        table[f"{kind} at {spacing} mm"] = part
    return table


_TITLES = {
    "head_center_mm": "head centre, mm",
    "radius_mm": "head radius, mm",
    "neck_axis_deg": "neck axis, deg",
    "neck_shaft_angle_deg": "neck-shaft angle, deg",
    "shaft_axis_deg": "shaft axis, deg",
    "greater_trochanter_tip_mm": "tip of the greater trochanter, mm",
    "vastus_ridge_mm": "vastus ridge, mm",
    "lesser_trochanter_mm": "tip of the lesser trochanter, mm",
    **{f"{name}_volume_percent": f"{name}, volume, %" for name in NAMES},
    "seconds": "processor time, s",
    **{f"{name}_cm3": f"{name}, cm3" for name in NAMES[:4]},
    "head_radius_mm": "head radius, mm",
    "smallest_section_mm2": "smallest section of the neck, mm2",
    **{f"{name}_turned_percent": f"{name}, changed by the turned grid, %" for name in NAMES[:4]},
    **{f"{name}_mirrored_percent": f"{name}, changed by mirroring, %" for name in NAMES[:4]},
}


def markdown(table: dict) -> str:
    """The summary as tables: one of the phantoms, one of the bones without truth."""
    lines = []
    for phantoms in (True, False):
        columns = [name for name in table if name.startswith("phantoms") == phantoms]
        if not columns:
            continue
        count = [table[c].get("bones") or table[c]["radius_mm"]["n"] for c in columns]
        head = " | ".join(f"{n} {c}" for n, c in zip(count, columns))
        lines += [f"| | {head} |", "|---" * (len(columns) + 1) + "|"]
        for key, title in _TITLES.items():
            cells = [table[c].get(key) for c in columns]
            if not any(cells) or (not phantoms and key == "seconds"):
                continue
            changes = phantoms or key.endswith("percent")
            shape = "{mean:+.2f}; {mean_abs:.2f}; {max_abs:.2f}" if changes else "{mean:.1f} ± {sd:.1f}"
            lines.append(f"| {title} | " + " | ".join("-" if v is None else shape.format(**v) for v in cells) + " |")
        for key in ("refusals", "sides_wrong"):
            cells = [table[c][key] for c in columns]
            texts = [str(v) if isinstance(v, int) else str(len(v)) for v in cells]
            lines.append(f"| {key.replace('_', ' ')} | " + " | ".join(texts) + " |")
        lines.append("")
    return "\n".join(lines)


def contact_sheet(folder: Path, columns: int = 12, cell: tuple[int, int] = (200, 96)) -> None:
    """All pictures in one, small."""
    from PIL import Image, ImageDraw, ImageFont

    pictures = sorted((folder / "bones").glob("*.png"))
    if not pictures:
        return
    width, height = cell[0] + 8, cell[1] + 22
    sheet = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height), (17, 20, 26))
    draw = ImageDraw.Draw(sheet)
    for number, path in enumerate(pictures):
        left, top = number % columns * width + 4, number // columns * height + 2
        with Image.open(path) as image:
            small = image.convert("RGB")
        small.thumbnail(cell, Image.Resampling.LANCZOS)
        draw.text((left, top), path.stem, fill=(232, 234, 238), font=ImageFont.load_default(11))
        sheet.paste(small, (left, top + 16))
    with whole_file(folder / "contact-sheet.jpg") as unfinished:
        sheet.save(unfinished, quality=75)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--phantoms", type=int, default=50)
    parser.add_argument("--data", type=Path, help="folder with femur_ssm, femora_libhip, femora_whole")
    parser.add_argument("--samples", type=int, default=100, help="of the shape model")
    parser.add_argument("--only", help="bones whose name begins so")
    parser.add_argument("--every", type=int, default=1, help="take every n-th bone of each kind")
    parser.add_argument("--spacing", type=float, default=1.0, help="mm, of the bones without truth")
    options = parser.parse_args()
    (options.output / "bones").mkdir(parents=True, exist_ok=True)
    log = options.output / "regions.jsonl"
    entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {entry["key"] for entry in entries}

    def keep(entry, found, name):
        entries.append(entry)
        with log.open("a") as stream:
            stream.write(json.dumps(entry) + "\n")
        draw_femur(found, height=170, text=False).save(options.output / "bones" / f"{name}.png")
        print(json.dumps(entry), flush=True)

    for number in range(options.phantoms):
        keys = {spacing: f"phantom-{number:03d}-{spacing}" for spacing in SPACINGS}
        if set(keys.values()) <= done:
            continue
        femur = phantom_femur(number)
        fine, truth = rasterised(femur, SPACINGS[0], True)
        for spacing, key in keys.items():
            if key not in done:
                mask = fine if spacing == SPACINGS[0] else rasterised(femur, spacing, False)[0]
                entry, found = score_phantom(femur, mask, exact_volumes(truth))
                keep({"key": key, "kind": "phantom", "number": number, **entry}, found, key)
    if options.data is not None:
        seen = {}
        for name, vertices, faces, side in real_bones(options.data, options.samples):
            kind = "ssm" if name.startswith("ssm") else ("whole" if name.startswith("femur_") else "libhip")
            seen[kind] = seen.get(kind, -1) + 1
            if (options.only and not name.startswith(options.only)) or seen[kind] % options.every:
                continue
            if f"{name}-{options.spacing}" in done:
                continue
            entry, found = score_bone(vertices, faces, side, options.spacing)
            keep({"key": f"{name}-{options.spacing}", "kind": kind, "name": name, **entry}, found, name)
    table = summary(entries)
    (options.output / "regions.json").write_text(json.dumps(table, indent=2) + "\n")
    (options.output / "regions.md").write_text(markdown(table), encoding="utf-8")
    contact_sheet(options.output)
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
