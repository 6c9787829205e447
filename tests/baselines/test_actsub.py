"""ActSub against a slow reference written from its authors' equations, and at its edges."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

from skweiper.baselines import ActSubDetector
from skweiper.baselines.actsub import LEAST_COSINE
from skweiper.scores import gen

DECISIVE, INSIGNIFICANT = slice(0, 3), slice(3, 8)


def reference_place(weight, X):
    """Equation 4: the place where both parts of the rows are equally long on average."""
    directions = np.linalg.svd(weight)[2]
    differences = []
    for place in range(1, weight.shape[1]):
        leading, others = directions[:place], directions[place:]
        decisive = np.linalg.norm(X @ leading.T, axis=1).mean()
        insignificant = np.linalg.norm(X @ others.T, axis=1).mean()
        differences.append(abs(decisive - insignificant))
    return 1 + int(np.argmin(differences))


def reference_scores(weight, bias, X, queries, place, n_neighbors, power, gamma, top_classes):
    """The GEN form of equations 7, 9 and 10, one row at a time."""
    directions = np.linalg.svd(weight)[2]
    keep, drop = (part.T @ part for part in (directions[:place], directions[place:]))
    bank = [row @ drop / np.linalg.norm(row @ drop) for row in X]
    scores = []
    for row in queries:
        probabilities = np.sort(softmax(weight @ (keep @ row) + bias))[-top_classes:]
        entropy = -sum(p**gamma * (1 - p) ** gamma for p in probabilities)
        part = drop @ row / np.linalg.norm(drop @ row)
        cosines = sorted((part @ other for other in bank), reverse=True)[:n_neighbors]
        scores.append(entropy / (-np.log(1 - np.mean(cosines))) ** power)
    return np.array(scores)


@pytest.fixture(scope="module")
def problem():
    """Rectified features that any two of share a positive part, of a head of any shape."""
    rng = np.random.RandomState(0)
    X = np.maximum(rng.randn(150, 8) + 1, 0)
    return X[:100], X[100:], rng


@pytest.mark.parametrize("n_classes", [1, 2, 5, 8, 40])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"power": 0.5, "n_neighbors": 3}, {"power": 2.0, "gamma": 0.5, "top_classes": 3}],
    ids=str,
)
def test_authors_equations(n_classes, parameters, problem):
    X, queries, rng = problem
    # Of probabilities near one, the reference could not take the complement.
    weight, bias = 0.2 * rng.randn(n_classes, 8), rng.randn(n_classes)
    weight[0] += 0.5  # as for rectified features, so that the parts balance early
    detector = ActSubDetector(weight, bias, **parameters).fit(X)
    names = ("n_neighbors", "power", "gamma", "top_classes")
    options = {name: getattr(detector, name) for name in names}
    place = min(reference_place(weight, X), n_classes)
    assert detector.n_decisive_ == place
    expected = reference_scores(weight, bias, X, queries, place, **options)
    # One class has a probability of one and so no entropy.
    assert_allclose(detector.score_samples(queries), expected, rtol=2e-5, atol=1e-12)


def test_authors_equations_on_real_features(clinc150):
    X, queries = (rows[:, :60].astype(np.float64) for rows in (clinc150.train, clinc150.test))
    weight, bias = clinc150.weight[:40, :60].astype(np.float64), clinc150.bias[:40]
    detector = ActSubDetector(weight, bias).fit(X[::25])
    assert detector.n_decisive_ == reference_place(weight, X[::25])
    options = detector.n_decisive_, 10, 1, 0.1, 100
    expected = reference_scores(weight, bias, X[::25], queries[::90], *options)
    assert_allclose(detector.score_samples(queries[::90]), expected, rtol=1e-5)


def test_the_decisive_head_is_the_head_without_its_weak_directions(problem):
    X, queries, rng = problem
    weight, bias = rng.randn(6, 8), rng.randn(6)
    detector = ActSubDetector(weight, bias, n_decisive=3).fit(X)
    values = np.linalg.svd(detector.decisive_head_.weight)[1]
    assert_allclose(values[DECISIVE], np.linalg.svd(weight)[1][DECISIVE])
    assert_allclose(values[INSIGNIFICANT], 0, atol=1e-12)
    added = rng.randn(len(queries), 5) @ detector.insignificant_basis_.T
    logits = detector.decisive_head_.logits
    assert_allclose(logits(queries + added), logits(queries), atol=1e-12)
    whole = weight @ detector.insignificant_basis_ @ detector.insignificant_basis_.T
    assert_allclose(detector.decisive_head_.weight + whole, weight)


@pytest.mark.parametrize("rotation", [0, 1])
def test_all_that_the_head_ignores_is_insignificant(rotation, problem):
    # These rows are nearly all in the null space, where the published rule would divide a basis
    # that the decomposition chooses by accident.
    X, queries, _ = problem
    rng = np.random.RandomState(1)
    basis = np.linalg.qr(rng.randn(8, 8))[0]
    weight = 1e-3 * rng.randn(3, 3) @ basis[DECISIVE]
    assert reference_place(weight, X) > 3
    expected = ActSubDetector(weight).fit(X).score_samples(queries)
    turn = np.linalg.qr(np.random.RandomState(rotation).randn(5, 5))[0]
    within = basis.copy()
    within[INSIGNIFICANT] = turn @ basis[INSIGNIFICANT]
    turned = ActSubDetector(weight @ basis.T @ within).fit(X @ basis.T @ within)
    assert turned.n_decisive_ == 3
    assert_allclose(turned.score_samples(queries @ basis.T @ within), expected, rtol=1e-5)


@pytest.mark.parametrize("power", [0.5, 1, 10])
def test_parts_unlike_all_training_rows_score_finitely_and_least(power, problem):
    X = problem[0]
    weight = np.zeros((3, 8))
    weight[:, :2] = 0.2 * problem[2].randn(3, 2)
    detector = ActSubDetector(weight, power=power).fit(X)
    for ignored in (-X[:, 2:], np.zeros((len(X), 6))):  # no positive cosine to any training row
        unlike = np.column_stack([X[:, :2], ignored])
        scores = detector.score_samples(unlike)
        expected = gen(X @ weight.T) / (-np.log1p(-LEAST_COSINE)) ** power
        assert_allclose(scores, expected)
        assert (scores < detector.score_samples(X)).all()


def test_a_training_row_that_fills_its_neighbourhood(problem):
    X = np.repeat(problem[0][:5], 20, axis=0)
    detector = ActSubDetector(problem[2].randn(4, 8)).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()


def test_without_a_power_it_is_gen_of_the_decisive_logits(problem):
    X, queries, rng = problem
    weight = 0.2 * rng.randn(4, 8)
    place, power = 2, 0
    detector = ActSubDetector(weight, n_decisive=place, power=power).fit(X)
    expected = reference_scores(weight, np.zeros(4), X, queries, place, 10, power, 0.1, 100)
    assert_allclose(detector.score_samples(queries), expected, rtol=1e-10)


def test_logits_are_not_divided(problem):
    X, queries, _ = problem
    detector = ActSubDetector().fit(X)
    assert detector.n_decisive_ == 8
    assert_allclose(detector.decisive_head_.weight, np.eye(8), atol=1e-12)
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    cosines = queries / lengths @ (X / np.linalg.norm(X, axis=1, keepdims=True)).T
    likeness = -np.log(1 - np.sort(cosines, axis=1)[:, -10:].mean(axis=1))
    probabilities = softmax(queries, axis=1)
    entropy = -np.sum((probabilities * (1 - probabilities)) ** 0.1, axis=1)
    assert_allclose(detector.score_samples(queries), entropy / likeness, rtol=1e-5)


def test_numbers_of_decisive_directions_that_are_refused(problem):
    X, _, rng = problem
    weight = rng.randn(3, 8)
    for place in (8, 9):
        with pytest.raises(ValueError, match=f"less than n_features=8, .* got {place}"):
            ActSubDetector(weight, n_decisive=place).fit(X)
    with pytest.raises(ValueError, match=r"=5 divides .* all but 3 of 8.* Pass n_decisive=3"):
        ActSubDetector(weight, n_decisive=5).fit(X)
    twins = np.diag([3.0, 2, 2, 1, 1, 1, 1, 1])
    with pytest.raises(ValueError, match=r"n_decisive=2 divides .* Pass n_decisive=1"):
        ActSubDetector(twins, n_decisive=2).fit(X)
    with pytest.raises(ValueError, match=r"weight=None.* Pass n_decisive=None"):
        ActSubDetector(n_decisive=2).fit(X)
    assert ActSubDetector(twins, n_decisive=3).fit(X).n_decisive_ == 3


def test_fewer_rows_than_neighbours_are_all_neighbours(problem):
    X, queries, rng = problem
    weight = rng.randn(4, 8)
    few = ActSubDetector(weight).fit(X[:6]).score_samples(queries)
    all_of_them = ActSubDetector(weight, n_neighbors=6).fit(X[:6]).score_samples(queries)
    assert_array_equal(few, all_of_them)
