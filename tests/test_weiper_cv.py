"""The factored sweep gives what GridSearchCV gives, and behaves like a detector."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_outlier_detector
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.model_selection import WeiPerDetectorCV
from skweiper.model_selection.sweep import auroc_of_rows

GRID = [
    {
        "delta": [1.8, 2.4],
        "n_repeats": [3],
        "n_bins": [40, 60],
        "smoothing": [4, 9],
        "smoothing_perturbed": [15],
        "lambda_1": [0.1, 2.5],
        "lambda_2": [0.25, 5],
        "epsilon": [0.01, 0.1],
        "epsilon_perturbed": [0.025],
        "random_state": [0],
    },
    {"score": ["msp", "energy"], "n_repeats": [3], "delta": [2.4], "random_state": [0, 1]},
    {"projection": ["explicit", "random"], "n_repeats": [2], "n_bins": [30], "lambda_2": [1, 2]},
    {
        "n_bins": [35, 50],
        "lambda_1": [0.5, 1.0],
        "n_repeats": [3],
        "epsilon_perturbed": [0.1, 0.01],
    },
    {"smoothing_perturbed": [1, 2, 5], "lambda_1": [0, 1, 3], "n_repeats": [3], "lambda_2": [0, 1]},
]


@pytest.fixture(scope="module")
def data():
    return load_clinc150()


@pytest.fixture(scope="module")
def labelled(data):
    X = np.concatenate([data.train[::40], data.validation_oos[:40]])
    return X, np.repeat([1, -1], [len(X) - 40, 40])


@pytest.fixture(scope="module")
def searches(data, labelled):
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    detector = WeiPerDetector(data.weight, data.bias, random_state=7)
    slow = GridSearchCV(detector, GRID, cv=folds, scoring="roc_auc").fit(*labelled)
    fast = WeiPerDetectorCV(data.weight, data.bias, param_grid=GRID, cv=folds, random_state=7).fit(
        *labelled
    )
    return slow, fast


def test_every_candidate_equals_grid_search(searches):
    slow, fast = searches
    assert len(slow.cv_results_["params"]) >= 94
    assert fast.cv_results_["params"] == slow.cv_results_["params"]
    for name in ("split0", "split1", "mean", "std"):
        column = f"{name}_test_score"
        np.testing.assert_allclose(
            fast.cv_results_[column], slow.cv_results_[column], rtol=0, atol=1e-9
        )
    assert len(np.unique(fast.cv_results_["mean_test_score"].round(6))) > 40


def test_columns_and_best_equal_grid_search(searches):
    slow, fast = searches
    assert set(fast.cv_results_) == set(slow.cv_results_)
    assert fast.best_params_ == slow.best_params_
    assert fast.n_passes_ == 6
    for name, column in slow.cv_results_.items():
        if name.startswith("param_"):
            assert np.array_equal(fast.cv_results_[name].mask, column.mask), name
            assert fast.cv_results_[name].compressed().tolist() == column.compressed().tolist()


def test_best_estimator_is_a_plain_detector_and_is_delegated_to(searches, data):
    slow, fast = searches
    assert type(fast.best_estimator_) is WeiPerDetector
    assert is_outlier_detector(fast)
    X = data.test[:20]
    assert np.array_equal(fast.score_samples(X), slow.best_estimator_.score_samples(X))
    assert np.array_equal(fast.decision_function(X), fast.score_samples(X) - fast.offset_)
    assert np.array_equal(fast.predict(X), slow.predict(X))


@pytest.mark.parametrize(
    "scoring", ["accuracy", "average_precision", lambda e, X, y: e.predict(X).mean()]
)
def test_other_scorings_equal_grid_search(data, labelled, scoring):
    grid = {"lambda_1": [0.1, 2.5], "n_bins": [30, 60], "n_repeats": [2], "score": ["kld", "msp"]}
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    detector = WeiPerDetector(data.weight, data.bias, random_state=7, contamination=0.3)
    slow = GridSearchCV(detector, grid, cv=folds, scoring=scoring).fit(*labelled)
    fast = WeiPerDetectorCV(
        data.weight,
        data.bias,
        param_grid=grid,
        cv=folds,
        random_state=7,
        scoring=scoring,
        contamination=0.3,
    ).fit(*labelled)
    np.testing.assert_allclose(
        fast.cv_results_["mean_test_score"], slow.cv_results_["mean_test_score"], atol=1e-9
    )
    X, y = labelled
    assert fast.score(X, y) == pytest.approx(slow.score(X, y), abs=1e-12)


def test_outliers_take_no_part_in_any_fit(data, labelled):
    X, y = labelled
    grid = {"lambda_1": [0.1, 1], "n_repeats": [2]}
    test = np.arange(0, len(X), 2)
    train = np.arange(1, len(X), 2)

    def results(X):
        search = WeiPerDetectorCV(
            data.weight, data.bias, param_grid=grid, cv=[(train, test)], random_state=0
        ).fit(X, y)
        return search.cv_results_["mean_test_score"], search.score_samples(data.test[:5])

    spoiled = X.astype(np.float32)
    spoiled[train[y[train] == -1]] *= 1000
    for clean, other in zip(results(X.astype(np.float32)), results(spoiled), strict=True):
        assert np.array_equal(clean, other)


def test_auroc_of_rows_equals_scikit_learn_with_ties():
    random_state = np.random.RandomState(0)
    scores = random_state.randint(6, size=(5, 80)).astype(float)
    is_id = random_state.rand(80) < 0.7
    expected = [roc_auc_score(is_id, row) for row in scores]
    np.testing.assert_allclose(auroc_of_rows(scores, is_id), expected, atol=1e-12)


def test_processes_do_not_change_the_results(data, labelled):
    grid = {"delta": [1.8, 2.0], "lambda_1": [0.1, 1], "n_repeats": [2]}
    search = WeiPerDetectorCV(
        data.weight, data.bias, param_grid=grid, cv=StratifiedKFold(2), random_state=0
    )
    alone = clone(search).fit(*labelled)
    together = clone(search).set_params(n_jobs=2).fit(*labelled)
    np.testing.assert_allclose(
        alone.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"], atol=1e-4
    )


def test_one_sided_folds_are_told(data, labelled):
    X, y = labelled
    search = WeiPerDetectorCV(data.weight, data.bias, param_grid={"n_repeats": [2]}, random_state=0)
    with pytest.warns(UndefinedMetricWarning, match="StratifiedKFold"):
        search.fit(X, y)
    assert np.isnan(search.cv_results_["split0_test_score"]).all()


@pytest.mark.parametrize(
    ("grid", "y", "message"),
    [
        ({"contamination": [0.1]}, None, "param_grid varies"),
        ({"lambda_1": [-1]}, None, "lambda_1"),
        ({"lambda_1": [1]}, "outliers", "labelled y == -1"),
    ],
)
def test_bad_input_is_named(data, labelled, grid, y, message):
    X, labels = labelled
    labels = -np.ones(len(X)) if y == "outliers" else labels
    with pytest.raises(ValueError, match=message):
        WeiPerDetectorCV(data.weight, data.bias, param_grid=grid, cv=2).fit(X, labels)


@pytest.mark.parametrize("has_y", [True, False])
def test_without_outliers_the_first_candidate_is_taken_with_one_warning(data, has_y):
    X = data.train[:60]
    y = np.ones(60) if has_y else None
    grid = {"n_repeats": [2], "lambda_1": [2.5, 0.1]}
    search = WeiPerDetectorCV(data.weight, data.bias, param_grid=grid, cv=2, random_state=0)
    with pytest.warns(UserWarning, match="nothing can be compared.*'lambda_1': 2.5") as caught:
        search.fit(X, y)
    assert len(caught) == 1
    assert np.isnan(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_ == {"n_repeats": 2, "lambda_1": 2.5}
    plain = WeiPerDetector(data.weight, data.bias, n_repeats=2, lambda_1=2.5, random_state=0)
    assert np.array_equal(search.score_samples(X), plain.fit(X).score_samples(X))


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame])
def test_fit_names_bad_values(data, labelled, kind):
    X, y = labelled
    spoiled = X.astype(float)
    spoiled[17, 5] = np.nan
    grid = {"n_repeats": [2], "lambda_1": [0.1, 1]}
    search = WeiPerDetectorCV(data.weight, data.bias, param_grid=grid, cv=StratifiedKFold(2))
    with pytest.raises(ValueError, match="NaN at row 17, column 5"):
        search.fit(kind(spoiled), y)


@parametrize_with_checks([WeiPerDetectorCV(param_grid={"n_repeats": [3], "lambda_1": [0.1, 1]})])
def test_scikit_learns_own_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def test_a_progress_bar_counts_splits_and_perturbations(data, labelled, capsys):
    pytest.importorskip("rich")
    grid = {"n_repeats": [2], "delta": [1.0, 2.0], "lambda_1": [0.1, 1]}
    search = WeiPerDetectorCV(
        data.weight, data.bias, param_grid=grid, cv=StratifiedKFold(2), random_state=0
    )
    quiet = clone(search).fit(*labelled)
    assert capsys.readouterr().out == ""
    loud = search.set_params(verbose=1).fit(*labelled)
    printed = capsys.readouterr().out
    assert "sweep" in printed
    assert "100%" in printed
    for column in ("mean_test_score", "rank_test_score"):
        assert np.array_equal(loud.cv_results_[column], quiet.cv_results_[column])


def test_without_refit_there_is_no_detector(data, labelled):
    search = WeiPerDetectorCV(
        data.weight, data.bias, param_grid={"n_repeats": [2]}, cv=StratifiedKFold(2), refit=False
    ).fit(*labelled)
    with pytest.raises(AttributeError, match="refit=True"):
        search.predict(data.test[:2])
