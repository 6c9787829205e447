"""Whatever the values are, scores are finite or the call is refused with a reason."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.estimators import of_each_estimator, result
from tests.fuzz.oracles import Refusal, accepted, attempt
from tests.fuzz.parameters import parameters
from tests.fuzz.problems import TAME_DTYPES, tame_problems, wild_problems


def assert_all_finite(estimator, X):
    """Check the results of some rows: one each, finite."""
    found = attempt(result, estimator, X)
    if not isinstance(found, Refusal):
        assert len(found) == len(X)
        assert np.isfinite(found).all()


@of_each_estimator
@given(data=st.data(), problem=wild_problems())
def test_scores_are_finite_or_refused(subject, data, problem):
    drawn = data.draw(parameters(type(subject.template), wild=True, at_once=True))
    estimator = subject.made(problem, drawn)
    labels = subject.labels_of(estimator, problem)
    if isinstance(attempt(estimator.fit, problem.X, labels), Refusal):
        return
    for rows in (problem.X, problem.queries):
        assert_all_finite(estimator, rows)
    if hasattr(estimator, "offset_"):
        assert np.isfinite(estimator.offset_)


@of_each_estimator
@given(problem=tame_problems([*TAME_DTYPES, "int32"]), seed=st.integers(0, 9))
def test_ordinary_features_are_taken_and_left_alone(subject, problem, seed):
    X, queries = problem.X.copy(), problem.queries.copy()
    estimator = subject.made(problem, subject.seed(seed))
    accepted(estimator.fit, X, subject.labels_of(estimator, problem))
    found = accepted(result, estimator, queries)
    assert len(found) == len(queries)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(X, problem.X)
    np.testing.assert_array_equal(queries, problem.queries)
