"""What is printed: lines, tables and JSON on stdout, all else on stderr."""

import json
import sys
from contextlib import contextmanager

import numpy as np

__all__ = [
    "is_watched",
    "percent",
    "plain",
    "print_json",
    "print_json_line",
    "print_lines",
    "progress_bar",
    "tell",
]

WIDE = 200
"""Characters of a line where stdout is no terminal, whose lines may be as long as they are."""


def tell(line):
    """Print a line to stderr.

    Parameters
    ----------
    line : str
    """
    print(line, file=sys.stderr, flush=True)


def is_watched():
    """Whether somebody looks at stderr, so that progress may be shown there."""
    return sys.stderr.isatty()


def print_lines(*parts):
    """Print lines and tables to stdout.

    Parameters
    ----------
    *parts : str or DataFrame
    """
    for part in parts:
        if isinstance(part, str):
            print(part, flush=True)
        else:
            _print_table(part)


def _print_table(frame):
    from rich.console import Console

    from skweiper.cli.tables import rich_table

    width = None if sys.stdout.isatty() else WIDE
    Console(width=width, highlight=False, markup=False).print(rich_table(frame))


def percent(value, low=None, high=None):
    """A share in percent, with its interval.

    Parameters
    ----------
    value : float
    low, high : float, default=None

    Returns
    -------
    str
    """
    interval = "" if low is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * value:.2f}{interval}"


def print_json(results):
    """Print results as one JSON object to stdout; numbers that are not finite are null.

    Parameters
    ----------
    results : dict
    """
    print(json.dumps(plain(results), indent=2, allow_nan=False))


def print_json_line(results):
    """Print results as a JSON object on one line of stdout, at once, for those who read as it goes.

    Parameters
    ----------
    results : dict
    """
    print(json.dumps(plain(results), allow_nan=False), flush=True)


def plain(value):
    """A value in JSON's types, arrays as lists, what JSON does not know as text."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


@contextmanager
def progress_bar(description, total):
    """Context of a bar on stderr, which is drawn where stderr is a terminal.

    Parameters
    ----------
    description : str
    total : int

    Yields
    ------
    callable
        Called with how much more is done.
    """
    if not is_watched():
        yield lambda more: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda more: progress.update(task, advance=more)
