"""A head in any form is the same head; what is no head is refused by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from skweiper.head import head_from_classifier
from tests.fuzz.estimators import SUBJECTS, result
from tests.fuzz.heads import CLASSIFIERS, FORMS, MISTAKES
from tests.fuzz.oracles import (
    Refusal,
    accepted,
    assert_same_bits,
    attempt,
    only_warnings_of_data,
    refused,
)
from tests.fuzz.parameters import parameters
from tests.fuzz.problems import tame_problems

WITH_HEAD = [subject for subject in SUBJECTS if subject.takes_head]
subjects = st.sampled_from(WITH_HEAD)


@st.composite
def problems_with_bias(draw):
    """Tame problems whose head has a bias, both float32."""
    problem = draw(tame_problems())
    weight = problem.weight.astype(np.float32)
    rng = np.random.RandomState(draw(st.integers(0, 99)))
    return problem, weight, rng.standard_normal(len(weight)).astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data(), subject=subjects, drawn=problems_with_bias())
def test_a_form_of_the_head_does_not_matter(form, data, subject, drawn):
    problem, weight, bias = drawn
    plain = subject.made(problem, data.draw(parameters(type(subject.template))))
    plain.set_params(weight=weight, bias=bias)
    labels = subject.labels_of(plain, problem)
    formed = dict(zip(("weight", "bias"), FORMS[form](weight, bias), strict=True))
    other = subject.made(problem, plain.get_params(deep=False)).set_params(**formed)
    found, expected = (attempt(e.fit, problem.X, labels) for e in (other, plain))
    if isinstance(expected, Refusal):
        assert str(found) == str(expected)
        return
    assert not isinstance(found, Refusal), str(found)
    expected = result(plain, problem.queries)
    assert_same_bits(result(other, problem.queries), expected)
    weight[:], bias[:] = np.nan, np.nan  # the caller's arrays are the caller's
    assert_same_bits(result(plain, problem.queries), expected)


@pytest.mark.parametrize("mistake", MISTAKES)
@given(subject=subjects, drawn=problems_with_bias())
def test_what_is_no_head_is_refused(mistake, subject, drawn):
    problem, weight, bias = drawn
    mistaken = dict(zip(("weight", "bias"), MISTAKES[mistake](weight, bias), strict=True))
    estimator = subject.made(problem).set_params(**mistaken)
    message = refused(estimator.fit, problem.X, subject.labels_of(estimator, problem))
    assert "weight" in message or "bias" in message, message


@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=repr)
@given(subject=subjects, problem=tame_problems(["float64"]), n_classes=st.integers(2, 5))
def test_the_head_of_a_classifier_is_taken(classifier, subject, problem, n_classes):
    y = np.arange(len(problem.X)) % n_classes
    with only_warnings_of_data():
        head = head_from_classifier(clone(classifier).fit(problem.X, y))
    estimator = subject.made(problem).set_params(weight=head[0], bias=head[1])
    labels = subject.labels_of(estimator, problem)
    labels = labels if labels is None or (labels == -1).any() else y
    if not isinstance(attempt(estimator.fit, problem.X, labels), Refusal):
        assert np.isfinite(accepted(result, estimator, problem.queries)).all()
