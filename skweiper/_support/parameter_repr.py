"""Estimators as text: every changed parameter, none of them so long that it hides the others."""

from inspect import signature

import numpy as np
from sklearn import get_config

LINE_LENGTH = 80
LONGEST_LIST = 200
"""Characters of a list or tuple from which on only its shape is shown."""
FEW_NUMBERS = 5
"""Of an array, up to which they are shown."""
TIMES = "\N{MULTIPLICATION SIGN}"


def estimator_repr(estimator):
    """An estimator with its changed parameters (all, where scikit-learn is configured so).

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    str
    """
    values = estimator.get_params(deep=False)
    defaults = signature(type(estimator).__init__).parameters
    only_changed = get_config()["print_changed_only"]
    parts = [
        f"{name}={_described(values[name])}"
        for name in defaults
        if name in values and not (only_changed and _is(values[name], defaults[name].default))
    ]
    name = type(estimator).__name__
    return f"{name}({_wrapped(parts, indent=len(name) + 1)})"


def _is(value, default):
    """Whether a parameter has its default; an array is compared with none."""
    return value is default or (not hasattr(value, "shape") and repr(value) == repr(default))


def _described(value):
    shape = getattr(value, "shape", ())
    is_short = isinstance(value, np.ndarray) and value.ndim == 1 and value.size <= FEW_NUMBERS
    if len(shape) > 0 and not is_short:
        dtype = str(getattr(value, "dtype", type(value).__name__)).removeprefix("torch.")
        return f"array({_sizes(shape)}, {dtype})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_described(of)}" for key, of in value.items()) + "}"
    text = repr(value)
    if isinstance(value, (list, tuple)) and len(text) > LONGEST_LIST:
        return f"{type(value).__name__}({_sizes(_list_shape(value))})"
    return text


def _list_shape(values):
    """The shape of nested lists of numbers, else their number."""
    try:
        return np.shape(values)
    except ValueError:  # of different lengths
        return (len(values),)


def _sizes(shape):
    return TIMES.join(map(str, shape))


def _wrapped(parts, indent):
    """Parts one behind the other, on lines that end in time."""
    lines = [""]
    for part in parts:
        separator = ", " if lines[-1] else ""
        if lines[-1] and indent + len(lines[-1]) + len(part) + 3 > LINE_LENGTH:
            lines.append(part)
        else:
            lines[-1] += separator + part
    return (",\n" + " " * indent).join(lines)
