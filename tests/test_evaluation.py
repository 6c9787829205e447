"""Comparison of detectors against separate evaluations."""

import numpy as np
import pytest
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest

from skweiper.evaluation import compare
from skweiper.metrics import evaluate


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


def test_detector_without_random_state_is_fitted_once(data):
    from sklearn.svm import OneClassSVM

    table = compare({"svm": OneClassSVM()}, *data, seeds=[0, 1, 2])
    assert len(table) == 3
    assert table.seed.isna().all()
