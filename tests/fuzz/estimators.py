"""Every estimator of the library, as the attack sees it: how to make one, and what it gives.

A detector is here by being in the registry, a shaper by being public.
"""

import inspect
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import get_tags

from skweiper import WeiPerTransformer, all_detectors, shaping
from skweiper.baselines import KNNDetector
from skweiper.model_selection import InlierOnly, WeiPerDetectorCV
from skweiper.shaping import FeatureShaper
from tests.quick import quick


class Subject(NamedTuple):
    """An estimator under attack.

    Attributes
    ----------
    name : str
    template : estimator
        Not fitted. The arguments that it cannot do without are given.
    """

    name: str
    template: object

    @property
    def is_detector(self):
        """Whether it has a threshold that can be calibrated."""
        return hasattr(self.template, "calibrate")

    @property
    def takes_head(self):
        return "weight" in self.template.get_params(deep=False)

    def made(self, problem, parameters=()):
        """An unfitted estimator with parameters, and the head of a problem."""
        estimator = clone(self.template).set_params(**dict(parameters))
        return estimator.set_params(**self.head_of(problem))

    def seed(self, value=0):
        """The parameter that makes fits repeatable, where the estimator draws anything."""
        names = self.template.get_params(deep=False)
        return {"random_state": value} if "random_state" in names else {}

    def head_of(self, problem):
        """The parameters that make up a problem's head, where the estimator takes one."""
        return {"weight": problem.weight, "bias": problem.bias} if self.takes_head else {}

    def labels_of(self, estimator, problem):
        """The labels that `fit` cannot do without, or None."""
        if isinstance(estimator, WeiPerDetectorCV):
            return np.where(np.arange(len(problem.X)) % 3, 1, -1)
        return problem.classes if reads_classes(estimator) else None


def reads_classes(estimator):
    """Whether `fit` learns from the class of each row."""
    return get_tags(estimator).target_tags.required


def result(estimator, X):
    """What a fitted estimator makes of rows: scores, or features."""
    compute = getattr(estimator, "score_samples", None) or estimator.transform
    return np.asarray(compute(X))


def public_shapers():
    """The classes of shapers that users may import."""
    values = [getattr(shaping, name) for name in shaping.__all__]
    return [
        value
        for value in values
        if inspect.isclass(value) and issubclass(value, FeatureShaper) and value != FeatureShaper
    ]


GRID = {"n_repeats": [2], "lambda_1": [0.1, 1.0], "n_bins": [7]}
DETECTORS = [Subject(entry.name, quick(entry.estimator())) for entry in all_detectors()]
SHAPERS = [Subject(shaper.__name__, shaper()) for shaper in public_shapers()]
OTHERS = [
    Subject("transformer", WeiPerTransformer()),
    Subject("inlier only", InlierOnly(KNNDetector())),
    Subject("search", WeiPerDetectorCV(param_grid=GRID, cv=StratifiedKFold(2))),
]
SUBJECTS = [*DETECTORS, *SHAPERS, *OTHERS]


def of_each(subjects):
    """A test of each of some estimators, named as they are."""
    return pytest.mark.parametrize("subject", subjects, ids=lambda subject: subject.name)


of_each_estimator = of_each(SUBJECTS)
