"""Mahalanobis++ against the authors' algorithm in loops, and rows that have no direction."""

import numpy as np
import pytest
from sklearn.base import clone

from skweiper.baselines import MahalanobisDetector, RelativeMahalanobisDetector
from skweiper.datasets import load_clinc150

DETECTORS = [MahalanobisDetector(normalize=True), RelativeMahalanobisDetector(normalize=True)]


def named(detector):
    return type(detector).__name__


def unit(row):
    return row / np.sqrt(sum(value * value for value in row))


def least_distance(row, means, precision):
    return min((row - mean) @ precision @ (row - mean) for mean in means)


def published(train, labels, rows):
    """MDS++ and RMDS++ of each row, as the authors write them down.

    Rows are divided by their L2 norm; class means, which are not, and one precision matrix of the
    rows about their class means; for the relative form, the same of all rows as one class.
    """
    train = np.array([unit(row) for row in train])
    means = [train[labels == label].mean(axis=0) for label in np.unique(labels)]
    positions = np.searchsorted(np.unique(labels), labels)
    centred = np.array([row - means[i] for row, i in zip(train, positions, strict=True)])
    precision = np.linalg.inv(sum(np.outer(row, row) for row in centred) / len(centred))
    overall = train.mean(axis=0)
    background = np.linalg.inv(sum(np.outer(r, r) for r in train - overall) / len(train))
    plain = np.array([-least_distance(unit(row), means, precision) for row in rows])
    return plain, plain + [least_distance(unit(row), [overall], background) for row in rows]


@pytest.fixture(scope="module")
def problem():
    """Features of four classes whose rows differ in length, their labels, and a head."""
    rng = np.random.RandomState(0)
    y = np.arange(200) % 4
    X = (5 * np.eye(4, 8) + 1)[y] + rng.randn(200, 8)
    return X * rng.uniform(0.2, 5, size=(200, 1)), y, rng.randn(4, 8), 5 * rng.randn(4)


@pytest.mark.parametrize("place", [0, 1], ids=["plain", "relative"])
def test_they_are_the_published_distances(place, problem):
    X, y = problem[:2]
    rows = np.random.RandomState(1).randn(40, 8) * 3
    detector = clone(DETECTORS[place]).set_params(labels="y").fit(X, y)
    np.testing.assert_allclose(
        detector.score_samples(rows), published(X, y, rows)[place], rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("place", [0, 1], ids=["plain", "relative"])
def test_they_are_the_published_distances_on_real_features(place):
    data = load_clinc150()
    train, y = data.train[::2, ::8].astype(np.float64), data.train_label[::2]
    rows = data.test_oos[::50, ::8].astype(np.float64)
    detector = clone(DETECTORS[place]).set_params(labels="y").fit(train, y)
    expected = published(train, y, rows)[place]
    np.testing.assert_allclose(detector.score_samples(rows), expected, rtol=1e-9)


@pytest.mark.parametrize("detector", DETECTORS, ids=named)
def test_the_head_predicts_from_the_rows_as_they_are(detector, problem):
    X, _, weight, bias = problem
    predicted = (X @ weight.T + bias).argmax(axis=1)
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    assert (predicted != (X / lengths @ weight.T + bias).argmax(axis=1)).sum() > 20
    by_head = clone(detector).set_params(weight=weight, bias=bias).fit(X)
    by_label = clone(detector).set_params(labels="y").fit(X, predicted)
    np.testing.assert_array_equal(by_head.score_samples(X), by_label.score_samples(X))


@pytest.mark.parametrize("detector", DETECTORS, ids=named)
def test_length_means_nothing(detector, problem):
    X, y = problem[:2]
    lengths = np.random.RandomState(2).uniform(0.01, 100, size=(200, 1))
    detector = clone(detector).set_params(labels="y")
    scores = clone(detector).fit(X, y).score_samples(X)
    scaled = clone(detector).fit(lengths * X, y).score_samples(X / lengths)
    np.testing.assert_allclose(scaled, scores, rtol=1e-9, atol=1e-9)
    plain = detector.set_params(normalize=False).fit(X, y).score_samples(X)
    assert abs(plain - scores).max() > 1


@pytest.mark.parametrize("detector", DETECTORS, ids=named)
def test_a_row_without_a_direction_stays_at_the_origin(detector, problem):
    X, y = problem[0].copy(), problem[1]
    fitted = clone(detector).set_params(labels="y").fit(X, y)
    X[17], X[18] = 0, 1e-150
    scores = fitted.score_samples(X)
    assert np.isfinite(scores).all()
    assert scores[17] == pytest.approx(scores[18])
    assert np.isfinite(clone(detector).set_params(labels="y").fit(X, y).score_samples(X)).all()


def test_the_parameter_is_a_boolean(problem):
    with pytest.raises(ValueError, match="'normalize' parameter"):
        MahalanobisDetector(normalize="l2").fit(problem[0])
