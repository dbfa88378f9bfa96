"""The command line, ``proximal-femur-seg``.

Exit status: 0 done; 2 wrong usage or bad input, with one sentence on standard error; 130 cancelled; 1 anything else,
such as a full disk. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import importlib
import signal
import sys

import click

from .. import __version__
from ..errors import BadInputError, CancelledError, ProximalFemurSegError

_COMMANDS = (
    "cohort", "correction-times", "cross-validate", "demo", "distance-map", "evaluate", "fine-tune", "networks",
    "phantom", "regions", "segment", "serve", "train",
)
_CANCELLED = 130


class CommandGroup(click.Group):
    """Imports a command when it is asked for, and turns every ending into an exit status."""

    def list_commands(self, context):
        return list(_COMMANDS)

    def get_command(self, context, name):
        if name not in _COMMANDS:
            return None
        module = name.replace("-", "_")
        return getattr(importlib.import_module(f".{module}", __name__), module)

    def main(self, args=None, prog_name=None, **extra):
        sys.exit(self._run(args, prog_name, extra))

    def _run(self, args, prog_name, extra) -> int:
        extra["standalone_mode"] = False
        try:
            result = super().main(args, prog_name, **extra)
            return result if isinstance(result, int) else 0
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except CancelledError as error:
            return _complain(str(error), _CANCELLED)
        except (KeyboardInterrupt, click.Abort):
            return _complain("Cancelled; nothing was written.", _CANCELLED)
        except BadInputError as error:
            return _complain(f"Error: {error}", 2)
        except ProximalFemurSegError as error:
            return _complain(f"Error: {error}", 1)


def _complain(sentence: str, status: int) -> int:
    click.echo(sentence, err=True)
    return status


def _interrupt(number, frame):
    raise KeyboardInterrupt


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="proximal-femur-seg")
def main():
    """Segment the proximal femur in hip MR and CT, and measure it.

    All lengths are in mm, volumes in mm3 and cm3, coordinates in RAS. Research use only.
    """


def program():
    """What runs when the program is started from a shell."""
    # Another program that ends this one politely gets the same tidy end as a person at the keyboard.
    signal.signal(signal.SIGTERM, _interrupt)
    main(prog_name="proximal-femur-seg")
