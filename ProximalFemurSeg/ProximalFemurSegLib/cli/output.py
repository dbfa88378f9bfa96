"""The result on standard output, for people or for programs."""

from __future__ import annotations

import json

import click


def json_option(command):
    """The --json option that every command has."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result alone on standard output, as one JSON object."
    )(command)


def overwrite_option(command):
    """The --overwrite option of commands that write a folder."""
    return click.option("--overwrite", is_flag=True, help="Replace an earlier result in the output folder.")(command)


def print_json(value) -> None:
    """Print one JSON object."""
    from ..report import plain

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
