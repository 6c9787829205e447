"""Warnings that a process gives once, however many of its calls come across the reason."""

import warnings
from functools import cache
from itertools import count


@cache
def _times_given(topic):
    return count()


def warn_once(topic, message):
    """Give the warning, unless one on the same topic was given before, whatever it said."""
    if next(_times_given(topic)) == 0:
        warnings.warn(message, UserWarning, stacklevel=2)
