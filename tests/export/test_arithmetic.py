"""Parts that several detectors share, held to NumPy."""

from functools import partial

import numpy as np
import pytest

from skweiper.export import arithmetic
from tests.onnx_graphs import evaluated  # skips the module where onnx is missing


@pytest.mark.parametrize("n_numbers", [1, 2, 3, 4, 5, 9, 10, 100, 1201])
def test_numbers_not_above_are_those_that_a_search_counts(n_numbers):
    ascending = np.sort(np.random.RandomState(n_numbers).randint(0, 50, n_numbers) / 8)
    between = np.linspace(-1, 7, 333)
    scores = np.concatenate([ascending, between, [-np.inf, np.inf, np.nan]])
    found = evaluated(partial(arithmetic.number_not_above, ascending=ascending), scores)
    np.testing.assert_array_equal(found[:-1], np.searchsorted(ascending, scores[:-1], "right"))
    assert found[-1] == 0  # of NaN


@pytest.mark.parametrize("n_points", [1, 2, 3, 17, 200])
def test_interpolation_is_that_of_numpy(n_points):
    rng = np.random.RandomState(0)
    points, values = np.unique(rng.normal(size=n_points)), rng.normal(size=n_points)
    scores = np.concatenate([points, rng.normal(size=300, scale=2), [-1e9, 1e9]])
    found = evaluated(partial(arithmetic.interpolated, points=points, values=values), scores)
    np.testing.assert_allclose(found, np.interp(scores, points, values), rtol=1e-12, atol=1e-13)


def test_distances_are_those_between_the_points():
    rng = np.random.RandomState(0)
    rows, points = rng.normal(size=(20, 7)), rng.normal(size=(5, 7))
    found = evaluated(partial(arithmetic.squared_distances, points=points), rows)
    expected = ((rows[:, None] - points) ** 2).sum(axis=2)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    onto_itself = evaluated(partial(arithmetic.squared_distances, points=rows), rows)
    assert (onto_itself >= 0).all()


def test_directions_have_length_one_but_for_rows_of_zeros():
    rows = np.random.RandomState(0).normal(size=(4, 3))
    rows[2] = 0
    found = evaluated(arithmetic.directions, rows)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 0, 1], rtol=1e-15)


def test_zero_or_nan_marks_what_is_not_finite():
    values = np.array([0.0, -3.5, np.inf, -np.inf, np.nan, 1e300])
    found = evaluated(arithmetic.zero_or_nan, values)
    np.testing.assert_array_equal(np.isnan(found), ~np.isfinite(values))
    assert (found[np.isfinite(values)] == 0).all()
