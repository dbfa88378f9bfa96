"""The result on standard output, for people or for programs."""

from __future__ import annotations

import json
import math

import click


def json_option(command):
    """The --json option that every command has."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result alone on standard output, as one JSON object."
    )(command)


def overwrite_option(command):
    """The --overwrite option of commands that write a folder."""
    return click.option("--overwrite", is_flag=True, help="Replace an earlier result in the output folder.")(command)


def plain(value):
    """A value as JSON knows it: arrays become lists, paths text, and infinite or undefined numbers null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def print_json(value) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def print_table(rows: list[list[str]], heading: list[str] | None = None) -> None:
    """Print columns of text; numbers to the right."""
    lines = ([heading] if heading else []) + rows
    widths = [max(len(str(line[c])) for line in lines) for c in range(len(lines[0]))]
    for line in lines:
        cells = []
        for cell, width in zip(map(str, line), widths):
            numeric = cell.replace(".", "", 1).replace("-", "", 1).isdigit()
            cells.append(cell.rjust(width) if numeric else cell.ljust(width))
        click.echo("  ".join(cells).rstrip())
