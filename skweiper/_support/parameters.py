"""Checks of parameters by scikit-learn's rules: the only door to its private modules."""

from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition

__all__ = [
    "BaseComposition",
    "HasMethods",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "gives_tables",
    "validate_parameter_constraints",
    "validate_params",
]


def validate_params(estimator):
    """Check an estimator's parameters as its own `fit` does."""
    estimator._validate_params()


def gives_tables(transformer):
    """Whether `set_output`, or scikit-learn's setting, asks for tables in place of arrays."""
    return _get_output_config("transform", transformer)["dense"] != "default"
