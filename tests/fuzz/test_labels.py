"""Labels in any form: the rows that are -1 take no part, or the labels are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skweiper.model_selection import WeiPerDetectorCV
from tests.fuzz.estimators import SUBJECTS, reads_classes, result
from tests.fuzz.labels import FORMS, labels_of
from tests.fuzz.oracles import Refusal, accepted, assert_same_bits, attempt, refused
from tests.fuzz.parameters import parameters
from tests.fuzz.problems import tame_problems

SCORING = [subject for subject in SUBJECTS if hasattr(subject.template, "score")]


def taken(y, kept):
    """The labels of some rows."""
    y = np.asarray(y)
    return y[kept] if y.ndim else y


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data(), subject=st.sampled_from(SUBJECTS), problem=tame_problems())
def test_known_outliers_take_no_part(form, data, subject, problem):
    estimator = subject.made(problem, data.draw(parameters(type(subject.template))))
    reads = reads_classes(estimator)
    classes = problem.classes if reads else None
    labels = data.draw(labels_of(form, len(problem.X), classes))
    if ignores_labels(estimator):
        return
    if labels.is_outlier is None:
        refused(estimator.fit, problem.X, labels.y)
        return
    found = attempt(estimator.fit, problem.X, labels.y)
    if isinstance(estimator, WeiPerDetectorCV):  # known outliers take part in its test folds
        return
    kept = ~labels.is_outlier
    alone = subject.made(problem, estimator.get_params(deep=False))
    expected = attempt(alone.fit, problem.X[kept], taken(labels.y, kept) if reads else None)
    assert isinstance(found, Refusal) == isinstance(expected, Refusal), (found, expected)
    if not isinstance(found, Refusal):
        assert_same_bits(result(estimator, problem.queries), result(alone, problem.queries))


def ignores_labels(estimator):
    """Whether `fit` says that it does not look at y."""
    return type(estimator).__name__ == "WeiPerTransformer"


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data(), subject=st.sampled_from(SCORING), problem=tame_problems())
def test_the_auroc_is_the_share_of_pairs_in_order(form, data, subject, problem):
    estimator = subject.made(problem, data.draw(parameters(type(subject.template))))
    needed = subject.labels_of(estimator, problem)
    if isinstance(attempt(estimator.fit, problem.X, needed), Refusal):
        return
    labels = data.draw(labels_of(form, len(problem.X)))
    if labels.is_outlier is None and form != "all outliers":
        refused(estimator.score, problem.X, labels.y)
        return
    found = accepted(estimator.score, problem.X, labels.y)
    is_id = ~np.ones(len(problem.X), bool) if labels.is_outlier is None else ~labels.is_outlier
    if is_id.all() or not is_id.any():
        assert np.isnan(found)
        return
    scores = estimator.score_samples(problem.X)
    lead = scores[is_id][:, None] - scores[~is_id]
    assert found == pytest.approx(np.mean((lead > 0) + 0.5 * (lead == 0)), abs=1e-9)
