"""A fitted estimator is what was fitted, and a fit that fails leaves nothing half done."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skweiper import WeiPerTransformer, all_detectors
from skweiper.base import as_fitted
from skweiper.baselines import KNNDetector
from skweiper.shaping import ASH, RAS, SCALE, VRA, ReAct
from tests.quick import quick

OTHER_VALUES = {
    "alpha": 0.3,
    "contamination": 0.3,
    "delta": 0.7,
    "epsilon": 0.4,
    "epsilon_perturbed": 0.4,
    "combine": "mean",
    "detectors": [("knn", KNNDetector())],
    "holdout": 0.4,
    "gamma": 0.7,
    "kernel": "cosine",
    "flip_rate": 0.3,
    "lambda_1": 7.0,
    "lambda_2": 7.0,
    "method": "energy",
    "metric": "cosine",
    "n_bins": 17,
    "n_components": 3,
    "n_decisive": 3,
    "n_neighbors": 3,
    "n_random_features": 32,
    "n_ranked": 2,
    "n_repeats": 4,
    "normalize": True,
    "percentile": 40,
    "percentile_high": 95,
    "percentile_low": 30,
    "power": 2.5,
    "projection": "explicit",
    "scale_by_max_logit": False,
    "smoothing": 9,
    "smoothing_perturbed": 3,
    "standardize": False,
    "tail_size": 5,
    "temperature": 9.0,
    "threshold": 0.4,
    "top_classes": 2,
    "value_range": (0.1, 0.95),
    "variant": "b",
    "weight": np.random.RandomState(9).randn(5, 12),
    "bias": np.arange(5.0),
    "random_state": 7,
}
AT_ONCE = {"device", "engine", "verbose", "n_jobs"}
NOT_VARIED = {"labels"}  # "y" asks for other labels in fit
SHAPERS = [ReAct(), VRA(), ASH(), SCALE(), RAS()]
ESTIMATORS = [
    *(quick(entry.estimator()) for entry in all_detectors()),
    *SHAPERS,
    WeiPerTransformer(),
]


def prepared(estimator, small):
    """A clone with the small head, few repeats and a seed."""
    given = {
        "weight": small["weight"],
        "bias": small["bias"],
        "random_state": 0,
        "n_repeats": 3,
    }
    estimator = clone(estimator)
    names = estimator.get_params()
    if "temperature" in names and names["temperature"] is None:
        given["temperature"] = 2.0
    return estimator.set_params(**{name: v for name, v in given.items() if name in names})


def result(estimator, X):
    compute = getattr(estimator, "score_samples", None) or estimator.transform
    return compute(X)


CASES = [
    pytest.param(estimator, name, id=f"{type(estimator).__name__}-{name}")
    for estimator in ESTIMATORS
    for name in estimator.get_params()
    if name not in AT_ONCE | NOT_VARIED
]


@pytest.mark.parametrize(("estimator", "name"), CASES)
def test_a_parameter_changed_after_fit_acts_at_the_next_fit(estimator, name, small):
    X, other = small["X"], OTHER_VALUES[name]
    fitted = prepared(estimator, small).fit(X)
    expected = result(fitted, X)
    fitted.set_params(**{name: other})
    np.testing.assert_array_equal(result(fitted, X), expected)
    assert fitted.get_params()[name] is other
    fresh = prepared(estimator, small).set_params(**{name: other}).fit(X)
    np.testing.assert_array_equal(result(fitted.fit(X), X), result(fresh, X))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_a_saved_estimator_is_what_was_fitted(estimator, small):
    X = small["X"]
    fitted = prepared(estimator, small).fit(X)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert as_fitted(loaded) is loaded
    changed = {name: OTHER_VALUES[name] for name in fitted.get_params() if name in OTHER_VALUES}
    np.testing.assert_array_equal(result(loaded.set_params(**changed), X), result(fitted, X))


def named(estimator):
    return type(estimator).__name__


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=named)
def test_a_fit_that_fails_leaves_the_former_one(estimator, error, small, monkeypatch):
    X, bad = small["X"], small["X"].copy()
    bad[40, 3] = np.nan
    fitted = prepared(estimator, small).fit(X)
    expected, state = result(fitted, X), dict(vars(fitted))
    if "weight" in fitted.get_params():
        fitted.set_params(weight=OTHER_VALUES["weight"])
        state["weight"] = OTHER_VALUES["weight"]
    if error is KeyboardInterrupt:
        interrupt(monkeypatch)
    with pytest.raises(error):
        fitted.fit(bad)
    monkeypatch.undo()
    assert set(vars(fitted)) == set(state)
    assert all(vars(fitted)[name] is state[name] for name in state)
    np.testing.assert_array_equal(result(fitted, X), expected)


def interrupt(monkeypatch):
    """As if the user pressed Ctrl-C when the data is looked at."""
    from skweiper._support import rows

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(rows, "check_finite", interrupted)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=named)
def test_a_first_fit_that_fails_leaves_none(estimator, small):
    bad = small["X"].copy()
    bad[59, 3] = np.inf
    failed = prepared(estimator, small)
    with pytest.raises(ValueError, match="row 59, column 3"):
        failed.fit(bad)
    with pytest.raises(NotFittedError):
        check_is_fitted(failed)
    with pytest.raises(NotFittedError):
        result(failed, small["X"])
