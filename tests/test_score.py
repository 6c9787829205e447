"""`score(X, y)` is the AUROC on every detector, so scikit-learn's tools need no `scoring`."""

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    learning_curve,
)
from sklearn.preprocessing import StandardScaler

from skweiper import WeiPerDetector
from skweiper.baselines import LogitDetector
from skweiper.metrics import auroc_scorer
from skweiper.model_selection import InlierOnly
from skweiper.registry import all_detectors
from tests.quick import quick

ENTRIES = all_detectors()
pytestmark = pytest.mark.filterwarnings("ignore:EnsembleDetector leaves out")
CV = StratifiedKFold(3, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def labelled():
    """Logits of three classes, 20 rows of each, and 15 OOD rows."""
    rng = np.random.RandomState(0)
    classes = np.repeat(np.arange(3), 20)
    X_id = 4 * np.eye(3)[classes] + rng.normal(size=(60, 3))
    X = np.concatenate([X_id, rng.normal(size=(15, 3))])
    return X, np.append(classes, np.repeat(-1, 15))


def detector_of(entry):
    return quick(entry.estimator(weight=np.eye(3)) if entry.needs_head else entry.estimator())


def is_id(y):
    return y != -1


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_score_is_the_auroc(entry, labelled):
    X, y = labelled
    detector = detector_of(entry).fit(X, y)
    assert detector.score(X, y) == roc_auc_score(is_id(y), detector.score_samples(X))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_cross_validation_needs_no_scoring(entry, labelled):
    X, y = labelled
    scores = cross_val_score(detector_of(entry), X, y, cv=CV)
    expected = [
        roc_auc_score(
            is_id(y[test]), detector_of(entry).fit(X[train], y[train]).score_samples(X[test])
        )
        for train, test in CV.split(X, y)
    ]
    if "random_state" not in entry.estimator().get_params():
        np.testing.assert_allclose(scores, expected)
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_grid_search_needs_no_scoring(entry, labelled):
    search = GridSearchCV(detector_of(entry), {"contamination": [0.05, 0.1]}, cv=CV)
    search.fit(*labelled)
    assert 0 <= search.best_score_ <= 1
    assert search.score(*labelled) == search.best_estimator_.score(*labelled)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_learning_curve_needs_no_scoring(entry, labelled):
    X, y = labelled
    _, training, test = learning_curve(
        detector_of(entry), X, y, cv=CV, train_sizes=[0.6, 1.0], shuffle=True, random_state=0
    )
    assert training.shape == test.shape == (2, 3)
    assert np.isfinite([training, test]).all()


def test_a_search_over_methods_takes_the_one_of_highest_auroc(labelled):
    search = GridSearchCV(LogitDetector(np.eye(3)), {"method": ["msp", "energy", "gen"]}, cv=CV)
    search.fit(*labelled)
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()
    assert search.best_estimator_.method == search.best_params_["method"]


def test_inlier_only_scores_detectors_of_other_libraries(labelled):
    X, y = labelled
    forest = InlierOnly(IsolationForest(n_estimators=10, random_state=0))
    expected = roc_auc_score(is_id(y), forest.fit(X, y).score_samples(X))
    assert forest.score(X, y) == expected
    by_scorer = cross_val_score(forest, X, y, cv=CV, scoring=auroc_scorer)
    assert np.array_equal(cross_val_score(forest, X, y, cv=CV), by_scorer)
    grid = {"estimator__max_samples": [20, 40]}
    assert GridSearchCV(forest, grid, cv=CV).fit(X, y).best_score_ <= 1
    _, _, test = learning_curve(
        forest, X, y, cv=CV, train_sizes=[0.6, 1.0], shuffle=True, random_state=0
    )
    assert np.isfinite(test).all()


def test_inlier_only_has_no_score_around_a_transformer():
    assert not hasattr(InlierOnly(StandardScaler()), "score")


def test_one_kind_of_rows_has_no_auroc(labelled):
    X, y = labelled
    detector = WeiPerDetector(n_repeats=2).fit(X)
    with pytest.warns(UserWarning, match="y holds no -1"):
        assert np.isnan(detector.score(X[:10], y[:10]))


@pytest.mark.parametrize("of_class", [WeiPerDetector, LogitDetector])
def test_score_is_no_hyperparameter(of_class):
    assert "score" not in of_class().get_params()
    with pytest.raises(TypeError, match="unexpected keyword argument 'score'"):
        of_class(score="msp")
