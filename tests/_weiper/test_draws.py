"""Random numbers of a perturbation: their distribution, and that only the seed decides them."""

import numpy as np
import pytest
from scipy.special import betaincinv
from scipy.stats import kstest

from skweiper._weiper.draws import (
    draw_directions,
    draw_stratified_uniform,
    repeat_stream,
    sphere_marginal_quantile,
)

FIRST_DRAWS = [0.4802034081078841, -0.5244748809650239, -0.9184219050570678]
"""Of the first repeat of seed 0."""


@pytest.mark.parametrize("n_features", [2, 3, 4, 5, 10, 64, 512, 4_096, 100_000])
def test_the_table_is_exact_to_1e_7_of_the_scale(n_features):
    random_state = np.random.RandomState(0)
    tails = 10.0 ** random_state.uniform(-18, 0, 500)
    probability = np.concatenate(
        [random_state.random_sample(1_000), tails, 1 - tails[tails > 1e-15]]
    )
    shape = (n_features - 1) / 2
    exact = 2 * betaincinv(shape, shape, probability) - 1
    error = sphere_marginal_quantile(n_features)(probability) - exact
    assert np.abs(error).max() * np.sqrt(n_features) < 1e-7


@pytest.mark.parametrize("n_features", [1, 2, 3, 50])
def test_the_quantile_is_odd_ascending_and_on_the_sphere(n_features):
    probability = np.linspace(0, 1, 2_049)  # its steps are exact, and so is 1 - probability
    coordinates = sphere_marginal_quantile(n_features)(probability)
    assert (np.diff(coordinates) >= 0).all()
    assert np.abs(coordinates).max() <= 1 + 1e-15
    apart = probability != 0.5
    np.testing.assert_allclose(coordinates[apart], -coordinates[::-1][apart], atol=1e-14)


def test_a_coordinate_of_drawn_directions_has_that_quantile_function():
    directions = draw_directions(4_000, 6, np.random.RandomState(0))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    grid = sphere_marginal_quantile(6)(np.linspace(0, 1, 10_001))

    def probability(coordinate):
        return np.interp(coordinate, grid, np.linspace(0, 1, 10_001))

    assert kstest(directions[:, 2], probability).pvalue > 0.01


def test_a_latin_hypercube_has_one_draw_per_stratum():
    uniform = draw_stratified_uniform(20, 5, np.random.RandomState(0))
    strata = np.sort((uniform * 20).astype(int), axis=0)
    np.testing.assert_array_equal(strata, np.repeat(np.arange(20)[:, None], 5, axis=1))


def test_repeats_are_streams_of_their_own():
    """The stream of a seed and a repeat is frozen: a model must score alike in later versions."""
    first, again, second, other = (
        repeat_stream(seed, repeat).standard_normal(3)
        for seed, repeat in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.isin(second, first).any()
    assert not np.isin(other, first).any()
    np.testing.assert_allclose(first, FIRST_DRAWS, rtol=1e-13)
