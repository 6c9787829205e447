"""Comparison of detectors against separate evaluations."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skweiper.baselines import (
    KNNDetector,
    MahalanobisDetector,
    OpenMaxDetector,
    TemperatureScalingDetector,
)
from skweiper.evaluation import compare, evaluate
from skweiper.metrics import auroc
from skweiper.model_selection import InlierOnly


@pytest.fixture
def data():
    rng = np.random.RandomState(0)
    sets = {"a": rng.normal(2, 1, (30, 3)), "b": rng.normal(4, 1, (40, 3))}
    return rng.normal(0, 1, (100, 3)), rng.normal(0, 1, (50, 3)), sets


def test_compare_stacks_the_evaluations_of_each_detector_and_seed(data):
    train, test, ood = data
    forest, envelope = IsolationForest(n_estimators=5), EllipticEnvelope(random_state=3)
    groups, shifted = {"near": ["a"], "far": ["b"]}, test + 0.5
    table = compare(
        {"forest": forest, "envelope": envelope}, train, test, ood, groups, shifted, seeds=[0, 1]
    )
    for (name, seed), rows in table.groupby(["detector", "seed"], sort=False):
        base = {"forest": forest, "envelope": envelope}[name]
        fitted = type(base)(**{**base.get_params(), "random_state": int(seed)}).fit(train)
        expected = evaluate(fitted, test, ood, groups, shifted)
        assert rows[expected.columns].reset_index(drop=True).equals(expected)
    assert table.groupby(["detector", "seed"]).ngroups == 4
    assert (table[["fit_seconds", "score_seconds"]] > 0).to_numpy().all()
    assert not hasattr(forest, "estimators_")


def test_seeds_reach_the_steps_of_a_pipeline(data):
    train, test, ood = data
    pipeline = make_pipeline(StandardScaler(), IsolationForest(n_estimators=5))
    table = compare({"pipeline": pipeline}, train, test, ood, seeds=[0, 1])
    for seed, rows in table.groupby("seed"):
        forest = IsolationForest(n_estimators=5, random_state=int(seed))
        expected = evaluate(make_pipeline(StandardScaler(), forest).fit(train), test, ood)
        assert rows.auroc.tolist() == expected.auroc.tolist()
    assert table.seed.nunique() == 2


def test_intervals_of_compare_are_those_of_each_evaluation(data):
    train, test, ood = data
    envelope, options = EllipticEnvelope(random_state=3), {"n_boot": 20, "random_state": 5}
    table = compare({"envelope": envelope}, train, test, ood, confidence=0.8, **options)
    expected = evaluate(envelope.fit(train), test, ood, confidence=0.8, **options)
    assert table[expected.columns].equals(expected)


class NeverFitted(IsolationForest):
    def fit(self, X, y=None):
        raise AssertionError("fitted before the options were checked")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detectors": {}}, "detectors must be a dict .* an empty one"),
        ({"detectors": [NeverFitted()]}, "detectors must be a dict .* got list"),
        ({"seeds": 3}, r"seeds must be None or several ints, got 3. Pass range\(3\)"),
        ({"seeds": []}, "seeds is empty"),
        ({"groups": {"near": ["z"]}}, r"unknown \['z'\]"),
        ({"groups": {"near": "a"}}, "groups must be a dict"),
        ({"groups": ["a"]}, "groups must be a dict"),
        ({"X_ood": np.ones((2, 3))}, "X_ood must be a dict .* got ndarray"),
        ({"X_ood": pd.DataFrame(np.ones((2, 3)))}, "X_ood must be a dict .* got DataFrame"),
        ({"X_ood": {}}, "X_ood must be a dict .* an empty one"),
        ({"X_ood": {"a": np.ones((0, 3))}}, r"X_ood holds no samples for \['a'\]"),
        ({"n_boot": 2.5}, "n_boot must be an int"),
        ({"confidence": 1}, "confidence must be in"),
    ],
)
def test_bad_options_are_told_before_anything_is_fitted(data, options, message):
    train, test, ood = data
    arguments = {"detectors": {"never": NeverFitted()}, "X_ood": ood, **options}
    with pytest.raises(ValueError, match=message):
        compare(arguments.pop("detectors"), train, test, **arguments)


def test_evaluate_checks_names_before_it_scores(data):
    with pytest.raises(ValueError, match=r"unknown \['z'\]"):
        evaluate(None, data[1], data[2], {"near": ["z"]})


def test_foreign_detectors_of_the_other_direction_are_compared(data):
    class PyODLike(BaseEstimator):
        def fit(self, X, y=None):
            self.threshold_ = 0.0
            return self

        def decision_function(self, X):
            return X[:, 0]

    train, test, ood = data
    report = compare({"pyod": InlierOnly(PyODLike(), convention="pyod")}, train, test, ood)
    assert report.auroc[0] == auroc(-test[:, 0], -ood["a"][:, 0])
    assert report.auroc[0] > 0.8
    assert not hasattr(InlierOnly(PyODLike()), "score_samples")


def test_detector_without_random_state_is_fitted_once(data):
    from sklearn.svm import OneClassSVM

    table = compare({"svm": OneClassSVM()}, *data, seeds=[0, 1, 2])
    assert len(table) == 3
    assert table.seed.isna().all()


def test_what_is_no_detector_is_named():
    X = np.ones((2, 2))
    with pytest.raises(TypeError, match=r"detectors\['a'\] must be an estimator, got the class"):
        compare({"a": IsolationForest}, X, X, {"ood": X})
    with pytest.raises(TypeError, match=r"detectors\['a'\] must be an estimator, got 'knn'"):
        compare({"a": "knn"}, X, X, {"ood": X})


LEARNERS = {
    "t": TemperatureScalingDetector(),
    "m": MahalanobisDetector(labels="y"),
    "pipeline": make_pipeline(StandardScaler(), TemperatureScalingDetector()),
    "wrapped": InlierOnly(OpenMaxDetector(labels="y")),
}


def test_a_detector_that_needs_labels_is_left_out_without_them():
    X = np.random.RandomState(0).normal(size=(40, 4))
    detectors = {"k": KNNDetector(), **LEARNERS, "given": TemperatureScalingDetector(temperature=2)}
    with pytest.warns(UserWarning, match=r"\['t', 'm', 'pipeline', 'wrapped'\] .*y_train"):
        table = compare(detectors, X, X, {"far": X + 3})
    assert table.detector.unique().tolist() == ["k", "given"]
    with pytest.raises(ValueError, match="Pass y_train"):
        compare(LEARNERS, X, X, {"far": X + 3})
    table = compare(LEARNERS, X, X, {"far": X + 3}, y_train=np.arange(40) % 4)
    assert table.detector.unique().tolist() == list(LEARNERS)
