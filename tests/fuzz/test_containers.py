"""The same values in another container give the same bits; what holds no matrix is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.containers import CONTAINERS, REFUSED
from tests.fuzz.estimators import SUBJECTS, result
from tests.fuzz.oracles import accepted, assert_same_bits, refused
from tests.fuzz.problems import tame_problems


@pytest.mark.parametrize("name", CONTAINERS)
@given(data=st.data(), subject=st.sampled_from(SUBJECTS))
def test_a_container_does_not_matter(name, data, subject):
    container = CONTAINERS[name]
    problem = data.draw(tame_problems(sorted(container.dtypes)))
    X, queries = map(container.values, (problem.X, problem.queries))
    plain, held = (subject.made(problem, subject.seed()) for _ in range(2))
    labels = subject.labels_of(plain, problem)
    accepted(plain.fit, X, labels)
    expected = accepted(result, plain, queries)
    accepted(held.fit, container.make(problem.X), labels)
    for estimator in (plain, held):
        found = accepted(result, estimator, container.make(problem.queries))
        assert_same_bits(found, expected)
    assert_same_bits(accepted(result, held, queries), expected)


@pytest.mark.parametrize("name", REFUSED)
@given(subject=st.sampled_from(SUBJECTS), problem=tame_problems(["float64"]))
def test_what_holds_no_matrix_is_refused(name, subject, problem):
    estimator = subject.made(problem, subject.seed())
    labels = subject.labels_of(estimator, problem)
    refused(estimator.fit, REFUSED[name](problem.X), labels)
    accepted(estimator.fit, problem.X, labels)
    expected = result(estimator, problem.queries)
    refused(result, estimator, REFUSED[name](problem.X))
    assert_same_bits(result(estimator, problem.queries), expected)
