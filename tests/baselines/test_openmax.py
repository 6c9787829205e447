"""OpenMax against one loop over samples and classes, and its limits."""

import numpy as np
import pytest
from scipy.stats import weibull_min

from skweiper.baselines import OpenMaxDetector
from skweiper.baselines.openmax import fit_weibull, unknown_probability


@pytest.fixture(scope="module")
def problem():
    rng = np.random.RandomState(0)
    y = rng.randint(4, size=300)
    return 4 * np.eye(4)[y] + rng.randn(300, 4), y


def reference_scores(logits, y, queries, tail_size, n_ranked):
    """The published algorithm, row by row, with scipy's general fit."""
    correct = logits.argmax(axis=1) == y
    models = []
    for label in range(logits.shape[1]):
        own = logits[correct & (y == label)]
        mean = own.mean(axis=0)
        tail = np.sort(np.linalg.norm(own - mean, axis=1))[-tail_size:]
        shape, _, scale = weibull_min.fit(tail - tail.min() + 1, floc=0)
        models.append((mean, tail.min(), shape, scale))
    scores = []
    for query in queries:
        unknown, changed = 0.0, query.copy()
        for rank, label in enumerate(np.argsort(query)[::-1][:n_ranked]):
            mean, start, shape, scale = models[label]
            distance = np.linalg.norm(query - mean)
            extreme = weibull_min.cdf(distance - start + 1, shape, scale=scale)
            lost = query[label] * extreme * (n_ranked - rank) / n_ranked
            changed[label] -= lost
            unknown += lost
        scores.append(-np.exp(unknown) / (np.exp(changed).sum() + np.exp(unknown)))
    return np.array(scores)


@pytest.mark.parametrize(("tail_size", "n_ranked"), [(20, 3), (10, 4), (1000, 1)])
def test_agrees_with_a_loop(problem, tail_size, n_ranked):
    logits, y = problem
    queries = np.concatenate([logits[:40], 3 * np.random.RandomState(1).randn(40, 4)])
    detector = OpenMaxDetector(tail_size=tail_size, n_ranked=n_ranked, labels="y").fit(logits, y)
    expected = reference_scores(logits, y, queries, tail_size, n_ranked)
    np.testing.assert_allclose(detector.score_samples(queries), expected, atol=2e-4)


@pytest.mark.parametrize("shape", [0.3, 2.0, 40.0])
def test_weibull_of_largest_likelihood(shape):
    values = weibull_min.rvs(shape, scale=3.0, size=50, random_state=0)
    found, scale = fit_weibull(values)
    best = weibull_min.logpdf(values, found, scale=scale).sum()
    for near in [(found * 1.01, scale), (found * 0.99, scale), (found, scale * 1.002)]:
        assert weibull_min.logpdf(values, near[0], scale=near[1]).sum() < best
    _, _, expected = weibull_min.fit(values, floc=0)
    assert scale == pytest.approx(expected, rel=1e-3)


def test_tail_without_spread_is_a_step():
    rows = np.array([[5.0, 0.0], [0.0, 5.0]])
    detector = OpenMaxDetector(n_ranked=1).fit(rows)
    near, far = detector.score_samples([[5.0, 0.0], [5.0, -3.0]])
    # At the mean the whole tail is no farther: exp(-1) of it is beyond.
    weakened = 5 * np.exp(-1)
    lost = 5 - weakened
    assert near == pytest.approx(-np.exp(lost) / (np.exp(lost) + np.exp(weakened) + 1), rel=1e-4)
    assert far == pytest.approx(-np.exp(5) / (np.exp(5) + 1 + np.exp(-3)))


def test_class_without_rows_keeps_its_logit():
    rows = np.random.RandomState(0).randn(50, 3) + np.array([6, 3, 0])
    detector = OpenMaxDetector(n_ranked=1).fit(rows[rows.argmax(axis=1) == 0])
    score = detector.score_samples([[0.0, 0.0, 100.0]])
    assert score == pytest.approx(-unknown_probability(np.array([[0.0, 0.0, 100.0]]), np.zeros(1)))


def test_large_logits_do_not_overflow(problem):
    logits, _ = problem
    scores = OpenMaxDetector().fit(1e4 * logits).score_samples(-1e4 * logits)
    assert np.isfinite(scores).all() and (scores >= -1).all() and (scores <= 0).all()


def test_input_is_left_alone(problem):
    logits = problem[0].copy()
    OpenMaxDetector().fit(logits).score_samples(logits)
    np.testing.assert_array_equal(logits, problem[0])
