"""The factored sweep gives what GridSearchCV gives, and behaves like a detector."""

import pickle
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn import config_context
from sklearn.base import clone, is_outlier_detector
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from skweiper import WeiPerDetector
from skweiper.datasets import load_clinc150
from skweiper.metrics import OODScorer, auroc_of_rows, fpr95_scorer, fpr_at_tpr
from skweiper.model_selection import WeiPerDetectorCV
from skweiper.model_selection.candidates import grid_candidates, pass_groups

GRID = [
    {
        "projection": ["implicit", "explicit"],
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
    {"method": ["msp", "energy"], "n_repeats": [3], "delta": [2.4], "random_state": [0, 1]},
    {"projection": ["explicit", "random"], "n_repeats": [2], "n_bins": [30], "lambda_2": [1, 2]},
    {
        "n_bins": [35, 50],
        "lambda_1": [0.5, 1.0],
        "n_repeats": [3],
        "epsilon_perturbed": [0.1, 0.01],
    },
    {
        "delta": ["auto", 2.4],
        "flip_rate": [0.1, 0.3],
        "n_repeats": [3],
        "projection": ["implicit", "explicit"],
        "random_state": [0],
        "n_bins": [40, 60],
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
    assert len(slow.cv_results_["params"]) >= 150
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
    assert fast.n_passes_ == 12  # of a number, whatever the flip rate, one
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
    "scoring",
    [
        "accuracy",
        "average_precision",
        fpr95_scorer,
        OODScorer(partial(fpr_at_tpr, convention="vim"), greater_is_better=False),
        lambda e, X, y: e.predict(X).mean(),
    ],
)
def test_other_scorings_equal_grid_search(data, labelled, scoring):
    grid = {"lambda_1": [0.1, 2.5], "n_bins": [30, 60], "n_repeats": [2], "method": ["kld", "msp"]}
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
        ([], None, "param_grid has no candidates"),
        ({"method": ["bogus"]}, None, "method"),
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
    assert capsys.readouterr() == ("", "")
    loud = search.set_params(verbose=1).fit(*labelled)
    printed = capsys.readouterr().err
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


def test_what_an_earlier_search_left_is_gone(data, labelled):
    search = WeiPerDetectorCV(
        data.weight, data.bias, param_grid={"n_repeats": [2]}, cv=StratifiedKFold(2), random_state=0
    ).fit(*labelled)
    search.set_params(refit=False)
    assert len(search.predict(data.test[:2])) == 2  # the fit in force refitted
    search.fit(*labelled)
    assert not hasattr(search, "best_estimator_")
    with pytest.raises(AttributeError, match="refit=True"):
        search.predict(data.test[:2])
    search.set_params(refit=lambda results: 0).fit(*labelled)
    assert not hasattr(search, "best_score_")


def test_each_calibration_is_compared_with_the_fit(data, labelled):
    search = WeiPerDetectorCV(
        data.weight, data.bias, param_grid={"n_repeats": [2]}, cv=StratifiedKFold(2), random_state=0
    ).fit(*labelled)
    for _ in range(2):
        with pytest.warns(UserWarning, match="score below the threshold that fit set"):
            search.calibrate(data.test_oos[:, ::-1])


def test_candidates_with_equal_auroc_share_a_rank_and_the_first_is_best(data):
    # Few test rows, many candidates: most AUROCs are equal, to GridSearchCV up to rounding.
    X = np.concatenate([data.train[::20], data.validation[:10], data.test_oos[:6]])
    y = np.repeat([1, -1], [len(X) - 6, 6])
    cv = [(np.arange(len(X) - 16), np.arange(len(X) - 16, len(X)))]
    grid = {"n_repeats": [3], "lambda_1": [0.1, 1, 2], "lambda_2": [0.1, 0.5, 2]}
    fast = WeiPerDetectorCV(data.weight, data.bias, param_grid=grid, cv=cv, random_state=0)
    detector = WeiPerDetector(data.weight, data.bias, random_state=0)
    slow = GridSearchCV(detector, grid, cv=cv, scoring="roc_auc").fit(X, y)
    results = fast.fit(X, y).cv_results_
    scores = results["mean_test_score"]
    assert len(np.unique(scores)) < len(scores)
    assert fast.best_index_ == np.flatnonzero(scores == scores.max())[0]
    assert fast.best_score_ == pytest.approx(slow.best_score_, abs=1e-12)
    rounded = -slow.cv_results_["mean_test_score"].round(9)
    assert results["rank_test_score"].tolist() == rankdata(rounded, method="min").tolist()


def test_folds_may_be_masks_or_run_out(data, labelled):
    X, y = labelled
    numbers = list(StratifiedKFold(2).split(X, y))
    masks = [tuple(np.isin(np.arange(len(X)), rows) for rows in split) for split in numbers]
    grid = {"n_repeats": [2], "lambda_1": [0.1, 1]}
    search = WeiPerDetectorCV(data.weight, data.bias, param_grid=grid, random_state=0)
    scores = [
        clone(search).set_params(cv=cv).fit(X, y).cv_results_["mean_test_score"]
        for cv in (numbers, masks, iter(numbers))
    ]
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])


