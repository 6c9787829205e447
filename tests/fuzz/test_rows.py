"""A row has one score, whatever rows stand beside it, and the threshold is made of such scores."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.estimators import SUBJECTS, of_each, of_each_estimator, result
from tests.fuzz.oracles import Refusal, accepted, assert_same_bits, attempt
from tests.fuzz.parameters import parameters
from tests.fuzz.problems import tame_problems, wild_problems


def fitted(subject, problem, drawn):
    """A fitted estimator, or None where fit or the score of the queries is refused."""
    estimator = subject.made(problem, drawn)
    labels = subject.labels_of(estimator, problem)
    if isinstance(attempt(estimator.fit, problem.X, labels), Refusal):
        return None
    unscored = isinstance(attempt(result, estimator, problem.queries), Refusal)
    return None if unscored else estimator


@of_each_estimator
@given(data=st.data(), problem=tame_problems() | wild_problems())
def test_a_row_has_one_score(subject, data, problem):
    drawn = data.draw(parameters(type(subject.template), at_once=True))
    estimator, rows = fitted(subject, problem, drawn), problem.queries
    if estimator is None:
        return
    whole = accepted(result, estimator, rows)
    rng = np.random.RandomState(data.draw(st.integers(0, 2**32 - 1)))
    row, n_copies = rng.randint(len(rows)), data.draw(st.integers(1, 300))
    assert_same_bits(accepted(result, estimator, rows[[row]]), whole[[row]])
    chosen = rng.randint(len(rows), size=n_copies)
    assert_same_bits(accepted(result, estimator, rows[chosen]), whole[chosen])
    copies = np.full(n_copies, row)
    assert_same_bits(accepted(result, estimator, rows[copies]), whole[copies])


@of_each([subject for subject in SUBJECTS if subject.is_detector])
@given(data=st.data(), problem=tame_problems() | wild_problems())
def test_the_threshold_is_a_quantile_of_scores(subject, data, problem):
    drawn = data.draw(parameters(type(subject.template)))
    estimator = fitted(subject, problem, drawn)
    if estimator is None or hasattr(estimator, "holdout"):  # of rows that are not known here
        return
    labels = subject.labels_of(estimator, problem)
    rows = problem.X if labels is None else problem.X[labels != -1]
    scores = accepted(estimator.score_samples, rows)
    assert estimator.offset_ == np.quantile(scores, estimator.contamination)
    decision = estimator.decision_function(problem.queries)
    assert_same_bits(decision, estimator.score_samples(problem.queries) - estimator.offset_)
    assert_same_bits(estimator.predict(problem.queries), np.where(decision >= 0, 1, -1))
