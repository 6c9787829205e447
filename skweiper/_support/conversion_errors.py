"""Errors of conversions to arrays, which name what could not be converted."""

from contextlib import contextmanager


@contextmanager
def named_in_errors(what):
    """Context in which the errors of a conversion begin with what could not be converted.

    NumPy's own say only that something is "inhomogeneous", or no number.
    """
    try:
        yield
    except TypeError as error:
        raise TypeError(f"{what}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
