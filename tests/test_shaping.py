"""RAS against the authors' algorithm in loops, and what it does with equal activations."""

import tracemalloc
from itertools import permutations

import numpy as np
import pytest
from sklearn import config_context
from sklearn.pipeline import make_pipeline

from skweiper.baselines import LogitDetector
from skweiper.shaping import RAS


def published_profile(train):
    """Mean over the rows of their i-th smallest activation."""
    return [
        sum(sorted(row)[i] for row in train.tolist()) / len(train) for i in range(train.shape[1])
    ]


def published_row(row, profile):
    """The profile in the order of the row; equal activations in the order of their columns."""
    shaped = [0.0] * len(row)
    for rank, column in enumerate(sorted(range(len(row)), key=lambda i: row[i])):
        shaped[column] = profile[rank]
    return shaped


@pytest.fixture
def signed():
    """Training and other features, signed, no two of a row alike."""
    rng = np.random.RandomState(0)
    return rng.randn(70, 9) + np.arange(9) / 3, 3 * rng.randn(20, 9)


def test_it_is_the_published_algorithm(signed):
    train, rows = signed
    shaper = RAS().fit(train)
    profile = published_profile(train.astype(np.float32))
    np.testing.assert_allclose(shaper.profile_, profile, rtol=1e-12)
    expected = [published_row(row, profile) for row in rows]
    np.testing.assert_allclose(shaper.transform(rows), expected, rtol=1e-12)


def test_equal_activations_get_the_mean_of_the_published_result_over_the_orders_of_columns():
    rng = np.random.RandomState(1)
    train, rows = rng.randn(30, 5), rng.randint(3, size=(40, 5)).astype(float)
    shaper = RAS().fit(train)
    results = []
    for order in map(list, permutations(range(5))):
        shaped = np.array([published_row(row, shaper.profile_) for row in rows[:, order]])
        results.append(shaped[:, np.argsort(order)])
    np.testing.assert_allclose(shaper.transform(rows), np.mean(results, axis=0), rtol=1e-12)


def test_the_order_of_the_columns_means_nothing(signed):
    train, rows = np.maximum(signed[0], 0), np.maximum(signed[1], 0)
    assert (rows == 0).sum() > 50
    order = np.random.RandomState(2).permutation(9)
    permuted = RAS().fit(train[:, order]).transform(rows[:, order])
    np.testing.assert_array_equal(permuted, RAS().fit(train).transform(rows)[:, order])


def test_every_row_gets_the_profile_in_its_own_order(signed):
    train, rows = signed
    shaper = RAS().fit(train)
    shaped = shaper.transform(rows)
    np.testing.assert_array_equal(np.argsort(shaped, axis=1), np.argsort(rows, axis=1))
    expected = np.tile(shaper.profile_, (20, 1))
    np.testing.assert_allclose(np.sort(shaped, axis=1), expected, rtol=1e-12)
    np.testing.assert_array_equal(shaper.transform(np.exp(rows)), shaped)


def test_a_row_of_equal_activations_gets_the_mean_of_the_profile(signed):
    shaper = RAS().fit(signed[0])
    shaped = shaper.transform(np.zeros((1, 9)))
    np.testing.assert_allclose(shaped, np.full((1, 9), shaper.profile_.mean()), rtol=1e-12)


def test_one_feature_and_one_row_are_enough():
    assert RAS().fit([[3.0]]).transform([[7.0]]) == 3.0


def test_the_input_and_its_precision_are_kept(signed):
    train, rows = (array.astype(np.float32) for array in signed)
    before = rows.copy()
    shaped = RAS().fit(train).transform(rows)
    assert shaped.dtype == np.float32
    np.testing.assert_array_equal(rows, before)


def test_known_outliers_take_no_part_and_chunks_do_not_matter(signed):
    train = signed[0]
    spoiled = np.vstack([train, np.full((10, 9), 1e3)])
    y = np.repeat([1, -1], [70, 10])
    whole = RAS().fit(train).profile_
    np.testing.assert_array_equal(RAS().fit(spoiled, y).profile_, whole)
    with config_context(working_memory=0.004):
        np.testing.assert_allclose(RAS().fit(train).profile_, whole, rtol=1e-12)


def test_memory_is_bounded_by_the_setting():
    X = np.maximum(np.random.RandomState(0).randn(4000, 100), 0)
    shaped = np.empty_like(X)
    with config_context(working_memory=2):
        tracemalloc.start()
        try:
            shaped[:] = RAS().fit(X).transform(X)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < shaped.nbytes + 2 * 2**20


def test_the_energy_behind_it_is_that_of_the_shaped_features(signed, small):
    energy = LogitDetector(small["weight"], small["bias"], method="energy")
    X = small["X"]
    scores = make_pipeline(RAS(), energy).fit(X).score_samples(X)
    shaped = np.array([published_row(row, published_profile(X)) for row in X.tolist()])
    np.testing.assert_allclose(scores, energy.fit(shaped).score_samples(shaped), rtol=1e-5)
