"""Any order of calls: scores and labels follow from the fit and the threshold that are in force."""

import pickle

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from tests.fuzz.estimators import of_each_estimator, result
from tests.fuzz.failures import BAD_LABELS, BAD_ROWS, InterruptedRows
from tests.fuzz.oracles import (
    Refusal,
    accepted,
    assert_same_bits,
    attempt,
    only_warnings_of_data,
    refused,
)
from tests.fuzz.parameters import parameters, parameters_out_of_range
from tests.fuzz.problems import tame_problems

WHICH = st.integers(0, 1)
is_fitted = precondition(lambda calls: calls.fitted is not None)
is_fitted_detector = precondition(
    lambda calls: calls.fitted is not None and calls.subject.is_detector
)


class Calls(RuleBasedStateMachine):
    """Calls on one estimator, beside a model of it.

    The model is another estimator, fitted afresh on the rows and the parameters of the last fit
    that succeeded and never touched again, the threshold, and the scores to compare with.
    """

    def __init__(self, subject):
        super().__init__()
        self.subject = subject
        self.estimator = clone(subject.template).set_params(**subject.seed())
        self.fitted = self.problem = self.offset = self.calibration = None

    @initialize(first=tame_problems(), second=tame_problems())
    def have_data(self, first, second):
        self.problems = [first, second]

    @rule(which=WHICH)
    def fit(self, which):
        problem = self.problems[which]
        self.estimator.set_params(**self.subject.head_of(problem))
        labels = self.subject.labels_of(self.estimator, problem)
        fresh = clone(self.estimator)
        expected = attempt(fresh.fit, problem.X, labels)
        found = attempt(self.estimator.fit, problem.X, labels)
        if isinstance(expected, Refusal):
            assert str(found) == str(expected)
            return
        assert found is self.estimator
        self.now_in_force(fresh, problem)

    def now_in_force(self, fresh, problem):
        """Take a fresh estimator as the model of the fit in force."""
        self.fitted, self.problem, self.calibration = fresh, problem, None
        self.offset = getattr(fresh, "offset_", None)

    @rule(data=st.data())
    def set_params(self, data):
        drawn = data.draw(parameters(type(self.estimator)))
        self.estimator.set_params(**drawn)
        now = self.estimator.get_params(deep=False)
        assert all(now[name] is value for name, value in drawn.items())

    @rule(data=st.data(), which=WHICH)
    def fit_with_a_bad_parameter(self, data, which):
        before = self.estimator.get_params(deep=False)
        wrong = data.draw(parameters_out_of_range(type(self.estimator)))
        if not wrong:
            return
        self.estimator.set_params(**wrong)
        problem = self.problems[which]
        labels = self.subject.labels_of(self.subject.template, problem)
        refused(self.estimator.fit, problem.X, labels)
        self.estimator.set_params(**before)

    @rule(name=st.sampled_from(sorted(BAD_ROWS)), which=WHICH)
    def fit_bad_rows(self, name, which):
        problem = self.problems[which]
        if name == "one column too many" and self.estimator.get_params().get("weight") is None:
            return
        rows, labels = BAD_ROWS[name](problem.X), self.subject.labels_of(self.estimator, problem)
        refused(self.estimator.fit, rows, labels)

    @rule(name=st.sampled_from(sorted(BAD_LABELS)), which=WHICH)
    @precondition(lambda calls: calls.subject.name != "transformer")
    def fit_bad_labels(self, name, which):
        problem = self.problems[which]
        refused(self.estimator.fit, problem.X, BAD_LABELS[name](problem.classes))

    @rule(n_reads=st.integers(0, 4), which=WHICH)
    def interrupt_a_fit(self, n_reads, which):
        problem = self.problems[which]
        rows = InterruptedRows(2 * problem.X[::-1], n_reads)
        labels = self.subject.labels_of(self.estimator, problem)
        interrupted = clone(self.estimator) if self.fitted is None else self.estimator
        with only_warnings_of_data():
            try:
                interrupted.fit(rows, labels)
            except (KeyboardInterrupt, ValueError):
                return
        # It was not interrupted, and has forgotten the former fit.
        self.estimator, self.fitted, self.calibration = clone(self.estimator), None, None

    @rule()
    def set_an_unknown_parameter(self):
        refused(self.estimator.set_params, no_such_parameter=1)

    @rule()
    def save_and_load(self):
        self.estimator = pickle.loads(pickle.dumps(self.estimator))

    @is_fitted
    @rule(name=st.sampled_from(sorted(BAD_ROWS)))
    def score_bad_rows(self, name):
        rows = BAD_ROWS[name](self.problem.queries)
        refused(result, self.estimator, rows)

    @precondition(lambda calls: calls.subject.is_detector)
    @rule(which=WHICH)
    def fit_and_predict(self, which):
        problem = self.problems[which]
        labels = self.subject.labels_of(self.estimator, problem)
        if labels is None:
            labels = np.where(np.arange(len(problem.X)) % 5, 1, -1)
        self.estimator.set_params(**self.subject.head_of(problem))
        fresh = clone(self.estimator)
        expected = attempt(fresh.fit, problem.X, labels)
        found = attempt(self.estimator.fit_predict, problem.X, labels)
        if isinstance(expected, Refusal):
            assert str(found) == str(expected)
            return
        assert_same_bits(found, fresh.predict(problem.X))
        self.now_in_force(fresh, problem)

    @is_fitted_detector
    @rule()
    def predict(self):
        rows = self.problem.queries
        decision = self.fitted.score_samples(rows) - self.offset
        assert_same_bits(accepted(self.estimator.decision_function, rows), decision)
        labels = accepted(self.estimator.predict, rows)
        assert_same_bits(labels, np.where(decision >= 0, 1, -1))

    @is_fitted_detector
    @rule(tpr=st.sampled_from([1e-9, 0.05, 1 / 3, 0.5, 0.9, 0.95, 1.0]), of_training=st.booleans())
    def calibrate(self, tpr, of_training):
        rows = self.problem.X if of_training else self.problem.queries
        assert accepted(self.estimator.calibrate, rows, tpr=tpr) is self.estimator
        scores = self.fitted.score_samples(rows)
        shares = [np.mean(scores >= score) for score in scores]
        enough = [s for s, share in zip(scores, shares, strict=True) if share >= tpr - 1e-9]
        self.offset = max(enough)

    @is_fitted_detector
    @rule(tpr=st.sampled_from([0.0, -1, 1.5, np.nan, "all", None]))
    def calibrate_to_no_level(self, tpr):
        refused(self.estimator.calibrate, self.problem.queries, tpr=tpr)

    @is_fitted_detector
    @rule(of_training=st.booleans())
    def calibrate_p_values(self, of_training):
        rows = self.problem.X if of_training else self.problem.queries
        accepted(self.estimator.calibrate_p_values, rows)
        self.calibration = self.fitted.score_samples(rows)

    @is_fitted_detector
    @rule()
    def p_value(self):
        rows = self.problem.queries
        if self.calibration is None:
            with pytest.raises(NotFittedError, match="calibrate_p_values"):
                self.estimator.p_value(rows)
            return
        scores = self.fitted.score_samples(rows)
        below = (self.calibration[None] <= scores[:, None]).sum(axis=1)
        expected = (1 + below) / (1 + len(self.calibration))
        np.testing.assert_allclose(accepted(self.estimator.p_value, rows), expected, rtol=1e-12)

    @invariant()
    def results_are_those_of_the_fit_in_force(self):
        if not hasattr(self, "problems"):
            return
        if self.fitted is None:
            with pytest.raises(NotFittedError):
                result(self.estimator, self.problems[0].queries)
            return
        rows = self.problem.queries
        expected = result(self.fitted, rows)
        assert_same_bits(accepted(result, self.estimator, rows), expected)
        if self.offset is not None:
            assert self.estimator.offset_ == self.offset


@of_each_estimator
def test_any_order_of_calls(subject):
    run_state_machine_as_test(lambda: Calls(subject), settings=settings())
