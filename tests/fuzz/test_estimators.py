"""Nothing that users may import is left out of the attack."""

import inspect
import types

import skweiper
from skweiper.base import BaseDetector, Estimator
from skweiper.shaping import FeatureShaper
from tests.fuzz.estimators import SUBJECTS


def public_values():
    """What the package and its public modules list in `__all__`."""
    for value in (getattr(skweiper, name) for name in skweiper.__all__):
        if isinstance(value, types.ModuleType):
            yield from (getattr(value, name) for name in value.__all__)
        else:
            yield value


def test_every_public_estimator_is_attacked():
    estimators = {
        value
        for value in public_values()
        if inspect.isclass(value) and issubclass(value, Estimator)
    }
    attacked = {type(subject.template) for subject in SUBJECTS}
    assert estimators - {BaseDetector, Estimator, FeatureShaper} == attacked
