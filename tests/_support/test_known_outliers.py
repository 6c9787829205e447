"""Labels that seem to mark outliers without being -1 are refused, or warned of."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import get_tags

from skweiper import WeiPerDetector, all_detectors
from skweiper.baselines import (
    KLMatchingDetector,
    KNNDetector,
    LogitDetector,
    MahalanobisDetector,
    OpenMaxDetector,
    RelativeMahalanobisDetector,
    SHEDetector,
    TemperatureScalingDetector,
)
from skweiper.metrics import auroc_scorer
from skweiper.model_selection import InlierOnly, OODSplit, WeiPerDetectorCV
from skweiper.shaping import ReAct
from tests.quick import quick

DETECTORS = [quick(entry.estimator()) for entry in all_detectors()]
TAKING_Y = [*DETECTORS, ReAct(), InlierOnly(KNNDetector(n_neighbors=3))]


def named(estimator):
    return type(estimator).__name__


def labels(*values, dtype=None):
    """60 labels: the values in turn."""
    return np.resize(np.array(values, dtype=dtype), 60)


LEARNING_NO_CLASSES = [each for each in TAKING_Y if not get_tags(each).target_tags.required]


@pytest.mark.parametrize("estimator", LEARNING_NO_CLASSES, ids=named)
def test_the_line_that_passed_y_is_warned(estimator, small):
    with pytest.warns(UserWarning, match="no -1, so no row is taken as an outlier") as caught:
        clone(estimator).fit(small["X"], labels(np.nan, 1.0, 2.0))
    assert {each.filename for each in caught} == {__file__}


REFUSED = {
    "text": (labels("-1", "1"), "text .*-1"),
    "text with places": (labels("-1.00", "1"), r"text .*-1\.00"),
    "minus sign": (labels("\N{MINUS SIGN}1", "1"), "text .*1'"),
    "bytes": (labels(b"-1", b"1"), "text b'-1'"),
    "unsigned": (labels(255, 1, dtype=np.uint8), "255 in uint8, which is what -1 becomes"),
    "unsigned, wide": (
        labels(2**64 - 1, 1, dtype=np.uint64),
        "18446744073709551615 in uint64",
    ),
    "None": (labels(1, None, dtype=object), "None at row 1"),
    "masked": (np.ma.masked_equal(labels(0, 1), 0), "masked array with 30 masked"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("estimator", TAKING_Y, ids=named)
def test_what_means_minus_one_is_refused(estimator, kind, small):
    y, message = REFUSED[kind]
    with pytest.raises(ValueError, match=f"y (holds|is) .*{message}"):
        clone(estimator).fit(small["X"], y)


SUSPICIOUS = {
    "0 and 1": labels(0, 1),
    "0 and 1 as floats": labels(0.0, 1.0),
    "booleans": labels(True, False),
    "missing": labels(1.0, np.nan),
    "missing text": pd.Series(labels("a", "b")).where(labels(True, False)),
    "ood": labels("id", "ood"),
    "OOS, bytes": labels(b"card", b"OOS"),
    "objects": labels(True, False, dtype=object),
}


@pytest.mark.parametrize("kind", SUSPICIOUS)
@pytest.mark.parametrize("estimator", [WeiPerDetector(n_repeats=2), ReAct(), OpenMaxDetector()])
def test_marks_of_outliers_that_are_none_are_warned_of(estimator, kind, small):
    with pytest.warns(UserWarning, match=r"y holds .* and no -1, so no row is taken as an outlier"):
        clone(estimator).fit(small["X"], SUSPICIOUS[kind])


NO_CLASSES = {
    "missing": (labels(1.0, 2.0, np.nan), "missing value at row 2"),
    "missing beside an outlier": (labels(-1.0, 2.0, np.nan), "missing value at row 2"),
    "missing names": (pd.Series(labels("a", "b")).where(labels(False, True)), "value at row 0"),
    "missing text": (pd.array(labels("a", None), "string"), "value at row 1"),
    "names and numbers": (labels(-1, "a", 2, dtype=object), r"types \['int', 'str'\]"),
}


@pytest.mark.parametrize("kind", NO_CLASSES)
@pytest.mark.parametrize(
    "estimator",
    [
        TemperatureScalingDetector(),
        MahalanobisDetector(labels="y"),
        KLMatchingDetector(labels="y"),
        SHEDetector(labels="y"),
    ],
    ids=named,
)
def test_what_names_no_class_is_refused_by_those_who_learn_classes(estimator, kind, small):
    y, message = NO_CLASSES[kind]
    with pytest.raises(ValueError, match=f"y holds .*{message}"):
        clone(estimator).set_params(weight=small["weight"]).fit(small["X"], y)


@pytest.mark.parametrize("kind", SUSPICIOUS)
def test_a_score_that_cannot_be_computed_says_why(kind, small):
    for detector in (WeiPerDetector(n_repeats=2), LogitDetector()):
        detector.fit(small["X"])
        with pytest.warns(UndefinedMetricWarning, match=r"is NaN: y holds .* and no -1\."):
            assert np.isnan(detector.score(small["X"], SUSPICIOUS[kind]))
    for y, reason in (
        (np.ones(60), r"y holds no -1 \(OOD\)"),
        (-np.ones(60), "every label .* is -1"),
    ):
        with pytest.warns(UndefinedMetricWarning, match=f"60 rows .* is NaN: {reason}"):
            assert np.isnan(detector.score(small["X"], y))


@pytest.mark.parametrize("kind", REFUSED)
def test_scores_refuse_what_fits_refuse(kind, small):
    y, message = REFUSED[kind]
    detector = LogitDetector().fit(small["X"])
    for score in (detector.score, lambda X, y: auroc_scorer(detector, X, y)):
        with pytest.raises(ValueError, match=message):
            score(small["X"], y)


def test_a_score_of_labels_of_another_length(small):
    with pytest.raises(ValueError, match=r"y must have shape \(60,\).* got shape \(59,\)"):
        LogitDetector().fit(small["X"]).score(small["X"], np.ones(59))


@pytest.mark.parametrize(
    "y",
    [
        labels(1),
        labels(0),
        labels(3, 1, 0),
        labels(0, 1, -1),
        labels(True, -1, dtype=object),
        labels("card", "loan"),
        labels(1, 254, dtype=np.uint8),
        pd.Series(labels("card", "loan"), dtype="category"),
    ],
    ids=str,
)
def test_other_labels_are_taken_without_a_word(y, small):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        KNNDetector(n_neighbors=3).fit(small["X"], y)


@pytest.mark.parametrize(
    "detector", [MahalanobisDetector(labels="y"), TemperatureScalingDetector()], ids=named
)
def test_two_classes_are_classes_where_they_are_asked_for(detector, small):
    detector.set_params(weight=small["weight"][:2]).fit(small["X"], labels(0, 1))


def test_splits_and_searches_warn_too(small):
    search = WeiPerDetectorCV(param_grid={"n_repeats": [2]}, cv=2, random_state=0)
    with pytest.warns(UserWarning) as caught:
        search.fit(small["X"], labels(0, 1))
    assert any("y holds 0 and 1 and no -1" in str(warning.message) for warning in caught)
    with (
        pytest.warns(UserWarning, match="y holds 0 and 1 and no -1"),
        pytest.raises(ValueError, match="OODSplit needs y with -1"),
    ):
        list(OODSplit(2).split(small["X"], labels(0, 1)))


BY_CLASS = [
    SHEDetector(labels="y"),
    OpenMaxDetector(labels="y"),
    MahalanobisDetector(labels="y"),
    RelativeMahalanobisDetector(labels="y"),
    KLMatchingDetector(labels="y"),
]


@pytest.mark.parametrize("detector", BY_CLASS, ids=named)
@pytest.mark.parametrize("y", [labels(1), labels(1, -1), labels(1.0), labels(True)], ids=str)
@pytest.mark.filterwarnings("ignore:y holds booleans")
def test_inlier_labels_are_no_classes(detector, y, small):
    with pytest.raises(ValueError, match=r"one class only \(1\) of 5.*labels='head'"):
        detector.set_params(weight=small["weight"]).fit(small["X"], y)


@pytest.mark.parametrize(("n_rows", "tpr"), [(19, 0.95), (9, 0.9), (99, 0.99)])
def test_calibration_on_too_few_rows_warns(n_rows, tpr):
    X = np.random.RandomState(0).normal(size=(200, 4))
    detector = LogitDetector().fit(X)
    with pytest.warns(UserWarning, match=rf"has {n_rows} rows, fewer than .* = {n_rows + 1}: "):
        detector.calibrate(X[:n_rows], tpr=tpr)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.calibrate(X[: n_rows + 1], tpr=tpr)


def test_calibration_on_ood_rows_warns_every_time():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(200, 4))
    detector = KNNDetector().fit(X + 5)
    for _ in range(2):
        with pytest.warns(UserWarning, match="100% of the rows of X_id score below the threshold"):
            detector.calibrate(X - 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.calibrate(X + 5, tpr=0.2).calibrate(X + 5)
