"""A dump in a file is what every estimator takes, as an array of the same values."""

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline

from skweiper import EnsembleDetector, WeiPerDetector, WeiPerTransformer, all_detectors
from skweiper._support import memory
from skweiper._support.row_views import RowView, rows_at
from skweiper.baselines import KNNDetector, LogitDetector
from skweiper.evaluation import compare, evaluate
from skweiper.io import blocks, open_features
from skweiper.model_selection import (
    InlierOnly,
    OODSplit,
    WeiPerDetectorCV,
    synthetic_outliers,
    train_validation_split_for_ood,
)
from skweiper.shaping import ASH, SCALE, VRA, ReAct
from tests.dump_files import NAMES, frame, package, write
from tests.quick import quick

N = 600


@pytest.fixture(scope="module")
def X():
    return np.random.RandomState(3).normal(size=(N, 12)).astype(np.float32)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows, so that a pass takes many."""
    monkeypatch.setattr(blocks, "file_budget", lambda: 8 * 2**10)


@pytest.fixture
def dump(X, tmp_path, small_blocks):
    return open_features(write(tmp_path, "x.parquet", X))


@pytest.fixture
def lists(X, tmp_path, small_blocks):
    return open_features(write(tmp_path, "lists.parquet", X))


ESTIMATORS = [*(quick(entry.estimator()) for entry in all_detectors())]
ESTIMATORS += [ReAct(), ASH(), SCALE(), VRA(), WeiPerTransformer()]


def prepared(estimator, small):
    given = {"weight": small["weight"], "bias": small["bias"], "n_repeats": 2, "random_state": 0}
    names = estimator.get_params()
    given |= {"temperature": 2.0} if "temperature" in names else {}
    return clone(estimator).set_params(**{n: v for n, v in given.items() if n in names})


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_every_estimator_takes_it_and_its_names(estimator, dump, X, small):
    y = np.where(np.arange(N) % 7, 1, -1)
    estimator = prepared(estimator, small)
    result = "score_samples" if hasattr(estimator, "score_samples") else "transform"
    with config_context(working_memory=4):
        expected = getattr(clone(estimator).fit(X, y), result)(X)
        fitted = estimator.fit(dump, y)
        assert_array_equal(getattr(fitted, result)(dump), expected)
    assert list(fitted.feature_names_in_) == NAMES


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_in_another_order_missing_or_new_are_refused(ending, X, tmp_path):
    package("pyarrow")
    path = tmp_path / f"x.{ending}"

    def saved(table):
        getattr(table, f"to_{ending}")(path, index=False)
        return open_features(path)

    detector = KNNDetector(n_neighbors=3).fit(saved(frame(X)))
    with pytest.raises(ValueError, match=r"(?s)same order.*Column 0 is 'f11', .* saw 'f0'"):
        detector.score_samples(saved(frame(X)[NAMES[::-1]]))
    with pytest.raises(ValueError, match=r"now missing:\n- f11"):
        detector.score_samples(saved(frame(X)[NAMES[:11]]))
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- f12"):
        detector.score_samples(saved(frame(X).assign(f12=0.5)))
    detector.score_samples(open_features(path, columns=NAMES))


def test_it_is_never_read_whole(dump, X, small, monkeypatch):
    read = []

    getitem = type(dump).__getitem__

    def counted(self, rows):
        found = getitem(self, rows)
        read.append(len(found))
        return found

    monkeypatch.setattr(type(dump), "__getitem__", counted)
    monkeypatch.setattr(type(dump), "__array__", None)
    monkeypatch.setattr(memory, "get_config", lambda: {"working_memory": 0.5})
    for estimator in (WeiPerDetector(engine="numpy"), LogitDetector(), ReAct()):
        estimator = prepared(estimator, small).fit(dump)
        getattr(estimator, "score_samples", getattr(estimator, "transform", None))(dump)
    assert max(read) < N and sum(read) >= 4 * N


def test_searches_and_cross_validation(lists, X):
    y = np.where(np.arange(N) % 5, 1, -1)
    search = GridSearchCV(
        KNNDetector(), {"n_neighbors": [1, 20]}, cv=KFold(2), n_jobs=2, error_score="raise"
    )
    with parallel_config(backend="threading"):
        found = clone(search).fit(lists, y)
    search.set_params(n_jobs=1).fit(X, y)
    assert found.best_params_ == search.best_params_
    assert_array_equal(found.score_samples(lists), search.score_samples(X))
    scores = [cross_val_score(KNNDetector(), each, y, cv=OODSplit(2)) for each in (lists, X)]
    assert_array_equal(*scores)


def test_the_factored_search(dump, X, small):
    y = np.where(np.arange(N) % 5, 1, -1)
    search = WeiPerDetectorCV(
        small["weight"],
        small["bias"],
        param_grid={"delta": [1.0, 2.0], "lambda_1": [0.1, 1]},
        cv=OODSplit(2),
        random_state=0,
    )
    expected, found = clone(search).fit(X, y), clone(search).fit(dump, y)
    assert_array_equal(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    assert_array_equal(found.score_samples(dump), expected.score_samples(X))


def test_reports_and_helpers(dump, lists, X):
    detector = KNNDetector(n_neighbors=3).fit(dump)
    expected = evaluate(KNNDetector(n_neighbors=3).fit(X), X, {"noise": X[:100]})
    report = evaluate(detector, dump, {"noise": dump.part(0, 100)})
    pd.testing.assert_frame_equal(report, expected)
    compare({"knn": KNNDetector(n_neighbors=3)}, lists, lists, {"same": lists}, seeds=[0])
    stacked, _, _ = train_validation_split_for_ood(dump, dump.part(0, 9), dump.part(9, 12))
    assert list(stacked) == NAMES and stacked.shape == (N + 12, 12)
    assert list(synthetic_outliers(dump, random_state=0)) == NAMES
    made = synthetic_outliers(lists, random_state=0)
    assert_array_equal(made, synthetic_outliers(X, random_state=0))


def test_pipelines_and_detectors_of_scikit_learn(lists, X):
    y = np.where(np.arange(N) % 5, 1, -1)
    pipeline = make_pipeline(ReAct(), KNNDetector(n_neighbors=3))
    expected = clone(pipeline).fit(X).score_samples(X)
    assert_array_equal(pipeline.fit(lists).score_samples(lists), expected)
    forest = IsolationForest(n_estimators=5, random_state=0)
    expected = clone(forest).fit(X).score_samples(X)
    assert_array_equal(forest.fit(lists).score_samples(lists), expected)
    wrapped = InlierOnly(IsolationForest(n_estimators=5, random_state=0))
    expected = clone(wrapped).fit(X, y).score_samples(X)
    assert_array_equal(wrapped.fit(lists, y).score_samples(lists), expected)


def test_bad_values_are_named_by_their_row(X, tmp_path):
    spoiled = X.copy()
    spoiled[417, 3] = np.inf
    for name in ("lists.parquet", "chunked.hdf5", "x.npy"):
        dump = open_features(write(tmp_path, name, spoiled))
        with pytest.raises(ValueError, match="row 417, column 3"):
            KNNDetector().fit(dump)


def test_ids_are_the_index_of_the_terms_of_a_score(X, small, tmp_path):
    ids = np.array([f"row-{row}" for row in range(N)])
    dump = open_features(write(tmp_path, "x.parquet", X, ids=ids))
    detector = WeiPerDetector(small["weight"], n_repeats=2, random_state=0).fit(dump)
    assert_array_equal(detector.score_components(dump).index, ids)
    assert_array_equal(detector.score_components(dump.part(5, 9)).index, ids[5:9])


def test_an_ensemble_holds_rows_out_without_a_copy(dump, X):
    members = [("knn", KNNDetector(n_neighbors=3)), ("forest", IsolationForest(random_state=0))]
    found = EnsembleDetector(detectors=members, random_state=0).fit(dump)
    expected = EnsembleDetector(detectors=members, random_state=0).fit(X)
    assert list(found.feature_names_in_) == NAMES
    assert list(found.detectors_[1].feature_names_in_) == NAMES
    assert_array_equal(found.score_samples(dump), expected.score_samples(X))
    held_out = rows_at(dump, np.array([7, 3, 99]))
    assert isinstance(held_out, RowView) and held_out.columns == NAMES
    assert_array_equal(held_out[1:], X[[3, 99]])
    assert_array_equal(np.asarray(held_out), X[[7, 3, 99]])
