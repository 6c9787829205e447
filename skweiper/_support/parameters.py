"""Checks of parameters by scikit-learn's rules: the only door to its private module."""

from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition

__all__ = [
    "BaseComposition",
    "HasMethods",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "validate_parameter_constraints",
    "validate_params",
]


def validate_params(estimator):
    """Check an estimator's parameters as its own `fit` does."""
    estimator._validate_params()
