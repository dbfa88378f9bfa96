"""``correction-times``: what drafts save a reader, from records of correction time."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, print_json, print_table


@click.command("correction-times", short_help="Time with a draft against time from nothing.")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def correction_times(folder, as_json):
    """Compare the times of corrections with those of segmentations from nothing (ISMRM-2017).

    FOLDER holds the records, of any readers and subjects, that the module for 3D Slicer saves ("Save times...", or with
    a case). Only those of the same reader on the same subject are paired.
    """
    from ..evaluation.correction_tables import time_table
    from ..evaluation.correction_time import compare_times, read_records

    records = read_records(folder)
    if as_json:
        print_json({"folder": folder, "records": len(records), **_facts(compare_times(records))})
        return
    table = time_table(records)
    print_table(table.rows, table.heading)
    click.echo("\n" + click.wrap_text(table.note, 100))


def _facts(found) -> dict:
    values = {
        name: {"count": times.count, "mean_s": times.mean, "sd_s": times.sd, "median_s": times.median}
        for name, times in (("correction", found.correction), ("manual", found.manual))
    }
    low, high = found.saved_interval_s
    values.update(paired=found.paired, saved_s=found.saved_s, saved_percent=found.saved_percent)
    return {**values, "saved_low_95_s": low, "saved_high_95_s": high, "p": found.p_value}
