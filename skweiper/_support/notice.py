"""Warnings at the line of the caller, and those that a process gives only once."""

import inspect
import warnings
from functools import cache
from itertools import count


@cache
def _times_given(topic):
    return count()


def warn_once(topic, message):
    """Give the warning, unless one on the same topic was given before, whatever it said."""
    if next(_times_given(topic)) == 0:
        warn_caller(message)


def warn_caller(message, category=UserWarning):
    """Give a warning at the first line outside of this package that led here.

    Through however many frames: a fit may be called by a search, or a subclass.

    Parameters
    ----------
    message : str
    category : type, default=UserWarning
    """
    package = __name__.partition(".")[0]
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
