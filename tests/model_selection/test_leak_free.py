"""No fit sees an OOD row, whoever splits and whoever searches."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, OutlierMixin, clone, is_outlier_detector
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from sklearn.utils.estimator_checks import parametrize_with_checks

from skweiper import WeiPerDetector, all_detectors
from skweiper.metrics import auroc_scorer
from skweiper.model_selection import (
    InlierOnly,
    OODSplit,
    WeiPerDetectorCV,
    as_inlier_labels,
    train_validation_split_for_ood,
)
from skweiper.model_selection.sweep import FittedGroup

OOD_VALUE = 50.0


class CountingDetector(OutlierMixin, BaseEstimator):
    """Foreign detector that ignores y and writes down how many OOD rows each fit was given."""

    def __init__(self, seen, scale=1.0):
        self.seen = seen
        self.scale = scale

    def __sklearn_clone__(self):
        return CountingDetector(self.seen, self.scale)

    def fit(self, X, y=None):
        self.seen.append(int(np.sum(np.asarray(X)[:, 0] == OOD_VALUE)))
        self.n_features_in_ = np.shape(X)[1]
        return self

    def decision_function(self, X):
        return 10 * self.scale - np.asarray(X)[:, 0]

    def predict(self, X):
        return np.where(self.decision_function(X) >= 0, 1, -1)


class PyODLike(BaseEstimator):
    def fit(self, X, y=None):
        self.threshold_ = 10.0
        return self

    def decision_function(self, X):
        return np.asarray(X)[:, 0]

    def predict(self, X):
        return (self.decision_function(X) > self.threshold_).astype(int)


@pytest.fixture
def labelled():
    random_state = np.random.RandomState(0)
    X = random_state.standard_normal((60, 4))
    y = np.ones(60, int)
    ood = random_state.choice(60, 24, replace=False)
    y[ood], X[ood, 0] = -1, OOD_VALUE
    groups = np.full(60, "id", dtype="<U8")
    groups[ood] = np.repeat(["near", "far", "texture", "noise"], 6)
    return X, y, groups


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("with_groups", [False, True])
def test_ood_rows_only_in_one_test_fold(labelled, shuffle, with_groups):
    X, y, groups = labelled
    splitter = OODSplit(3, shuffle=shuffle, random_state=0 if shuffle else None)
    tested, sets_tested = [], []
    for train, test in splitter.split(X, y, groups if with_groups else None):
        assert (y[train] == 1).all()
        assert not np.intersect1d(train, test).size
        assert {1, -1} == set(y[test])
        tested.extend(test)
        sets_tested.extend(set(groups[test]) - {"id"})
    assert sorted(tested) == list(range(60))
    if with_groups:
        assert sorted(sets_tested) == ["far", "near", "noise", "texture"]
    assert splitter.get_n_splits() == 3


def test_foreign_detector_fits_on_no_ood_row_under_ood_split(labelled):
    X, y, groups = labelled
    seen = []
    scores = cross_val_score(
        CountingDetector(seen), X, y, cv=OODSplit(4), groups=groups, scoring="roc_auc"
    )
    assert seen == [0] * 4
    assert (scores == 1).all()


def test_nested_search_never_validates_on_the_tested_data_sets(labelled):
    X, y, groups = labelled
    for train, test in OODSplit(2, ood_in_train=True).split(X, y, groups):
        in_train, in_test = set(groups[train]) - {"id"}, set(groups[test]) - {"id"}
        assert in_train and in_test and not in_train & in_test
        seen = []
        inner = GridSearchCV(
            InlierOnly(CountingDetector(seen)),
            {"estimator__scale": [1, 2]},
            cv=OODSplit(2),
            scoring="roc_auc",
        )
        inner.fit(X[train], y[train], groups=groups[train])
        assert seen == [0] * 5


def test_search_with_validation_split_fits_on_training_rows_only(labelled):
    X, y, _ = labelled
    X_id, X_ood = X[y == 1], X[y == -1]
    X_all, labels, cv = train_validation_split_for_ood(
        X_id[:20], X_id[20:], {"a": X_ood[:10], "b": X_ood[10:]}
    )
    seen = []
    search = GridSearchCV(
        InlierOnly(CountingDetector(seen)), {"estimator__scale": [1, 2]}, cv=cv, scoring="roc_auc"
    ).fit(X_all, labels)
    assert seen == [0, 0, 0]
    assert search.best_score_ == 1
    train, test = cv[0]
    assert np.array_equal(X_all[train], X_id[:20])
    assert np.array_equal(labels[test], np.repeat([1, -1], [16, 24]))


def test_without_inlier_only_the_refit_would_see_them(labelled):
    X, y, _ = labelled
    seen = []
    CountingDetector(seen).fit(X, y)
    InlierOnly(CountingDetector(seen)).fit(X, y)
    assert seen == [24, 0]


def test_frames_stay_frames(labelled):
    X, y, _ = labelled
    frame = pd.DataFrame(X, columns=list("abcd"))
    X_all, _, _ = train_validation_split_for_ood(frame[y == 1], frame[:3], frame[y == -1])
    assert list(X_all.columns) == list("abcd")
    expected = pd.concat([frame[y == 1], frame[:3], frame[y == -1]])
    pd.testing.assert_frame_equal(X_all, expected)
    scaler = InlierOnly(StandardScaler()).fit(frame, y)
    assert list(scaler.get_feature_names_out()) == list("abcd")


def test_inlier_only_in_a_pipeline_equals_fitting_on_inliers(labelled):
    X, y, _ = labelled
    forest = IsolationForest(n_estimators=10, random_state=0)
    wrapped = make_pipeline(InlierOnly(StandardScaler()), InlierOnly(forest)).fit(X, y)
    plain = make_pipeline(StandardScaler(), forest).fit(X[y == 1])
    assert np.array_equal(wrapped.score_samples(X), plain.score_samples(X))
    assert np.array_equal(wrapped.predict(X), plain.predict(X))
    assert is_outlier_detector(InlierOnly(forest))
    assert not hasattr(InlierOnly(forest), "transform")
    assert not hasattr(InlierOnly(StandardScaler()), "predict")


@parametrize_with_checks(
    [
        InlierOnly(StandardScaler()),
        InlierOnly(OneClassSVM()),
        InlierOnly(EllipticEnvelope(random_state=0)),
    ]
)
def test_inlier_only_passes_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def test_inlier_only_hands_frames_and_the_threshold_on(labelled):
    X, y, _ = labelled
    frame = pd.DataFrame(X, columns=list("abcd"))
    pipeline = make_pipeline(InlierOnly(StandardScaler()), InlierOnly(EllipticEnvelope()))
    pipeline.set_output(transform="pandas").fit(frame, y)
    scaled = pipeline[0].transform(frame)
    assert list(scaled) == list("abcd")
    assert list(pipeline[1].feature_names_in_) == list("abcd")
    detector = InlierOnly(EllipticEnvelope(random_state=0)).fit(X, y)
    below = detector.score_samples(X) < detector.offset_
    assert np.array_equal(detector.predict(X) == -1, below)
    assert np.array_equal(detector.fit_predict(X, y), detector.predict(X))
    assert not hasattr(InlierOnly(StandardScaler()), "fit_predict")
    assert not hasattr(InlierOnly(EllipticEnvelope()), "set_output")


def test_pyod_direction_is_turned(labelled):
    X, y, _ = labelled
    detector = InlierOnly(PyODLike(), convention="pyod").fit(X, y)
    assert np.array_equal(
        detector.decision_function(X), detector.score_samples(X) - detector.offset_
    )
    assert np.array_equal(detector.predict(X), y)
    assert np.array_equal(np.sign(detector.decision_function(X)), y)


def test_the_direction_is_that_of_the_fit(labelled):
    X, y, _ = labelled
    detector = InlierOnly(PyODLike(), convention="pyod").fit(X, y)
    expected = detector.score_samples(X)
    detector.set_params(convention="sklearn")
    assert np.array_equal(detector.score_samples(X), expected)
    assert np.array_equal(detector.predict(X), y)


def test_detectors_of_this_library_need_no_wrapper(labelled):
    X, y, _ = labelled
    weight = np.random.RandomState(1).standard_normal((3, 4))
    detector = WeiPerDetector(weight, n_repeats=2, random_state=0)
    spoiled = X.copy()
    spoiled[y == -1] *= 1000
    scores = [detector.fit(rows, y).score_samples(X) for rows in (X, spoiled)]
    assert np.array_equal(*scores)


@pytest.mark.parametrize(
    ("labels", "convention"),
    [([1, -1, 1], "sklearn"), ([0, 1, 0], "pyod"), ([7, -1, 0], "openood")],
)
def test_conventions_agree(labels, convention):
    assert as_inlier_labels(labels, convention).tolist() == [1, -1, 1]


@pytest.mark.parametrize(
    ("labels", "convention"),
    [
        ([0, 1], "sklearn"),
        ([-1, 1], "pyod"),
        ([0.5], "openood"),
        (["a"], "openood"),
        (["1", "-1"], "sklearn"),
        ([1, np.nan], "sklearn"),
        ([1], "other"),
    ],
)
def test_foreign_labels_are_refused(labels, convention):
    with pytest.raises(ValueError, match="convention"):
        as_inlier_labels(labels, convention)


def test_masked_labels_are_refused():
    with pytest.raises(ValueError, match="y is a masked array with 1 masked labels"):
        as_inlier_labels(np.ma.masked_equal([1, -1, 1], -1))


@pytest.mark.parametrize("with_groups", [False, True])
def test_groups_reach_the_splitter_with_metadata_routing(labelled, with_groups):
    X, y, groups = labelled
    groups = {"groups": groups} if with_groups else {}
    search = GridSearchCV(
        InlierOnly(IsolationForest(n_estimators=5, random_state=0)),
        {"estimator__max_samples": [8, 16]},
        scoring="roc_auc",
        cv=OODSplit(2),
    )
    expected = clone(search).fit(X, y, **groups).cv_results_["mean_test_score"]
    with config_context(enable_metadata_routing=True):
        found = clone(search).fit(X, y, **groups).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(found, expected)


def test_more_splits_than_data_sets_are_refused(labelled):
    X, y, groups = labelled
    with pytest.raises(ValueError, match="Lower n_splits"):
        list(OODSplit(5).split(X, y, groups))
    with pytest.raises(ValueError, match="as_inlier_labels"):
        list(OODSplit(5).split(X, np.ones(60)))


@pytest.mark.parametrize("convention", ["sklearn", "pyod", "openood"])
@pytest.mark.parametrize("cv", [OODSplit(3), StratifiedKFold(3, shuffle=True, random_state=0)])
def test_converted_labels_keep_every_fit_free_of_ood_rows(labelled, convention, cv):
    X, y, _ = labelled
    foreign = {"sklearn": y, "pyod": (y == -1).astype(int), "openood": np.where(y == 1, 3, -1)}
    seen = []
    search = GridSearchCV(
        InlierOnly(CountingDetector(seen)), {"estimator__scale": [1, 2]}, cv=cv, scoring="roc_auc"
    ).fit(X, as_inlier_labels(foreign[convention], convention))
    assert seen == [0] * 7
    assert search.best_score_ == 1


@pytest.mark.parametrize(
    ("cv", "with_groups"), [(OODSplit(2, ood_in_train=True), True), (StratifiedKFold(3), False)]
)
def test_sweep_reads_no_ood_row_in_any_fit(labelled, cv, with_groups, monkeypatch):
    X, y, groups = labelled
    seen = []
    learn = FittedGroup.__init__

    def counting(space, template, group, train):
        seen.append(int(np.sum(train.load(slice(None))[:, 0] == OOD_VALUE)))
        learn(space, template, group, train)

    monkeypatch.setattr(FittedGroup, "__init__", counting)
    grid = {"n_repeats": [2], "delta": [1.0, 2.0], "lambda_1": [0.1, 1]}
    weight = np.random.RandomState(1).standard_normal((3, 4))
    search = WeiPerDetectorCV(weight, param_grid=grid, cv=cv, random_state=0)
    search.fit(X, y, groups=groups if with_groups else None)
    assert seen == [0] * 2 * search.n_splits_
    plain = WeiPerDetector(weight, random_state=0, **search.best_params_).fit(X[y == 1])
    assert np.array_equal(search.score_samples(X), plain.score_samples(X))


def test_nested_sweep_validates_on_other_data_sets_than_it_is_tested_on(labelled):
    X, y, groups = labelled
    weight = np.random.RandomState(1).standard_normal((3, 4))
    grid = {"n_repeats": [2], "lambda_1": [0.1, 1]}
    search = WeiPerDetectorCV(weight, param_grid=grid, cv=OODSplit(2), random_state=0)
    outer = OODSplit(2, ood_in_train=True)
    found = cross_validate(
        search, X, y, groups=groups, params={"groups": groups}, cv=outer, scoring=auroc_scorer
    )["test_score"]
    for (train, test), score in zip(outer.split(X, y, groups), found, strict=True):
        by_hand = clone(search).fit(X[train], y[train], groups=groups[train])
        assert score == auroc_scorer(by_hand, X[test], y[test])


def test_groups_that_leave_ood_rows_unnamed_or_uncounted_are_refused(labelled):
    X, y, groups = labelled
    unnamed = pd.Series(groups).where(groups != "far", None)
    with pytest.raises(ValueError, match="no name for 6 OOD rows"):
        list(OODSplit(2).split(X, y, unnamed))
    assert len(list(OODSplit(2).split(X, y, pd.Series(groups).where(y == -1, np.nan)))) == 2
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        list(OODSplit(2).split(X, y, groups[1:]))


def as_frame(X, names="ab"):
    return pd.DataFrame(X, columns=list(names))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((np.ones((2, 3)), np.ones((2, 2)), np.ones((1, 3))), "X_val_id must have the 3 features"),
        (
            (as_frame(np.ones((2, 2))), as_frame(np.ones((2, 2)), "ba"), as_frame(np.ones((1, 2)))),
            r"X_val_id .* in the same order, got \['b', 'a'\]",
        ),
        ((np.ones((2, 3)), np.ones((2, 3)), {}), "X_val_ood holds no rows"),
        (
            (np.ones((2, 3)), np.ones((2, 3)), {"svhn": np.ones((0, 3))}),
            r"X_val_ood\['svhn'\] must be .* got shape \(0, 3\)",
        ),
        ((np.ones(2), np.ones((2, 1)), np.ones((1, 1))), r"X_train .* got shape \(2,\)"),
    ],
)
def test_parts_that_do_not_fit_are_named(parts, message):
    with pytest.raises(ValueError, match=message):
        train_validation_split_for_ood(*parts)


@pytest.mark.parametrize("entry", all_detectors(), ids=lambda entry: entry.name)
def test_fit_predict_leaves_known_outliers_out(entry, small):
    X = small["X"].copy()
    X[-10:] = OOD_VALUE
    y = (X @ small["weight"].T).argmax(axis=1)
    y[:2], y[-10:] = (y[:2] + 1) % 5, -1
    detector = entry.estimator()
    if entry.needs_head:
        detector.set_params(weight=small["weight"], bias=small["bias"])
    if "random_state" in detector.get_params():
        detector.set_params(random_state=0)
    labels = detector.fit_predict(X, y)
    alone = clone(detector).fit(X[:-10], y[:-10])
    np.testing.assert_array_equal(labels, alone.predict(X))
    assert detector.offset_ == alone.offset_
