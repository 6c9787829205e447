"""A call that fails leaves everything as it was."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.estimators import of_each_estimator, result
from tests.fuzz.failures import BAD_LABELS, BAD_ROWS, InterruptedRows
from tests.fuzz.heads import MISTAKES
from tests.fuzz.oracles import (
    accepted,
    assert_same_bits,
    only_warnings_of_data,
    refused,
    state_of,
)
from tests.fuzz.parameters import parameters_out_of_range
from tests.fuzz.problems import tame_problems


class Fitted:
    """A fitted estimator, and what it must stay."""

    def __init__(self, subject, problem):
        self.subject, self.problem = subject, problem
        self.estimator = subject.made(problem, subject.seed())
        self.labels = subject.labels_of(self.estimator, problem)
        accepted(self.estimator.fit, problem.X, self.labels)
        self.expected = accepted(result, self.estimator, problem.queries)

    def assert_unchanged_by(self, call, *arguments):
        """Check that a call is refused and changes neither the state nor the scores."""
        before = state_of(self.estimator)
        refused(call, *arguments)
        self.assert_still(before)

    def assert_still(self, before):
        """Check the state, and the scores of the queries."""
        assert state_of(self.estimator) == before
        assert_same_bits(result(self.estimator, self.problem.queries), self.expected)


@of_each_estimator
@given(data=st.data(), problem=tame_problems())
def test_rows_and_labels_that_fail(subject, data, problem):
    fitted = Fitted(subject, problem)
    X, estimator = problem.X, fitted.estimator
    bad = BAD_ROWS[data.draw(st.sampled_from(sorted(BAD_ROWS)))](X)
    if not (bad.ndim == 2 and bad.shape[1] > X.shape[1] and not subject.takes_head):
        fitted.assert_unchanged_by(estimator.fit, bad, fitted.labels)
    for name in ("score_samples", "transform", "predict", "calibrate", "calibrate_p_values"):
        if hasattr(estimator, name):
            fitted.assert_unchanged_by(getattr(estimator, name), bad)
    if subject.name != "transformer":  # y says nothing to it
        labels = data.draw(st.sampled_from(sorted(BAD_LABELS)))
        y = BAD_LABELS[labels](problem.classes)
        fitted.assert_unchanged_by(estimator.fit, X, y)


@of_each_estimator
@given(data=st.data(), problem=tame_problems())
def test_parameters_that_fail(subject, data, problem):
    fitted = Fitted(subject, problem)
    estimator, labels = fitted.estimator, fitted.labels
    wrong = data.draw(parameters_out_of_range(type(estimator)))
    if wrong:
        estimator.set_params(**wrong)
        fitted.assert_unchanged_by(estimator.fit, problem.X, labels)
    if subject.takes_head:
        mistake = MISTAKES[data.draw(st.sampled_from(sorted(MISTAKES)))]
        weight, bias = mistake(problem.weight, np.zeros(len(problem.weight)))
        estimator.set_params(weight=weight, bias=bias)
        fitted.assert_unchanged_by(estimator.fit, problem.X, labels)


@of_each_estimator
@given(problem=tame_problems(), n_reads=st.integers(0, 6))
def test_an_interrupted_fit(subject, problem, n_reads):
    fitted = Fitted(subject, problem)
    before = state_of(fitted.estimator)
    rows = InterruptedRows(2 * problem.X[::-1], n_reads)
    with only_warnings_of_data():
        try:
            fitted.estimator.fit(rows, fitted.labels)
        except KeyboardInterrupt:
            fitted.assert_still(before)
        else:
            assert n_reads > 0
