"""A saved, a cloned and a refitted estimator give what the first one gave."""

import pickle
from copy import deepcopy
from io import BytesIO

import joblib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from tests.fuzz.estimators import of_each_estimator, result
from tests.fuzz.oracles import Refusal, accepted, assert_same_bits, attempt
from tests.fuzz.parameters import parameters
from tests.fuzz.problems import tame_problems, wild_problems


def pickled(estimator):
    return pickle.loads(pickle.dumps(estimator))


def dumped(estimator):
    """Saved by joblib and loaded again."""
    file = BytesIO()
    joblib.dump(estimator, file, compress=1)
    file.seek(0)
    return joblib.load(file)


@of_each_estimator
@given(data=st.data(), problem=tame_problems() | wild_problems())
def test_round_trips(subject, data, problem):
    estimator = subject.made(problem, data.draw(parameters(type(subject.template), at_once=True)))
    before = estimator.get_params(deep=False)
    labels = subject.labels_of(estimator, problem)
    if isinstance(attempt(estimator.fit, problem.X, labels), Refusal):
        return
    after = estimator.get_params(deep=False)
    assert all(after[name] is before[name] for name in before)
    expected = attempt(result, estimator, problem.queries)
    for saved in (pickled, dumped, deepcopy):
        assert_same_result(saved(estimator), problem.queries, expected)
    again = clone(estimator)
    with pytest.raises(NotFittedError):
        result(again, problem.queries)
    accepted(again.fit, problem.X, labels)
    assert_same_result(again, problem.queries, expected)
    accepted(estimator.fit, problem.X, labels)
    assert_same_result(estimator, problem.queries, expected)
    if hasattr(estimator, "offset_"):
        assert again.offset_ == estimator.offset_


def assert_same_result(estimator, rows, expected):
    """Check that rows get the expected bits, or are refused as they were."""
    found = attempt(result, estimator, rows)
    if isinstance(expected, Refusal):
        assert str(found) == str(expected)
    else:
        assert_same_bits(found, expected)
