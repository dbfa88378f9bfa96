"""Progress on standard error: a bar for people, a line of JSON for programs, or nothing."""

from __future__ import annotations

import json
import sys
import time

import click

STYLES = ("bar", "json", "none")


def progress_option(command):
    """The --progress option that every long command has."""
    return click.option(
        "--progress",
        "progress_style",
        type=click.Choice(STYLES),
        default=None,
        help="Progress on standard error: a bar, one JSON object a line (stage, done, total, seconds_left), or none. "
        "Default: bar on a terminal, else none.",
    )(command)


class Progress:
    """Call it with (stage, done, total); use it in a ``with`` block so that a bar is finished properly.

    Parameters
    ----------
    style : {'bar', 'json', 'none'} or None
        None is a bar on a terminal and nothing elsewhere.
    """

    def __init__(self, style: str | None):
        self._style = style or ("bar" if sys.stderr.isatty() else "none")
        self._stage = None
        self._start = 0.0
        self._bar = None

    def __call__(self, stage: str, done: float, total: float) -> None:
        if stage != self._stage:
            self._stage, self._start = stage, time.monotonic()
            self._finish_bar()
        if self._style == "json":
            line = {"stage": stage, "done": done, "total": total, "seconds_left": self._seconds_left(done, total)}
            click.echo(json.dumps(line), err=True)
        elif self._style == "bar":
            self._move_bar(done, total)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._finish_bar()

    def _seconds_left(self, done, total):
        if not done or not total:
            return None
        return round((time.monotonic() - self._start) / done * max(total - done, 0), 1)

    def _move_bar(self, done, total):
        # One thousandth is fine enough to see, and done may be a fraction.
        position = round(1000 * min(done / total, 1)) if total else 0
        if self._bar is None:
            self._bar = click.progressbar(
                length=1000, label=self._stage.ljust(24), file=sys.stderr, show_eta=True, show_percent=True
            )
            self._bar.__enter__()
        self._bar.update(position - self._bar.pos)

    def _finish_bar(self):
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