def test_a_training_fold_without_id_rows_is_named(data, labelled):
    X, y = labelled
    ood = np.flatnonzero(y == -1)
    cv = [(np.arange(20), np.arange(len(X))), (ood, np.arange(len(X)))]
    search = WeiPerDetectorCV(data.weight, data.bias, param_grid={"n_repeats": [2]}, cv=cv)
    with pytest.raises(ValueError, match="training fold of split 1 holds no ID row"):
        search.fit(X, y)


def test_refit_may_choose_and_is_checked(data, labelled):
    grid = {"n_repeats": [2], "lambda_1": [0.1, 1]}
    search = WeiPerDetectorCV(
        data.weight, data.bias, param_grid=grid, cv=StratifiedKFold(2), random_state=0
    )
    chosen = clone(search).set_params(refit=lambda results: 1).fit(*labelled)
    assert chosen.best_params_ == {"lambda_1": 1, "n_repeats": 2}
    assert chosen.best_estimator_.lambda_1 == 1
    assert not hasattr(chosen, "best_score_")
    for wrong in (2, 0.5):
        with pytest.raises(ValueError, match=r"refit must return .* \[0, 2\)"):
            clone(search).set_params(refit=lambda results, wrong=wrong: wrong).fit(*labelled)


def test_unknown_scoring_is_told_before_the_sweep(data, labelled):
    search = WeiPerDetectorCV(data.weight, data.bias, param_grid={}, scoring="auroc")
    with pytest.raises(ValueError, match="'auroc' is not a valid scoring value"):
        search.fit(*labelled)


