"""Labels in any form: the rows that are -1 take no part, or the labels are refused."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skweiper.model_selection import WeiPerDetectorCV
from tests.fuzz.estimators import SUBJECTS, reads_classes, result
from tests.fuzz.labels import FORMS, REFUSED, labels_of
from tests.fuzz.oracles import Refusal, accepted, assert_same_bits, attempt, refused
from tests.fuzz.parameters import parameters
from tests.fuzz.problems import tame_problems

SCORING = [subject for subject in SUBJECTS if hasattr(subject.template, "score")]
READING = [subject for subject in SUBJECTS if subject.name != "transformer"]  # y says nothing to it


def labels_of_rows(y, kept):
    """The labels of some rows."""
    return np.asarray(y)[kept]


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data(), subject=st.sampled_from(READING), problem=tame_problems())
def test_known_outliers_take_no_part(form, data, subject, problem):
    estimator = subject.made(problem, data.draw(parameters(type(subject.template))))
    reads = reads_classes(estimator)
    labels = data.draw(labels_of(form, len(problem.X), problem.classes if reads else None))
    found = attempt(estimator.fit, problem.X, labels.y)
    if isinstance(estimator, WeiPerDetectorCV):  # known outliers take part in its test folds
        return
    kept = ~labels.is_outlier
    alone = subject.made(problem, estimator.get_params(deep=False))
    expected = attempt(
        alone.fit, problem.X[kept], labels_of_rows(labels.y, kept) if reads else None
    )
    assert isinstance(found, Refusal) == isinstance(expected, Refusal), (found, expected)
    if not isinstance(found, Refusal):
        assert_same_bits(result(estimator, problem.queries), result(alone, problem.queries))


def assert_blames_labels(message):
    """Check that a refusal names y."""
    assert re.search(r"\by\b", message), message


@pytest.mark.parametrize("form", REFUSED)
@given(data=st.data(), subject=st.sampled_from(READING), problem=tame_problems())
def test_labels_that_say_nothing_are_refused(form, data, subject, problem):
    estimator = subject.made(problem)
    labels = data.draw(labels_of("int", len(problem.X), problem.classes))
    assert_blames_labels(refused(estimator.fit, problem.X, REFUSED[form](labels.y)))


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data(), subject=st.sampled_from(SCORING), problem=tame_problems())
def test_the_auroc_is_the_share_of_pairs_in_order(form, data, subject, problem):
    estimator = subject.made(problem, data.draw(parameters(type(subject.template))))
    if isinstance(
        attempt(estimator.fit, problem.X, subject.labels_of(estimator, problem)), Refusal
    ):
        return
    labels = data.draw(labels_of(form, len(problem.X)))
    found = accepted(estimator.score, problem.X, labels.y)
    if not labels.is_outlier.any():
        assert np.isnan(found)
        return
    scores = estimator.score_samples(problem.X)
    lead = scores[~labels.is_outlier][:, None] - scores[labels.is_outlier]
    assert found == pytest.approx(np.mean((lead > 0) + 0.5 * (lead == 0)), abs=1e-9)


@pytest.mark.parametrize("form", sorted(set(REFUSED) - {"all outliers"}))
@given(data=st.data(), subject=st.sampled_from(SCORING), problem=tame_problems())
def test_labels_that_say_nothing_give_no_auroc(form, data, subject, problem):
    estimator = subject.made(problem)
    accepted(estimator.fit, problem.X, subject.labels_of(estimator, problem))
    labels = data.draw(labels_of("int", len(problem.X)))
    assert_blames_labels(refused(estimator.score, problem.X, REFUSED[form](labels.y)))
