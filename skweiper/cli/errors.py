"""Errors and warnings as a line each on stderr, and the codes with which the process ends."""

import re
import sys
import warnings

import typer
from typer.core import TyperGroup

from skweiper.cli.output import tell

__all__ = ["BAD_INPUT", "INTERRUPTED", "TOO_MANY_OOD", "ReportingGroup"]

BAD_INPUT, TOO_MANY_OOD, INTERRUPTED = 1, 3, 130

MISTAKES = (ValueError, TypeError, OSError, ImportError, MemoryError, RuntimeError)
"""What the library and the files raise for what a user can mend; anything else is a fault of ours,
and shows its traceback."""

READING = re.compile(r"\b(key|columns|index|shape|dtype|format)=")
CHOSEN = re.compile(r"\b([a-z_]+)='(\w+)'")
"""Parameters in messages of the library that are options here."""
LABELS = re.compile(r"\b([Pp])ass (y_train|y to fit)\b")


class ReportingGroup(TyperGroup):
    """Commands whose errors are one line on stderr.

    Wrong usage is told by typer, with exit code 2.
    """

    def invoke(self, ctx):
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            if not sys.warnoptions:
                warnings.simplefilter("default", UserWarning)
            try:
                return super().invoke(ctx)
            except (typer.Exit, typer.Abort, BrokenPipeError):
                raise
            except KeyboardInterrupt:
                tell("Interrupted. Nothing is left half written.")
                raise typer.Exit(INTERRUPTED) from None
            except MISTAKES as error:
                if ctx.params.get("debug"):
                    raise
                tell(f"Error: {one_line(error)}")
                raise typer.Exit(BAD_INPUT) from None


def one_line(error):
    """What an error says, on one line, with the file that it is about.

    Parameters
    ----------
    error : BaseException or Warning

    Returns
    -------
    str
    """
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{error.filename}: "
        return f"{where}{error.strerror.rstrip('.')}."
    if isinstance(error, MemoryError):
        return f"Out of memory. {error}".strip()
    return as_options(" ".join(str(error).split())) or type(error).__name__


def as_options(message):
    """A message with parameters called as the options that they are: key= as --key."""
    message = READING.sub(r"--\1 ", message).replace("  ", " ")
    message = LABELS.sub(r"\1ass --y", message)
    return CHOSEN.sub(lambda found: f"--{found[1].replace('_', '-')} {found[2]}", message)


def _show_warning(message, category, *place):
    tell(f"Warning: {one_line(message)}")