def test_logits_without_a_head_equal_grid_search(data, labelled):
    X, y = labelled
    logits = X @ data.weight.T + data.bias
    grid = {"n_repeats": [2], "n_bins": [30, 60], "lambda_1": [0.1, 1]}
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    fast = WeiPerDetectorCV(param_grid=grid, cv=folds, random_state=0).fit(logits, y)
    slow = GridSearchCV(WeiPerDetector(random_state=0), grid, cv=folds, scoring="roc_auc")
    expected = slow.fit(logits, y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(fast.cv_results_["mean_test_score"], expected, atol=1e-9)


def test_frames_keep_their_names_and_the_search_its_predictions_when_pickled(data, labelled):
    X, y = labelled
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
    search = WeiPerDetectorCV(
        data.weight,
        data.bias,
        param_grid={"n_repeats": [2], "lambda_1": [0.1, 1]},
        cv=StratifiedKFold(2),
        random_state=0,
    ).fit(frame, pd.Series(y, index=frame.index[::-1]))
    assert list(search.best_estimator_.feature_names_in_) == list(frame)
    new = pd.DataFrame(data.test[:20], columns=frame.columns)
    again = pickle.loads(pickle.dumps(search))
    assert np.array_equal(again.predict(new), search.predict(new))
    plain = clone(search).fit(X, y)
    assert np.array_equal(plain.score_samples(data.test[:20]), search.score_samples(new))


def test_the_search_is_calibrated_and_explained_as_its_best_detector(searches, data):
    search = clone(searches[1]).set_params(param_grid={"n_repeats": [2]})
    search.fit(data.train[:60], np.repeat([1, -1], 30))
    best, X = search.best_estimator_, data.test[:10]
    assert search.calibrate(data.validation[:50], 0.9).offset_ == best.offset_
    assert np.mean(search.predict(data.validation[:50]) == 1) == pytest.approx(0.9)
    p = search.calibrate_p_values(data.validation[:99]).p_value(X)
    assert np.array_equal(p, best.p_value(X))
    assert (p * 100 % 1 < 1e-9).sum() + (p * 100 % 1 > 1 - 1e-9).sum() == 10
    assert np.array_equal(search.densities(X).logit, best.densities(X).logit)


@pytest.mark.parametrize("most", [1, 3, 4, 7, 1000])
def test_parts_of_a_group_hold_each_candidate_once_and_few_terms(most):
    _, complete = grid_candidates(GRID, WeiPerDetector(random_state=7))
    for group in pass_groups(complete):
        parts = group.within(most)
        positions = np.concatenate([part.positions for part in parts])
        assert sorted(positions) == sorted(group.positions)
        for part in parts:
            assert part.n_terms <= most or len(part.candidates) == 1 or len(parts) == 1
            assert part.candidates == [complete[i] for i in part.positions]
        assert (len(parts) == 1) == (group.n_terms <= most or len(group.candidates) == 1)


@pytest.mark.parametrize("scoring", ["roc_auc", "average_precision"])
def test_little_memory_takes_more_passes_and_changes_no_result(data, labelled, scoring):
    grid = [
        {"n_repeats": [2], "n_bins": [30, 60], "smoothing": [1, 4], "lambda_1": [0.1, 1]},
        {"n_repeats": [2], "method": ["msp", "entropy"]},
    ]
    X, y = np.tile(labelled[0], (20, 1)), np.tile(labelled[1], 20)
    search = WeiPerDetectorCV(
        data.weight,
        data.bias,
        param_grid=grid,
        cv=StratifiedKFold(2),
        scoring=scoring,
        random_state=0,
        refit=False,
    )
    plenty = clone(search).fit(X, y)
    with config_context(working_memory=0.5):
        little = clone(search).fit(X, y)
    assert plenty.n_passes_ == 1
    assert little.n_passes_ > 1
    scores = [one.cv_results_["mean_test_score"] for one in (plenty, little)]
    np.testing.assert_allclose(*scores, atol=1e-6)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([], "cv yields no split"),
        ([([], [0])], r"training fold of split 0 holds no ID row \(of 0 rows\)"),
        ([([0, 1], [])], "test fold of split 0 is empty"),
        ([([0, 1], [2]), ([0, 1], [2, 99])], "test fold of split 1 .* values from 2 to 99"),
        ([([0.5], [1])], "row numbers of the 40 rows .* dtype float64"),
        ([([True] * 3, [1])], r"training fold of split 0 of shape \(3,\) and dtype bool"),
    ],
)
def test_splits_that_cannot_be_used_are_named(cv, message):
    X, y = np.random.RandomState(0).normal(size=(40, 4)), np.repeat([1, -1], 20)
    with pytest.raises(ValueError, match=message):
        WeiPerDetectorCV(param_grid={"n_repeats": [2]}, cv=cv).fit(X, y)


def test_a_callable_that_writes_to_its_logits_is_refused(clinc150):
    def greedy(logits):
        logits -= logits.max(axis=-1, keepdims=True)
        return logits.sum(axis=-1)

    X = np.concatenate([clinc150.test[:40], clinc150.test_oos[:20]])
    y = np.repeat([1, -1], [40, 20])
    grid = {"method": [greedy, "energy"], "n_repeats": [2]}
    folds = StratifiedKFold(2)
    search = WeiPerDetectorCV(clinc150.weight, clinc150.bias, param_grid=grid, cv=folds)
    with pytest.raises(ValueError, match="read-only"):
        search.fit(X, y)
