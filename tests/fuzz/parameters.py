"""Values of hyperparameters, drawn from what the estimators themselves say of them."""

from functools import cache
from importlib.util import find_spec
from inspect import signature

import numpy as np
from hypothesis import strategies as st

from skweiper._support.parameters import Interval, StrOptions

AT_ONCE = {"engine", "device", "verbose", "n_jobs"}
"""How to compute, not what: drawn only where another engine's rounding does not matter."""
LEFT_ALONE = {"weight", "bias", "refit", "cv", "param_grid", "estimator", "convention"}
MOST = 20
"""Integers beyond the least allowed one, at most: work and memory grow with them."""
ENGINES = ["auto", "numpy", "numba"] if find_spec("numba") else ["auto", "numpy"]


def largest_gap(logits):
    """A user's own score of logits: how far the largest is above the mean."""
    return logits.max(axis=-1) - logits.mean(axis=-1)


INSTEAD = {"engine": st.sampled_from(ENGINES), "device": st.sampled_from(["auto", "cpu"])}
"""Values in place of those that the constraints allow: not every machine has all of them."""
FURTHER = {
    "method": st.just(largest_gap),
    "value_range": st.tuples(st.floats(0, 0.4), st.floats(0.6, 1)),
}
"""Values beside those that the constraints tell."""


@cache
def parameters(estimator, *, wild=False, at_once=False):
    """Dictionaries of some of an estimator's parameters, all within what it allows.

    Parameters
    ----------
    estimator : type
    wild : bool
        Whether numbers may be as large and as small as their interval allows.
    at_once : bool
        Whether parameters that act at once are among them.
    """
    left_alone = LEFT_ALONE if at_once else LEFT_ALONE | AT_ONCE
    drawn = {}
    for name in checked_names(estimator) - left_alone:
        constraints = estimator._parameter_constraints[name]
        told = [of_constraint(each, wild) for each in constraints]
        values = INSTEAD.get(name, st.one_of(*told, FURTHER.get(name, st.nothing())))
        if not values.is_empty:
            drawn[name] = values
    # Never none: the same parameters are to give the same fit.
    seed = {name: drawn.pop(name) for name in {"random_state"} & set(drawn)}
    return st.fixed_dictionaries(seed, optional=dict(sorted(drawn.items())))


def checked_names(estimator):
    """Names of the parameters of a class that its `fit` checks."""
    return set(estimator._parameter_constraints) & set(signature(estimator).parameters)


def of_constraint(constraint, wild):
    """Values that one constraint allows; none where it does not tell."""
    if isinstance(constraint, Interval):
        whole = not issubclass(float, constraint.type)
        return integers_of(constraint) if whole else floats_of(constraint, wild)
    if isinstance(constraint, StrOptions):
        return st.sampled_from(sorted(constraint.options))
    if constraint is None:
        return st.none()
    if constraint == "random_state":
        return st.integers(0, 2**32 - 1)
    return st.booleans() if constraint == "boolean" else st.nothing()


def integers_of(interval):
    """Integers of an interval, near its lower end."""
    low = int(interval.left or 0) + (interval.closed not in ("left", "both"))
    high = low + MOST if interval.right is None else min(int(interval.right), low + MOST)
    return st.integers(low, high)


def floats_of(interval, wild):
    """Real numbers of an interval, its ends and other extremes among them where it is wild."""
    low = float(interval.left or 0)
    high = low + 10.0 if interval.right is None else float(interval.right)
    inside = st.floats(
        low,
        high,
        exclude_min=interval.closed not in ("left", "both"),
        exclude_max=interval.closed not in ("right", "both"),
        allow_subnormal=wild,
    )
    if not wild:
        return st.floats(low + (high - low) / 100, high - (high - low) / 100)
    extremes = [low, high, np.nextafter(low, high), np.nextafter(high, low), 1e-300, 1e-30, 1e30]
    extremes = [float(value) for value in (*extremes, 1e300) if value in interval]
    return inside | st.sampled_from(extremes)


@cache
def parameters_out_of_range(estimator):
    """Dictionaries of one parameter that `fit` must refuse: none takes an object of no kind.

    Empty where the estimator has no parameter.

    Parameters
    ----------
    estimator : type
    """
    names = sorted(checked_names(estimator) - AT_ONCE)
    values = st.sampled_from([object(), float("nan"), "no such"])
    of_names = [st.fixed_dictionaries({name: values}) for name in names]
    return st.one_of(of_names) if of_names else st.just({})
